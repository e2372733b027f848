/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/plugins (contract 1.7). */
#include <string.h>

#include "volantd/api.h"
#include "volantd/list.h"

struct selection {
    const struct api_req *req;
    json_t *names;
};

static bool add_name(void *arg, struct plugin *p)
{
    struct selection *s = arg;
    const char *name = engine_plugin_name(p);

    return !list_finds(s->req, name) || json_array_append_new(s->names, json_string(name)) == 0;
}

enum api_end plugins_list(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct list_query query;
    struct selection s = {.req = req};

    if (list_query_parse(req, &query, err) < 0) return API_FAILED;
    if ((s.names = json_array())) (void)engine_plugin_each(api->engine, add_name, &s);
    return list_reply(req, &query, s.names, "plugins", err);
}

static struct plugin *find(struct api *api, const struct api_req *req, struct vl_error *err)
{
    struct plugin *p = engine_plugin_find(api->engine, req->params[0]);
    char shown[QUOTED_SIZE];

    if (!p) vl_fail(err, VL_NOT_FOUND, "plugin %s not found: see `volar plugins list`", quoted(req->params[0], shown));
    return p;
}

enum api_end plugin_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct plugin *p = find(api, req, err);

    return p ? api_json_text(req, 200, engine_plugin_manifest(p), err) : API_FAILED;
}

enum api_end plugin_get_manifest(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct plugin *p = find(api, req, err);

    if (p && !engine_plugin_enabled(p)) {
        vl_fail(err, VL_CONFLICT, "plugin '%s' is disabled: `volar plugins enable %s`", req->params[0], req->params[0]);
        return API_FAILED;
    }
    return p ? api_json_text(req, 200, engine_plugin_manifest(p), err) : API_FAILED;
}

enum api_end plugins_install(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_auto_t *manifest = NULL;
    auto_strv warnings = {0};
    int r;

    if (api_body_json(req, &manifest, err) < 0) return API_FAILED;
    r = engine_plugin_install(api->engine, manifest, &warnings, api_done, req, err);
    api_warn(req, &warnings);
    return r < 0 ? API_FAILED : api_wait(api, req, 201);
}

struct enabled_request {
    bool enabled;
};
static const struct field enabled_fields[] = {
    {"enabled", FIELD_BOOL, .offset = offsetof(struct enabled_request, enabled), .about = "false if left out."},
};
const struct schema plugin_enabled_schema = {"request", sizeof(struct enabled_request), enabled_fields,
                                             ARRAY_LEN(enabled_fields)};

enum api_end plugin_set_enabled(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct enabled_request r = {0};
    json_auto_t *body = NULL;
    auto_strv unknown = {0};

    if (api_body_json(req, &body, err) < 0 || schema_decode(&plugin_enabled_schema, body, "", &r, &unknown, err) < 0 ||
        !find(api, req, err))
        return API_FAILED;
    api_warn(req, &unknown);
    if (engine_plugin_enable(api->engine, req->params[0], r.enabled, api_done, req, err) < 0) return API_FAILED;
    return api_wait(api, req, 200);
}

enum api_end plugin_remove(struct api *api, struct api_req *req, struct vl_error *err)
{
    const char *user = deploy_plugin_user(api->deploy, req->params[0]);

    if (user) {
        vl_fail(err, VL_CONFLICT, "plugin '%s' is used by deployment '%s': delete that first", req->params[0], user);
        return API_FAILED;
    }
    if (!find(api, req, err) || engine_plugin_remove(api->engine, req->params[0], api_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 204);
}
