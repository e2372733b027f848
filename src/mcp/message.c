/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a message to its method, in one order: the first thing wrong is what is answered. Which era a request is
 * of, its body says: an envelope makes it a modern one, whatever its method or headers.
 */
#include <string.h>

#include "mcp/internal.h"
#include "model/schema.h"

const char *const legacy_versions[] = {"2025-11-25", "2025-06-18", NULL};
#define LEGACY_UNSAID "2025-06-18" /* a request without the header */

const char *legacy_version(const char *text)
{
    for (size_t i = 0; legacy_versions[i]; i++)
        if (header_is(text, legacy_versions[i])) return legacy_versions[i];
    return NULL;
}

static enum mcp_end unsupported(struct mcp_call *c, const char *requested)
{
    json_t *data = json_pack("{s:[s], s:s%}", "supported", MCP_VERSION, "requested", requested,
                             utf8_prefix(requested, strlen(requested)));
    char shown[QUOTED_SIZE];

    return answer_error(c, 400, MCP_UNSUPPORTED_VERSION, data, "Unsupported protocol version %s",
                        quoted(requested, shown));
}

/* --- the shape ---------------------------------------------------------------------------------------------------- */

static enum mcp_end not_a_request(struct mcp_call *c, const char *why)
{
    return answer_error(c, 400, MCP_INVALID_REQUEST, NULL, "Invalid request: %s", why);
}

/* An answer to something that we never asked. */
static bool is_response(const json_t *message)
{
    return !json_object_get(message, "method") &&
           (json_object_get(message, "result") || json_object_get(message, "error"));
}

/* NULL, or what is wrong with it. */
static const char *shape_problem(struct mcp_call *c)
{
    json_t *id, *m = c->message;

    if (json_is_array(m)) return "batches are of older revisions: send one message at a time";
    if (!json_is_object(m)) return "an object is expected";
    id = json_object_get(m, "id");
    if (id && !json_is_string(id) && !json_is_integer(id)) return "id is neither a string nor an integer";
    c->id = id;
    if (!str_eq(json_string_value(json_object_get(m, "jsonrpc")), "2.0")) return "jsonrpc is not \"2.0\"";
    if (!is_response(m) && !json_is_string(json_object_get(m, "method"))) return "method is not a string";
    return NULL;
}

/* --- modern ------------------------------------------------------------------------------------------------------- */

static json_t *envelope_of(const struct mcp_call *c)
{
    return json_object_get(c->params, "_meta");
}

static enum mcp_end bad_envelope(struct mcp_call *c, const char *key)
{
    return answer_error(c, 400, MCP_INVALID_PARAMS, NULL, "params._meta[\"%s\"] is missing or of the wrong type", key);
}

static enum mcp_end mismatch(struct mcp_call *c, const char *header)
{
    return answer_error(c, 400, MCP_HEADER_MISMATCH, NULL,
                        "Header %s is missing, malformed, or says another thing than the body", header);
}

/* False: the answer is complete. */
static bool modern_envelope(struct mcp_call *c)
{
    json_t *meta = envelope_of(c), *client = json_object_get(meta, KEY_CLIENT);

    if (!json_is_string(json_object_get(meta, KEY_VERSION)))
        (void)bad_envelope(c, KEY_VERSION);
    else if (!json_is_object(json_object_get(meta, KEY_CAPABILITIES)))
        (void)bad_envelope(c, KEY_CAPABILITIES);
    else if (client && !json_is_object(client))
        (void)bad_envelope(c, KEY_CLIENT);
    else
        return true;
    return false;
}

/* A version we do not serve is told before headers whose rules its clients may not share. */
static bool modern_headers(struct mcp_call *c, const struct mcp_headers *h, const char *name,
                           const struct mcp_method *method)
{
    const char *version = json_string_value(json_object_get(envelope_of(c), KEY_VERSION));
    const char *subject =
        method && method->named_by ? json_string_value(json_object_get(c->params, method->named_by)) : NULL;

    if (h && !header_is(h->version, version))
        (void)mismatch(c, "MCP-Protocol-Version");
    else if (!str_eq(version, MCP_VERSION))
        (void)unsupported(c, version);
    else if (h && !header_is(h->method, name))
        (void)mismatch(c, "Mcp-Method");
    else if (h && subject && !header_names(h->name, subject))
        (void)mismatch(c, "Mcp-Name");
    else
        return true;
    return false;
}

static enum mcp_end unknown_method(struct mcp_call *c, const char *name)
{
    char shown[QUOTED_SIZE];

    return answer_error(c, c->era == MCP_MODERN ? 404 : 200, MCP_METHOD_NOT_FOUND, NULL, "Method not found: %s",
                        quoted(name, shown));
}

static enum mcp_end begin_modern(struct mcp_call *c, const struct mcp_headers *h, const char *name)
{
    const struct mcp_method *method = method_find(name);

    c->era = MCP_MODERN;
    c->version = MCP_VERSION;
    if (!modern_envelope(c) || !modern_headers(c, h, name, method)) return MCP_ANSWERED;
    if (!method || !method->modern) return unknown_method(c, name);
    if (method->fn == listen_begin && !listen_accepted(c, h)) return MCP_ANSWERED;
    return method->fn(c);
}

/* --- the handshake revisions -------------------------------------------------------------------------------------- */

static enum mcp_end begin_legacy(struct mcp_call *c, const char *version, const char *name)
{
    const struct mcp_method *method = method_find(name);

    c->era = MCP_LEGACY;
    c->version = version ? version : LEGACY_UNSAID;
    if (!method || !method->legacy) return unknown_method(c, name);
    return method->fn(c);
}

/* --- which of the two --------------------------------------------------------------------------------------------- */

static enum mcp_end begin_request(struct mcp_call *c, const struct mcp_headers *h)
{
    const char *name = json_string_value(json_object_get(c->message, "method"));
    const char *said = h ? h->version : NULL, *legacy = legacy_version(said);
    json_t *params = json_object_get(c->message, "params");

    if (params && !json_is_object(params))
        return answer_error(c, 400, MCP_INVALID_PARAMS, NULL, "params is not an object");
    c->params = params;
    if (h && !accepts(h->accept, "application/json") && !str_eq(name, "subscriptions/listen"))
        return answer_error(c, 406, MCP_INVALID_REQUEST, NULL, "This answer is application/json, which Accept lacks");
    if (json_object_get(envelope_of(c), KEY_VERSION) || header_is(said, MCP_VERSION)) return begin_modern(c, h, name);
    if (!said || legacy) return begin_legacy(c, legacy, name);
    return unsupported(c, said);
}

static enum mcp_end begin_message(struct mcp_call *c, const struct mcp_headers *h)
{
    const char *problem = shape_problem(c), *said = h ? h->version : NULL;
    bool known = !said || legacy_version(said) || header_is(said, MCP_VERSION);

    if (problem) return not_a_request(c, problem);
    if (is_response(c->message)) {
        c->id = NULL; /* not one of ours to answer to */
        return header_is(said, MCP_VERSION) ? not_a_request(c, "no request was sent to you") : answer_nothing(c, 202);
    }
    if (c->id) return begin_request(c, h);
    return known ? answer_nothing(c, 202) : unsupported(c, said);
}

enum mcp_end mcp_begin(struct mcp_call *c, const struct mcp_headers *h, const char *body, size_t len)
{
    struct vl_error err = {0};

    c->http = h != NULL;
    c->streams = !h || accepts(h->accept, "text/event-stream");
    if (h && !is_json_type(h->content_type))
        return answer_error(c, 415, MCP_INVALID_REQUEST, NULL, "Content-Type is not application/json");
    if (h && !accepts(h->accept, "application/json") && !accepts(h->accept, "text/event-stream"))
        return answer_error(c, 406, MCP_INVALID_REQUEST, NULL,
                            "Accept has neither application/json nor text/event-stream");
    if (json_parse(body, len, "the message", &c->message, &err) < 0)
        return answer_error(c, 400, MCP_PARSE_ERROR, NULL, "%s", err.msg);
    return begin_message(c, h);
}
