/* SPDX-License-Identifier: Apache-2.0 */
/* Results are made once and get here what their era wants beside them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mcp/internal.h"
#include "model/schema.h"

static const char no_memory[] = "out of memory: try again in a moment";

json_t *server_info(const struct mcp_server *s)
{
    return json_pack("{s:s, s:s}", "name", s->name, "version", s->version);
}

enum mcp_end answer_nothing(struct mcp_call *c, unsigned status)
{
    json_decref(take_ptr(c->answer));
    c->status = status;
    return MCP_ANSWERED;
}

/* {"jsonrpc", "id", key: steal}; without an id where none could be read. */
static void put(struct mcp_call *c, unsigned status, const char *key, json_t *steal)
{
    json_decref(c->answer);
    c->answer = json_pack("{s:s}", "jsonrpc", "2.0");
    if (c->answer && c->id) (void)json_object_set(c->answer, "id", c->id);
    if (!c->answer || json_object_set_new(c->answer, key, steal) < 0) json_decref(take_ptr(c->answer));
    c->status = c->answer ? status : 503;
}

static enum mcp_end put_error(struct mcp_call *c, unsigned status, enum mcp_code code, json_t *data, const char *text)
{
    json_t *error = json_pack("{s:i, s:s}", "code", (int)code, "message", text);

    if (error && data)
        (void)json_object_set_new(error, "data", data);
    else
        json_decref(data);
    put(c, status, "error", error);
    return MCP_ANSWERED;
}

enum mcp_end answer_error(struct mcp_call *c, unsigned status, enum mcp_code code, json_t *data, const char *fmt, ...)
{
    struct vl_error text = {0};
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text.msg, sizeof(text.msg), fmt, ap);
    va_end(ap);
    text.msg[utf8_prefix(text.msg, strlen(text.msg))] = '\0';
    return put_error(c, status, code, data, text.msg);
}

enum mcp_end mcp_fail(struct mcp_call *c, enum mcp_code code, const char *text)
{
    return put_error(c, 200, code, NULL, text);
}

static void set_cache(json_t *result, enum mcp_cache cache, int ttl_ms)
{
    if (cache == CACHE_NONE) return;
    (void)json_object_set_new(result, "ttlMs", json_integer(ttl_ms));
    (void)json_object_set_new(result, "cacheScope", json_string(cache == CACHE_PUBLIC ? "public" : "private"));
}

enum mcp_end answer_result(struct mcp_call *c, json_t *steal, enum mcp_cache cache, int ttl_ms)
{
    if (!steal) return mcp_fail(c, MCP_INTERNAL, no_memory);
    if (c->era == MCP_MODERN) {
        (void)json_object_set_new(steal, "resultType", json_string("complete"));
        set_cache(steal, cache, ttl_ms);
        (void)json_object_set_new(steal, "_meta", json_pack("{s:o}", KEY_SERVER, server_info(c->server)));
    }
    put(c, 200, "result", steal);
    return MCP_ANSWERED;
}

static json_t *text_block(const char *text)
{
    return json_pack("{s:s, s:s}", "type", "text", "text", text);
}

enum mcp_end mcp_tool_done(struct mcp_call *c, json_t *structured, const char *note)
{
    auto_free char *text = structured ? json_text(structured) : NULL;
    json_t *content = text ? json_pack("[o]", text_block(text)) : NULL;

    if (content && note) (void)json_array_append_new(content, text_block(note));
    return answer_result(
        c, json_pack("{s:o, s:o, s:b}", "content", content, "structuredContent", structured, "isError", 0), CACHE_NONE,
        0);
}

enum mcp_end mcp_tool_failed(struct mcp_call *c, const char *text)
{
    return answer_result(c, json_pack("{s:[o], s:b}", "content", text_block(text), "isError", 1), CACHE_NONE, 0);
}

json_t *mcp_progress(struct mcp_call *c, const char *text)
{
    return json_pack("{s:s, s:s, s:{s:O, s:I, s:s}}", "jsonrpc", "2.0", "method", "notifications/progress", "params",
                     "progressToken", c->token, "progress", (json_int_t)++c->told, "message", text);
}

enum mcp_end mcp_contents(struct mcp_call *c, const char *uri, const char *mime_type, const char *text)
{
    json_t *one = json_pack("{s:s, s:s, s:s}", "uri", uri, "mimeType", mime_type, "text", text);

    return answer_result(c, json_pack("{s:[o]}", "contents", one), CACHE_PRIVATE, 0);
}

enum mcp_end mcp_no_resource(struct mcp_call *c, const char *uri)
{
    const int legacy_code = -32002; /* of the handshake revisions; forbidden since */
    json_t *data = json_pack("{s:s}", "uri", uri);

    return put_error(c, 200, c->era == MCP_MODERN ? MCP_INVALID_PARAMS : (enum mcp_code)legacy_code, data,
                     "Resource not found: see resources/list");
}

void mcp_complete(struct mcp_call *c)
{
    c->cancel = NULL;
    c->complete(c);
}

void mcp_call_done(struct mcp_call *c)
{
    void (*cancel)(struct mcp_call * call) = c->cancel;

    c->cancel = NULL;
    if (cancel) cancel(c);
    listen_done(&c->listen);
    json_decref(take_ptr(c->answer));
    json_decref(take_ptr(c->message));
    c->params = c->id = NULL;
}

void mcp_event(struct strbuf *b, const json_t *message)
{
    auto_free char *text = message ? json_text(message) : NULL;

    if (!text) {
        b->failed = true;
        return;
    }
    strbuf_addf(b, "event: message\r\ndata: %s\r\n\r\n", text);
}
