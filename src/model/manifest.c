/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest from JSON: rearranged where an older builder wrote it, decoded by table, settled by the rules; then the
 * settled values are laid over the input, so that what is stored says what will be done and still holds what only a
 * later version understands.
 */
#include "model/manifest.h"

#include <string.h>

#include "model/manifest_rules.h"

#define LABELS_MAX 256
#define CHECKSUM   "^(sha256:)?[0-9A-Fa-f]{64}$"

static const struct field medium_fields[] = {
    {"url", FIELD_STRING, .offset = offsetof(struct medium, url), .max = 4096},
    {"checksum", FIELD_STRING, .offset = offsetof(struct medium, checksum), .max = 128, .pattern = CHECKSUM},
    {"size", FIELD_INT, .offset = offsetof(struct medium, size), .min = 0, .max = INT64_MAX},
    {"format", FIELD_STRING, .flags = FIELD_IGNORED}, /* what it is shows in its first bytes */
};
static const struct schema medium_schema = {"initramfs", sizeof(struct medium), medium_fields,
                                            ARRAY_LEN(medium_fields)};

static const struct field rootfs_fields[] = {
    {"url", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct rootfs_medium, url), .max = 4096},
    {"checksum", FIELD_STRING, .offset = offsetof(struct rootfs_medium, checksum), .max = 128, .pattern = CHECKSUM},
    {"format", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct rootfs_medium, format), .max = 32},
    {"fstype", FIELD_STRING, .offset = offsetof(struct rootfs_medium, fstype), .max = 32},
    {"size", FIELD_INT, .offset = offsetof(struct rootfs_medium, size), .min = 0, .max = INT64_MAX},
    {"init", FIELD_STRING, .offset = offsetof(struct rootfs_medium, init), .max = 4095, .pattern = "^/"},
};
const struct schema rootfs_schema = {"rootfs", sizeof(struct rootfs_medium), rootfs_fields, ARRAY_LEN(rootfs_fields)};

static const char *const agents[] = {"kestrel", "none", NULL};

#define AT(member) offsetof(struct manifest, member)
static const struct field manifest_fields[] = {
    {"schema_version", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(schema_version), .max = 32},
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(name), .pattern = NAME_PATTERN},
    {"version", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(version), .max = 128, .pattern = "[^ ]"},
    {"runtime", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(runtime), .max = 128},
    {"enabled", FIELD_BOOL, .flags = FIELD_EMIT, .offset = AT(enabled), .def = true},
    {"labels", FIELD_MAP, .flags = FIELD_EMIT, .offset = AT(labels), .max = LABELS_MAX},
    {"resources", FIELD_OBJECT, .offset = AT(resources), .sub = &resources_schema},
    {"initramfs", FIELD_OBJECT, .flags = FIELD_EMIT, .offset = AT(initramfs), .sub = &medium_schema},
    {"rootfs", FIELD_OBJECT, .flags = FIELD_EMIT, .offset = AT(rootfs), .sub = &rootfs_schema},
    {"workload", FIELD_OBJECT, .offset = AT(workload), .sub = &workload_schema}, /* settling says where required */
    {"image", FIELD_STRING, .offset = AT(image), .max = 4096},
    {"image_digest", FIELD_STRING, .offset = AT(image_digest), .max = 128},
    {"openapi", FIELD_STRING, .flags = FIELD_IGNORED},
    {"disks", FIELD_OBJECTS, .flags = FIELD_IGNORED},
    {"health_check", FIELD_OBJECT, .offset = AT(health_check), .sub = &health_check_schema},
    {"restart", FIELD_STRING, .offset = AT(restart), .choices = restart_policies},
    {"agent", FIELD_STRING, .offset = AT(agent), .choices = agents},
    {"actions", FIELD_OBJECT, .flags = FIELD_IGNORED},
    {"cloud_init", FIELD_OBJECT, .flags = FIELD_IGNORED},
    {"network", FIELD_OBJECT, .flags = FIELD_IGNORED},
    {"devices", FIELD_OBJECT, .flags = FIELD_IGNORED},
};
const struct schema manifest_schema = {"manifest", sizeof(struct manifest), manifest_fields,
                                       ARRAY_LEN(manifest_fields)};

bool manifest_has_agent(const struct manifest *m)
{
    return !str_eq(m->agent, "none");
}

bool manifest_has_rootfs(const struct manifest *m)
{
    return !m->initramfs.url && !m->initramfs.checksum && m->rootfs.checksum;
}

const char *manifest_checksum(const struct manifest *m)
{
    return m->initramfs.checksum ? m->initramfs.checksum : m->rootfs.checksum;
}

const char *manifest_source(const struct manifest *m, const char **ret_key, int64_t *ret_size)
{
    bool archive = m->initramfs.checksum;

    *ret_key = archive ? "initramfs" : "rootfs";
    *ret_size = archive ? m->initramfs.size : m->rootfs.size;
    if (!manifest_checksum(m)) return NULL;
    return archive ? m->initramfs.url : m->rootfs.url;
}

void manifest_done(struct manifest *m)
{
    schema_done(&manifest_schema, m);
}

/* What the tables decode leaves the document, so that a value that settling took away does not stay behind. */
static void drop_decoded(const struct schema *s, json_t *doc)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];
        json_t *value = json_object_get(doc, f->name);

        if (!value || (f->flags & FIELD_IGNORED)) continue;
        if (f->type == FIELD_OBJECT && json_is_object(value))
            drop_decoded(f->sub, value);
        else
            (void)json_object_del(doc, f->name);
    }
}

static int lay_over(json_t *doc, const struct manifest *m, struct vl_error *err)
{
    json_auto_t *settled = schema_encode(&manifest_schema, m);

    drop_decoded(&manifest_schema, doc);
    if (!settled || json_object_update_recursive(doc, settled) < 0)
        return vl_fail_errno(err, ENOMEM, "encode manifest");
    return 0;
}

static int add_warnings(struct strv *warnings, const struct strv *notes, const struct manifest *m)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < notes->len; i++)
        r = strv_addf(warnings, "manifest key %s", notes->items[i]);
    if (r == 0 && m->rootfs.url && !manifest_has_rootfs(m))
        r = strv_add(warnings, "manifest key 'rootfs' has no effect beside an initramfs");
    return r;
}

static int decode(json_t *doc, struct manifest *m, struct strv *notes, struct vl_error *err)
{
    int r;

    if ((r = manifest_reshape(doc, err)) < 0) return r;
    if ((r = schema_decode(&manifest_schema, doc, "", m, notes, err)) < 0) return r;
    if ((r = manifest_settle(m, err)) < 0) return r;
    if (m->labels.len > LABELS_MAX)
        return vl_fail(err, VL_INVALID, "labels has %zu entries with our two, allowed 0 to %d", m->labels.len,
                       LABELS_MAX);
    return lay_over(doc, m, err);
}

int manifest_decode(const json_t *in, const char *where, struct manifest *ret, json_t **ret_json, struct strv *warnings,
                    struct vl_error *err)
{
    json_auto_t *doc = NULL;
    auto_manifest m = {0};
    auto_strv notes = {0};
    int r;

    if (!json_is_object(in)) {
        r = schema_decode(&manifest_schema, in, "", &m, NULL, err);
        if (!str_eq(where, "manifest")) (void)vl_wrap(err, "%s", where); /* whole, as it may be a long path */
        return r;
    }
    if (!(doc = json_deep_copy(in))) return vl_fail_errno(err, ENOMEM, "copy %s", where);
    if ((r = decode(doc, &m, &notes, err)) < 0) {
        (void)vl_wrap(err, "%s", where);
        return r;
    }
    if (warnings && add_warnings(warnings, &notes, &m) < 0) return vl_fail_errno(err, ENOMEM, "decode %s", where);
    *ret = m;
    m = (struct manifest){0};
    if (ret_json) *ret_json = take_ptr(doc);
    return 0;
}

int manifest_decode_stored(const json_t *in, struct manifest *ret, struct vl_error *err)
{
    static const char *const once_ignored[] = {"health_check", "restart", "agent"};
    json_auto_t *doc = NULL;
    int r = manifest_decode(in, "manifest", ret, NULL, NULL, err);

    if (r == 0 || !json_is_object(in)) return r;
    if (!(doc = json_copy((json_t *)in))) return vl_fail_errno(err, ENOMEM, "copy manifest");
    for (size_t i = 0; i < ARRAY_LEN(once_ignored); i++)
        (void)json_object_del(doc, once_ignored[i]);
    return manifest_decode(doc, "manifest", ret, NULL, NULL, err);
}
