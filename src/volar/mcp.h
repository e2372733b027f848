/* SPDX-License-Identifier: Apache-2.0 */
/* `volar mcp`: the messages of the bridge (mcp_message.c), as mcp.c carries them. */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

#define MCP_LINE_MAX (1024UL * 1024) /* what volantd takes */

/* Whether a request is of the stateless revision, by its envelope. */
bool mcp_is_modern(const json_t *message);
/*
 * The headers that repeat what the body says: "Name: value" each, only such as cannot break a head. `legacy` is the
 * revision that a handshake agreed on; NULL: none yet.
 */
int mcp_headers(const json_t *message, const char *legacy, struct strv *ret);
/* A JSON-RPC error; `id` may be NULL. The caller's; NULL when out of memory. */
char *mcp_error_line(const json_t *id, int code, const char *text);
/* That the server ends a subscription. The caller's; NULL when out of memory. */
char *mcp_cancelled_line(const json_t *id);
/*
 * What an HTTP answer is as a line: its JSON-RPC message, or an error where it has none. *ret_version becomes the
 * revision of an `initialize` result, if it is one and there is room (16 bytes). The caller's.
 */
char *mcp_answer_line(const json_t *id, long status, const char *body, size_t len, char ret_version[static 16]);
