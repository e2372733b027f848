/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "vmm/vmm.h"

static char base[] = "/tmp/volant-kernel-XXXXXX";

static void in_base(char buf[static 256], const char *name)
{
    assert_true(strf(buf, 256, "%s/%s", base, name) > 0);
}

static void put(const char *name, mode_t mode)
{
    char path[256];

    in_base(path, name);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write_all(fd, name, strlen(name), -1), 0);
}

static void put_link(const char *target, const char *name)
{
    char path[256];

    in_base(path, name);
    assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
    static const char *const folders[] = {"in", "in/sub", "out"};
    char path[256];

    (void)state;
    assert_non_null(mkdtemp(base));
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        in_base(path, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    put("in/good", 0644);
    put("in/sub/good", 0644);
    put("in/secret", 0600);
    put("out/good", 0644);
    put_link("good", "in/link");
    put_link("../out/good", "in/leads-out");
    put_link("../out", "in/folder-out");
    put_link("/etc/passwd", "in/absolute");
    in_base(path, "in/pipe");
    assert_int_equal(mkfifo(path, 0644), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return remove_tree_at(AT_FDCWD, base);
}

static int try_open(const char *dir, const char *name, uint32_t uid_base, int *ret_fd, struct vl_error *err)
{
    const struct vmm_host h = {.uid_base = uid_base};
    auto_strv dirs = {0};
    char path[256];

    assert_int_equal(strv_add(&dirs, "/nonexistent"), 0);
    assert_int_equal(strv_addf(&dirs, "%s/%s", base, dir), 0);
    in_base(path, name);
    return vmm_kernel_open(&h, &dirs, path, ret_fd, err);
}

static void opens_what_is_below(void **state)
{
    static const char *const names[] = {"in/good", "in//good", "in/./good", "in/sub/good", "in/sub/../good", "in/link"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t slash = 0; slash < 2; slash++) {
            auto_close int fd = -1;
            struct vl_error err = {0};

            if (try_open(slash ? "in/" : "in", names[i], 1000, &fd, &err) < 0) fail_msg("%s: %s", names[i], err.msg);
            assert_true(fd >= 0);
        }
}

static void refuses_the_rest(void **state)
{
    static const struct {
        const char *name, *says;
    } table[] = {
        {"out/good", "none of the folders"}, {"in", "none of the folders"},  {"in/", "no regular file"},
        {"in/sub", "no regular file"},       {"in/none", "No such file"},    {"in/../out/good", "leads out"},
        {"in/../in/good", "leads out"},      {"in/leads-out", "leads out"},  {"in/folder-out/good", "leads out"},
        {"in/absolute", "leads out"},        {"in/pipe", "no regular file"}, {"inside", "none of the folders"},
        {"in/secret", "chmod 0644"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        int fd = -7;

        assert_true(try_open("in", table[i].name, 1000, &fd, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        if (!strstr(err.msg, table[i].says)) fail_msg("%s: '%s' lacks '%s'", table[i].name, err.msg, table[i].says);
        assert_int_equal(fd, -7);
    }
}

static void needs_a_folder(void **state)
{
    const struct vmm_host h = {0};
    const struct strv none = {0};
    struct vl_error err = {0};
    auto_close int fd = -1;

    (void)state;
    assert_true(vmm_kernel_open(&h, NULL, "/a", &fd, &err) < 0);
    assert_non_null(strstr(err.msg, "VOLANT_KERNEL_DIRS"));
    assert_true(vmm_kernel_open(&h, &none, "/a", &fd, &err) < 0);
    /* As volantd's own user there is no other who has to read it. */
    assert_int_equal(try_open("in", "in/secret", 0, &fd, &err), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_is_below),
        cmocka_unit_test(refuses_the_rest),
        cmocka_unit_test(needs_a_folder),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
