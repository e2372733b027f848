/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/openapi.h"

#include <string.h>

#include "model/manifest.h"
#include "volantd/access.h"
#include "volantd/api.h"

#define JSON_TYPE  "application/json; charset=utf-8"
#define REF_PREFIX "#/components/schemas/"

const struct api_operation *api_operation_of(const struct api_route *route)
{
    for (size_t i = 0; i < api_n_operations; i++)
        if (api_operations[i].fn == route->fn) return &api_operations[i];
    return NULL;
}

static void set(json_t *j, const char *key, json_t *steal)
{
    (void)json_object_set_new(j, key, steal); /* a NULL is refused, which the caller sees at the end */
}

/* --- components --------------------------------------------------------------------------------------------------- */

static json_t *schema_ref(const char *name)
{
    char ref[96];

    if (*name == '[') {
        (void)strf(ref, sizeof(ref), REF_PREFIX "%.*s", (int)strlen(name) - 2, name + 1);
        return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "$ref", ref);
    }
    (void)strf(ref, sizeof(ref), REF_PREFIX "%s", name);
    return json_pack("{s:s}", "$ref", ref);
}

static json_t *component(const struct api_component *c)
{
    json_t *j = NULL, *properties;

    if (c->json) return json_loads(c->json, 0, NULL);
    if ((j = schema_json(c->schema, c->use)) && c->open) set(j, "additionalProperties", json_true());
    properties = json_object_get(j, "properties");
    for (size_t i = 0; i < ARRAY_LEN(c->refs) && c->refs[i].member; i++)
        set(properties, c->refs[i].member, schema_ref(c->refs[i].component));
    /* An agentless guest's manifest shows an empty workload, which no client may send. */
    if (str_eq(c->name, "Manifest")) (void)json_object_del(json_object_get(properties, "workload"), "required");
    return j;
}

static json_t *components(void)
{
    json_t *schemas = json_object();

    for (size_t i = 0; i < api_n_components; i++)
        set(schemas, api_components[i].name, component(&api_components[i]));
    return json_pack("{s:o, s:{s:{s:s, s:{s:{s:{s:s}}}}}, s:{s:{s:s, s:s}, s:{s:s, s:s, s:s}}}", "schemas", schemas,
                     "responses", "Error", "description",
                     "Refused, with the reason and the remedy: 400 bad input, 401 no good token, 403, 404, 409 a "
                     "conflict, 413, 500, 503 busy, 507",
                     "content", JSON_TYPE, "schema", "$ref", "#/components/schemas/Error", "securitySchemes", "bearer",
                     "type", "http", "scheme", "bearer", "apiKey", "type", "apiKey", "in", "header", "name",
                     "X-Volant-API-Key");
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* One way to reply. */
static void add_content(json_t *j, char *what)
{
    char *item = strchr(what, ' ');
    json_t *text;

    if (!strchr(what, '/')) {
        set(j, JSON_TYPE, json_pack("{s:o}", "schema", schema_ref(what)));
        return;
    }
    text = json_pack("{s:{s:s}}", "schema", "type", "string");
    if (item) {
        *item = '\0';
        set(text, "x-volant-item", schema_ref(item + 1));
    }
    set(j, what, text);
}

static json_t *content(const char *reply)
{
    json_t *j = json_object();

    for (const char *at = reply, *end; at; at = end ? end + 2 : NULL) {
        char what[96];

        end = strstr(at, ", ");
        (void)strf(what, sizeof(what), "%.*s", (int)(end ? (size_t)(end - at) : strlen(at)), at);
        add_content(j, what);
    }
    return j;
}

static json_t *response(const char *reply)
{
    json_t *j = json_pack("{s:s}", "description", "Done");

    if (reply) set(j, "content", content(reply));
    return j;
}

static void add_response(json_t *responses, unsigned status, const char *reply, bool pages)
{
    json_t *j;
    char key[8];

    if (!status) return;
    j = response(reply);
    if (pages)
        set(j, "headers",
            json_pack("{s:{s:s, s:{s:s}}}", "X-Total-Count", "description",
                      "How many there are without limit and offset", "schema", "type", "integer"));
    (void)strf(key, sizeof(key), "%u", status);
    set(responses, key, j);
}

/* It cuts a list, and says how long that is. */
static bool has_pages(const struct api_operation *op)
{
    for (const struct api_parameter *p = op->parameters; p && p->name; p++)
        if (str_eq(p->name, "offset")) return true;
    return false;
}

static json_t *parameter(const struct api_parameter *p)
{
    bool required = str_eq(p->type, "string") && p->min > 0;
    json_t *schema = json_pack("{s:s}", "type", p->type), *choices = NULL, *j;

    if (required) set(schema, "minLength", json_integer(1));
    if (p->max > 0) {
        set(schema, "minimum", json_integer(p->min));
        set(schema, "maximum", json_integer(p->max));
    }
    for (size_t i = 0; p->choices && p->choices[i]; i++) {
        if (!choices) set(schema, "enum", choices = json_array());
        (void)json_array_append_new(choices, json_string(p->choices[i]));
    }
    j = json_pack("{s:s, s:s, s:s, s:o}", "name", p->name, "in",
                  *p->name >= 'A' && *p->name <= 'Z' ? "header" : "query", "description", p->about, "schema", schema);
    if (required) set(j, "required", json_true());
    return j;
}

static json_t *path_parameter(const char *name, size_t n)
{
    static const struct {
        const char *name, *pattern;
        int max;
    } known[] = {
        {"name", NAME_PATTERN, NAME_LENGTH},
        {"plugin", NAME_PATTERN, NAME_LENGTH},
        {"digest", "^sha256:[0-9a-f]{64}$", 0},
    };
    json_t *schema = json_pack("{s:s, s:i}", "type", "string", "minLength", 1);

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strlen(known[i].name) != n || memcmp(known[i].name, name, n) != 0) continue;
        if (known[i].max > 0) set(schema, "maxLength", json_integer(known[i].max));
        set(schema, "pattern", json_string(known[i].pattern));
    }
    return json_pack("{s:s%, s:s, s:b, s:o}", "name", name, n, "in", "path", "required", 1, "schema", schema);
}

static json_t *parameters(const struct api_route *route, const struct api_operation *op)
{
    json_t *list = json_array();

    for (const char *s = route->pattern; (s = strchr(s, ':')); s++)
        (void)json_array_append_new(list, path_parameter(s + 1, strcspn(s + 1, "/")));
    for (const struct api_parameter *p = op ? op->parameters : NULL; p && p->name; p++)
        (void)json_array_append_new(list, parameter(p));
    return list;
}

static json_t *request_body(const struct api_route *route, const struct api_operation *op)
{
    const char *type = route->body == BODY_STREAMED ? "application/octet-stream" : "application/json";

    if (route->body == BODY_STREAMED)
        return json_pack("{s:b, s:{s:{s:{s:s, s:s}}}}", "required", 1, "content", type, "schema", "type", "string",
                         "format", "binary");
    return op && op->body ? json_pack("{s:b, s:{s:{s:o}}}", "required", !op->body_optional, "content", type, "schema",
                                      schema_ref(op->body))
                          : NULL;
}

/* MCP has errors of its own. */
static json_t *errors_of(const struct api_operation *op)
{
    const char *rpc = "Refused, by volantd or by the protocol";

    if (op && str_eq(op->tag, "mcp"))
        return json_pack("{s:s, s:o}", "description", rpc, "content", content("RPCAnswer"));
    return json_pack("{s:s}", "$ref", "#/components/responses/Error");
}

static json_t *operation(const struct api_route *route)
{
    const struct api_operation *op = api_operation_of(route);
    json_t *j = json_object(), *responses = json_object(), *body = request_body(route, op);

    if (op) {
        set(j, "operationId", json_string(op->id));
        set(j, "summary", json_string(op->summary));
        set(j, "tags", json_pack("[s]", op->tag));
        set(j, "x-volant-role", json_string(role_name(route->role)));
        add_response(responses, op->status, op->reply, has_pages(op));
        add_response(responses, op->other_status, op->other_reply, false);
    }
    set(responses, "default", errors_of(op));
    set(j, "parameters", parameters(route, op));
    if (body) set(j, "requestBody", body);
    set(j, "responses", responses);
    return j;
}

/* --- the document ------------------------------------------------------------------------------------------------- */

/* ":name" becomes "{name}". */
static char *template_of(const char *pattern)
{
    struct strbuf b = {0};

    while (*pattern) {
        size_t n = strcspn(pattern, ":");

        strbuf_add(&b, pattern, n);
        if (*(pattern += n) != ':') break;
        n = strcspn(++pattern, "/");
        strbuf_adds(&b, "{");
        strbuf_add(&b, pattern, n);
        strbuf_adds(&b, "}");
        pattern += n;
    }
    return strbuf_take(&b);
}

static void add_route(json_t *paths, const struct api_route *route)
{
    const struct api_operation *op = api_operation_of(route);
    auto_free char *path = op && !op->id ? NULL : template_of(route->pattern);
    char method[8];
    json_t *item;
    size_t i = 0;

    if (!path) return;
    if (!(item = json_object_get(paths, path))) set(paths, path, item = json_object());
    for (; i < sizeof(method) - 1 && route->method[i]; i++)
        method[i] = (char)(route->method[i] - 'A' + 'a');
    method[i] = '\0';
    set(item, method, operation(route));
}

/* --- replies alone ------------------------------------------------------------------------------------------------ */

static json_t *find_component(const char *name, size_t n)
{
    for (size_t i = 0; i < api_n_components; i++)
        if (strlen(api_components[i].name) == n && memcmp(api_components[i].name, name, n) == 0)
            return component(&api_components[i]);
    return NULL;
}

static void write_out(json_t *schema, int depth)
{
    json_t *properties = json_object_get(schema, "properties"), *one;
    const char *key;
    void *next;

    json_object_foreach_safe(properties, next, key, one)
    {
        const char *ref = json_string_value(json_object_get(one, "$ref"));
        json_t *inner;

        if (!ref) continue;
        ref += strlen(REF_PREFIX);
        inner = depth > 0 ? find_component(ref, strlen(ref)) : json_pack("{s:s}", "type", "object");
        write_out(inner, depth - 1);
        set(properties, key, inner);
    }
}

static json_t *reply_schema(const struct api_operation *op)
{
    const char *name = op && op->reply && !strchr(op->reply, '/') ? op->reply : NULL;
    bool list = name && *name == '[';
    json_t *j = name ? find_component(name + (list ? 1 : 0), strlen(name) - (list ? 2 : 0)) : NULL;

    write_out(j, 1);
    return list && j ? json_pack("{s:s, s:o}", "type", "array", "items", j) : j;
}

/* "/vms/:name" and "/vms/{id}" are the same. */
static bool same_path(const char *pattern, const char *target)
{
    while (*pattern && *target) {
        size_t n = strcspn(pattern, ":");

        if (strcspn(target, "{") != n || memcmp(pattern, target, n) != 0) return false;
        pattern += n + strcspn(pattern + n, "/");
        target += n + strcspn(target + n, "/");
    }
    return *pattern == *target;
}

json_t *openapi_reply(const char *method, const char *target)
{
    for (size_t i = 0; i < api_n_routes; i++)
        if (str_eq(api_routes[i].method, method) && same_path(api_routes[i].pattern, target))
            return reply_schema(api_operation_of(&api_routes[i]));
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------------ */

json_t *openapi_document(const struct api_route *routes, size_t n_routes, const char *server)
{
    json_t *paths = json_object();

    for (size_t i = 0; i < n_routes; i++)
        add_route(paths, &routes[i]);
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:[{}, {s:[]}, {s:[]}], s:o, s:o}", "openapi", "3.0.3",
                     "info", "title", "Volant REST API", "version", "v1", "description",
                     "Also WebSockets: see the reference. Unknown members of bodies are ignored and named in "
                     "Volant-Warning headers. x-volant-role: what a token must be allowed, where one is needed.",
                     "servers", "url", server, "security", "bearer", "apiKey", "paths", paths, "components",
                     components());
}

#define HOST_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]"

/* Over the Unix socket Host may be anything, text or not. */
enum api_end openapi_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    const char *host = api_req_header(req, "Host");
    char server[300];

    if (!host || !*host || host[strspn(host, HOST_CHARS)] != '\0' ||
        strf(server, sizeof(server), "%s://%s", access_secure(api->access, req) ? "https" : "http", host) < 0)
        (void)strf(server, sizeof(server), "http://localhost");
    return api_json(req, 200, openapi_document(api_routes, api_n_routes, server), err);
}
