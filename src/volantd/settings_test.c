/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/settings.h"

#include <string.h>

#include "base/unit.h"

static const char *const *environment; /* "NAME=value", NULL-terminated */

static const char *env(const char *name)
{
    size_t len = strlen(name);

    for (const char *const *e = environment; *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=') return *e + len + 1;
    return NULL;
}

struct input {
    const char *argv[8], *env[6], *file; /* file NULL: an empty one */
};

/* Gives the folder's text for messages, too: "FILE" stands for the file's path in expectations. */
static int load(const struct input *in, struct settings *ret, struct strv *warnings, char path[static 64],
                struct vl_error *err)
{
    auto_(settings_flags_done) struct settings_flags flags;
    char *argv[10];
    const char *operand;
    int argc = 0, fd, r;
    size_t n_operands = 0;
    bool help = false;

    (void)strf(path, 64, "/tmp/settings_test.XXXXXX");
    assert_true((fd = mkstemp(path)) >= 0);
    if (in->file) assert_int_equal(write(fd, in->file, strlen(in->file)), strlen(in->file));
    (void)close(fd);
    environment = in->env;
    for (; in->argv[argc]; argc++)
        argv[argc] = (char *)in->argv[argc];
    argv[argc++] = (char *)"--config";
    argv[argc++] = path;
    assert_int_equal(settings_flags_init(&flags), 0);
    assert_int_equal(opt_parse(flags.opts, argc, argv, &operand, 0, &n_operands, &help, err), 0);
    r = settings_load(&flags, env, ret, warnings, err);
    (void)unlink(path);
    return r;
}

static void defaults_are_those_of_the_table(void **state)
{
    static const struct input in = {.env = {"VOLANT_STATE_DIR=/s", "VOLANT_RUNTIME_DIR=/r"}};
    auto_settings s = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};
    char path[64];

    (void)state;
    assert_int_equal(load(&in, &s, &warnings, path, &err), 0);
    assert_string_equal(s.paths.state_dir, "/s");
    assert_string_equal(s.paths.socket, "/r/volantd.sock");
    assert_string_equal(s.db_path, "/s/state.db");
    assert_string_equal(s.subnet.cidr, "192.168.127.0/24");
    assert_null(s.listen);
    assert_null(s.kernel);
    assert_string_equal(s.cgroup, "auto");
    assert_int_equal(s.uid_base, 2000000);
    assert_int_equal(s.boot_timeout_s, 30);
    assert_int_equal(s.stop_timeout_s, 10);
    assert_int_equal(s.memory_percent, 100);
    assert_int_equal(s.vcpus_per_core, 64);
    assert_int_equal(s.disk_reserve_mb, 256);
    assert_int_equal(s.log_level, LOG_LEVEL_INFO);
    assert_int_equal(warnings.len, 0);
}

static void flags_win_over_environment_over_file(void **state)
{
    static const char file[] = "# comment\n\n  VOLANT_BOOT_TIMEOUT = 3 \r\nVOLANT_KERNEL_VMLINUX=\"/a b\"\n"
                               "VOLANT_STATE_DIR=/file\nVOLANT_RUNTIME_DIR=/file-run";
    static const struct {
        struct input in;
        uint64_t boot_timeout_s;
        const char *state_dir;
    } table[] = {
        {{.file = file}, 3, "/file"},
        {{.file = file, .env = {"VOLANT_BOOT_TIMEOUT=4", "VOLANT_STATE_DIR=/env"}}, 4, "/env"},
        {{.file = file, .env = {"VOLANT_BOOT_TIMEOUT=", "VOLANT_STATE_DIR="}}, 3, "/file"},
        {{.file = file, .env = {"VOLANT_BOOT_TIMEOUT=4"}, .argv = {"--boot-timeout=5", "--state-dir", "/flag//"}},
         5,
         "/flag"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_settings s = {0};
        auto_strv warnings = {0};
        struct vl_error err = {0};
        char path[64];

        assert_int_equal(load(&table[i].in, &s, &warnings, path, &err), 0);
        assert_int_equal(s.boot_timeout_s, table[i].boot_timeout_s);
        assert_string_equal(s.paths.state_dir, table[i].state_dir);
        assert_string_equal(s.paths.runtime_dir, "/file-run");
        assert_string_equal(s.kernel, "/a b");
    }
}

static void folders_of_kernels(void **state)
{
    static const struct input in = {
        .env = {"VOLANT_KERNEL_DIRS=/a b::/c/:", "VOLANT_STATE_DIR=/s", "VOLANT_RUNTIME_DIR=/r"}};
    static const struct input bad = {.argv = {"--kernel-dirs", "/a:b:/c"}};
    auto_settings s = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};
    char path[64];

    (void)state;
    assert_int_equal(load(&in, &s, &warnings, path, &err), 0);
    assert_int_equal(s.kernel_dirs.len, 2);
    assert_string_equal(s.kernel_dirs.items[0], "/a b");
    assert_string_equal(s.kernel_dirs.items[1], "/c/");
    assert_true(load(&bad, &s, &warnings, path, &err) < 0);
    assert_non_null(strstr(err.msg, "--kernel-dirs has 'b', not an absolute path"));
    assert_int_equal(s.kernel_dirs.len, 2);
}

static void decimals(void **state)
{
    static const struct {
        const char *text;
        uint64_t percent; /* 0: refused */
    } table[] = {
        {"1", 100},
        {"1.0", 100},
        {"0.1", 10},
        {"0.25", 25},
        {"100", 10000},
        {"2.5", 250},
        {"100.00", 10000},
        {"0.09", 0},
        {"100.01", 0},
        {"1.", 0},
        {".5", 0},
        {"1.234", 0},
        {"1,5", 0},
        {"-1", 0},
        {"1.-5", 0},
        {"1.0.0", 0},
        {"1e2", 0},
        {" 1", 0},
        {"99999999999999999999", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct input in = {.argv = {"--state-dir=/s", "--runtime-dir=/r", "--memory-overcommit", table[i].text}};
        auto_settings s = {0};
        auto_strv warnings = {0};
        struct vl_error err = {0};
        char path[64];
        int r = load(&in, &s, &warnings, path, &err);

        if ((r == 0) != (table[i].percent != 0)) fail_msg("'%s': %d, %s", table[i].text, r, err.msg);
        if (r == 0) assert_int_equal(s.memory_percent, table[i].percent);
        if (r < 0) assert_non_null(strstr(err.msg, "--memory-overcommit is '"));
        if (r < 0) assert_non_null(strstr(err.msg, "allowed 0.1 to 100"));
    }
}

#define X80 "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void bad_settings_are_named(void **state)
{
    static const struct {
        struct input in;
        const char *says; /* a '@' in front stands for the file's path */
    } table[] = {
        {{.file = "VOLANT_FOO=1"}, "@:1: there is no setting 'VOLANT_FOO'"},
        {{.file = "\n#\nnonsense"}, "@:3: 'nonsense' is not NAME=value"},
        {{.file = "VOLANT_BOOT_TIMEOUT=1\nVOLANT_BOOT_TIMEOUT=2"}, "@:2: VOLANT_BOOT_TIMEOUT is set in line 1 already"},
        {{.file = "\nVOLANT_BOOT_TIMEOUT=0"}, "@:2: VOLANT_BOOT_TIMEOUT is '0', allowed 1 to 600"},
        {{.file = "VOLANT_UID_BASE=1000"}, "@:1: VOLANT_UID_BASE is '1000', allowed 65536 to 4000000000"},
        {{.file = "=1"}, "@:1: there is no setting ''"},
        {{.env = {"VOLANT_API_KEY=two words"}}, "VOLANT_API_KEY has a blank"},
        {{.env = {"VOLANT_API_ALLOW_CIDR=10.0.0.1/8"}}, "VOLANT_API_ALLOW_CIDR has '10.0.0.1/8', which is no network"},
        {{.file = "VOLANT_API_PROXIES=10.0.0.0/8,nonsense"}, "@:1: VOLANT_API_PROXIES has 'nonsense'"},
        {{.env = {"VOLANT_CORS_ORIGINS=https://a/b"}}, "VOLANT_CORS_ORIGINS has 'https://a/b'"},
        {{.argv = {"--advertise", "volant.example"}}, "--advertise is 'volant.example', not HOST:PORT"},
        {{.argv = {"--names", "a:80"}}, "--names has 'a:80'"},
        {{.argv = {"--tls-cert", "/c"}}, "--tls-cert (VOLANT_TLS_CERT) is set without --tls-key"},
        {{.env = {"VOLANT_API_LISTEN=0.0.0.0:7777"}}, "is 0.0.0.0:7777, which is not loopback: that needs TLS"},
        {{.env = {"VOLANT_TLS_KEY=/k"}}, "--tls-key (VOLANT_TLS_KEY) is set without --tls-cert"},
        {{.argv = {"--listen", "7777"}}, "--listen is '7777', not ADDRESS:PORT"},
        {{.argv = {"--stop-timeout", "1s"}}, "--stop-timeout is '1s', allowed 1 to 300"},
        {{.argv = {"--log-level", "loud"}}, "--log-level is 'loud', allowed error, warn, info, debug"},
        {{.argv = {"--state-dir", "here"}}, "--state-dir is 'here', not an absolute path"},
        {{.argv = {"--kernel", "vmlinux"}}, "--kernel is 'vmlinux', not an absolute path"},
        {{.argv = {"--subnet", "8.8.8.0/24"}}, "--subnet"},
        {{.argv = {"--state-dir", X80, "--runtime-dir", "/r"}}, "too long for the sockets of VMs"},
        {{.argv = {"--runtime-dir", X80 X80}}, "VOLANT_RUNTIME_DIR"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct settings s = {.boot_timeout_s = 4711};
        auto_strv warnings = {0};
        struct vl_error err = {0};
        char path[64], says[256];
        bool in_file = table[i].says[0] == '@';

        assert_int_equal(load(&table[i].in, &s, &warnings, path, &err), -EINVAL);
        assert_int_equal(err.kind, VL_INVALID);
        (void)strf(says, sizeof(says), "%s%s", in_file ? path : "", table[i].says + in_file);
        if (!strstr(err.msg, says)) fail_msg("wanted '%s', got '%s'", says, err.msg);
        assert_int_equal(s.boot_timeout_s, 4711);
    }
}

static void a_setting_without_effect_warns(void **state)
{
    static const struct input in = {.env = {"VOLANT_LOG_DIR=/var/log", "VOLANT_BRIDGE=vbr0"},
                                    .file = "VOLANT_HYPERVISOR=cloud-hypervisor\nVOLANT_KERNEL_BZIMAGE=/boot/bzImage"};
    auto_settings s = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};
    char path[64];

    (void)state;
    assert_int_equal(load(&in, &s, &warnings, path, &err), 0);
    assert_int_equal(warnings.len, 3);
    assert_non_null(strstr(warnings.items[0], "VOLANT_LOG_DIR has no effect"));
    assert_non_null(strstr(warnings.items[1], "VOLANT_HYPERVISOR"));
    assert_non_null(strstr(warnings.items[2], "VOLANT_BRIDGE"));
    assert_string_equal(s.rootfs_kernel, "/boot/bzImage");
}

static void who_may_ask(void **state)
{
    static const struct input in = {
        .file = "VOLANT_API_KEY=0123456789\nVOLANT_API_ALLOW_CIDR=10.0.0.0/8,::1\nVOLANT_API_PROXIES=127.0.0.1",
        .env = {"VOLANT_CORS_ORIGINS=https://a.example, *", "VOLANT_API_NAMES=volant.example"},
        .argv = {"--listen", "0.0.0.0:7777", "--tls-cert", "/c", "--tls-key", "/k"}};
    auto_settings s = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};
    char path[64];

    (void)state;
    assert_int_equal(load(&in, &s, &warnings, path, &err), 0);
    assert_string_equal(s.access.key, "0123456789");
    assert_int_equal(warnings.len, 1);
    assert_non_null(strstr(warnings.items[0], "VOLANT_API_KEY is short"));
    assert_null(strstr(warnings.items[0], "0123456789"));
    assert_int_equal(s.access.allow.len, 2);
    assert_int_equal(s.access.proxies.len, 1);
    assert_int_equal(s.access.origins.len, 2);
    assert_int_equal(s.access.names.len, 1);
    assert_string_equal(s.access.tls_cert, "/c");
    assert_string_equal(s.access.tls_key, "/k");
    assert_string_equal(s.listen, "0.0.0.0:7777");
}

static void a_file_that_was_asked_for_must_be_there(void **state)
{
    auto_(settings_flags_done) struct settings_flags flags;
    struct settings s = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};

    (void)state;
    environment = (const char *const[]){NULL};
    assert_int_equal(settings_flags_init(&flags), 0);
    flags.config = "/nonexistent/volantd.conf";
    assert_int_equal(settings_load(&flags, env, &s, &warnings, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "/nonexistent/volantd.conf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(flags_win_over_environment_over_file),
        cmocka_unit_test(folders_of_kernels),
        cmocka_unit_test(decimals),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(a_setting_without_effect_warns),
        cmocka_unit_test(who_may_ask),
        cmocka_unit_test(a_file_that_was_asked_for_must_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
