/* SPDX-License-Identifier: Apache-2.0 */
/* See manifest.h. */
#include "fledge/manifest.h"

#include <string.h>

#include "base/str.h"

/* Those that follow from the name are for volantd to add. */
static int drop_labels(json_t *j)
{
    json_t *labels = json_object_get(j, "labels");

    (void)json_object_del(labels, "volant.plugin");
    (void)json_object_del(labels, "volant.runtime");
    return json_object_size(labels) > 0 ? 0 : json_object_del(j, "labels");
}

static int set_medium(json_t *j, const struct manifest *m, const struct built *b, const char *checksum)
{
    json_auto_t *medium =
        json_pack("{s:s, s:s, s:I}", "url", b->url, "checksum", checksum, "size", (json_int_t)b->size);

    (void)json_object_del(j, b->fstype ? "initramfs" : "rootfs");
    if (!medium) return -1;
    if (!b->fstype) return json_object_set(j, "initramfs", medium);
    if (json_object_set_new(medium, "format", json_string("raw")) < 0 ||
        json_object_set_new(medium, "fstype", json_string(b->fstype)) < 0 ||
        (m->rootfs.init && json_object_set_new(medium, "init", json_string(m->rootfs.init)) < 0))
        return -1;
    return json_object_set(j, "rootfs", medium);
}

int manifest_write(const struct manifest *m, const struct built *b, char **ret, struct vl_error *err)
{
    auto_free char *checksum = strf_new("sha256:%s", b->hex), *text = NULL;
    auto_(strbuf_done) struct strbuf line = {0};
    json_auto_t *j = schema_encode(&manifest_schema, m);

    if (!checksum || !j || drop_labels(j) < 0 || set_medium(j, m, b, checksum) < 0 ||
        (b->extra && json_object_update_missing(j, (json_t *)b->extra) < 0) || !(text = json_dumps(j, JSON_INDENT(2))))
        return vl_fail_errno(err, ENOMEM, "encode the manifest");
    strbuf_adds(&line, text);
    strbuf_adds(&line, "\n");
    if (!(*ret = strbuf_take(&line))) return vl_fail_errno(err, ENOMEM, "encode the manifest");
    return 0;
}
