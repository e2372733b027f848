/* SPDX-License-Identifier: Apache-2.0 */
/* The methods, of both eras. */
#include <string.h>

#include "mcp/internal.h"
#include "model/schema.h"

#define HOUR_MS 3600000
#define LIST_MS 300000 /* lists that change with the program alone */

#define CURSOR_BEGIN "after-"

static enum mcp_end bad_params(struct mcp_call *c, const char *why)
{
    return answer_error(c, 200, MCP_INVALID_PARAMS, NULL, "Invalid params: %s", why);
}

/* --- who we are --------------------------------------------------------------------------------------------------- */

static bool tells_changes(const struct mcp_server *s)
{
    return s->subscribable != NULL;
}

/* Without sessions there is nowhere to tell a client of the handshake revisions that something changed. */
static json_t *capabilities(const struct mcp_call *c)
{
    const struct mcp_server *s = c->server;
    json_t *j = json_object();

    if (j && s->n_tools > 0) (void)json_object_set_new(j, "tools", json_object());
    if (j && s->n_prompts > 0) (void)json_object_set_new(j, "prompts", json_object());
    if (j && s->resources && c->era == MCP_MODERN && tells_changes(s))
        (void)json_object_set_new(j, "resources", json_pack("{s:b, s:b}", "subscribe", 1, "listChanged", 1));
    else if (j && s->resources)
        (void)json_object_set_new(j, "resources", json_object());
    return j;
}

static enum mcp_end discover(struct mcp_call *c)
{
    return answer_result(c,
                         json_pack("{s:[s], s:o, s:s}", "supportedVersions", MCP_VERSION, "capabilities",
                                   capabilities(c), "instructions", c->server->instructions),
                         CACHE_PUBLIC, HOUR_MS);
}

/* A client that asks for a revision we do not serve gets our newest one, and decides. */
static enum mcp_end initialize(struct mcp_call *c)
{
    const char *asked = json_string_value(json_object_get(c->params, "protocolVersion")), *version;

    if (!asked) return bad_params(c, "protocolVersion is not a string");
    version = legacy_version(asked);
    return answer_result(c,
                         json_pack("{s:s, s:o, s:o, s:s}", "protocolVersion", version ? version : legacy_versions[0],
                                   "capabilities", capabilities(c), "serverInfo", server_info(c->server),
                                   "instructions", c->server->instructions),
                         CACHE_NONE, 0);
}

static enum mcp_end ping(struct mcp_call *c)
{
    return answer_result(c, json_object(), CACHE_NONE, 0);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

/* Where a page begins; -EINVAL for a cursor that we did not give. */
static int page_begin(const struct mcp_call *c, size_t all, size_t *ret)
{
    const json_t *cursor = json_object_get(c->params, "cursor");
    const char *text = json_string_value(cursor);
    uint64_t n = 0;

    if (cursor && (!text || !str_starts(text, CURSOR_BEGIN) ||
                   parse_u64(text + strlen(CURSOR_BEGIN), 1, all > 0 ? all : 1, &n) < 0))
        return -EINVAL;
    *ret = (size_t)n;
    return 0;
}

/* One page of `steal`, which has all there is. */
static enum mcp_end answer_page(struct mcp_call *c, const char *key, json_t *steal, enum mcp_cache cache, int ttl_ms)
{
    json_auto_t *all = steal;
    json_t *page = json_array(), *result;
    size_t n = json_array_size(all), at = 0;
    char cursor[sizeof(CURSOR_BEGIN) + 20];

    if (all && page_begin(c, n, &at) < 0) {
        json_decref(page);
        return bad_params(c, "cursor is none that this list gave");
    }
    for (size_t i = at; page && i < n && i < at + MCP_PAGE_MAX; i++)
        (void)json_array_append(page, json_array_get(all, i));
    if (!all) json_decref(take_ptr(page));
    result = page ? json_pack("{s:o}", key, page) : NULL;
    if (result && n > at + MCP_PAGE_MAX) {
        (void)strf(cursor, sizeof(cursor), CURSOR_BEGIN "%zu", at + MCP_PAGE_MAX);
        (void)json_object_set_new(result, "nextCursor", json_string(cursor));
    }
    return answer_result(c, result, cache, ttl_ms);
}

/* --- tools -------------------------------------------------------------------------------------------------------- */

static json_t *tool_json(const struct mcp_tool *t)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:o, s:{s:b, s:b, s:b, s:b}}", "name", t->name, "title", t->title,
                          "description", t->description, "inputSchema", t->input(t), "annotations", "readOnlyHint",
                          (t->hints & MCP_READ_ONLY) != 0, "destructiveHint", (t->hints & MCP_DESTRUCTIVE) != 0,
                          "idempotentHint", (t->hints & MCP_IDEMPOTENT) != 0, "openWorldHint", 0);

    if (j && t->output) (void)json_object_set_new(j, "outputSchema", t->output(t));
    return j;
}

static enum mcp_end tools_list(struct mcp_call *c)
{
    const struct mcp_server *s = c->server;
    json_t *list = json_array();

    for (size_t i = 0; list && i < s->n_tools; i++) {
        if (s->offers && !s->offers(c, &s->tools[i])) continue;
        if (json_array_append_new(list, tool_json(&s->tools[i])) < 0) json_decref(take_ptr(list));
    }
    return answer_page(c, "tools", list, s->offers ? CACHE_PRIVATE : CACHE_PUBLIC, LIST_MS);
}

static void take_token(struct mcp_call *c, const struct mcp_tool *t)
{
    json_t *token = json_object_get(json_object_get(c->params, "_meta"), "progressToken");

    c->token = json_is_string(token) || json_is_integer(token) ? token : NULL;
    c->progress = c->token && c->streams && (t->hints & MCP_PROGRESS);
}

static enum mcp_end tools_call(struct mcp_call *c)
{
    const char *name = json_string_value(json_object_get(c->params, "name"));
    json_t *arguments = json_object_get(c->params, "arguments");
    char shown[QUOTED_SIZE];

    if (!name) return bad_params(c, "name is not a string");
    if (arguments && !json_is_object(arguments)) return bad_params(c, "arguments is not an object");
    for (size_t i = 0; i < c->server->n_tools; i++) {
        const struct mcp_tool *t = &c->server->tools[i];

        if (!str_eq(t->name, name)) continue;
        /* So that handlers have an object, and it lives as long as the message. */
        if (!arguments && json_object_set_new(c->params, "arguments", arguments = json_object()) < 0)
            return mcp_fail(c, MCP_INTERNAL, "out of memory");
        take_token(c, t);
        return t->call(c, t, arguments);
    }
    return answer_error(c, 200, MCP_INVALID_PARAMS, NULL, "Unknown tool: %s", quoted(name, shown));
}

/* --- resources ---------------------------------------------------------------------------------------------------- */

static enum mcp_end resources_list(struct mcp_call *c)
{
    if (!c->server->resources) return answer_page(c, "resources", json_array(), CACHE_PRIVATE, 0);
    return answer_page(c, "resources", c->server->resources(c->server->arg), CACHE_PRIVATE, 0);
}

static enum mcp_end templates_list(struct mcp_call *c)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < c->server->n_templates; i++) {
        const struct mcp_template *t = &c->server->templates[i];
        json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:s}", "uriTemplate", t->uri, "name", t->name, "title", t->title,
                                "description", t->description, "mimeType", t->mime_type);

        if (json_array_append_new(list, one) < 0) json_decref(take_ptr(list));
    }
    return answer_page(c, "resourceTemplates", list, CACHE_PUBLIC, LIST_MS);
}

static enum mcp_end resources_read(struct mcp_call *c)
{
    const char *uri = json_string_value(json_object_get(c->params, "uri"));

    if (!uri) return bad_params(c, "uri is not a string");
    return c->server->read ? c->server->read(c, uri) : mcp_no_resource(c, uri);
}

/* --- prompts ------------------------------------------------------------------------------------------------------ */

static json_t *prompt_json(const struct mcp_prompt *p)
{
    json_t *list = json_array();

    for (const struct mcp_argument *a = p->arguments; list && a->name; a++)
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", a->name, "description", a->description,
                                                  "required", a->required)) < 0)
            json_decref(take_ptr(list));
    return json_pack("{s:s, s:s, s:s, s:o}", "name", p->name, "title", p->title, "description", p->description,
                     "arguments", list);
}

static enum mcp_end prompts_list(struct mcp_call *c)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < c->server->n_prompts; i++)
        if (json_array_append_new(list, prompt_json(&c->server->prompts[i])) < 0) json_decref(take_ptr(list));
    return answer_page(c, "prompts", list, CACHE_PUBLIC, LIST_MS);
}

/* NULL, or the argument that is missing or no string. */
static const char *bad_argument(const struct mcp_prompt *p, const json_t *arguments)
{
    for (const struct mcp_argument *a = p->arguments; a->name; a++) {
        const json_t *value = json_object_get(arguments, a->name);

        if (value ? !json_is_string(value) : a->required) return a->name;
    }
    return NULL;
}

static enum mcp_end answer_prompt(struct mcp_call *c, const struct mcp_prompt *p, const json_t *arguments)
{
    const char *bad = bad_argument(p, arguments);
    auto_free char *text = NULL;

    if (bad) return answer_error(c, 200, MCP_INVALID_PARAMS, NULL, "Invalid params: argument '%s' must be a text", bad);
    if (!(text = p->text(p, arguments))) return mcp_fail(c, MCP_INTERNAL, "out of memory");
    return answer_result(c,
                         json_pack("{s:s, s:[{s:s, s:{s:s, s:s}}]}", "description", p->description, "messages", "role",
                                   "user", "content", "type", "text", "text", text),
                         CACHE_NONE, 0);
}

static enum mcp_end prompts_get(struct mcp_call *c)
{
    const char *name = json_string_value(json_object_get(c->params, "name"));
    const json_t *arguments = json_object_get(c->params, "arguments");
    char shown[QUOTED_SIZE];

    if (!name) return bad_params(c, "name is not a string");
    if (arguments && !json_is_object(arguments)) return bad_params(c, "arguments is not an object");
    for (size_t i = 0; i < c->server->n_prompts; i++)
        if (str_eq(c->server->prompts[i].name, name)) return answer_prompt(c, &c->server->prompts[i], arguments);
    return answer_error(c, 200, MCP_INVALID_PARAMS, NULL, "Unknown prompt: %s", quoted(name, shown));
}

/* ------------------------------------------------------------------------------------------------------------------ */

const struct mcp_method *method_find(const char *name)
{
    static const struct mcp_method methods[] = {
        {"server/discover", true, false, NULL, discover},
        {"initialize", false, true, NULL, initialize},
        {"ping", false, true, NULL, ping},
        {"tools/list", true, true, NULL, tools_list},
        {"tools/call", true, true, "name", tools_call},
        {"resources/list", true, true, NULL, resources_list},
        {"resources/templates/list", true, true, NULL, templates_list},
        {"resources/read", true, true, "uri", resources_read},
        {"prompts/list", true, true, NULL, prompts_list},
        {"prompts/get", true, true, "name", prompts_get},
        {"subscriptions/listen", true, false, NULL, listen_begin},
    };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq(methods[i].name, name)) return &methods[i];
    return NULL;
}
