/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/port.h"

#include <stdio.h>
#include <string.h>

#include "base/unit.h"

#define HEX_A  "00112233445566778899aabbccddeeff"
#define HEX_B  "ffeeddccbbaa99887766554433221100"
#define LINE_A "SYNC " HEX_A "\n"
#define LINE_B "SYNC " HEX_B "\n"

static const struct {
    const char *text;
    uint8_t first; /* of the nonce that counts; 1: none */
} lines[] = {
    {LINE_A, 0x00},
    {LINE_A LINE_B, 0xff},
    {LINE_A LINE_B "SYNC 0011", 0xff},
    {"SYNC 0011" LINE_B, 0xff},
    {"SYNC \nSYNC 00\n\n\n" LINE_A, 0x00},
    {LINE_A "SYNC nothing\n", 0x00},
    {"rubbish" LINE_A "more rubbish", 0x00},
    {"", 1},
    {"\n", 1},
    {"SYNC " HEX_A, 1},
    {"SYNC" HEX_A "\n", 1},
    {"sync " HEX_A "\n", 1},
    {"SYNC " HEX_A " \n", 1},
    {"SYNC 0011223344556677889xaabbccddeeff\n", 1},
    {"SYNC 00112233445566778899aabbccddee\n", 1},
};

/* Whatever the pieces, the last whole line counts, and is seen once. */
static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        size_t len = strlen(lines[i].text);

        for (size_t piece = 1; piece <= len + 1; piece++) {
            struct port_line p = {0};
            uint8_t nonce[PORT_NONCE] = {1};

            for (size_t at = 0; at < len; at += piece)
                (void)port_line_feed(&p, lines[i].text + at, len - at < piece ? len - at : piece, nonce);
            assert_int_equal(nonce[0], lines[i].first);
            assert_false(port_line_feed(&p, "x\n\n", 3, nonce));
        }
    }
}

static void test_line_round_trip(void **state)
{
    char line[PORT_SYNC_LINE + 1], other[PORT_SYNC_LINE + 1];
    uint8_t made[PORT_NONCE], found[PORT_NONCE];
    struct port_line p = {0};

    (void)state;
    assert_int_equal(port_line_make(line, made), 0);
    assert_int_equal(strlen(line), PORT_SYNC_LINE);
    assert_true(port_line_feed(&p, line, PORT_SYNC_LINE, found));
    assert_memory_equal(made, found, PORT_NONCE);
    assert_int_equal(port_line_make(other, made), 0);
    assert_string_not_equal(line, other);
}

/* The marker is found wherever it is cut, also behind its own beginning. */
static void test_search(void **state)
{
    static const char *const before[] = {
        "", "S", "SYNC", "SYNCSYNC", "SYNCabcdefghijklmno", "a long text before the marker comes"};
    const uint8_t *nonce = (const uint8_t *)"abcdefghijklmnop";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        char text[128];
        int len = snprintf(text, sizeof(text), "%sSYNC%.16sREST", before[i], (const char *)nonce);
        size_t end = (size_t)len - 4;

        for (size_t piece = 1; piece <= (size_t)len; piece++) {
            struct port_search p;
            size_t at = 0;
            ssize_t r = -ENOENT;

            port_search_begin(&p, nonce);
            for (; at < (size_t)len; at += piece) {
                r = port_search_feed(&p, text + at, (size_t)len - at < piece ? (size_t)len - at : piece);
                if (r >= 0) break;
                assert_int_equal(r, -ENOENT);
            }
            assert_true(r >= 0);
            assert_int_equal(at + (size_t)r, end);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_line_round_trip),
        cmocka_unit_test(test_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
