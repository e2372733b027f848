/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/mcp.h"

#include <string.h>

#include "base/unit.h"
#include "model/schema.h"

#define META(version)                                                                                                  \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":" version                                                  \
    ",\"io.modelcontextprotocol/clientCapabilities\":{}}"
#define MODERN(method, more) "{\"id\":1,\"method\":\"" method "\",\"params\":{" more META("\"2026-07-28\"") "}}"

static void headers_repeat_the_body(void **state)
{
    static const struct {
        const char *body, *legacy, *want;
    } table[] = {
        {MODERN("tools/list", ""), "2025-11-25", "MCP-Protocol-Version: 2026-07-28|Mcp-Method: tools/list|"},
        {MODERN("tools/call", "\"name\":\"a\","), NULL,
         "MCP-Protocol-Version: 2026-07-28|Mcp-Method: tools/call|Mcp-Name: a|"},
        {MODERN("tools/call", "\"name\":\"a b\\r\\nX: y\","), NULL,
         "MCP-Protocol-Version: 2026-07-28|Mcp-Method: tools/call|Mcp-Name: =?base64?YSBiDQpYOiB5?=|"},
        {MODERN("prompts/get", "\"name\":\" a\","), NULL,
         "MCP-Protocol-Version: 2026-07-28|Mcp-Method: prompts/get|Mcp-Name: =?base64?IGE=?=|"},
        {MODERN("resources/read", "\"uri\":\"=?base64?YQ==?=\","), NULL,
         "MCP-Protocol-Version: 2026-07-28|Mcp-Method: resources/read|Mcp-Name: =?base64?PT9iYXNlNjQ/WVE9PT89?=|"},
        {MODERN("x\\r\\nEvil: 1", ""), NULL, "MCP-Protocol-Version: 2026-07-28|"},
        {"{\"id\":1,\"method\":\"tools/list\",\"params\":{" META("1") "}}", NULL, "Mcp-Method: tools/list|"},
        {"{\"id\":1,\"method\":\"initialize\"}", "2025-11-25", ""},
        {"{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}", "2025-11-25",
         "MCP-Protocol-Version: 2025-11-25|"},
        {"{\"id\":1,\"method\":\"ping\"}", NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *message = json_loads(table[i].body, 0, NULL);
        auto_strv headers = {0};
        auto_strbuf have = {0};

        assert_non_null(message);
        assert_int_equal(mcp_headers(message, table[i].legacy, &headers), 0);
        for (size_t k = 0; k < headers.len; k++)
            strbuf_addf(&have, "%s|", headers.items[k]);
        assert_string_equal(have.data ? have.data : "", table[i].want);
    }
}

static void every_answer_is_one_line(void **state)
{
    static const struct {
        long status;
        const char *body, *want;
    } table[] = {
        {200, "{\"jsonrpc\":\"2.0\",\"id\":1,\n \"result\":{\"a\":\"b\\nc\"}}",
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"b\\nc\"}}"},
        {403, "{\"error\":\"not here\"}",
         "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"volantd refused it: not here\"},\"id\":1}"},
        {502, "<html>",
         "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"volantd answered with status 502\"},\"id\":1}"},
        {202, "",
         "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"volantd answered with status 202\"},\"id\":1}"},
    };
    static const char initialized[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\"}}";
    json_auto_t *id = json_integer(1);
    auto_free char *line = NULL, *cancelled = mcp_cancelled_line(id);
    char version[16] = "";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_free char *have = mcp_answer_line(id, table[i].status, table[i].body, strlen(table[i].body), version);

        assert_string_equal(have, table[i].want);
        assert_string_equal(version, "");
    }
    assert_string_equal(cancelled, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                                   "\"requestId\":1,\"reason\":\"volantd ends the subscription\"}}");
    line = mcp_answer_line(id, 200, initialized, strlen(initialized), version);
    assert_string_equal(line, initialized);
    assert_string_equal(version, "2025-06-18");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_repeat_the_body),
        cmocka_unit_test(every_answer_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
