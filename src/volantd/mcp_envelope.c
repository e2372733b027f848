/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /api/v1/mcp as the original had it (contract 2.1): {"command", "params"} in, {"result", "error"} out, with
 * status 200 whatever happened.
 */
#include <string.h>

#include "volantd/mcp.h"

#define RUNTIME_DEFAULT "browser"

struct command {
    struct inner inner;
    struct api_req *req;
};

/* --- the reply ---------------------------------------------------------------------------------------------------- */

static enum api_end reply(struct api_req *req, unsigned status, json_t *result, const char *error)
{
    struct vl_error err = {0};
    json_t *j = json_pack("{s:o}", "result", result ? result : json_null());

    if (j && error) (void)json_object_set_new(j, "error", json_string(error));
    if (api_json(req, status, j, &err) == API_FAILED) api_fail(req, &err);
    return API_DONE;
}

/* A VM as this envelope shows it. */
static json_t *shown(const json_t *vm)
{
    static const char *const keys[] = {"id", "name", "status", "ip_address", "cpu_cores", "memory_mb"};
    json_t *j = json_object();

    for (size_t i = 0; j && i < ARRAY_LEN(keys); i++)
        (void)json_object_set(j, keys[i], json_object_get(vm, keys[i]));
    return j;
}

static json_t *shown_all(const json_t *reply_json)
{
    json_t *list = json_array(), *vm;
    size_t i;

    if (!json_is_array(reply_json)) {
        json_decref(list);
        return shown(reply_json);
    }
    json_array_foreach((json_t *)reply_json, i, vm) if (list)(void) json_array_append_new(list, shown(vm));
    return list;
}

static enum api_end answer(struct command *c)
{
    const struct api_reply *got = &c->inner.req.reply;
    json_auto_t *j = NULL;
    auto_strbuf text = {0};

    if (got->status >= 300) return reply(c->req, 200, NULL, mcp_reply_error(got, &text));
    j = mcp_reply_json(got);
    return reply(c->req, 200, shown_all(j), NULL);
}

static void answered(struct inner *i)
{
    struct command *c = container_of(i, struct command, inner);

    (void)answer(c);
    api_resume(c->req);
}

static void release(struct api_req *req)
{
    struct command *c = req->state;

    inner_end(&c->inner);
    free(c);
}

static enum api_end ask(struct api *api, struct api_req *req, const char *method, const json_t *body,
                        struct vl_error *err)
{
    struct command *c = calloc(1, sizeof(*c));
    enum api_end end;

    if (!c) {
        vl_fail_errno(err, ENOMEM, "command");
        return API_FAILED;
    }
    c->req = req;
    c->inner.done = answered;
    req->state = c;
    req->release = release;
    end = inner_begin(&c->inner, api, req, method, "/api/v1/vms", body, err);
    return end == API_DONE ? answer(c) : end;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static enum api_end create(struct api *api, struct api_req *req, const json_t *params, struct vl_error *err)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    const char *runtime = json_string_value(json_object_get(params, "runtime"));
    const struct plugin *p;
    json_auto_t *body = NULL;
    char text[QUOTED_SIZE + 32], quote[QUOTED_SIZE];

    if (!name || !*name) return reply(req, 200, NULL, "name param required");
    if (!runtime || !*runtime) runtime = RUNTIME_DEFAULT;
    p = engine_plugin_find(api->engine, runtime);
    if (!p || !engine_plugin_enabled(p)) {
        (void)strf(text, sizeof(text), "runtime %s unavailable",
                   name_problem(runtime) ? quoted(runtime, quote) : runtime);
        return reply(req, 200, NULL, text);
    }
    if (!(body = json_pack("{s:s, s:s}", "name", name, "plugin", runtime))) {
        vl_fail_errno(err, ENOMEM, "command");
        return API_FAILED;
    }
    return ask(api, req, "POST", body, err);
}

static enum api_end capabilities(struct api_req *req)
{
    return reply(req, 200,
                 json_pack("{s:[{s:s, s:s, s:{}}, {s:s, s:s, s:{s:s, s:s}}]}", "capabilities", "name",
                           "volant.vms.list", "description", "List all VMs", "params", "name", "volant.vms.create",
                           "description", "Create a VM; its CPUs and memory are those of the plugin's manifest",
                           "params", "name", "string (required)", "runtime",
                           "string (name of a plugin, default " RUNTIME_DEFAULT ")"),
                 NULL);
}

bool mcp_is_envelope(const struct api_req *req)
{
    json_auto_t *body = NULL;
    struct vl_error err = {0};

    return api_body_json(req, &body, &err) < 0
               ? !api_req_header(req, "MCP-Protocol-Version")
               : json_is_object(body) && !json_object_get(body, "jsonrpc") &&
                     (json_object_get(body, "command") || !json_object_get(body, "method"));
}

enum api_end mcp_envelope(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_auto_t *body = NULL;
    struct vl_error bad = {0};
    const json_t *named;
    const char *command;
    char text[128], shown_command[64];

    if (api_body_json(req, &body, &bad) < 0) return reply(req, 400, NULL, bad.msg);
    named = json_object_get(body, "command");
    command = named ? json_string_value(named) : "";
    if (!command) return reply(req, 400, NULL, "command is not a string");
    if (str_eq(command, "volant.vms.list")) return ask(api, req, "GET", NULL, err);
    if (str_eq(command, "volant.vms.create")) return create(api, req, json_object_get(body, "params"), err);
    if (str_eq(command, "volant.system.get_capabilities")) return capabilities(req);
    (void)escape_printable(shown_command, sizeof(shown_command), command, strlen(command));
    (void)strf(text, sizeof(text), "unknown command: %s", shown_command);
    return reply(req, 200, NULL, text);
}
