/* SPDX-License-Identifier: Apache-2.0 */
#include "artifact/testdir.h"

#include <zstd.h>

#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"

#define MAX ((uint64_t)64 << 20)

static const unsigned char CPIO[6] = {'0', '7', '0', '7', '0', '1'};

static struct testdir dir;

static int make(void **state)
{
    (void)state;
    testdir_make(&dir);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdir_remove(&dir);
    return 0;
}

/* As large as wished, and beginning like a cpio archive; compresses to almost nothing. */
static char *archive(size_t n)
{
    char *data = calloc(1, n);

    assert_non_null(data);
    for (size_t i = 0; i < n; i += 97)
        data[i] = (char)i;
    memcpy(data, CPIO, sizeof(CPIO));
    return data;
}

static size_t compress(const char *data, size_t n, char **ret)
{
    size_t size = ZSTD_compressBound(n);

    assert_non_null(*ret = malloc(size));
    size = ZSTD_compress(*ret, size, data, n, 3);
    assert_false(ZSTD_isError(size));
    return size;
}

static char *content(const char *path, size_t *ret_len)
{
    char *data = NULL;

    assert_int_equal(read_file_at(AT_FDCWD, path, 256 << 20, &data, ret_len), 0);
    return data;
}

static void zstd_is_unpacked_once(void **state)
{
    enum { SIZE = 3000000 };
    auto_free char *data = archive(SIZE), *packed = NULL, *path = NULL, *again = NULL, *unpacked = NULL;
    char hex[SHA256_HEX + 1], expected[160];
    size_t n = compress(data, SIZE, &packed), len;
    struct stat first, second;

    (void)state;
    testdir_put(&dir, packed, n, hex);
    if (artifact_boot_form(dir.a, hex, MAX, &path, &dir.err) < 0) fail_msg("%s", dir.err.msg);
    (void)snprintf(expected, sizeof(expected), "%s/boot/%s", dir.path, hex);
    assert_string_equal(path, expected);
    unpacked = content(path, &len);
    assert_int_equal(len, SIZE);
    assert_memory_equal(unpacked, data, SIZE);
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(first.st_mode & 07777, 0644);
    assert_int_equal(artifact_boot_form(dir.a, hex, MAX, &again, &dir.err), 0);
    assert_string_equal(again, expected);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
    assert_int_equal(artifact_remove(dir.a, hex, &dir.err), 0);
    assert_int_equal(testdir_entries(&dir, "boot") + testdir_entries(&dir, "sha256"), 0);
}

/* Frames one after the other are one archive, as `cat a.zst b.zst` makes it. */
static void frames_are_joined(void **state)
{
    enum { SIZE = 400000 };
    auto_free char *data = archive(SIZE), *packed = NULL, *twice = NULL, *path = NULL, *unpacked = NULL;
    size_t n = compress(data, SIZE, &packed), len;
    char hex[SHA256_HEX + 1];

    (void)state;
    assert_non_null(twice = malloc(2 * n));
    memcpy(twice, packed, n);
    memcpy(twice + n, packed, n);
    testdir_put(&dir, twice, 2 * n, hex);
    if (artifact_boot_form(dir.a, hex, MAX, &path, &dir.err) < 0) fail_msg("%s", dir.err.msg);
    unpacked = content(path, &len);
    assert_int_equal(len, 2 * SIZE);
    assert_memory_equal(unpacked + SIZE, data, SIZE);
}

static void what_the_kernel_unpacks_boots_as_it_is(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"070701and more", 14},
        {"070702and more", 14},
        {"\x1f\x8b\x08\0\0\0", 6},
        {"\x02\x21\x4c\x18\0\0", 6},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_free char *path = NULL;
        char hex[SHA256_HEX + 1], expected[160];

        testdir_put(&dir, cases[i].bytes, cases[i].n, hex);
        if (artifact_boot_form(dir.a, hex, 1, &path, &dir.err) < 0) fail_msg("%s", dir.err.msg);
        (void)snprintf(expected, sizeof(expected), "%s/sha256/%s", dir.path, hex);
        assert_string_equal(path, expected);
    }
    assert_int_equal(testdir_entries(&dir, "boot"), 0);
}

static void refused(const void *data, size_t n, uint64_t max, const char *part)
{
    char hex[SHA256_HEX + 1], *path = NULL;

    testdir_put(&dir, data, n, hex);
    fails_with(artifact_boot_form(dir.a, hex, max, &path, &dir.err), dir, VL_INVALID, part);
    assert_non_null(strstr(dir.err.msg, hex));
    assert_null(path);
    assert_int_equal(testdir_entries(&dir, "boot") + testdir_entries(&dir, "tmp"), 0);
}

static void no_archives_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"", 0},
        {"0", 1},
        {"07070", 5},
        {"070707 old cpio", 15},
        {"\x7f"
         "ELF\2\1\1",
         7},
        {"hsqs squashfs", 13},
        {"\xfd"
         "7zXZ\0",
         6}, /* vmlinux-generic has no xz */
        {"<html>not found</html>", 22},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_free char *packed = NULL;
        size_t n = compress(cases[i].bytes, cases[i].n, &packed);

        refused(cases[i].bytes, cases[i].n, MAX, "is no initramfs archive");
        refused(packed, n, MAX, "is no initramfs archive");
    }
}

/* Cut anywhere it is refused, and nothing of it stays. */
static void a_truncated_frame_is_refused(void **state)
{
    enum { SIZE = 500000 };
    auto_free char *data = archive(SIZE), *packed = NULL;
    size_t n = compress(data, SIZE, &packed);

    (void)state;
    refused(packed, n - 1, MAX, "cut short");
    refused(packed, n / 2, MAX, "cut short");
    refused(packed, 5, MAX, "sha256:");
}

static void a_damaged_frame_is_refused(void **state)
{
    enum { SIZE = 500000 };
    auto_free char *data = archive(SIZE), *packed = NULL, *longer = NULL;
    size_t n = compress(data, SIZE, &packed);

    (void)state;
    assert_non_null(longer = malloc(n + 6));
    memcpy(longer, packed, n);
    memcpy(longer + n, CPIO, sizeof(CPIO));
    refused(longer, n + 6, MAX, "is damaged");
    for (size_t i = 8; i < n && i < 40; i++)
        packed[i] ^= 0x55;
    refused(packed, n, MAX, "is damaged");
}

static void a_bomb_is_refused_with_the_limit(void **state)
{
    enum { SIZE = 32 << 20, LIMIT = 10 << 20 };
    auto_free char *data = archive(SIZE), *packed = NULL, *path = NULL;
    size_t n = compress(data, SIZE, &packed);
    char hex[SHA256_HEX + 1];

    (void)state;
    assert_true(n < SIZE / 100);
    refused(packed, n, LIMIT, "more than 10485760 bytes");
    refused(packed, n, SIZE - 1, "more than");
    testdir_put(&dir, packed, n, hex);
    if (artifact_boot_form(dir.a, hex, SIZE, &path, &dir.err) < 0) fail_msg("%s", dir.err.msg);
}

/* A frame may ask for up to 2 GiB of memory before its first byte; 128 MiB is what zstd itself grants. */
static void a_large_window_is_refused(void **state)
{
    static const char bytes[] = "070701 and a little more";
    auto_free char *packed = malloc(1 << 16);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_outBuffer out = {.dst = packed, .size = 1 << 16};
    ZSTD_inBuffer in = {.src = bytes, .size = sizeof(bytes)};

    (void)state;
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 28)));
    assert_false(ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue)));
    assert_false(ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush)));
    assert_false(ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end)));
    (void)ZSTD_freeCCtx(c);
    refused(packed, out.pos, MAX, "memory");
}

static void a_blob_that_is_gone_is_said_so(void **state)
{
    static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    char *path = NULL;

    (void)state;
    fails_with(artifact_boot_form(dir.a, hex, MAX, &path, &dir.err), dir, VL_INTERNAL, "install its plugin again");
    assert_null(path);
}

/* --- many at once --------------------------------------------------------------------------------------------------
 */

struct form_job {
    struct job job;
    const char *hex;
    char *path;
    int r, *left;
    struct vl_error err;
};

static void form_run(struct job *j)
{
    struct form_job *f = container_of(j, struct form_job, job);

    f->r = artifact_boot_form(dir.a, f->hex, MAX, &f->path, &f->err);
}

static void form_done(struct job *j, bool cancelled)
{
    assert_false(cancelled);
    --*container_of(j, struct form_job, job)->left;
}

static void many_can_ask_for_one_form(void **state)
{
    enum { SIZE = 2000000 };
    auto_free char *data = archive(SIZE), *packed = NULL;
    size_t n = compress(data, SIZE, &packed), len;
    struct form_job jobs[8] = {0};
    struct loop *loop = NULL;
    struct pool *pool = NULL;
    char hex[SHA256_HEX + 1];
    int left = ARRAY_LEN(jobs);
    int64_t until = mono_ms() + 20000;

    (void)state;
    testdir_put(&dir, packed, n, hex);
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(pool_new(loop, ARRAY_LEN(jobs), 100, &pool), 0);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct form_job){.job = {.run = form_run, .done = form_done}, .hex = hex, .left = &left};
        assert_int_equal(pool_submit(pool, &jobs[i].job), 0);
    }
    while (left > 0 && mono_ms() < until)
        assert_int_equal(loop_step(loop, 100), 0);
    assert_int_equal(left, 0);
    pool_free(pool);
    loop_free(loop);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        auto_free char *unpacked = NULL;

        if (jobs[i].r < 0) fail_msg("%s", jobs[i].err.msg);
        unpacked = content(jobs[i].path, &len);
        assert_int_equal(len, SIZE);
        free(jobs[i].path);
    }
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
    assert_int_equal(testdir_entries(&dir, "boot"), 1);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_dir(zstd_is_unpacked_once),
        with_dir(frames_are_joined),
        with_dir(what_the_kernel_unpacks_boots_as_it_is),
        with_dir(no_archives_are_refused),
        with_dir(a_truncated_frame_is_refused),
        with_dir(a_damaged_frame_is_refused),
        with_dir(a_bomb_is_refused_with_the_limit),
        with_dir(a_large_window_is_refused),
        with_dir(a_blob_that_is_gone_is_said_so),
        with_dir(many_can_ask_for_one_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
