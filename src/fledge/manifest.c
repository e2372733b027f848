/* SPDX-License-Identifier: Apache-2.0 */
/* See manifest.h. */
#include "fledge/manifest.h"

#include <string.h>

#include "base/str.h"

int manifest_write(const struct manifest *m, const char *url, const char *hex, uint64_t size, char **ret,
                   struct vl_error *err)
{
    auto_free char *checksum = strf_new("sha256:%s", hex), *text = NULL;
    auto_(strbuf_done) struct strbuf line = {0};
    json_auto_t *j = NULL;
    struct manifest with = *m; /* borrows all of *m */

    with.initramfs = (struct medium){.url = (char *)url, .checksum = checksum, .size = (int64_t)size};
    with.labels = (struct strmap){0}; /* those there are follow from the name */
    if (!checksum || !(j = schema_encode(&manifest_schema, &with)) || json_object_del(j, "labels") < 0 ||
        !(text = json_dumps(j, JSON_INDENT(2))))
        return vl_fail_errno(err, ENOMEM, "encode the manifest");
    strbuf_adds(&line, text);
    strbuf_adds(&line, "\n");
    if (!(*ret = strbuf_take(&line))) return vl_fail_errno(err, ENOMEM, "encode the manifest");
    return 0;
}
