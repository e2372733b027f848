/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <string.h>

#include "base/unit.h"

static void strf_refuses_to_truncate(void **state)
{
    auto_free char *text = strf_new("%d-%s", 7, "x");
    char buf[4];

    (void)state;
    assert_int_equal(strf(buf, sizeof(buf), "%s", "abc"), 3);
    assert_string_equal(buf, "abc");
    assert_int_equal(strf(buf, sizeof(buf), "%s", "abcd"), -ENAMETOOLONG);
    assert_string_equal(text, "7-x");
}

static void numbers_are_parsed_strictly(void **state)
{
    static const struct {
        const char *text;
        uint64_t min, max, value;
        int r;
    } table[] = {
        {"0", 0, 10, 0, 0},
        {"10", 0, 10, 10, 0},
        {"007", 0, 10, 7, 0},
        {"18446744073709551615", 0, UINT64_MAX, UINT64_MAX, 0},
        {"18446744073709551616", 0, UINT64_MAX, 0, -ERANGE},
        {"99999999999999999999999", 0, UINT64_MAX, 0, -ERANGE},
        {"99999999999999999999999x", 0, UINT64_MAX, 0, -EINVAL},
        {"11", 0, 10, 0, -ERANGE},
        {"1", 2, 10, 0, -ERANGE},
        {"", 0, 10, 0, -EINVAL},
        {NULL, 0, 10, 0, -EINVAL},
        {"+1", 0, 10, 0, -EINVAL},
        {"-1", 0, UINT64_MAX, 0, -EINVAL},
        {" 1", 0, 10, 0, -EINVAL},
        {"1 ", 0, 10, 0, -EINVAL},
        {"0x1", 0, 10, 0, -EINVAL},
        {"1.0", 0, 10, 0, -EINVAL},
        {"a", 0, 10, 0, -EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t n = 4711;

        assert_int_equal(parse_u64(table[i].text, table[i].min, table[i].max, &n), table[i].r);
        assert_int_equal(n, table[i].r == 0 ? table[i].value : 4711);
    }
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } table[] = {{"1", 1},
                 {"500k", 512000},
                 {"500K", 512000},
                 {"64M", 64 << 20},
                 {"2G", 2ull << 30},
                 {"16T", 16ull << 40},
                 {"", 0},
                 {"0", 0},
                 {"0M", 0},
                 {"M", 0},
                 {"-1M", 0},
                 {"1.5G", 0},
                 {"1MB", 0},
                 {"1m", 0},
                 {" 1", 0},
                 {"16777216T", 0},
                 {"1 M", 0},
                 {"99999999999999999999999999999999", 0},
                 {"16777215T", 16777215ull << 40}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t n = 4711;

        assert_int_equal(parse_size(table[i].text, &n) == 0, table[i].bytes != 0);
        assert_int_equal(n, table[i].bytes ? table[i].bytes : 4711);
    }
}

static void hex_numbers(void **state)
{
    uint64_t n = 4711;

    (void)state;
    assert_int_equal(parse_hex_u64("0x1", &n), -EINVAL);
    assert_int_equal(parse_hex_u64("", &n), -EINVAL);
    assert_int_equal(parse_hex_u64("-1", &n), -EINVAL);
    assert_int_equal(parse_hex_u64("g", &n), -EINVAL);
    assert_int_equal(parse_hex_u64("10000000000000000", &n), -ERANGE);
    assert_int_equal(n, 4711);
    assert_int_equal(parse_hex_u64("ffffFFFFffffFFFF", &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(parse_hex_u64("1f", &n), 0);
    assert_int_equal(n, 31);
}

static void ipv4_addresses(void **state)
{
    static const char *const bad[] = {"",          "1.2.3",      "1.2.3.4.5", "1.2.3.256", "1.2.3.04", "01.2.3.4",
                                      " 1.2.3.4",  "1.2.3.4 ",   "1.2..4",    "1.2.3.",    ".1.2.3",   "1.2.3.-4",
                                      "0x1.2.3.4", "1.2.3.1000", "a.b.c.d",   "1.2.3.4/8"};
    static const char *const good[] = {"0.0.0.0", "255.255.255.255", "192.168.127.10", "10.0.0.1"};
    uint32_t addr = 4711;
    char buf[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse_ipv4(bad[i], &addr), -EINVAL);
        assert_int_equal(addr, 4711);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(parse_ipv4(good[i], &addr), 0);
        format_ipv4(addr, buf);
        assert_string_equal(buf, good[i]);
    }
    assert_int_equal(parse_ipv4("192.168.127.10", &addr), 0);
    assert_int_equal(addr, 0xc0a87f0a);
}

static void cidr_networks(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0.0",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.1/24",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/08",
                                      "/8",
                                      "10.0/8",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0 /8",
                                      "0.0.0.1/0",
                                      "1111111111111111111.0.0.0/8"};
    static const struct {
        const char *text;
        uint32_t net;
        unsigned prefix;
    } good[] = {{"192.168.127.0/24", 0xc0a87f00, 24}, {"0.0.0.0/0", 0, 0}, {"10.1.2.3/32", 0x0a010203, 32}};
    uint32_t net = 4711;
    unsigned prefix = 4711;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse_cidr(bad[i], &net, &prefix), -EINVAL);
        assert_int_equal(net, 4711);
        assert_int_equal(prefix, 4711);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(parse_cidr(good[i].text, &net, &prefix), 0);
        assert_int_equal(net, good[i].net);
        assert_int_equal(prefix, good[i].prefix);
    }
}

static void names(void **state)
{
    static const char *const good[] = {
        "a", "7", "web-1", "Web_2.x", "a.b.c", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const bad[] = {"",
                                      "-a",
                                      ".a",
                                      "_a",
                                      "a/b",
                                      "a b",
                                      "a..b",
                                      "a\n",
                                      "\xc3\xa4",
                                      "a:b",
                                      "..",
                                      "a\x7f",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_null(name_problem(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(name_problem(bad[i]));
    assert_non_null(name_problem(NULL));
}

static void comparisons(void **state)
{
    (void)state;
    assert_true(str_starts("abc", "ab") && str_starts("abc", "") && !str_starts("ab", "abc"));
    assert_true(str_ends("abc", "bc") && str_ends("abc", "") && !str_ends("bc", "abc") && !str_ends("abc", "ab"));
    assert_true(str_eq("a", "a") && str_eq(NULL, NULL) && !str_eq("a", NULL) && !str_eq(NULL, "a") &&
                !str_eq("a", "b"));
}

static void hex_bytes(void **state)
{
    static const char *const bad[] = {"", "00ff1", "00ff1g", "00ff1001", "0x00ff"};
    unsigned char bytes[3] = {9, 9, 9};
    char text[7];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(hex_decode(bad[i], bytes, 3), -EINVAL);
        assert_memory_equal(bytes, "\x09\x09\x09", 3);
    }
    assert_int_equal(hex_decode("00Ff1a", bytes, 3), 0);
    assert_memory_equal(bytes, "\x00\xff\x1a", 3);
    hex_encode(bytes, 3, text);
    assert_string_equal(text, "00ff1a");
}

static void random_bytes(void **state)
{
    char a[81], b[81];
    unsigned char bytes[40];

    (void)state;
    assert_int_equal(random_hex(a, 40), 0);
    assert_int_equal(random_hex(b, 40), 0);
    assert_int_equal(hex_decode(a, bytes, 40), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(random_hex(a, 0), 0);
    assert_string_equal(a, "");
}

static void utf8_is_checked(void **state)
{
    static const struct {
        const char *text;
        size_t valid;
    } table[] = {
        {"", 0},
        {"abc", 3},
        {"a\xc3\xa9z", 4},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x90\xa6", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"ab\xc3", 2},           /* cut */
        {"ab\xe2\x82", 2},       /* cut */
        {"a\xf0\x9f\x90", 1},    /* cut */
        {"\x80", 0},             /* no lead */
        {"\xc0\xaf", 0},         /* overlong */
        {"\xc1\xbf", 0},         /* overlong */
        {"\xe0\x80\xaf", 0},     /* overlong */
        {"\xf0\x80\x80\xaf", 0}, /* overlong */
        {"\xed\xa0\x80", 0},     /* surrogate */
        {"\xf4\x90\x80\x80", 0}, /* past U+10FFFF */
        {"\xf5\x80\x80\x80", 0}, /* no such lead */
        {"x\xe2(\xa1", 1},       /* broken inside */
        {"x\xe2\x82(", 1},       /* broken inside */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        /* exact-size copies, so that ASan sees a read past the end */
        size_t len = strlen(table[i].text);
        auto_free char *copy = malloc(len + 1);

        assert_non_null(copy);
        copy = realloc(memcpy(copy, table[i].text, len + 1), len ? len : 1);
        assert_int_equal(utf8_prefix(copy, len), table[i].valid);
    }
}

static void utf8_cut_ends_with_the_string(void **state)
{
    auto_free char *exact = strdup("ab\xc3\xa9"); /* not a byte behind it is anybody's */

    (void)state;
    assert_non_null(exact);
    assert_int_equal(utf8_cut(exact, 140), 4);
    assert_int_equal(utf8_cut(exact, 3), 2);
    assert_int_equal(utf8_cut(exact, 0), 0);
}

static void escaping_stops_where_it_no_longer_fits(void **state)
{
    static const struct {
        size_t size;
        const char *out;
        size_t used;
    } table[] = {{1, "", 0},
                 {2, "a", 1},
                 {5, "a", 1},
                 {6, "a\\x1b", 2},
                 {7, "a\\x1b", 2},
                 {8, "a\\x1b\xc3\xa9", 4},
                 {9, "a\\x1b\xc3\xa9z", 5},
                 {99, "a\\x1b\xc3\xa9z", 5}};
    char buf[99];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_int_equal(escape_printable(buf, table[i].size, "a\x1b\xc3\xa9z", 5), table[i].used);
        assert_string_equal(buf, table[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strf_refuses_to_truncate),
        cmocka_unit_test(numbers_are_parsed_strictly),
        cmocka_unit_test(sizes),
        cmocka_unit_test(hex_numbers),
        cmocka_unit_test(ipv4_addresses),
        cmocka_unit_test(cidr_networks),
        cmocka_unit_test(names),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(hex_bytes),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(utf8_cut_ends_with_the_string),
        cmocka_unit_test(escaping_stops_where_it_no_longer_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
