/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that fills up: a small tmpfs of this test's own. Without root that takes a user namespace; where neither is
 * allowed (some containers) the tests are skipped.
 */
#include "artifact/testdir.h"

#include <sched.h>
#include <sys/mount.h>
#include <zstd.h>

#include "base/str.h"

#define MIB ((size_t)1 << 20)
/* With the floor of 64 MiB that leaves 8. */
#define DISK_SIZE "72m"

static struct testdir dir;
static int disk = -1; /* detached: no other process ever sees the mount */

static void write_text(const char *path, const char *text)
{
    auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0) fail_msg("%s: %s", path, vl_strerror(errno));
}

static int become_root_of_a_namespace(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return -errno;
    write_text("/proc/self/setgroups", "deny");
    (void)snprintf(map, sizeof(map), "0 %u 1", uid);
    write_text("/proc/self/uid_map", map);
    (void)snprintf(map, sizeof(map), "0 %u 1", gid);
    write_text("/proc/self/gid_map", map);
    return 0;
}

static int make_disk(int *ret)
{
    auto_close int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", DISK_SIZE, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 || (*ret = fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0)
        return -errno;
    return 0;
}

static int setup(void **state)
{
    int r = make_disk(&disk);

    (void)state;
    if (r == -EPERM && become_root_of_a_namespace() == 0) r = make_disk(&disk);
    if (r < 0) print_message("no disk of our own, these tests are skipped: %s\n", vl_strerror(r));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    closep(&disk);
    return 0;
}

static int make(void **state)
{
    (void)state;
    dir = (struct testdir){0};
    (void)snprintf(dir.path, sizeof(dir.path), "/proc/self/fd/%d", disk);
    return disk < 0 ? 0 : artifacts_open(dir.path, &dir.a, &dir.err);
}

static int drop(void **state)
{
    static const char *const names[] = {"sha256", "boot", "tmp", "filler"};

    (void)state;
    artifacts_close(dir.a);
    for (size_t i = 0; disk >= 0 && i < ARRAY_LEN(names); i++)
        if (remove_tree_at(disk, names[i]) < 0) return -1;
    return 0;
}

static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void needs_disk(void)
{
    if (disk < 0) skip();
}

static void nothing_is_left(void)
{
    assert_int_equal(testdir_entries(&dir, "sha256"), 0);
    assert_int_equal(testdir_entries(&dir, "boot"), 0);
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
}

static void what_does_not_fit_is_refused_before_it_begins(void **state)
{
    struct artifact_put *p = NULL;

    needs_disk();
    (void)state;
    fails_with(artifact_put_begin(dir.a, hex, 9 * MIB, &p, &dir.err), dir, VL_NO_SPACE, "make room");
    assert_null(p);
    nothing_is_left();
}

/* Writes until it is refused; gives how many MiB went in. */
static size_t write_much(struct artifact_put *p, int *ret)
{
    static char data[MIB];
    size_t n = 0;

    while (n < 100 && (*ret = artifact_put_write(p, data, sizeof(data), &dir.err)) == 0)
        n++;
    return n;
}

static void the_floor_stays_free(void **state)
{
    struct artifact_put *p = NULL;
    uint64_t left = 0;
    size_t n;
    int r = 0;

    needs_disk();
    (void)state;
    assert_int_equal(artifact_put_begin(dir.a, hex, 0, &p, &dir.err), 0);
    n = write_much(p, &r);
    assert_true(r < 0);
    assert_int_equal(dir.err.kind, VL_NO_SPACE);
    assert_in_range(n, 4, 8);
    assert_int_equal(disk_free(dir.path, &left), 0);
    assert_true(left >= 64 * MIB);
    artifact_put_abort(p);
    nothing_is_left();
}

/* Others fill the disk meanwhile: the write itself fails. */
static void a_full_disk_leaves_nothing(void **state)
{
    struct artifact_put *p = NULL;
    char path[96];
    int fd, r = 0;

    needs_disk();
    (void)state;
    assert_int_equal(artifact_put_begin(dir.a, hex, 7 * MIB, &p, &dir.err), 0);
    (void)snprintf(path, sizeof(path), "%s/filler", dir.path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fallocate(fd, 0, 0, (off_t)(70 * MIB)), 0);
    assert_int_equal(close(fd), 0);
    assert_true(write_much(p, &r) < 3);
    assert_true(r < 0);
    assert_int_equal(dir.err.kind, VL_NO_SPACE);
    artifact_put_abort(p);
    nothing_is_left();
}

static void unpacking_that_does_not_fit_leaves_nothing(void **state)
{
    enum { SIZE = 20 << 20 };
    auto_free char *data = NULL, *packed = NULL;
    char sum[SHA256_HEX + 1], *path = NULL;
    size_t n;

    needs_disk();
    (void)state;
    assert_non_null(data = calloc(1, SIZE));
    assert_non_null(packed = malloc(ZSTD_compressBound(SIZE)));
    memcpy(data, "070701", 6);
    n = ZSTD_compress(packed, ZSTD_compressBound(SIZE), data, SIZE, 1);
    assert_false(ZSTD_isError(n));
    testdir_put(&dir, packed, n, sum);
    fails_with(artifact_boot_form(dir.a, sum, SIZE, &path, &dir.err), dir, VL_NO_SPACE, dir.path);
    assert_null(path);
    assert_int_equal(testdir_entries(&dir, "boot") + testdir_entries(&dir, "tmp"), 0);
    assert_int_equal(artifact_remove(dir.a, sum, &dir.err), 0);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_dir(what_does_not_fit_is_refused_before_it_begins),
        with_dir(the_floor_stays_free),
        with_dir(a_full_disk_leaves_nothing),
        with_dir(unpacking_that_does_not_fit_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
