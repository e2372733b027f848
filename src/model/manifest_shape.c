/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests as other builders wrote them (contract 15.9), rearranged as JSON before anything is decoded. */
#include <string.h>

#include "model/manifest_rules.h"

static int no_memory(struct vl_error *err)
{
    return vl_fail_errno(err, ENOMEM, "rearrange manifest");
}

/* A string alone stays, and is refused later: it may be a program or a shell's command line. */
static int join_args(json_t *workload, struct vl_error *err)
{
    json_t *program = json_object_get(workload, "entrypoint"), *args = json_object_get(workload, "args");
    json_auto_t *joined = NULL;

    if (!args || !json_is_string(program)) return 0;
    if (!json_is_array(args) && !json_is_null(args))
        return vl_fail(err, VL_INVALID, "workload.args must be an array of strings: or write entrypoint as an array");
    if (!(joined = json_array()) || json_array_append(joined, program) < 0) return no_memory(err);
    if (json_is_array(args) && json_array_extend(joined, args) < 0) return no_memory(err);
    if (json_object_set(workload, "entrypoint", joined) < 0) return no_memory(err);
    return json_object_del(workload, "args");
}

static int lift_env(json_t *doc, json_t *workload, struct vl_error *err)
{
    json_t *env = json_object_get(doc, "env"), *own = json_object_get(workload, "env");

    if (!env) return 0;
    if (!json_is_object(env) && !json_is_null(env))
        return vl_fail(err, VL_INVALID, "env must be an object of strings: or write workload.env");
    if (json_is_object(env) && json_is_object(own)) {
        if (json_object_update_missing(own, env) < 0) return no_memory(err);
    } else if (json_is_object(env) && (!own || json_is_null(own))) {
        if (json_object_set(workload, "env", env) < 0) return no_memory(err);
    }
    return json_object_del(doc, "env");
}

int manifest_reshape(json_t *doc, struct vl_error *err)
{
    json_t *workload = json_object_get(doc, "workload"), *health = json_object_get(doc, "health_check");
    json_t *rootfs = json_object_get(doc, "rootfs");
    int r;

    (void)json_object_del(doc, "$schema");
    if ((!rootfs || json_is_null(rootfs)) && json_object_set_new(doc, "rootfs", json_object()) < 0)
        return no_memory(err);
    if ((!health || json_is_null(health)) && json_object_set_new(doc, "health_check", json_object()) < 0)
        return no_memory(err);
    if (json_is_object(workload) && json_object_size(workload) == 0 &&
        str_eq(json_string_value(json_object_get(doc, "agent")), "none"))
        return json_object_del(doc, "workload"); /* as manifest_show wrote it */
    if (!json_is_object(workload)) return 0;     /* missing or wrong, which the decoder says */
    if ((r = join_args(workload, err)) < 0) return r;
    return lift_env(doc, workload, err);
}

int manifest_show(json_t *manifest)
{
    static const char *const objects[] = {"resources", "workload", "health_check"};

    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        if (!json_object_get(manifest, objects[i]) && json_object_set_new(manifest, objects[i], json_object()) < 0)
            return -ENOMEM;
    return 0;
}
