/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/unit.h"

static const char *const names[] = {
    "HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "VOLANT_STATE_DIR", "VOLANT_RUNTIME_DIR"};

/* "NAME=value" entries, and nothing else of what matters here. */
static void set_environment(const char *const *entries)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(unsetenv(names[i]), 0); /* NOLINT(concurrency-mt-unsafe) */
    for (; *entries; entries++) {
        char name[32];

        assert_true(strf(name, sizeof(name), "%.*s", (int)strcspn(*entries, "="), *entries) > 0);
        assert_int_equal(setenv(name, strchr(*entries, '=') + 1, 1), 0); /* NOLINT(concurrency-mt-unsafe) */
    }
}

struct good {
    const char *env[5], *config_file, *state_dir, *runtime_dir;
};

static void check_good(const struct good *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct vl_error err = {0};
        struct paths p = {0};
        char socket[108];

        set_environment(table[i].env);
        assert_int_equal(paths_find(&p, &err), 0);
        assert_string_equal(p.config_file, table[i].config_file);
        assert_string_equal(p.state_dir, table[i].state_dir);
        assert_string_equal(p.runtime_dir, table[i].runtime_dir);
        assert_true(strf(socket, sizeof(socket), "%s/volantd.sock", table[i].runtime_dir) > 0);
        assert_string_equal(p.socket, socket);
    }
}

static void root_has_system_folders(void **state)
{
    static const struct good table[] = {
        {{"HOME=/root", "XDG_RUNTIME_DIR=/run/user/0", "XDG_STATE_HOME=/x", "XDG_CONFIG_HOME=/y"},
         "/etc/volant/volantd.conf",
         "/var/lib/volant",
         "/run/volant"},
        {{"VOLANT_STATE_DIR=/s//", "VOLANT_RUNTIME_DIR=/r"}, "/etc/volant/volantd.conf", "/s", "/r"},
        {{"VOLANT_STATE_DIR=/s", "VOLANT_RUNTIME_DIR="}, "/etc/volant/volantd.conf", "/s", "/run/volant"},
    };

    (void)state;
    if (geteuid() == 0) check_good(table, ARRAY_LEN(table));
}

static void users_have_xdg_folders(void **state)
{
    static const struct good table[] = {
        {{"HOME=/home/u", "XDG_RUNTIME_DIR=/run/user/7"},
         "/home/u/.config/volant/volantd.conf",
         "/home/u/.local/state/volant",
         "/run/user/7/volant"},
        {{"HOME=/home/u"},
         "/home/u/.config/volant/volantd.conf",
         "/home/u/.local/state/volant",
         "/home/u/.local/state/volant/run"},
        {{"HOME=/home/u", "XDG_CONFIG_HOME=/c", "XDG_STATE_HOME=/s", "XDG_RUNTIME_DIR=not/absolute"},
         "/c/volant/volantd.conf",
         "/s/volant",
         "/s/volant/run"},
        {{"HOME=/home/u", "VOLANT_STATE_DIR=/s/"}, "/home/u/.config/volant/volantd.conf", "/s", "/s/run"},
        {{"VOLANT_STATE_DIR=/s", "VOLANT_RUNTIME_DIR=/r"}, "", "/s", "/r"},
    };
    uid_t uid = geteuid();

    (void)state;
    if (uid == 0) assert_int_equal(seteuid(65534), 0);
    check_good(table, ARRAY_LEN(table));
    if (uid == 0) assert_int_equal(seteuid(0), 0);
}

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void bad_environments_are_named(void **state)
{
    static const struct {
        const char *env[5], *names;
    } table[] = {
        {{"HOME=/h", "VOLANT_STATE_DIR=relative"}, "VOLANT_STATE_DIR is 'relative'"},
        {{"HOME=/h", "VOLANT_RUNTIME_DIR=./r"}, "VOLANT_RUNTIME_DIR is './r'"},
        {{"HOME=/h", "VOLANT_RUNTIME_DIR=/" X50 X50}, "set VOLANT_RUNTIME_DIR to a shorter"},
        {{"HOME=/h", "VOLANT_STATE_DIR=/" X50 X50 X50 X50 X50 X50}, "VOLANT_STATE_DIR is longer"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        struct paths p = {.socket = "untouched"};

        set_environment(table[i].env);
        assert_int_equal(paths_find(&p, &err), -EINVAL);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, table[i].names));
        assert_string_equal(p.socket, "untouched");
    }
}

static void users_without_home_are_told(void **state)
{
    uid_t uid = geteuid();
    struct vl_error err = {0};
    struct paths p;

    (void)state;
    set_environment((const char *const[]){NULL});
    if (uid == 0) assert_int_equal(seteuid(65534), 0);
    assert_int_equal(paths_find(&p, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "set HOME or VOLANT_STATE_DIR"));
    if (uid == 0) assert_int_equal(seteuid(0), 0);
}

static void installed_files_are_found_beside_the_program(void **state)
{
    char own[256], buf[300] = "untouched", tiny[4], expected[300];
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(own_folder(own, sizeof(own)), 0);
    assert_true(strf(expected, sizeof(expected), "%s/%s", own, program_invocation_short_name) > 0);
    assert_int_equal(find_installed("volant-no-such-file", NULL, buf, sizeof(buf), &err), -EINVAL);
    assert_string_equal(buf, "untouched");
    assert_int_equal(err.kind, VL_INVALID);
    assert_non_null(strstr(err.msg, own));
    assert_non_null(strstr(err.msg, "volant-no-such-file is not installed"));
    assert_int_equal(find_installed("x", "/nonexistent/x", buf, sizeof(buf), &err), -EINVAL);
    assert_non_null(strstr(err.msg, "'/nonexistent/x'"));
    assert_int_equal(find_installed("x", "/tmp", buf, sizeof(buf), &err), -EINVAL); /* a folder */
    assert_int_equal(find_installed(program_invocation_short_name, NULL, buf, sizeof(buf), &err), 0);
    assert_string_equal(buf, expected);
    assert_int_equal(find_installed("x", expected, buf, sizeof(buf), &err), 0);
    assert_string_equal(buf, expected);
    assert_int_equal(find_installed("x", expected, tiny, sizeof(tiny), &err), -ENAMETOOLONG);
}

static void what_lies_below_a_folder(void **state)
{
    static const struct {
        const char *dir, *path, *rest;
    } table[] = {
        {"/a/b", "/a/b/c/d", "c/d"}, {"/a/b/", "/a/b//c", "c"}, {"/", "/x", "x"},     {"/a", "/a/", ""},
        {"/a", "/a", NULL},          {"/a", "/ab/c", NULL},     {"/a/b", "/a", NULL}, {"/a", "a/b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *rest = path_below(table[i].dir, table[i].path);

        if (!str_eq(rest, table[i].rest)) fail_msg("%s below %s: %s", table[i].path, table[i].dir, rest ? rest : "-");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_has_system_folders),
        cmocka_unit_test(users_have_xdg_folders),
        cmocka_unit_test(bad_environments_are_named),
        cmocka_unit_test(users_without_home_are_told),
        cmocka_unit_test(installed_files_are_found_beside_the_program),
        cmocka_unit_test(what_lies_below_a_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
