/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/etag.h"

#include <string.h>

void etag_set(struct api_req *req, int64_t tag)
{
    char text[24];

    (void)strf(text, sizeof(text), "\"%lld\"", (long long)tag);
    api_header(req, "ETag", text);
}

int etag_wanted(const struct api_req *req, int64_t *ret, struct vl_error *err)
{
    const char *text = api_req_header(req, "If-Match");
    char digits[24];
    uint64_t tag;
    size_t n;

    *ret = 0;
    if (!text || str_eq(text, "*")) return 0;
    if (strchr(text, ',')) return vl_fail(err, VL_INVALID, "If-Match has several tags: send the one of the last reply");
    n = strlen(text);
    if (n < 3 || n >= sizeof(digits) || text[0] != '"' || text[n - 1] != '"' ||
        strf(digits, sizeof(digits), "%.*s", (int)n - 2, text + 1) < 0 || parse_u64(digits, 1, INT64_MAX, &tag) < 0)
        return vl_fail(err, VL_CHANGED, "If-Match has no tag of this volantd: send the ETag of the last reply");
    *ret = (int64_t)tag;
    return 0;
}
