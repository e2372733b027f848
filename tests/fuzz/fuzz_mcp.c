/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of MCP clients: up to five lines of headers (content type, accept, version, method, name), then the body.
 * Whatever comes, there is one answer, with the request's id or none, and the same message gives the same answer.
 */
#include "fuzz.h"

#include "mcp/testserver.h"

#define LINES 5

/* One line as a header, or NULL for "-"; *at moves behind it. */
static char *take_line(const char **at, const char *end)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    size_t n = newline ? (size_t)(newline - *at) : (size_t)(end - *at);
    char *line = n == 1 && **at == '-' ? NULL : strndup(*at, n);

    *at += n + (newline != NULL);
    return line;
}

static void check_answer(const struct mcp_call *c)
{
    const json_t *id = json_object_get(c->answer, "id");

    must(c->status >= 200 && c->status < 500);
    if (!c->answer) return;
    must(!id || json_is_string(id) || json_is_integer(id));
    must(!json_object_get(c->answer, "result") != !json_object_get(c->answer, "error"));
    must(!json_object_get(c->answer, "result") || json_equal(id, json_object_get(c->message, "id")));
}

static void run(const struct mcp_headers *h, const char *body, size_t len, json_t **ret)
{
    struct mcp_call c = {.server = &test_server};

    switch (mcp_begin(&c, h, body, len)) {
    case MCP_ANSWERED:
        check_answer(&c);
        *ret = json_incref(c.answer);
        break;
    case MCP_WAITING:
        break;
    case MCP_LISTENING:
        (void)mcp_resources_changed(&c);
        (void)mcp_resource_changed(&c, "test://first");
        for (int i = 0; (*ret = mcp_listen_next(&c)); i++) {
            must(i < 3);
            json_decref(*ret);
        }
        break;
    }
    mcp_call_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = size > 0 ? (const char *)data : "", *end = at + size;
    char *lines[LINES];
    struct mcp_headers h;
    json_t *first = NULL, *second = NULL;

    for (size_t i = 0; i < LINES; i++)
        lines[i] = take_line(&at, end);
    h = (struct mcp_headers){lines[0], lines[1], lines[2], lines[3], lines[4]};
    run(&h, at, (size_t)(end - at), &first);
    run(&h, at, (size_t)(end - at), &second);
    must(!first ? !second : json_equal(first, second));
    json_decref(first);
    json_decref(second);
    for (size_t i = 0; i < LINES; i++)
        free(lines[i]);
    return 0;
}
