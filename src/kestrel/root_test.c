/* SPDX-License-Identifier: Apache-2.0 */
/* What of the bootloader needs no machine; tests/e2e/test_boot_root.py boots the rest. */
#include "kestrel/root.h"

#include <sys/wait.h>

#include "base/str.h"
#include "kestrel/testdir.h"

static bool is_folder(const struct testdir *t, const char *path)
{
    struct stat st;

    return fstatat(t->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static void test_folders_that_the_image_lacks(void **state)
{
    struct workload w = {0};
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "srv/data/kept", "kept");
    testdir_write(&t, "file", "in the way");
    w.workdir = strdup("/srv/app/here");
    assert_int_equal(strv_add(&w.volumes, "/srv/data"), 0);
    assert_int_equal(strv_add(&w.volumes, "/var/lib/db/"), 0);
    assert_int_equal(strv_add(&w.volumes, "/"), 0);
    assert_int_equal(strv_add(&w.volumes, ""), 0);
    assert_int_equal(strv_add(&w.volumes, "relative"), 0);
    assert_int_equal(strv_add(&w.volumes, "/file/below"), 0);
    root_make_folders(t.fd, &w);
    assert_true(is_folder(&t, "srv/app/here"));
    assert_true(is_folder(&t, "var/lib/db"));
    assert_false(is_folder(&t, "relative"));
    assert_false(is_folder(&t, "file"));
    assert_int_equal(faccessat(t.fd, "srv/data/kept", F_OK, 0), 0);
    schema_done(&workload_schema, &w);
    testdir_remove(&t);
}

static void test_an_init_that_does_not_start(void **state)
{
    static const struct {
        const char *text; /* of the file; NULL: there is none */
        mode_t mode;
        enum vl_kind kind;
        const char *says;
    } table[] = {
        {NULL, 0, VL_NOT_FOUND, "no '"},
        {"#!/bin/sh\n", 0644, VL_INVALID, "0755"},
        {"#!/nonexistent/interpreter\n", 0755, VL_NOT_FOUND, "loader or interpreter"},
        {"just a text\n", 0755, VL_INVALID, "for this machine"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char path[128];
        const struct guest_root root = {.init = path};
        const struct strmap env = {0};
        struct vl_error err = {0};
        struct testdir t;

        testdir_make(&t);
        (void)snprintf(path, sizeof(path), "%s/init", t.path);
        if (table[i].text) {
            testdir_write(&t, "init", table[i].text);
            assert_int_equal(fchmodat(t.fd, "init", table[i].mode, 0), 0);
        }
        assert_true(root_exec_init(&root, &env, &err) < 0);
        if (err.kind != table[i].kind || !strstr(err.msg, table[i].says)) fail_msg("%zu: '%s'", i, err.msg);
        assert_true(str_starts(err.msg, "root.init: "));
        testdir_remove(&t);
    }
}

/* In a child, as it becomes the init. */
static void test_the_environment_of_an_init(void **state)
{
    struct strmap env = {0};
    char path[128], *text;
    const struct guest_root root = {.init = path};
    struct testdir t;
    int status;
    pid_t pid;

    (void)state;
    testdir_make(&t);
    (void)snprintf(path, sizeof(path), "%s/init", t.path);
    testdir_write(&t, "init", "#!/bin/sh\necho \"$PATH|$HOME|$TERM|$A\" > \"${0%/*}/out\"\n");
    assert_int_equal(fchmodat(t.fd, "init", 0755, 0), 0);
    assert_int_equal(strmap_set(&env, "A", "b c"), 0);
    assert_int_equal(strmap_set(&env, "TERM", "vt100"), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)root_exec_init(&root, &env, NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    text = testdir_read(&t, "out");
    assert_string_equal(text ? text : "", WORKLOAD_PATH "|/|vt100|b c\n");
    free(text);
    strmap_done(&env);
    testdir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders_that_the_image_lacks),
        cmocka_unit_test(test_an_init_that_does_not_start),
        cmocka_unit_test(test_the_environment_of_an_init),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
