/* SPDX-License-Identifier: Apache-2.0 */
#include "fledge/ld_cache.h"

#include "fledge/testdir.h"

struct entry {
    int32_t flags;
    uint32_t name, path, os_version;
    uint64_t hwcap;
};

/* Texts begin behind the header (48 bytes) and the entries. */
static void put_cache(const struct entry *entries, size_t n, const char *texts, size_t texts_len, uint32_t claimed)
{
    auto_strbuf b = {0};
    uint32_t numbers[7] = {claimed, (uint32_t)texts_len};

    strbuf_adds(&b, "glibc-ld.so.cache1.1");
    strbuf_add(&b, numbers, sizeof(numbers));
    strbuf_add(&b, entries, n * sizeof(*entries));
    strbuf_add(&b, texts, texts_len);
    put_bytes("cache", b.data, b.len, 0644);
}

static void expect(const char *name, const char *path)
{
    struct ld_cache c = {0};

    assert_int_equal(ld_cache_load("cache", &c), 0);
    if (!str_eq(ld_cache_find(&c, name), path)) fail_msg("%s is '%s'", name, ld_cache_find(&c, name));
    ld_cache_done(&c);
}

static void test_find(void **state)
{
    static const char texts[] = "libx.so\0/lib/libx.so\0/v3/libx.so\0/i386/libx.so";
    const uint32_t at = 48 + 3 * sizeof(struct entry);
    const struct entry entries[] = {
        {0x0303, at, at + 21, 0, 1ULL << 62}, {0x0003, at, at + 34, 0, 0}, {0x0303, at, at + 8, 0, 0}};

    (void)state;
    put_cache(entries, 3, texts, sizeof(texts), 3);
    expect("libx.so", "/lib/libx.so");
    expect("liby.so", NULL);
    expect("", NULL);
}

static void test_broken(void **state)
{
    const struct entry out_of_bounds = {0x0303, UINT32_MAX, UINT32_MAX, 0, 0},
                       at_the_end = {0x0303, 48 + 24, 48 + 24, 0, 0};

    (void)state;
    put_cache(&out_of_bounds, 1, "libx.so", 7, 1);
    expect("libx.so", NULL);
    put_cache(&at_the_end, 1, "libx.so", 7, 1); /* without its NUL */
    expect("libx.so", "libx.so");
    put_cache(&at_the_end, 1, "libx.so", 8, UINT32_MAX);
    expect("libx.so", NULL);
    put_file("cache", "ld.so-1.7.0", 0644);
    expect("libx.so", NULL);
    put_file("cache", "", 0644);
    expect("libx.so", NULL);
    assert_int_equal(unlink("cache"), 0);
    expect("libx.so", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, testdir_enter, testdir_leave),
        cmocka_unit_test_setup_teardown(test_broken, testdir_enter, testdir_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
