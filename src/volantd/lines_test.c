/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/lines.h"

#include <string.h>

#include "base/unit.h"
#include "model/guest.h"

static void guest_lines_are_written_anew(void **state)
{
    auto_strbuf b = {0};
    static const char good[] =
        "{\"stream\":\"stderr\",\"line\":\"a \\\"b\\\"\\n\",\"timestamp\":\"2026-01-02T03:04:05Z\"}";
    static const char forged[] = "{\"stream\":\"stdout\",\"name\":\"other\",\"line\":\"x\",\"timestamp\":\"t\"}";

    (void)state;
    assert_int_equal(lines_add_guest(&b, "web", good, strlen(good)), 0);
    assert_int_equal(lines_add_guest(&b, "web", forged, strlen(forged)), 0);
    assert_string_equal(b.data, "{\"name\":\"web\",\"stream\":\"stderr\",\"line\":\"a \\\"b\\\"\\n\",\"timestamp\":"
                                "\"2026-01-02T03:04:05Z\"}\n"
                                "{\"name\":\"web\",\"stream\":\"stdout\",\"line\":\"x\",\"timestamp\":\"t\"}\n");
}

static void what_is_no_line_is_left_out(void **state)
{
    static const char *const bad[] = {"", "{", "[]", "null", "{\"line\":1}", "hello", "{\"stream\":[]}"};
    auto_strbuf b = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(lines_add_guest(&b, "web", bad[i], strlen(bad[i])) < 0);
    assert_int_equal(b.len, 0);
}

#define LINE(text) "{\"name\":\"w\",\"stream\":\"console\",\"line\":\"" text "\",\"timestamp\":\"\"}\n"

static void console_output_becomes_lines(void **state)
{
    static const struct {
        const char *text;
        int64_t tail;
        const char *lines;
    } table[] = {
        {"", -1, ""},
        {"", 5, ""},
        {"a\nb\n", -1, LINE("a") LINE("b")},
        {"a\r\r\nb", -1, LINE("a") LINE("b")},
        {"a\nb\nc\n", 2, LINE("b") LINE("c")},
        {"a\nb\nc", 2, LINE("b") LINE("c")},
        {"a\nb\n", 2, LINE("a") LINE("b")},
        {"a\nb\n", 9, LINE("a") LINE("b")},
        {"a\nb\n", 0, ""},
        {"a\nb\n", 1, LINE("b")},
        {"\n", 1, LINE("")},
        {"\n\n", -1, LINE("") LINE("")},
        {"a\n\n", 1, LINE("")},
        {"\x1b[1m\"\n", -1, LINE("\\u001b[1m\\\"")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_strbuf b = {0};

        lines_add_console(&b, "w", table[i].text, strlen(table[i].text), table[i].tail);
        assert_string_equal(b.data ? b.data : "", table[i].lines);
    }
}

static void long_lines_are_cut(void **state)
{
    auto_free char *text = malloc(LOG_LINE_MAX + 100);
    auto_strbuf b = {0};

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LOG_LINE_MAX + 100);
    lines_add_console(&b, "w", text, LOG_LINE_MAX + 100, -1);
    assert_int_equal(b.len, strlen(LINE("")) + LOG_LINE_MAX);
}

static void the_end(void **state)
{
    auto_strbuf b = {0};

    (void)state;
    lines_add_end(&b, "web", NULL);
    assert_int_equal(b.len, 0);
    lines_add_end(&b, "web", json_pack("{s:i}", "exit_code", 7));
    assert_string_equal(b.data, "{\"name\":\"web\",\"stream\":\"volantd\",\"line\":\"\",\"timestamp\":\"\","
                                "\"vm\":{\"exit_code\":7}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guest_lines_are_written_anew),
        cmocka_unit_test(what_is_no_line_is_left_out),
        cmocka_unit_test(console_output_becomes_lines),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
