/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/disk.h"

#include "base/clock.h"
#include "base/str.h"
#include "kestrel/testdir.h"

static int find(const struct testdir *t, const char *serial, int64_t wait_ms, char ret[static DISK_PATH_SIZE],
                struct vl_error *err)
{
    return disk_find(t->path, serial, mono_ms() + wait_ms, ret, err);
}

static void test_a_disk_is_known_by_its_serial(void **state)
{
    char path[DISK_PATH_SIZE];
    struct vl_error err = {0};
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "ram0/size", "8");
    testdir_write(&t, "vda/serial", "");
    testdir_write(&t, "vdb/serial", "volant-data\n");
    testdir_write(&t, "vdc/serial", "volant-root");
    assert_int_equal(find(&t, "volant-data", 0, path, &err), 0);
    assert_string_equal(path, "/dev/vdb");
    assert_int_equal(find(&t, "volant-root", 0, path, &err), 0);
    assert_string_equal(path, "/dev/vdc");
    testdir_remove(&t);
}

static void test_a_missing_one_is_waited_for_and_named(void **state)
{
    static const char *const serials[] = {"volant", "volant-root2", "olant-root", "VOLANT-ROOT"};
    char path[DISK_PATH_SIZE] = "untouched";
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "vda/serial", "volant-root\n");
    for (size_t i = 0; i < ARRAY_LEN(serials); i++) {
        struct vl_error err = {0};
        int64_t begin = mono_ms();

        assert_true(find(&t, serials[i], 30, path, &err) < 0);
        assert_true(mono_ms() - begin >= 30);
        assert_int_equal(err.kind, VL_NOT_FOUND);
        assert_non_null(strstr(err.msg, serials[i]));
        assert_string_equal(path, "untouched");
    }
    testdir_remove(&t);
    {
        struct vl_error err = {0};

        assert_true(find(&t, "volant-root", 0, path, &err) < 0); /* no such folder, either */
        assert_int_equal(err.kind, VL_NOT_FOUND);
    }
}

static void test_what_a_disk_holds(void **state)
{
    static const struct {
        size_t size, at;
        const char *magic, *type;
    } table[] = {
        {4096, 0, "hsqs", "squashfs"},
        {4096, 1080, "\x53\xef", "ext4"},
        {4096, 1080, "\xef\x53", NULL},
        {4096, 1, "hsqs", NULL},
        {4096, 0, "", NULL},
        {1000, 0, "hsqs", NULL},
        {0, 0, "", NULL},
    };
    struct testdir t;
    char path[128];

    (void)state;
    testdir_make(&t);
    (void)snprintf(path, sizeof(path), "%s/disk", t.path);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char bytes[4096] = "";
        const char *type;
        int fd = openat(t.fd, "disk", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        memcpy(bytes + table[i].at, table[i].magic, strlen(table[i].magic));
        assert_int_equal(write(fd, bytes, table[i].size), table[i].size);
        (void)close(fd);
        type = disk_fstype(path);
        if (!str_eq(type, table[i].type)) fail_msg("%zu: %s", i, type ? type : "nothing");
    }
    assert_null(disk_fstype("/nonexistent"));
    testdir_remove(&t);
}

static void test_what_cannot_grow_says_why(void **state)
{
    struct testdir t;
    char file[128];

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "file", "no disk");
    (void)snprintf(file, sizeof(file), "%s/file", t.path);
    assert_int_equal(disk_grow("/nonexistent", t.path), -ENOENT);
    assert_int_equal(disk_grow(file, "/nonexistent"), -ENOENT);
    assert_int_equal(disk_grow(file, t.path), -ENOTTY);
    testdir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_disk_is_known_by_its_serial),
        cmocka_unit_test(test_a_missing_one_is_waited_for_and_named),
        cmocka_unit_test(test_what_a_disk_holds),
        cmocka_unit_test(test_what_cannot_grow_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
