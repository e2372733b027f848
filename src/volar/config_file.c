/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/config_file.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "model/schema.h"

#define CONFIG_FILE_MAX (1024ul * 1024)

int config_file_read(const char *option, const char *path, json_t **ret, struct vl_error *err)
{
    auto_free char *text = NULL;
    json_auto_t *j = NULL;
    json_t *inner;
    int r;

    if ((r = read_file_at(AT_FDCWD, path, CONFIG_FILE_MAX, &text, NULL)) < 0) {
        (void)vl_fail_errno(err, r, "%s: read '%s'", option, path);
        return r;
    }
    if ((r = json_parse(text, strlen(text), path, &j, err)) < 0) return vl_wrap(err, "%s", option);
    if (!json_is_object(j)) return vl_fail(err, VL_INVALID, "%s: '%s' holds no JSON object", option, path);
    inner = json_object_get(j, "config");
    *ret = json_incref(json_is_object(inner) ? inner : j);
    return 0;
}
