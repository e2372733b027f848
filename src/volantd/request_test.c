/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/request.h"

#include <string.h>

#include "base/unit.h"

#define auto_req auto_(api_req_done) struct api_req

static void escapes_are_decoded(void **state)
{
    static const struct {
        const char *in, *path, *query;
    } good[] = {
        {"abc", "abc", "abc"},  {"", "", ""},      {"a%20b", "a b", "a b"}, {"a+b", "a+b", "a b"},
        {"%2f%2F", "//", "//"}, {"%25", "%", "%"}, {"%c3%a4", "ä", "ä"},    {"%2B", "+", "+"},
    };
    static const char *const bad[] = {"%", "%1", "a%", "%zz", "%0g", "%00", "a%00b", "%-1", "% 1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        auto_free char *path = NULL, *query = NULL;

        assert_int_equal(api_percent_decode(good[i].in, strlen(good[i].in), false, &path), 0);
        assert_int_equal(api_percent_decode(good[i].in, strlen(good[i].in), true, &query), 0);
        assert_string_equal(path, good[i].path);
        assert_string_equal(query, good[i].query);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char untouched[] = "untouched", *ret = untouched;

        assert_int_equal(api_percent_decode(bad[i], strlen(bad[i]), false, &ret), -EINVAL);
        assert_ptr_equal(ret, untouched);
    }
}

static void queries_are_taken_apart(void **state)
{
    auto_req req = {0};

    (void)state;
    assert_int_equal(api_req_init(&req, "GET", "/a/b?x=1&&y=a%26b&z&x=2&=e&w=a=b", NULL), 0);
    assert_string_equal(req.path, "/a/b");
    assert_string_equal(api_query(&req, "x"), "1");
    assert_string_equal(api_query(&req, "y"), "a&b");
    assert_string_equal(api_query(&req, "z"), "");
    assert_string_equal(api_query(&req, "w"), "a=b");
    assert_null(api_query(&req, "v"));
    assert_int_equal(req.n_pairs, 6);
}

static void bad_queries_are_refused(void **state)
{
    auto_strbuf many = {0};
    struct vl_error err;

    (void)state;
    strbuf_adds(&many, "/?");
    for (int i = 0; i <= API_QUERY_MAX; i++)
        strbuf_adds(&many, "a=1&");
    for (int i = 0; i < 3; i++) {
        auto_req req = {0};

        err = (struct vl_error){0};
        assert_int_equal(api_req_init(&req, "GET", i == 0 ? "/?a=%zz" : i == 1 ? "/?%=1" : many.data, &err), -EINVAL);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, "the query has"));
    }
}

static void parameters_are_checked(void **state)
{
    static const char *const bad_numbers[] = {"0", "29", "-1", "x", "", "1.5", "99999999999999999999"};
    static const char *const bad_switches[] = {"yes", "", "2", "TRUE"};
    uint64_t n = 25;
    bool on = false;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_numbers) + ARRAY_LEN(bad_switches); i++) {
        bool number = i < ARRAY_LEN(bad_numbers);
        auto_free char *target = strf_new("/?p=%s", number ? bad_numbers[i] : bad_switches[i - ARRAY_LEN(bad_numbers)]);
        auto_req req = {0};
        struct vl_error err = {0};

        assert_int_equal(api_req_init(&req, "GET", target, &err), 0);
        assert_int_equal(number ? api_query_u64(&req, "p", 1, 28, &n, &err) : api_query_bool(&req, "p", &on, &err),
                         -EINVAL);
        assert_non_null(strstr(err.msg, "parameter 'p' is "));
        assert_int_equal(n, 25);
        assert_false(on);
    }
}

static void errors_have_their_status(void **state)
{
    static const struct {
        enum vl_kind kind;
        unsigned status;
    } table[] = {
        {VL_INVALID, 400},  {VL_NOT_FOUND, 404},   {VL_CONFLICT, 409}, {VL_TOO_LARGE, 413},
        {VL_NO_SPACE, 507}, {VL_UNAVAILABLE, 503}, {VL_INTERNAL, 500},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_req req = {.method = "GET"};
        struct vl_error err = {.kind = table[i].kind, .msg = "a \"quoted\" text\n"};

        api_fail(&req, &err);
        assert_int_equal(req.reply.status, table[i].status);
        assert_string_equal(req.reply.body, "{\"error\":\"a \\\"quoted\\\" text\\n\"}");
        assert_int_equal(req.reply.headers.len, table[i].status == 503 ? 1 : 0);
    }
}

/* Over TCP anybody of this host may ask. */
static void internal_details_stay_here(void **state)
{
    auto_req req = {.method = "GET", .peer.tcp = true};
    struct vl_error err = {.kind = VL_INTERNAL, .msg = "open /secret: No such file"};

    (void)state;
    api_fail(&req, &err);
    assert_int_equal(req.reply.status, 500);
    assert_null(strstr(req.reply.body, "secret"));
}

static void warnings_are_safe_in_headers(void **state)
{
    char many[] = "'config.something' is unknown and ignored, as are its many friends";
    char *texts[] = {(char *)"plain", (char *)"line\r\nSet-Cookie: x=\x01\xff ä"};
    struct strv warnings = {.items = texts, .len = 2};
    auto_strv flood = {0};
    auto_req req = {0}, flooded = {0};
    size_t bytes = 0;

    (void)state;
    api_warn(&req, &warnings);
    assert_int_equal(req.reply.headers.len, 2);
    assert_string_equal(req.reply.headers.items[0], "Volant-Warning: plain");
    assert_string_equal(req.reply.headers.items[1], "Volant-Warning: line\\x0d\\x0aSet-Cookie: x=\\x01\\xff ä");
    for (int i = 0; i < 64; i++)
        assert_int_equal(strv_add(&flood, many), 0);
    api_warn(&flooded, &flood);
    for (size_t i = 0; i < flooded.reply.headers.len; i++)
        bytes += strlen(flooded.reply.headers.items[i]);
    assert_true(bytes < 1200);
    assert_non_null(strstr(flooded.reply.headers.items[flooded.reply.headers.len - 1], "more"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_decoded),          cmocka_unit_test(queries_are_taken_apart),
        cmocka_unit_test(bad_queries_are_refused),      cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(errors_have_their_status),     cmocka_unit_test(internal_details_stay_here),
        cmocka_unit_test(warnings_are_safe_in_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
