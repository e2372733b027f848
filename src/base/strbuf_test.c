/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "base/unit.h"

static void appends_and_consumes(void **state)
{
    auto_strbuf b = {0};

    (void)state;
    strbuf_add(&b, NULL, 0);
    strbuf_consume(&b, 1);
    assert_null(b.data);
    strbuf_adds(&b, "abc");
    strbuf_add(&b, "d\0e", 3);
    strbuf_addf(&b, "%d%s", 12, "");
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "abcd\0e12", 9);
    strbuf_consume(&b, 5);
    assert_string_equal(b.data, "e12");
    strbuf_consume(&b, 99);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
}

static void grows(void **state)
{
    auto_strbuf b = {0};

    (void)state;
    for (int i = 0; i < 10000; i++)
        strbuf_addf(&b, "%04d", i);
    assert_int_equal(b.len, 40000);
    assert_false(b.failed);
    assert_memory_equal(b.data + 39504, "9876", 4);
    assert_int_equal(strlen(b.data), 40000);
}

static int join(void *arg, const char *text, size_t n)
{
    assert_int_equal(strlen(text), n);
    strbuf_addf(arg, "<%s>", text);
    return str_eq(text, "stop") ? -EPIPE : 0;
}

static void whole_lines_are_handed_over(void **state)
{
    auto_strbuf b = {0}, got = {0};

    (void)state;
    assert_int_equal(strbuf_each_line(&b, join, &got), 0);
    strbuf_adds(&b, "one\n\ntw");
    assert_int_equal(strbuf_each_line(&b, join, &got), 0);
    assert_string_equal(got.data, "<one><>");
    assert_string_equal(b.data, "tw");
    strbuf_adds(&b, "o\nstop\nlater\n");
    assert_int_equal(strbuf_each_line(&b, join, &got), -EPIPE);
    assert_string_equal(got.data, "<one><><two><stop>");
    assert_string_equal(b.data, "later\n");
}

static void take_hands_over(void **state)
{
    struct strbuf b = {0};
    auto_free char *empty = strbuf_take(&b);
    auto_free char *text = NULL;

    (void)state;
    assert_string_equal(empty, "");
    strbuf_adds(&b, "x");
    text = strbuf_take(&b);
    assert_string_equal(text, "x");
    assert_true(!b.data && b.len == 0 && b.cap == 0);
}

static void failure_sticks_until_taken(void **state)
{
    struct strbuf b = {0};

    (void)state;
    strbuf_adds(&b, "x");
    strbuf_add(&b, "", SIZE_MAX - 1);
    assert_true(b.failed);
    strbuf_adds(&b, "y");
    assert_int_equal(b.len, 1);
    assert_null(strbuf_take(&b));
    assert_false(b.failed);
}

static void foreign_text_is_escaped(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *json, *printable;
    } table[] = {
        {"", 0, "\"\"", ""},
        {"plain", 5, "\"plain\"", "plain"},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\"", "a\"b\\c/"},
        {"\n\r\t\b\x1b\x7f", 6, "\"\\n\\r\\t\\u0008\\u001b\x7f\"", "\\x0a\\x0d\\x09\\x08\\x1b\\x7f"},
        {"a\0b", 3, "\"a\\ufffdb\"", "a\\x00b"},
        {"\xc3\xa9\xe2\x82\xac", 5, "\"\xc3\xa9\xe2\x82\xac\"", "\xc3\xa9\xe2\x82\xac"},
        {"x\xff\xfey", 4, "\"x\\ufffd\\ufffdy\"", "x\\xff\\xfey"},
        {"cut\xe2\x82", 5, "\"cut\\ufffd\\ufffd\"", "cut\\xe2\\x82"},
        {"\xc2\x9b"
         "2J",
         4,
         "\"\xc2\x9b"
         "2J\"",
         "\\xc2\\x9b2J"}, /* CSI as one character */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_strbuf json = {0};
        auto_strbuf printable = {0};

        strbuf_adds(&printable, ">");
        strbuf_add_json(&json, table[i].text, table[i].n);
        strbuf_add_printable(&printable, table[i].text, table[i].n);
        assert_string_equal(json.data, table[i].json);
        assert_string_equal(printable.data + 1, table[i].printable);
        assert_int_equal(printable.len, strlen(printable.data));
    }
}

static void vectors(void **state)
{
    auto_strv v = {0};

    (void)state;
    assert_int_equal(strv_add(&v, "a"), 0);
    assert_int_equal(strv_addf(&v, "%s=%d", "b", 2), 0);
    assert_int_equal(v.len, 2);
    assert_string_equal(v.items[0], "a");
    assert_string_equal(v.items[1], "b=2");
    assert_null(v.items[2]);
    strv_done(&v);
    assert_true(!v.items && v.len == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_consumes),
        cmocka_unit_test(grows),
        cmocka_unit_test(whole_lines_are_handed_over),
        cmocka_unit_test(take_hands_over),
        cmocka_unit_test(failure_sticks_until_taken),
        cmocka_unit_test(foreign_text_is_escaped),
        cmocka_unit_test(vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
