/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/internal.h"

#include <string.h>

#include "base/unit.h"
#include "mcp/testserver.h"
#include "model/schema.h"

#define META(version) "\"_meta\":{\"" KEY_VERSION "\":\"" version "\",\"" KEY_CAPABILITIES "\":{}}"
#define MODERN(method, more)                                                                                           \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"" method "\",\"params\":{" more META(MCP_VERSION) "}}"
#define LEGACY(method, params) "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"" method "\"" params "}"
#define SERVER                 "\"_meta\":{\"" KEY_SERVER "\":{\"name\":\"test\",\"version\":\"1\"}}"
#define BOTH                   "application/json, text/event-stream"
#define JSON                   "application/json"

#define auto_call auto_(mcp_call_done) struct mcp_call

static const struct mcp_headers plain = {.content_type = JSON, .accept = BOTH};

/* The whole answer is `want`, or holds it where that begins with '~'. NULL: none. */
static void check(const struct mcp_headers *h, const char *body, unsigned status, const char *want)
{
    auto_call c = {.server = &test_server};
    auto_free char *have = NULL;

    assert_int_equal(mcp_begin(&c, h, body, strlen(body)), MCP_ANSWERED);
    have = c.answer ? json_text(c.answer) : NULL;
    if (c.status != status) fail_msg("%s: %u %s", body, c.status, have);
    if (want && *want == '~' ? !have || !strstr(have, want + 1) : !str_eq(have, want))
        fail_msg("%s:\n%s\nis not\n%s", body, have, want);
}

static void modern(const char *method, const char *name, const char *body, unsigned status, const char *want)
{
    const struct mcp_headers h = {
        .content_type = JSON, .accept = BOTH, .version = MCP_VERSION, .method = method, .name = name};

    check(&h, body, status, want);
}

static void a_modern_server_is_discovered(void **state)
{
    (void)state;
    modern("server/discover", NULL, MODERN("server/discover", ""), 200,
           "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{"
           "\"tools\":{}"
           ",\"prompts\":{},\"resources\":{\"subscribe\":true,\"listChanged\":true}},\"instructions\":\"Try.\","
           "\"resultType\":\"complete\",\"ttlMs\":3600000,\"cacheScope\":\"public\"," SERVER "}}");
}

static void a_handshake_is_made(void **state)
{
    static const char *const asked[][2] = {{"2025-11-25", "2025-11-25"},
                                           {"2025-06-18", "2025-06-18"},
                                           {"2026-07-28", "2025-11-25"},
                                           {"1999", "2025-11-25"}};
    static const struct mcp_headers later = {.content_type = JSON, .version = "2025-11-25"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        auto_free char *body =
            strf_new(LEGACY("initialize", ",\"params\":{\"protocolVersion\":\"%s\",\"capabilities\":{}}"), asked[i][0]);
        auto_free char *want = strf_new(
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{},"
            "\"prompts\":{},\"resources\":{}},\"serverInfo\":{\"name\":\"test\",\"version\":\"1\"},\"instructions\":"
            "\"Try.\"}}",
            asked[i][1]);

        check(&plain, body, 200, want);
        check(NULL, body, 200, want);
    }
    check(&later, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", 202, NULL);
    check(&later, LEGACY("ping", ""), 200, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}");
    check(&later, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 202, NULL);
    check(&later, LEGACY("server/discover", ""), 200, "~-32601");
    check(&later, LEGACY("initialize", ""), 200, "~-32602");
}

static void what_is_no_request_is_refused(void **state)
{
    static const struct {
        const char *body;
        unsigned status;
        const char *want;
    } table[] = {
        {"", 400, "~-32700"},
        {"{", 400, "~-32700"},
        {"{\"a\":1,\"a\":2}", 400, "~-32700"},
        {"[]", 400, "~-32600"},
        {"[" LEGACY("ping", "") "]", 400, "~batches"},
        {"1", 400, "~-32700"},
        {"{}", 400, "~-32600"},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", 400, "~\"id\":1,\"error\":{\"code\":-32600"},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", 400,
         "~{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", 400, "~-32600"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", 400, "~-32600"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", 400, "~-32600"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}", 400, "~-32602"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}", 200, "~-32601"},
    };
    static const struct mcp_headers text = {.content_type = "text/plain", .accept = BOTH},
                                    html = {.content_type = JSON, .accept = "text/html"},
                                    stream = {.content_type = JSON, .accept = "text/event-stream"},
                                    old = {.content_type = JSON, .version = "2025-03-26"},
                                    modern_one = {.content_type = JSON, .version = MCP_VERSION};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        check(&plain, table[i].body, table[i].status, table[i].want);
        check(NULL, table[i].body, table[i].status, table[i].want);
    }
    check(&text, LEGACY("ping", ""), 415, "~-32600");
    check(&html, LEGACY("ping", ""), 406, "~-32600");
    check(&stream, LEGACY("ping", ""), 406, "~-32600");
    check(&old, LEGACY("ping", ""), 400, "~\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"2025-03-26\"}");
    check(&old, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}", 400, "~-32022");
    check(&modern_one, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}", 202, NULL);
    check(&modern_one, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 400, "~-32600");
}

static void envelopes_and_headers_must_agree(void **state)
{
    static const char other[] =
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\",\"params\":{" META("2099-01-01") "}}";
    struct mcp_headers h = {.content_type = JSON, .accept = BOTH, .version = MCP_VERSION};

    (void)state;
    check(&plain, MODERN("tools/list", ""), 400, "~-32020"); /* no header at all */
    check(NULL, MODERN("server/discover", ""), 200, "~\"result\"");
    check(&h, MODERN("tools/list", ""), 400, "~Mcp-Method");
    h.method = "tools/call";
    check(&h, MODERN("tools/list", ""), 400, "~Mcp-Method");
    check(&h, MODERN("tools/call", "\"name\":\"echo\","), 400, "~Mcp-Name");
    h.name = "fails";
    check(&h, MODERN("tools/call", "\"name\":\"echo\","), 400, "~Mcp-Name");
    h.name = "=?base64?ZWNobw==?=";
    check(&h, MODERN("tools/call", "\"name\":\"echo\","), 200, "~\"isError\":false");
    check(&h, MODERN("tools/call", ""), 200, "~-32602");
    check(&h, LEGACY("tools/list", ""), 400, "~-32602"); /* the header says modern, the body lacks its envelope */
    check(&h, LEGACY("tools/list", ",\"params\":{\"_meta\":{\"" KEY_VERSION "\":1}}"), 400, "~" KEY_VERSION);
    check(&h, LEGACY("tools/list", ",\"params\":{\"_meta\":{\"" KEY_VERSION "\":\"" MCP_VERSION "\"}}"), 400,
          "~" KEY_CAPABILITIES);
    check(&h, other, 400, "~-32020");
    check(NULL, other, 400, "~\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"2099-01-01\"}");
    h.version = "2099-01-01";
    check(&h, other, 400, "~-32022");
}

static void modern_requests_have_no_old_methods(void **state)
{
    static const char *const gone[] = {"initialize", "ping", "logging/setLevel", "resources/subscribe",
                                       "completion/complete"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        auto_free char *body =
            strf_new("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{\"protocolVersion\":\"x\"," META(
                         MCP_VERSION) "}}",
                     gone[i]);

        modern(gone[i], NULL, body, 404, "~-32601");
    }
}

static void tools_are_listed_and_called(void **state)
{
    static const char tool[] =
        "{\"name\":\"echo\",\"title\":\"Echo\",\"description\":\"Gives back.\",\"inputSchema\":{\"type\":\"object\"},"
        "\"annotations\":{\"readOnlyHint\":true,\"destructiveHint\":false,\"idempotentHint\":false,\"openWorldHint\":"
        "false},"
        "\"outputSchema\":{\"type\":\"object\"}}";
    auto_free char *want = strf_new("~\"result\":{\"tools\":[%s", tool);

    (void)state;
    modern("tools/list", NULL, MODERN("tools/list", ""), 200, want);
    check(&plain, LEGACY("tools/list", ""), 200, want);
    check(&plain, LEGACY("tools/call", ",\"params\":{\"name\":\"echo\",\"arguments\":{\"x\":1}}"), 200,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"arguments\\\":"
          "{\\\"x\\\":1}}\"},"
          "{\"type\":\"text\",\"text\":\"note\"}],\"structuredContent\":{\"arguments\":{\"x\":1}},\"isError\":false}}");
    modern("tools/call", "echo", MODERN("tools/call", "\"name\":\"echo\","), 200,
           "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"arguments\\\":{}}"
           "\"}],"
           "\"structuredContent\":{\"arguments\":{}},\"isError\":false,\"resultType\":\"complete\"," SERVER "}}");
    modern("tools/call", "fails", MODERN("tools/call", "\"name\":\"fails\","), 200,
           "~\"content\":[{\"type\":\"text\",\"text\":\"it fails\"}],\"isError\":true");
    modern("tools/call", "no", MODERN("tools/call", "\"name\":\"no\","), 200,
           "~\"code\":-32602,\"message\":\"Unknown tool");
    modern("tools/call", "echo", MODERN("tools/call", "\"name\":\"echo\",\"arguments\":[],"), 200, "~-32602");
}

static void lists_come_in_pages(void **state)
{
    static const char *const bad[] = {"\"\"", "\"after-0\"", "\"after-251\"", "\"x\"", "1", "null", "\"after-1 \""};
    char cursor[32] = "";
    size_t seen = 0, pages = 0;

    (void)state;
    do {
        auto_free char *body = strf_new(LEGACY("resources/list", ",\"params\":{%s%s%s}"),
                                        *cursor ? "\"cursor\":\"" : "", cursor, *cursor ? "\"" : "");
        auto_call c = {.server = &test_server};
        const json_t *result;
        const char *next;

        assert_int_equal(mcp_begin(&c, &plain, body, strlen(body)), MCP_ANSWERED);
        result = json_object_get(c.answer, "result");
        next = json_string_value(json_object_get(result, "nextCursor"));
        seen += json_array_size(json_object_get(result, "resources"));
        assert_true(strf(cursor, sizeof(cursor), "%s", next ? next : "") >= 0);
        assert_true(++pages < 9);
    } while (*cursor);
    assert_int_equal(seen, TEST_RESOURCES);
    assert_int_equal(pages, 3);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        auto_free char *body = strf_new(LEGACY("resources/list", ",\"params\":{\"cursor\":%s}"), bad[i]);

        check(&plain, body, 200, "~-32602");
    }
}

static void resources_and_prompts_are_read(void **state)
{
    (void)state;
    modern(
        "resources/read", "test://first", MODERN("resources/read", "\"uri\":\"test://first\","), 200,
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"contents\":[{\"uri\":\"test://first\",\"mimeType\":\"text/plain\","
        "\"text\":\"first\"}],\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"," SERVER "}}");
    modern("resources/read", "test://no", MODERN("resources/read", "\"uri\":\"test://no\","), 200,
           "~\"code\":-32602,\"message\":\"Resource not found: see resources/list\",\"data\":{\"uri\":\"test://no\"}");
    check(&plain, LEGACY("resources/read", ",\"params\":{\"uri\":\"test://no\"}"), 200, "~-32002");
    check(&plain, LEGACY("resources/read", ",\"params\":{}"), 200, "~-32602");
    check(&plain, LEGACY("resources/templates/list", ""), 200,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"resourceTemplates\":[{\"uriTemplate\":\"test://"
          "{x}\",\"name\":\"x\","
          "\"title\":\"X\",\"description\":\"An x.\",\"mimeType\":\"text/plain\"}]}}");
    check(&plain, LEGACY("prompts/list", ""), 200,
          "~{\"prompts\":[{\"name\":\"hello\",\"title\":\"Hello\",\"description\":\"Greets.\",\"arguments\":[{\"name\":"
          "\"who\","
          "\"description\":\"Whom\",\"required\":true},{\"name\":\"how\",\"description\":\"How\",\"required\":false}]}]"
          "}");
    check(&plain, LEGACY("prompts/get", ",\"params\":{\"name\":\"hello\",\"arguments\":{\"who\":\"you\"}}"), 200,
          "~\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"hello you\"}}]");
    check(&plain, LEGACY("prompts/get", ",\"params\":{\"name\":\"hello\"}"), 200, "~argument 'who'");
    check(&plain, LEGACY("prompts/get", ",\"params\":{\"name\":\"hello\",\"arguments\":{\"who\":1}}"), 200, "~-32602");
    check(&plain, LEGACY("prompts/get", ",\"params\":{\"name\":\"no\"}"), 200, "~Unknown prompt");
}

static void completed(struct mcp_call *c)
{
    *(bool *)c->arg = true;
}

static void a_slow_call_completes_or_is_cancelled(void **state)
{
    static const char body[] = LEGACY("tools/call", ",\"params\":{\"name\":\"waits\"}");
    bool done = false;

    (void)state;
    for (int cancel = 0; cancel < 2; cancel++) {
        struct mcp_call c = {.server = &test_server, .complete = completed, .arg = &done};

        test_was_cancelled = done = false;
        assert_int_equal(mcp_begin(&c, &plain, body, strlen(body)), MCP_WAITING);
        if (!cancel) {
            (void)mcp_tool_failed(&c, "late");
            mcp_complete(&c);
            assert_int_equal(c.status, 200);
        }
        mcp_call_done(&c);
        assert_int_equal(done, !cancel);
        assert_int_equal(test_was_cancelled, cancel);
    }
}

static void progress_is_told_to_who_asks_for_it(void **state)
{
    static const struct mcp_headers one = {.content_type = JSON, .accept = JSON};
    static const struct {
        const struct mcp_headers *headers;
        const char *tool, *meta, *token; /* NULL: it is not told */
    } table[] = {
        {&plain, "waits", "{\"progressToken\":\"p\"}", "\"p\""},
        {&plain, "waits", "{\"progressToken\":3}", "3"},
        {NULL, "waits", "{\"progressToken\":3}", "3"},
        {&one, "waits", "{\"progressToken\":3}", NULL}, /* it takes no stream */
        {&plain, "waits", "{\"progressToken\":{}}", NULL},
        {&plain, "waits", "{}", NULL},
        {&plain, "echo", "{\"progressToken\":3}", NULL}, /* it does not wait */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_call c = {.server = &test_server};
        auto_free char *body =
            strf_new(LEGACY("tools/call", ",\"params\":{\"name\":\"%s\",\"_meta\":%s}"), table[i].tool, table[i].meta);

        (void)mcp_begin(&c, table[i].headers, body, strlen(body));
        if (c.progress != (table[i].token != NULL)) fail_msg("%s", body);
        for (int n = 1; c.progress && n < 3; n++) {
            json_auto_t *j = mcp_progress(&c, "half way");
            auto_free char *have = json_text(j), *want = NULL;

            want = strf_new("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                            "\"progressToken\":%s,\"progress\":%d,\"message\":\"half way\"}}",
                            table[i].token, n);
            assert_string_equal(have, want);
        }
    }
}

static void assert_next(struct mcp_call *c, const char *want)
{
    json_auto_t *j = mcp_listen_next(c);
    auto_free char *text = j ? json_text(j) : NULL;

    if (!str_eq(text, want)) fail_msg("%s\nis not\n%s", text, want);
}

#define SUBSCRIPTION "\"_meta\":{\"" KEY_SUBSCRIPTION "\":7}"
static void changes_are_told_once(void **state)
{
    static const char body[] = MODERN(
        "subscriptions/listen", "\"notifications\":{\"resourcesListChanged\":true,\"toolsListChanged\":true,"
                                "\"resourceSubscriptions\":[\"test://a\",\"other://b\",\"test://a\",\"test://c\"]},");
    static const struct mcp_headers h = {
        .content_type = JSON, .accept = "text/event-stream", .version = MCP_VERSION, .method = "subscriptions/listen"};
    static const char updated[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":"
                                  "{" SUBSCRIPTION ",\"uri\":\"test://c\"}}";
    auto_call c = {.server = &test_server};
    json_auto_t *end = NULL;
    auto_free char *text = NULL;

    (void)state;
    assert_int_equal(mcp_begin(&c, &h, body, strlen(body)), MCP_LISTENING);
    assert_next(
        &c,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{" SUBSCRIPTION
        ",\"notifications\":{\"resourcesListChanged\":true,\"resourceSubscriptions\":[\"test://a\",\"test://c\"]}}}");
    assert_next(&c, NULL);
    assert_false(mcp_resource_changed(&c, "other://b"));
    assert_true(mcp_resource_changed(&c, "test://c"));
    assert_true(mcp_resource_changed(&c, "test://c"));
    assert_true(mcp_resources_changed(&c));
    assert_next(&c, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/list_changed\",\"params\":{" SUBSCRIPTION
                    "}}");
    assert_next(&c, updated);
    assert_next(&c, NULL);
    end = mcp_listen_end(&c);
    text = json_text(end);
    assert_string_equal(text,
                        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"resultType\":\"complete\"," SUBSCRIPTION "}}");
}

static void bad_subscriptions_are_refused(void **state)
{
    static const char *const bad[] = {"", "\"notifications\":[],", "\"notifications\":{\"resourceSubscriptions\":1},",
                                      "\"notifications\":{\"resourceSubscriptions\":[1]},"};
    struct mcp_headers h = {
        .content_type = JSON, .accept = JSON, .version = MCP_VERSION, .method = "subscriptions/listen"};
    auto_strbuf many = {0};

    (void)state;
    check(&h, MODERN("subscriptions/listen", "\"notifications\":{},"), 406, "~-32600");
    h.accept = BOTH;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        auto_free char *body = strf_new(
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"subscriptions/listen\",\"params\":{%s" META(MCP_VERSION) "}}",
            bad[i]);

        check(&h, body, 200, "~-32602");
    }
    strbuf_adds(&many, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"subscriptions/listen\",\"params\":{" META(
                           MCP_VERSION) ",\"notifications\":{\"resourceSubscriptions\":[\"test://\"");
    for (int i = 0; i < MCP_LISTEN_MAX; i++)
        strbuf_addf(&many, ",\"test://%d\"", i);
    strbuf_adds(&many, "]}}}");
    check(&h, many.data, 200, "~too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_modern_server_is_discovered),
        cmocka_unit_test(a_handshake_is_made),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(envelopes_and_headers_must_agree),
        cmocka_unit_test(modern_requests_have_no_old_methods),
        cmocka_unit_test(tools_are_listed_and_called),
        cmocka_unit_test(lists_come_in_pages),
        cmocka_unit_test(resources_and_prompts_are_read),
        cmocka_unit_test(a_slow_call_completes_or_is_cancelled),
        cmocka_unit_test(progress_is_told_to_who_asks_for_it),
        cmocka_unit_test(changes_are_told_once),
        cmocka_unit_test(bad_subscriptions_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
