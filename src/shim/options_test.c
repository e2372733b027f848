/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <string.h>

#include "shim/options.h"

#define GOOD "--boot", "0123", "--dir-fd", "3", "--console-listen-fd", "4", "--status-fd", "5", "--vmm-console-fd", "13"

struct bad {
    const char *argv[24];
    const char *says;
};

static int parse(const char *const *argv, struct options *ret, struct vl_error *err)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return options_parse(argc, (char *const *)argv, ret, err);
}

static void good(void **state)
{
    const char *const argv[] = {GOOD,      "--inherit", "10",      "--inherit", "14",  "--uid",
                                "2000001", "--gid",     "2000001", "--group",   "107", "--bind-low-ports",
                                "--",      "/bin/vmm",  "--flag",  "x",         NULL};
    const char *const in_cgroup[] = {GOOD, "--cgroup-fd", "6", "--", "/bin/vmm", NULL};
    auto_(options_done) struct options o = {0};
    struct vl_error err;

    (void)state;
    assert_int_equal(parse(argv, &o, &err), 0);
    assert_string_equal(o.boot, "0123");
    assert_int_equal(o.dir_fd, 3);
    assert_int_equal(o.vmm_console_fd, 13);
    assert_int_equal(o.n_inherit, 2);
    assert_int_equal(o.inherit[1], 14);
    assert_true(o.drop && o.has_group && o.bind_low_ports);
    assert_int_equal(o.uid, 2000001);
    assert_int_equal(o.group, 107);
    assert_string_equal(o.argv[0], "/bin/vmm");
    assert_string_equal(o.argv[2], "x");
    assert_null(o.argv[3]);
    assert_int_equal(o.cgroup_fd, -1);
    options_done(&o);
    assert_int_equal(parse(in_cgroup, &o, &err), 0);
    assert_int_equal(o.cgroup_fd, 6);
}

static void plain(void **state)
{
    const char *const argv[] = {GOOD, "--", "/bin/vmm", NULL};
    auto_(options_done) struct options o = {0};

    (void)state;
    assert_int_equal(parse(argv, &o, NULL), 0);
    assert_false(o.drop || o.has_group || o.bind_low_ports);
    assert_int_equal(o.console_bytes, 1024 * 1024);
}

static void bad(void **state)
{
    static const struct bad table[] = {
        {{NULL}, "command line is missing"},
        {{GOOD, NULL}, "command line is missing"},
        {{GOOD, "--", "vmm", NULL}, "not an absolute path"},
        {{"--dir-fd", "3", "--console-listen-fd", "4", "--status-fd", "5", "--vmm-console-fd", "13", "/v", NULL},
         "--boot"},
        {{"--boot", "x", "--console-listen-fd", "4", "--status-fd", "5", "--vmm-console-fd", "13", "/v", NULL},
         "--dir-fd"},
        {{GOOD, "--dir-fd", "4", "/v", NULL}, "same descriptor"},
        {{GOOD, "--dir-fd", "2", "/v", NULL}, "dir-fd"},
        {{GOOD, "--dir-fd", "-1", "/v", NULL}, "dir-fd"},
        {{GOOD, "--inherit", "2", "/v", NULL}, "--inherit"},
        {{GOOD, "--inherit", "x", "/v", NULL}, "--inherit"},
        {{GOOD, "--inherit", "13", "/v", NULL}, "another use"},
        {{GOOD, "--inherit", "3", "/v", NULL}, "another use"},
        {{GOOD, "--cgroup-fd", "3", "/v", NULL}, "same descriptor"},
        {{GOOD, "--cgroup-fd", "2", "/v", NULL}, "cgroup-fd"},
        {{GOOD, "--cgroup-fd", "6", "--inherit", "6", "/v", NULL}, "another use"},
        {{GOOD, "--uid", "5", "/v", NULL}, "together"},
        {{GOOD, "--gid", "5", "/v", NULL}, "together"},
        {{GOOD, "--uid", "0", "--gid", "0", "/v", NULL}, "uid"},
        {{GOOD, "--uid", "4294967295", "--gid", "5", "/v", NULL}, "uid"},
        {{GOOD, "--group", "5", "/v", NULL}, "need --uid"},
        {{GOOD, "--bind-low-ports", "/v", NULL}, "need --uid"},
        {{GOOD, "--console-bytes", "10", "/v", NULL}, "console-bytes"},
        {{GOOD, "--unknown", "/v", NULL}, "unknown"},
        {{GOOD, "--help", NULL}, "volantd"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct options o = {.dir_fd = 77};
        struct vl_error err = {0};

        assert_int_not_equal(parse(table[i].argv, &o, &err), 0);
        assert_int_equal(err.kind, VL_INVALID);
        if (!strstr(err.msg, table[i].says)) fail_msg("%zu: '%s' does not say '%s'", i, err.msg, table[i].says);
        assert_int_equal(o.dir_fd, 77);
    }
}

static void too_many(void **state)
{
    const char *argv[64] = {GOOD};
    size_t n = 10;
    struct options o = {0};
    struct vl_error err = {0};

    (void)state;
    for (int i = 0; i < INHERIT_MAX + 1; i++) {
        argv[n++] = "--inherit";
        argv[n++] = "20";
    }
    argv[n++] = "/v";
    assert_int_not_equal(parse(argv, &o, &err), 0);
    assert_non_null(strstr(err.msg, "at most"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(plain),
        cmocka_unit_test(bad),
        cmocka_unit_test(too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
