/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpio.h"

#include <string.h>
#include <sys/stat.h>

#include "base/unit.h"

struct entry {
    unsigned mode, links, size;
    const char *name, *data;
};

static unsigned field(const char *header, int index)
{
    char text[9] = "";
    uint64_t n = 0;

    memcpy(text, header + 6 + (ptrdiff_t)8 * index, 8);
    assert_int_equal(parse_hex_u64(text, &n), 0);
    return (unsigned)n;
}

/* Reads the entry at *at as the kernel does and moves on to the next. */
static struct entry next_entry(const struct strbuf *b, size_t *at)
{
    const char *header = b->data + *at;
    struct entry e = {
        .mode = field(header, 1), .links = field(header, 4), .size = field(header, 6), .name = header + 110};

    assert_int_equal(*at % 4, 0);
    assert_memory_equal(header, "070701", 6);
    assert_int_equal(field(header, 11), strlen(e.name) + 1);
    for (int i = 0; i < 13; i++)
        if (i != 1 && i != 4 && i != 6 && i != 11) assert_int_equal(field(header, i), 0);
    *at = (*at + 110 + strlen(e.name) + 1 + 3) / 4 * 4;
    e.data = b->data + *at;
    *at = (*at + e.size + 3) / 4 * 4;
    assert_true(*at <= b->len);
    return e;
}

static void entries_are_as_the_kernel_reads_them(void **state)
{
    static const char *const texts[] = {"", "a", "ab", "abc", "abcd", "abcde"};
    static const char *const names[] = {"n", "na", "nam", "name", "volant/config.json", "x/y"};
    auto_strbuf b = {0};
    struct entry e;
    size_t at = 0;

    (void)state;
    cpio_add_dir(&b, "volant", 0755);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        cpio_add_file(&b, names[i], 0600, texts[i], strlen(texts[i]));
    cpio_end(&b);
    assert_false(b.failed);
    assert_int_equal(b.len % 512, 0);
    e = next_entry(&b, &at);
    assert_int_equal(e.mode, S_IFDIR | 0755);
    assert_int_equal(e.size, 0);
    assert_string_equal(e.name, "volant");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        e = next_entry(&b, &at);
        assert_int_equal(e.mode, S_IFREG | 0600);
        assert_int_equal(e.links, 1);
        assert_string_equal(e.name, names[i]);
        assert_int_equal(e.size, strlen(texts[i]));
        assert_memory_equal(e.data, texts[i], e.size);
    }
    e = next_entry(&b, &at);
    assert_string_equal(e.name, "TRAILER!!!");
    for (; at < b.len; at++)
        assert_int_equal(b.data[at], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(entries_are_as_the_kernel_reads_them)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
