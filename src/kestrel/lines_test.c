/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/lines.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

static void collect(void *arg, const char *line, size_t n)
{
    struct strbuf *b = arg;

    strbuf_addf(b, "%zu:", n);
    strbuf_add(b, line, n < 40 ? n : 40);
    strbuf_adds(b, "|");
}

static void test_lines_are_cut(void **state)
{
    static const struct {
        const char *chunks[6], *expected;
    } table[] = {
        {{"a\nb\n"}, "1:a|1:b|"},
        {{"\n\n"}, "0:|0:|"},
        {{"a", "b\n", "c"}, "2:ab|1:c|"},
        {{"a", "\n", "\n"}, "1:a|0:|"},
        {{"one\ntw", "o\nthree\nfo", "ur"}, "3:one|3:two|5:three|4:four|"},
        {{"no end"}, "6:no end|"},
        {{""}, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_strbuf got = {0};
        struct splitter s = {.line = collect, .arg = &got};

        for (const char *const *c = table[i].chunks; *c; c++)
            splitter_feed(&s, *c, strlen(*c));
        splitter_end(&s);
        splitter_end(&s);
        assert_string_equal(got.data ? got.data : "", table[i].expected);
    }
}

static void test_long_lines_come_in_pieces(void **state)
{
    static const size_t chunk_sizes[] = {1, 1000, LOG_LINE_MAX, 3UL * LOG_LINE_MAX};
    static char text[2 * LOG_LINE_MAX + 11];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[2 * LOG_LINE_MAX + 10] = '\n';
    for (size_t i = 0; i < ARRAY_LEN(chunk_sizes); i++) {
        static struct splitter s;
        auto_strbuf got = {0};
        size_t n = sizeof(text);

        s = (struct splitter){.line = collect, .arg = &got};
        for (const char *at = text; n > 0;) {
            size_t chunk = n < chunk_sizes[i] ? n : chunk_sizes[i];

            splitter_feed(&s, at, chunk);
            at += chunk;
            n -= chunk;
        }
        assert_true(str_starts(got.data, "16384:xxx"));
        assert_non_null(strstr(got.data, "|10:xxxxxxxxxx|"));
        assert_int_equal(s.len, 0);
    }
}

static void test_characters_are_not_cut(void **state)
{
    static const char end[] = "\xc3\xa4y";
    static char text[LOG_LINE_MAX + 4];
    static struct splitter s;
    auto_strbuf got = {0};

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + LOG_LINE_MAX - 1, end, sizeof(end));
    s = (struct splitter){.line = collect, .arg = &got};
    splitter_feed(&s, text, LOG_LINE_MAX + 2);
    splitter_end(&s);
    assert_true(str_starts(got.data, "16383:"));
    assert_non_null(strstr(got.data, "|3:\xc3\xa4y|"));
}

static void test_foreign_bytes_are_replaced(void **state)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
        size_t room, taken;
    } table[] = {
        {"plain", 5, "plain", 64, 5},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 64, 9},
        {"a\xff"
         "b",
         3,
         "a\xef\xbf\xbd"
         "b",
         64, 3},
        {"a\0b", 3,
         "a\xef\xbf\xbd"
         "b",
         64, 3},
        {"\xc3", 1, "\xef\xbf\xbd", 64, 1},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 64, 3}, /* a surrogate */
        {"\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd", 64, 2},                 /* overlong */
        {"\xff\xff", 2, "\xef\xbf\xbd", 5, 1},
        {"ab\xf0\x9f\x98\x80", 6, "ab", 4, 2},
        {"", 0, "", 4, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t taken = 99;
        char buf[64];
        size_t n = line_clean(table[i].in, table[i].n, buf, table[i].room, &taken);

        assert_int_equal(n, strlen(table[i].out));
        assert_memory_equal(buf, table[i].out, n);
        assert_int_equal(taken, table[i].taken);
        assert_int_equal(utf8_prefix(buf, n), n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_cut),
        cmocka_unit_test(test_long_lines_come_in_pieces),
        cmocka_unit_test(test_characters_are_not_cut),
        cmocka_unit_test(test_foreign_bytes_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
