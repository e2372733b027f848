/* SPDX-License-Identifier: Apache-2.0 */
#include "model/deployment.h"

#include <string.h>

#define ABSENT     INT64_MIN
#define CONFIG_MAX (4l << 20) /* bytes; bodies are bounded before */

struct wire {
    char *name, *plugin, *config;
    int64_t replicas, version;
};

#define AT(member) offsetof(struct wire, member)
static const struct field request_fields[] = {
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED | FIELD_TOLD, .offset = AT(name), .min = 1, .max = NAME_LENGTH,
     .pattern = NAME_PATTERN, .about = "Its VMs are NAME-1, NAME-2."},
    {"plugin", FIELD_STRING, .offset = AT(plugin), .pattern = NAME_PATTERN, .about = "Name of an installed plugin."},
    {"replicas", FIELD_INT, .offset = AT(replicas), .min = 0, .max = DEPLOYMENT_REPLICAS_MAX},
    {"config", FIELD_JSON, .offset = AT(config), .max = CONFIG_MAX, .about = "Of each VM."},
};
static const struct field patch_fields[] = {
    {"replicas", FIELD_INT, .offset = AT(replicas), .min = 0, .max = DEPLOYMENT_REPLICAS_MAX, .def = ABSENT},
    {"config", FIELD_JSON, .offset = AT(config), .max = CONFIG_MAX, .about = "What is named in it changes."},
};
static const struct field rollback_fields[] = {
    {"version", FIELD_INT, .offset = AT(version), .min = 1, .max = INT64_MAX, .def = ABSENT,
     .about = "The one before if left out."},
};
const struct schema deployment_request_schema = {"deployment", sizeof(struct wire), request_fields,
                                                 ARRAY_LEN(request_fields)};
const struct schema deployment_patch_schema = {"deployment", sizeof(struct wire), patch_fields,
                                               ARRAY_LEN(patch_fields)};
const struct schema deployment_rollback_schema = {"deployment", sizeof(struct wire), rollback_fields,
                                                  ARRAY_LEN(rollback_fields)};

void deployment_request_done(struct deployment_request *r)
{
    free(r->name);
    json_decref(r->config);
    *r = (struct deployment_request){0};
}

void deployment_patch_done(struct deployment_patch *p)
{
    json_decref(p->config);
    *p = (struct deployment_patch){0};
}

static int check_name(const char *name, struct vl_error *err)
{
    const char *problem = name_problem(name);
    char shown[QUOTED_SIZE];

    return problem ? vl_fail(err, VL_INVALID, "name %s %s", quoted(name, shown), problem) : 0;
}

/* The configuration, or an empty one; in both cases the caller's. */
static int take_config(const char *text, json_t **ret, struct vl_error *err)
{
    if (text) return json_parse(text, strlen(text), "config", ret, err);
    if (!(*ret = json_object())) return vl_fail_errno(err, ENOMEM, "decode deployment");
    return 0;
}

/* Shape and ranges of a configuration, and what to say of its keys. */
static int check_config(const json_t *config, struct strv *unknown, struct vl_error *err)
{
    auto_(vm_config_done) struct vm_config c = {0};

    int r = vm_config_decode(config, &c, unknown, err);

    if (r == 0 && c.auto_remove)
        return vl_fail(err, VL_INVALID,
                       "config.auto_remove is for single VMs: a deployment keeps its number, leave it out");
    return r;
}

static int settle_plugin(json_t *config, const char *plugin, struct vl_error *err)
{
    const char *have = json_string_value(json_object_get(config, "plugin"));
    char a[QUOTED_SIZE], b[QUOTED_SIZE];

    if (!plugin || !*plugin) return 0;
    if (have && *have && !str_eq(have, plugin))
        return vl_fail(err, VL_INVALID, "plugin mismatch between request and config: plugin is %s, config.plugin is %s",
                       quoted(plugin, a), quoted(have, b));
    if (json_object_set_new(config, "plugin", json_string(plugin)) < 0)
        return vl_fail_errno(err, ENOMEM, "decode deployment");
    return 0;
}

int deployment_request_decode(const json_t *in, struct deployment_request *ret, struct strv *unknown,
                              struct vl_error *err)
{
    struct wire w = {0};
    auto_(deployment_request_done) struct deployment_request req = {0};
    int r;

    if ((r = schema_decode(&deployment_request_schema, in, "", &w, unknown, err)) < 0) return r;
    if ((r = check_name(w.name, err)) == 0 && (r = take_config(w.config, &req.config, err)) == 0 &&
        (r = settle_plugin(req.config, w.plugin, err)) == 0)
        r = check_config(req.config, unknown, err);
    req.name = take_ptr(w.name);
    req.replicas = w.replicas;
    schema_done(&deployment_request_schema, &w);
    if (r < 0) return r;
    *ret = req;
    req = (struct deployment_request){0};
    return 0;
}

int deployment_patch_decode(const json_t *in, struct deployment_patch *ret, struct strv *unknown, struct vl_error *err)
{
    struct wire w = {0};
    auto_(deployment_patch_done) struct deployment_patch p = {0};
    int r;

    if ((r = schema_decode(&deployment_patch_schema, in, "", &w, unknown, err)) < 0) return r;
    p.replicas = w.replicas == ABSENT ? -1 : w.replicas;
    if (w.config && (r = json_parse(w.config, strlen(w.config), "config", &p.config, err)) == 0)
        r = check_config(p.config, unknown, err);
    if (r == 0 && !w.config && p.replicas < 0)
        r = vl_fail(err, VL_INVALID,
                    "nothing to change: the body needs 'replicas' (0 to %d), 'config' (an object), or both",
                    DEPLOYMENT_REPLICAS_MAX);
    schema_done(&deployment_patch_schema, &w);
    if (r < 0) return r;
    *ret = p;
    p = (struct deployment_patch){0};
    return 0;
}

int deployment_rollback_decode(const json_t *in, int64_t *ret_version, struct strv *unknown, struct vl_error *err)
{
    struct wire w = {0};
    int r = schema_decode(&deployment_rollback_schema, in, "", &w, unknown, err);

    if (r == 0) *ret_version = w.version == ABSENT ? 0 : w.version;
    return r;
}
