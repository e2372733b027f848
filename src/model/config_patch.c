/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config_patch.h"

#include <strings.h>

/* How a key of the patch meets what is there. */
enum merge { REPLACE, BY_MEMBER, PLUGIN };

static const struct {
    const char *key;
    enum merge merge;
} keys[] = {
    {"plugin", PLUGIN},       {"runtime", REPLACE},     {"kernel_cmdline", REPLACE}, {"kernel_override", REPLACE},
    {"restart", REPLACE},     {"resources", BY_MEMBER}, {"api", BY_MEMBER},          {"manifest", REPLACE},
    {"metadata", REPLACE},    {"env", REPLACE},         {"command", REPLACE},        {"disk_mb", REPLACE},
    {"auto_remove", REPLACE}, {"expose", REPLACE},      {"network", REPLACE},        {"devices", REPLACE},
    {"cloud_init", REPLACE},  {"initramfs", REPLACE},   {"rootfs", REPLACE},
};

static int no_memory(struct vl_error *err)
{
    return vl_fail_errno(err, ENOMEM, "change configuration");
}

/* "", [] and {}: nothing is left of it. */
static bool clears(const json_t *value)
{
    return (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static int replace(json_t *config, const char *key, json_t *value, struct vl_error *err)
{
    if (!clears(value)) return json_object_set(config, key, value) < 0 ? no_memory(err) : 0;
    (void)json_object_del(config, key);
    return 0;
}

/* As the original's clients write numbers that were never set. */
static bool says_nothing(const json_t *value, const char *key)
{
    return json_is_null(value) ||
           (str_eq(key, "resources") && json_is_integer(value) && json_integer_value(value) == 0);
}

/* What is no object replaces, and is refused with the result. */
static int merge_members(json_t *config, const char *key, json_t *value, struct vl_error *err)
{
    json_t *have = json_object_get(config, key), *member;
    const char *name;

    if (!json_is_object(value) || !json_is_object(have))
        return json_object_set(config, key, value) < 0 ? no_memory(err) : 0;
    json_object_foreach(value, name, member)
    {
        if (!says_nothing(member, key) && json_object_set(have, name, member) < 0) return no_memory(err);
    }
    return 0;
}

static int change_plugin(json_t *config, json_t *value, bool allowed, struct vl_error *err)
{
    const char *is = json_string_value(json_object_get(config, "plugin")), *wanted = json_string_value(value);
    char a[QUOTED_SIZE], b[QUOTED_SIZE];

    if (wanted && (!*wanted || (is && strcasecmp(is, wanted) == 0))) return 0;
    if (wanted && !allowed)
        return vl_fail(err, VL_INVALID,
                       "config.plugin is %s, and the VM was made from %s: leave it out, or create another VM",
                       quoted(wanted, a), quoted(is ? is : "", b));
    (void)json_object_del(config, "manifest");
    (void)json_object_del(config, "runtime");
    return json_object_set(config, "plugin", value) < 0 ? no_memory(err) : 0;
}

static int merge(json_t *config, const json_t *patch, bool new_plugin, struct vl_error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        json_t *value = json_object_get(patch, keys[i].key);
        int r;

        if (!value || json_is_null(value)) continue;
        if (keys[i].merge == PLUGIN)
            r = change_plugin(config, value, new_plugin, err);
        else if (keys[i].merge == BY_MEMBER)
            r = merge_members(config, keys[i].key, value, err);
        else
            r = replace(config, keys[i].key, value, err);
        if (r < 0) return r;
    }
    return 0;
}

/* The decoded values instead of those that were written; the rest stays. */
static int normalise(json_t *config, const struct vm_config *decoded, struct vl_error *err)
{
    json_auto_t *settled = schema_encode(&vm_config_schema, decoded);

    for (size_t i = 0; i < vm_config_schema.n_fields; i++)
        if (!(vm_config_schema.fields[i].flags & FIELD_IGNORED))
            (void)json_object_del(config, vm_config_schema.fields[i].name);
    return settled && json_object_update(config, settled) == 0 ? 0 : no_memory(err);
}

/* Of the patch's keys alone: what the stored configuration has without effect was told when it came. */
static int note(const json_t *patch, struct strv *notes, struct vl_error *err)
{
    struct vm_config ignored;
    int r = schema_decode(&vm_config_schema, patch, NULL, &ignored, notes, err);

    if (r == 0) schema_done(&vm_config_schema, &ignored);
    return r;
}

int vm_config_patch(const json_t *config, const json_t *patch, bool new_plugin, json_t **ret, struct strv *notes,
                    struct vl_error *err)
{
    json_auto_t *merged = NULL;
    auto_(vm_config_done) struct vm_config decoded = {0};
    auto_strv said = {0};
    int r;

    if ((r = note(patch, &said, err)) < 0) return r;
    if (!(merged = json_deep_copy(config))) return no_memory(err);
    if ((r = merge(merged, patch, new_plugin, err)) < 0 || (r = vm_config_decode(merged, &decoded, NULL, err)) < 0 ||
        (r = normalise(merged, &decoded, err)) < 0)
        return r;
    for (size_t i = 0; notes && i < said.len; i++)
        if (strv_add(notes, said.items[i]) < 0) return no_memory(err);
    *ret = take_ptr(merged);
    return 0;
}
