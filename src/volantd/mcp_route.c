/* SPDX-License-Identifier: Apache-2.0 */
/* From a tool's arguments to a request to our API, and from its reply to a result. */
#include "volantd/mcp_route.h"

#include <string.h>

#include "volantd/mcp.h"
#include "volantd/openapi.h"

#define UNKNOWN_SHOWN 4

/* --- schemas ------------------------------------------------------------------------------------------------------ */

/* What `more` has beside, into `j`. */
static json_t *merge(json_t *j, json_t *steal)
{
    json_auto_t *more = steal;
    json_t *properties = json_object_get(j, "properties"), *required = json_object_get(j, "required");

    if (!j || !more || json_object_update(properties, json_object_get(more, "properties")) < 0) {
        json_decref(j);
        return NULL;
    }
    if (required)
        (void)json_array_extend(required, json_object_get(more, "required"));
    else if (json_object_get(more, "required"))
        (void)json_object_set(j, "required", json_object_get(more, "required"));
    return j;
}

json_t *mcp_route_input(const struct mcp_tool *t)
{
    const struct mcp_route *route = t->own;

    if (!route->args && !route->body) return json_pack("{s:s, s:b}", "type", "object", "additionalProperties", 0);
    if (!route->body) return schema_json(route->args, SCHEMA_INPUT_CLOSED);
    if (!route->args) return schema_json(route->body, SCHEMA_INPUT_CLOSED);
    return merge(schema_json(route->body, SCHEMA_INPUT_CLOSED), schema_json(route->args, SCHEMA_INPUT_CLOSED));
}

json_t *mcp_route_output(const struct mcp_tool *t)
{
    const struct mcp_route *route = t->own;
    json_t *of = NULL;

    switch (route->shape) {
    case ROUTE_OBJECT:
        return openapi_reply(route->method, route->target);
    case ROUTE_LIST:
        of = openapi_reply(route->method, route->target);
        break;
    case ROUTE_LINES:
        of = json_pack("{s:s, s:o}", "type", "array", "items", schema_json(route->line, SCHEMA_OUTPUT));
        break;
    case ROUTE_FLAG:
        of = json_pack("{s:s}", "type", "boolean");
        break;
    }
    return json_pack("{s:s, s:{s:o}, s:[s]}", "type", "object", "properties", route->key, of, "required", route->key);
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static bool has_field(const struct schema *s, const char *name)
{
    for (size_t i = 0; s && i < s->n_fields; i++)
        if (str_eq(s->fields[i].name, name)) return true;
    return false;
}

/* Decodes as the handler will, and keeps nothing. */
static int check_table(const struct schema *s, const json_t *arguments, struct strv *unknown, struct vl_error *err)
{
    void *decoded;
    int r;

    if (!s) return 0;
    if (!(decoded = calloc(1, s->size))) return vl_fail_errno(err, ENOMEM, "arguments");
    if ((r = schema_decode(s, arguments, "", decoded, unknown, err)) == 0) schema_done(s, decoded);
    free(decoded);
    return r;
}

static int refuse_unknown(const struct strv *unknown, struct vl_error *err)
{
    char shown[300] = "";
    size_t len = 0;

    for (size_t i = 0; i < unknown->len && i < UNKNOWN_SHOWN; i++) {
        const char *text = unknown->items[i], *tail = strstr(text, " and ignored"); /* which it is elsewhere */
        int n = strf(shown + len, sizeof(shown) - len, "%s%.*s", i > 0 ? "; " : "",
                     (int)(tail ? (size_t)(tail - text) : strlen(text)), text);

        if (n < 0) break;
        len += (size_t)n;
    }
    return vl_fail(err, VL_INVALID, "%s: leave it out, or see the tool's inputSchema", *shown ? shown : "an argument");
}

/* `own` gets what goes into path and query, `body` the rest. */
static int split(const struct mcp_route *route, const json_t *arguments, json_t *own, json_t *body,
                 struct vl_error *err)
{
    auto_strv unknown = {0};
    const char *key;
    json_t *value;
    int r;

    json_object_foreach((json_t *)arguments, key, value)
    {
        json_t *to = has_field(route->args, key) ? own : body;

        if (!json_is_null(value) && json_object_set(to, key, value) < 0) return vl_fail_errno(err, ENOMEM, "arguments");
        if (to == body && !has_field(route->body, key) && strv_addf(&unknown, "'%.60s' is unknown", key) < 0)
            return vl_fail_errno(err, ENOMEM, "arguments");
    }
    if (unknown.len > 0) return refuse_unknown(&unknown, err);
    if ((r = check_table(route->args, own, &unknown, err)) < 0 ||
        (r = check_table(route->body, body, &unknown, err)) < 0)
        return r;
    return unknown.len > 0 ? refuse_unknown(&unknown, err) : 0;
}

static void add_encoded(struct strbuf *b, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~,";

    for (; *text; text++) {
        if (strchr(plain, *text))
            strbuf_add(b, text, 1);
        else
            strbuf_addf(b, "%%%02X", (unsigned char)*text);
    }
}

static int add_path(struct strbuf *b, const char *pattern, const json_t *own, struct vl_error *err)
{
    const char *at = strstr(pattern, "{name}"), *name, *problem;
    char shown[QUOTED_SIZE];

    if (!at) {
        strbuf_adds(b, pattern);
        return 0;
    }
    name = json_string_value(json_object_get(own, "name"));
    if (!name || (problem = name_problem(name)))
        return vl_fail(err, VL_INVALID, "name %s %s", quoted(name ? name : "", shown), name ? problem : "is required");
    strbuf_add(b, pattern, (size_t)(at - pattern));
    add_encoded(b, name);
    strbuf_adds(b, at + strlen("{name}"));
    return 0;
}

/* As a text; false: it is not for the query. "none" is how to say so where something is waited for by default. */
static bool query_text(const struct mcp_route *route, const struct field *f, const json_t *own, char buf[static 24],
                       const char **ret)
{
    const json_t *value = json_object_get(own, f->name);

    if (str_eq(f->name, route->body_from) || (str_eq(f->name, "name") && strstr(route->target, "{name}"))) return false;
    if (json_is_integer(value) || (!value && f->type == FIELD_INT && f->def != 0)) {
        (void)strf(buf, 24, "%lld", value ? (long long)json_integer_value(value) : (long long)f->def);
        *ret = buf;
        return true;
    }
    *ret = json_string_value(value);
    if (!str_eq(f->name, "wait")) return *ret && **ret;
    if (!*ret || !**ret) *ret = "ready";
    return !str_eq(*ret, "none");
}

static int build_target(const struct mcp_route *route, const json_t *own, struct strbuf *b, struct vl_error *err)
{
    char separator = '?';
    int r = add_path(b, route->target, own, err);

    for (size_t i = 0; r == 0 && route->args && i < route->args->n_fields; i++) {
        const struct field *f = &route->args->fields[i];
        const char *text;
        char number[24];

        if (!query_text(route, f, own, number, &text)) continue;
        strbuf_addf(b, "%c%s=", separator, f->name);
        add_encoded(b, text);
        separator = '&';
    }
    if (r == 0 && b->failed) return vl_fail_errno(err, ENOMEM, "request");
    return r;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static json_t *json_lines(const struct api_reply *reply)
{
    const char *at = reply->body, *end = at ? at + reply->body_len : NULL;
    json_t *list = json_array();

    while (list && at && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((newline ? newline : end) - at);
        json_t *line = json_loadb(at, n, 0, NULL);

        if (line) (void)json_array_append_new(list, line);
        at += n + 1;
    }
    return list;
}

static json_t *result_of(const struct mcp_route *route, const struct api_reply *reply)
{
    switch (route->shape) {
    case ROUTE_OBJECT:
        return mcp_reply_json(reply);
    case ROUTE_LIST:
        return json_pack("{s:o}", route->key, mcp_reply_json(reply));
    case ROUTE_LINES:
        return json_pack("{s:o}", route->key, json_lines(reply));
    case ROUTE_FLAG:
        break;
    }
    return json_pack("{s:b}", route->key, reply->status != 202); /* 202: still at it */
}

/* Warnings about what was asked for, for the model to read. */
static void add_notes(const struct mcp_request *m, struct strbuf *b)
{
    static const char warning[] = "Volant-Warning: ";
    const struct strv *headers = &m->inner.req.reply.headers;

    for (size_t i = 0; i < headers->len; i++)
        if (str_starts(headers->items[i], warning))
            strbuf_addf(b, "%s%s", b->len > 0 ? "\n" : "Warning: ", headers->items[i] + sizeof(warning) - 1);
    if (m->inner.cut) strbuf_addf(b, "%sOnly the end is here: it was too long.", b->len > 0 ? "\n" : "");
}

static enum mcp_end route_done(struct mcp_request *m)
{
    const struct api_reply *reply = &m->inner.req.reply;
    auto_strbuf text = {0};

    if (reply->status >= 300) return mcp_tool_failed(&m->call, mcp_reply_error(reply, &text));
    add_notes(m, &text);
    return mcp_tool_done(&m->call, result_of(m->tool->own, reply), text.data);
}

enum mcp_end mcp_route_call(struct mcp_call *c, const struct mcp_tool *t, const json_t *arguments)
{
    const struct mcp_route *route = t->own;
    struct mcp_request *m = c->arg;
    json_auto_t *own = json_object(), *body = json_object();
    auto_strbuf target = {0};
    struct vl_error err = {0};

    m->tool = t;
    m->subject = json_string_value(json_object_get(arguments, "name"));
    if (!own || !body) return mcp_fail(c, MCP_INTERNAL, "out of memory");
    if (split(route, arguments, own, body, &err) < 0 || build_target(route, own, &target, &err) < 0)
        return mcp_tool_failed(c, err.msg);
    if (route->body_from)
        return mcp_ask(c, route->method, target.data, json_object_get(own, route->body_from), route_done);
    return mcp_ask(c, route->method, target.data, route->body ? body : NULL, route_done);
}

enum api_role mcp_route_role(const struct mcp_route *route)
{
    struct api_req req = {0};
    const struct api_route *found = NULL;

    if (api_req_init(&req, route->method, route->target, NULL) == 0)
        found = router_find(api_routes, api_n_routes, &req); /* "{name}" is as good a name as any */
    api_req_done(&req);
    return found ? found->role : ROLE_ADMIN;
}
