/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the engine: message.c takes a message, methods.c and listen.c do what it asks, answer.c writes. */
#pragma once
#include "mcp/mcp.h"

#define KEY_VERSION      "io.modelcontextprotocol/protocolVersion"
#define KEY_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define KEY_CLIENT       "io.modelcontextprotocol/clientInfo"
#define KEY_SERVER       "io.modelcontextprotocol/serverInfo"
#define KEY_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

/* Of results that a client may keep; not sent in the handshake revisions. */
enum mcp_cache { CACHE_NONE, CACHE_PUBLIC, CACHE_PRIVATE };

/* A result: what the era wants beside it is added here. */
enum mcp_end answer_result(struct mcp_call *c, json_t *steal, enum mcp_cache cache, int ttl_ms);
/* An error of the protocol. `data` (may be NULL) is stolen. */
enum mcp_end answer_error(struct mcp_call *c, unsigned status, enum mcp_code code, json_t *data, const char *fmt, ...)
    printf_(5, 6);
enum mcp_end answer_nothing(struct mcp_call *c, unsigned status);
json_t *server_info(const struct mcp_server *s);

/* The newest revision first; NULL ends it. */
extern const char *const legacy_versions[];
const char *legacy_version(const char *text); /* the constant, or NULL */

/* Headers. Optional white space around a value does not count. */
bool header_is(const char *header, const char *value);
/* Mcp-Name: plain, or =?base64?..?= of UTF-8. */
bool header_names(const char *header, const char *value);
bool is_json_type(const char *content_type);
/* Whether an Accept header (NULL: everything) admits a type such as "application/json". */
bool accepts(const char *accept, const char *type);

/* What a method is answered with, in its era; NULL: there is no such method. */
struct mcp_method {
    const char *name;
    bool modern, legacy;
    const char *named_by; /* the parameter that Mcp-Name repeats; NULL: none */
    enum mcp_end (*fn)(struct mcp_call *c);
};
const struct mcp_method *method_find(const char *name);

enum mcp_end listen_begin(struct mcp_call *c);
/* The request accepts an event stream; else the answer is complete. */
bool listen_accepted(struct mcp_call *c, const struct mcp_headers *headers);
void listen_done(struct mcp_listen *l);
