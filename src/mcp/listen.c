/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscriptions/listen: a stream of what changed. What a client has not read yet is a mark beside each resource, not a
 * queue: however slow it is, it takes no memory, and finds the newest state when it looks.
 */
#include <string.h>

#include "mcp/internal.h"

void listen_done(struct mcp_listen *l)
{
    for (size_t i = 0; i < l->n_uris; i++)
        free(l->uris[i]);
    *l = (struct mcp_listen){0};
}

bool listen_accepted(struct mcp_call *c, const struct mcp_headers *headers)
{
    if (!headers || accepts(headers->accept, "text/event-stream")) return true;
    (void)answer_error(c, 406, MCP_INVALID_REQUEST, NULL, "This answer is a text/event-stream, which Accept lacks");
    return false;
}

static bool has(const struct mcp_listen *l, const char *uri)
{
    for (size_t i = 0; i < l->n_uris; i++)
        if (str_eq(l->uris[i], uri)) return true;
    return false;
}

/* NULL, or what is wrong. Those that nobody tells of are left out of what is granted. */
static const char *take_uris(struct mcp_call *c, const json_t *uris)
{
    struct mcp_listen *l = &c->listen;
    size_t i;
    json_t *one;

    if (uris && !json_is_array(uris)) return "notifications.resourceSubscriptions is not a list";
    json_array_foreach((json_t *)uris, i, one)
    {
        const char *uri = json_string_value(one);

        if (!uri) return "notifications.resourceSubscriptions has something that is no text";
        if (!c->server->subscribable(c->server->arg, uri) || has(l, uri)) continue;
        if (l->n_uris == MCP_LISTEN_MAX) return "notifications.resourceSubscriptions names too many resources";
        if (!(l->uris[l->n_uris] = strdup(uri))) return "out of memory";
        l->n_uris++;
    }
    return NULL;
}

enum mcp_end listen_begin(struct mcp_call *c)
{
    const json_t *wanted = json_object_get(c->params, "notifications");
    const char *problem;

    if (!c->server->subscribable)
        return answer_error(c, 404, MCP_METHOD_NOT_FOUND, NULL, "Method not found: nothing to subscribe to");
    problem = json_is_object(wanted) ? take_uris(c, json_object_get(wanted, "resourceSubscriptions"))
                                     : "notifications is not an object";
    if (problem) {
        listen_done(&c->listen);
        return answer_error(c, 200, MCP_INVALID_PARAMS, NULL, "Invalid params: %s", problem);
    }
    c->listen.list_changed = json_is_true(json_object_get(wanted, "resourcesListChanged"));
    c->status = 200;
    return MCP_LISTENING;
}

bool mcp_resource_changed(struct mcp_call *c, const char *uri)
{
    struct mcp_listen *l = &c->listen;

    for (size_t i = 0; i < l->n_uris; i++)
        if (str_eq(l->uris[i], uri)) return l->dirty[i] = true;
    return false;
}

bool mcp_resources_changed(struct mcp_call *c)
{
    return c->listen.list_dirty = c->listen.list_changed;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static json_t *meta(const struct mcp_call *c)
{
    return json_pack("{s:O}", KEY_SUBSCRIPTION, c->id);
}

static json_t *notification(const char *method, json_t *params)
{
    return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
}

static json_t *acknowledgement(const struct mcp_call *c)
{
    const struct mcp_listen *l = &c->listen;
    json_t *granted = json_object(), *uris = json_array();

    for (size_t i = 0; uris && i < l->n_uris; i++)
        (void)json_array_append_new(uris, json_string(l->uris[i]));
    if (granted && l->list_changed) (void)json_object_set_new(granted, "resourcesListChanged", json_true());
    if (granted && l->n_uris > 0)
        (void)json_object_set_new(granted, "resourceSubscriptions", uris);
    else
        json_decref(uris);
    return notification("notifications/subscriptions/acknowledged",
                        json_pack("{s:o, s:o}", "_meta", meta(c), "notifications", granted));
}

json_t *mcp_listen_next(struct mcp_call *c)
{
    struct mcp_listen *l = &c->listen;

    if (!l->begun) {
        l->begun = true;
        return acknowledgement(c);
    }
    if (l->list_dirty) {
        l->list_dirty = false;
        return notification("notifications/resources/list_changed", json_pack("{s:o}", "_meta", meta(c)));
    }
    for (size_t i = 0; i < l->n_uris; i++) {
        if (!l->dirty[i]) continue;
        l->dirty[i] = false;
        return notification("notifications/resources/updated",
                            json_pack("{s:o, s:s}", "_meta", meta(c), "uri", l->uris[i]));
    }
    return NULL;
}

json_t *mcp_listen_end(const struct mcp_call *c)
{
    return json_pack("{s:s, s:O, s:{s:s, s:o}}", "jsonrpc", "2.0", "id", c->id, "result", "resultType", "complete",
                     "_meta", meta(c));
}
