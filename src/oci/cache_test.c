/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "base/unit.h"

static char folder[] = "/tmp/oci-cache-XXXXXX";
static const char key[] = "00000000000000000000000000000000000000000000000000000000000000aa";

static struct oci_cache *open_cache(void)
{
    struct oci_cache *c = NULL;
    struct vl_error err = {0};

    if (oci_cache_open(folder, &c, &err) < 0) fail_msg("%s", err.msg);
    return c;
}

static void put_text(struct oci_cache *c, const char *text, char hex[static SHA256_HEX + 1])
{
    struct vl_error err = {0};

    sha256_text(text, strlen(text), hex);
    if (oci_cache_put(c, hex, text, strlen(text), &err) < 0) fail_msg("%s", err.msg);
}

static void test_blobs(void **state)
{
    auto_(oci_cache_closep) struct oci_cache *c = open_cache();
    auto_free char *text = NULL;
    char hex[SHA256_HEX + 1];
    struct vl_error err = {0};
    size_t len;

    (void)state;
    put_text(c, "hello", hex);
    assert_true(oci_cache_has(c, hex, 5));
    assert_false(oci_cache_has(c, hex, 6));
    assert_int_equal(oci_blob_read(c->blobs_fd, hex, 100, &text, &len, &err), 0);
    assert_string_equal(text, "hello");
    assert_true(oci_blob_read(c->blobs_fd, hex, 3, &text, &len, &err) < 0);
    assert_int_equal(err.kind, VL_TOO_LARGE);
    assert_int_equal(oci_blob_read(c->blobs_fd, key, 3, &text, &len, &err), -ENOENT);
    /* one that somebody changed */
    auto_close int fd = openat(c->blobs_fd, hex, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "H", 1), 1);
    assert_true(oci_blob_read(c->blobs_fd, hex, 100, &text, &len, &err) < 0);
    assert_non_null(strstr(err.msg, "changed or damaged"));
    assert_int_equal(mkfifoat(c->blobs_fd, key, 0600), 0);
    assert_true(oci_blob_read(c->blobs_fd, key, 100, &text, &len, &err) < 0);
    assert_int_equal(unlinkat(c->blobs_fd, key, 0), 0);
}

static void make_result(struct oci_cache *c, const char *text)
{
    auto_oci_result r = {.files = 3, .unpacked = 7, .config = strdup("{\"os\": \"linux\"}")};
    struct vl_error err = {0};

    assert_int_equal(write_file_atomic_at(c->work_fd, "image", text, strlen(text), 0600), 0);
    if (oci_result_keep(c, key, "image", &r, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(r.size, strlen(text));
}

static void test_results(void **state)
{
    auto_(oci_cache_closep) struct oci_cache *c = open_cache();
    auto_oci_result r = {0};
    char hex[SHA256_HEX + 1];

    (void)state;
    assert_int_equal(oci_result_find(c, key, &r), 0);
    make_result(c, "image");
    assert_int_equal(oci_result_find(c, key, &r), 1);
    sha256_text("image", 5, hex);
    assert_string_equal(r.hex, hex);
    assert_string_equal(r.config, "{\"os\": \"linux\"}");
    assert_int_equal(r.unpacked, 7);
    /* without its image, or damaged, a record is none */
    assert_int_equal(unlinkat(c->blobs_fd, hex, 0), 0);
    oci_result_done(&r);
    assert_int_equal(oci_result_find(c, key, &r), 0);
    make_result(c, "image");
    assert_int_equal(write_file_atomic_at(c->results_fd, key, "{\"image\"", 8, 0600), 0);
    assert_int_equal(oci_result_find(c, key, &r), 0);
}

static void set_age(struct oci_cache *c, const char *hex, time_t when)
{
    const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};

    assert_int_equal(utimensat(c->blobs_fd, hex, times, 0), 0);
}

static void test_prune(void **state)
{
    auto_(oci_cache_closep) struct oci_cache *c = open_cache();
    char old[SHA256_HEX + 1], used[SHA256_HEX + 1];
    struct oci_pruned done;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(oci_cache_prune(c, 0, &done, &err), 0);
    assert_int_equal(done.left, 0);
    put_text(c, "old", old);
    put_text(c, "used", used);
    set_age(c, old, 1000);
    set_age(c, used, 2000);
    assert_int_equal(oci_cache_prune(c, 4096, &done, &err), 0);
    assert_int_equal(done.files, 1);
    assert_false(oci_cache_has(c, old, 3));
    assert_true(oci_cache_has(c, used, 4));
}

/* Builds share the store; pruning wants it alone. */
static void test_two_at_once(void **state)
{
    auto_(oci_cache_closep) struct oci_cache *a = open_cache(), *b = open_cache();
    struct oci_pruned done = {.files = 77};
    struct vl_error err = {0};

    (void)state;
    assert_string_not_equal(a->work_path, b->work_path);
    assert_true(oci_cache_prune(a, 0, &done, &err) < 0);
    assert_int_equal(err.kind, VL_UNAVAILABLE);
    assert_int_equal(done.files, 77);
    oci_cache_close(take_ptr(b));
    assert_int_equal(oci_cache_prune(a, 0, &done, &err), 0);
}

/* What a killed build left goes; what is being worked in stays, however old. */
static void test_leftovers(void **state)
{
    auto_(oci_cache_closep) struct oci_cache *a = open_cache(), *b = NULL;
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    auto_free char *left = strf_new("%s/work/1-0123", folder), *file = strf_new("%s/work/1-0123/half", folder);
    auto_close int fd = -1;
    struct stat st;

    (void)state;
    assert_int_equal(mkdir(left, 0700), 0);
    assert_true((fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0);
    assert_int_equal(utimensat(AT_FDCWD, left, long_ago, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, a->work_path, long_ago, 0), 0);
    b = open_cache();
    assert_true(stat(left, &st) < 0);
    assert_int_equal(stat(a->work_path, &st), 0);
    assert_int_equal(stat(b->work_path, &st), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return remove_tree_at(AT_FDCWD, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blobs),       cmocka_unit_test(test_results),   cmocka_unit_test(test_prune),
        cmocka_unit_test(test_two_at_once), cmocka_unit_test(test_leftovers),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
