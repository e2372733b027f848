/* SPDX-License-Identifier: Apache-2.0 */
#include "fledge/config_file.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

#define P       "[plugin]\nname = \"web\"\nversion = \"1.0.0\"\nstrategy = \"initramfs\"\n"
#define M       "[[file_mappings]]\nsource = \"./web\"\ndest = \"/bin/web\"\n" /* lines 5 to 7 */
#define W       "[workload]\nentrypoint = [\"/bin/web\"]\n"                    /* lines 8 and 9 */
#define R       "[plugin]\nname = \"web\"\nversion = \"1.0.0\"\nstrategy = \"oci_rootfs\"\n"
#define O       "[oci_source]\nimage = \"nginx\"\n" /* lines 5 and 6 */
#define AFTER_M "fledge.toml:8:"
#define AFTER_W "fledge.toml:10:"

static const struct {
    const char *text, *msg; /* what the message begins with */
} bad[] = {
    {"", "fledge.toml:1:1: plugin is missing: add [plugin]"},
    {"[plugin\n", "fledge.toml:1:8: this is not TOML: "},
    {"a = 1\na = 2\n", "fledge.toml:2:"},
    {"[/plugin]\n", "fledge.toml:1:2: this is not TOML: "}, /* toml++ ends the program by default */
    {"[\x01]\n", "fledge.toml:1:2: this is not TOML: "},
    {"\xc3\xa9 = 1\n", "fledge.toml:1:1: this is not TOML: "}, /* so is what it does with letters outside of quotes */
    {"a = b\xc3\xa9\n", "fledge.toml:1:5: this is not TOML: "},
    {"[[=]]\n", "fledge.toml:1:3: this is not TOML: "},
    {"\xff", "fledge.toml:1:1: this is not TOML: "},
    {P W "name = ", "fledge.toml:7:8: this is not TOML: "},
    {P M, "fledge.toml:1:1: workload is missing: add [workload]"},
    {M W, "fledge.toml:1:1: plugin is missing: add [plugin]"},
    /* [plugin] */
    {"[plugin]\nversion = \"1\"\nstrategy = \"initramfs\"\n" W,
     "fledge.toml:1:1: plugin.name is missing: add name = \"web\""},
    {"[plugin]\nname = \"a\"\nstrategy = \"initramfs\"\n" W, "fledge.toml:1:1: plugin.version is missing: add version"},
    {"[plugin]\nname = \"a\"\nversion = \"1\"\n" W,
     "fledge.toml:1:1: plugin.strategy is missing: add strategy = \"initramfs\""},
    {"[plugin]\nname = 5\n", "fledge.toml:2:8: plugin.name is an integer, expected a string: write name = \"web\""},
    {"[plugin]\nname = \"\"\n", "fledge.toml:2:8: plugin.name is empty: write name = \"web\""},
    {"[plugin]\nname = \"a\\u0000b\"\n", "fledge.toml:2:8: plugin.name contains a NUL character: remove it"},
    {"[plugin]\nname = \"a/b\"\nversion = \"1\"\nstrategy = \"initramfs\"\n" W,
     "fledge.toml:2:8: name \"a/b\" may hold letters"},
    {"[plugin]\nname = \"..\"\nversion = \"1\"\nstrategy = \"initramfs\"\n" W, "fledge.toml:2:8: name \"..\" must "},
    {"[plugin]\nname = \"a\"\nversion = 1.0\n",
     "fledge.toml:3:11: plugin.version is a float, expected a string: write version"},
    {"[plugin]\nversion = 2001-01-01\n", "fledge.toml:2:11: plugin.version is a date or time, expected a string"},
    {"[plugin]\nstrategy = \"iso\"\n",
     "fledge.toml:2:12: plugin.strategy is \"iso\", allowed: \"initramfs\", \"oci_rootfs\""},
    /* rootfs */
    {R, "fledge.toml:1:1: oci_source is missing: add [oci_source] with image = "},
    {R "[oci_source]\n", "fledge.toml:5:1: oci_source.image is missing: add image = "},
    {R "[oci_source]\nimage = 5\n", "fledge.toml:6:9: oci_source.image is an integer, expected a string"},
    {R "[oci_source]\nimage = \"\"\n", "fledge.toml:6:9: oci_source.image is empty"},
    {R O "[filesystem]\ntype = \"xfs\"\n",
     "fledge.toml:8:8: filesystem.type is \"xfs\", allowed: \"squashfs\", \"ext4\""},
    {R O "[filesystem]\ncompression_level = 23\n",
     "fledge.toml:8:21: filesystem.compression_level is 23, allowed 0 to 22"},
    {R O "[filesystem]\ncompression_level = -1\n", "fledge.toml:8:21: filesystem.compression_level is -1: write"},
    {R O "[filesystem]\ncompression = \"brotli\"\n",
     "fledge.toml:8:15: filesystem.compression is \"brotli\", allowed: "},
    {R O "[filesystem]\nsize_mb = 100\n", "fledge.toml:8:1: filesystem.size_mb is of type = \"ext4\": remove it, or"},
    {R O "[filesystem]\ntype = \"ext4\"\ncompression = \"zstd\"\n",
     "fledge.toml:9:1: filesystem.compression is of type = \"squashfs\": remove it, or"},
    {R O "[filesystem]\ntype = \"ext4\"\npreallocate = 1\n",
     "fledge.toml:9:15: filesystem.preallocate is an integer, expected true or false"},
    {R O "[filesystem]\ntype = \"ext4\"\nsize_mb = 99999999\n",
     "fledge.toml:9:11: filesystem.size_mb is 99999999, allowed"},
    {R O "[workload]\nworkdir = \"srv\"\n", "fledge.toml:8:11: workload.workdir is \"srv\": write an absolute path"},
    {R O "[workload]\nstop_signal = \"SIGNOTHING\"\n",
     "fledge.toml:8:15: workload.stop_signal is \"SIGNOTHING\", allowed"},
    {R O "[workload]\nentrypoint = []\n", "fledge.toml:8:14: workload.entrypoint is empty"},
    {P O M W, "fledge.toml:5:2: 'oci_source' is of strategy = \"oci_rootfs\": remove it, or write that strategy"},
    {P "[filesystem]\n" M W, "fledge.toml:5:2: 'filesystem' is of strategy = \"oci_rootfs\""},
    {"plugin = 1\n", "fledge.toml:1:10: plugin is an integer, expected a table: write [plugin]"},
    {"[[plugin]]\n", "fledge.toml:1:1: plugin is an array, expected a table: write [plugin]"},
    /* unknown keys */
    {"foo = 1\n", "fledge.toml:1:1: unknown key \"foo\": remove it; the keys here are plugin, oci_source, filesystem, "
                  "file_mappings"},
    {"[plugins]\n", "fledge.toml:1:2: unknown key \"plugins\": did you mean 'plugin'?"},
    {"[plugin]\nnmae = 1\n", "fledge.toml:2:1: unknown key \"nmae\" in 'plugin': did you mean 'name'?"},
    {"[plugin]\n  Name = 1\n", "fledge.toml:2:3: unknown key \"Name\" in 'plugin': did you mean 'name'?"},
    {"[plugin]\nentrypoint = 1\n",
     "fledge.toml:2:1: unknown key \"entrypoint\" in 'plugin': it belongs below [workload]"},
    {P M "owner = 0\n" W, AFTER_M
     "1: unknown key \"owner\" in 'file_mappings[0]': remove it; the keys here are source, dest, mode, libraries"},
    {P M M "sorce = 0\n" W, "fledge.toml:11:1: unknown key \"sorce\" in 'file_mappings[1]': did you mean 'source'?"},
    {P M W "\"\\u001b[31m\" = 1\n", AFTER_W "1: unknown key \"\\x1b[31m\" in 'workload'"},
    {P M W "[resources]\nmemory = 64\n",
     "fledge.toml:11:1: unknown key \"memory\" in 'resources': did you mean 'memory_mb'?"},
    /* the first in the file's order */
    {"zzz = 1\naaa = 1\n", "fledge.toml:1:1: unknown key \"zzz\""},
    /* [[file_mappings]] */
    {P "[file_mappings]\n",
     "fledge.toml:5:1: file_mappings is a table, expected an array of tables: write [[file_mappings]]"},
    {"file_mappings = [{}, 1]\n", "fledge.toml:1:18: file_mappings[0].source is missing"},
    {"file_mappings = [1]\n", "fledge.toml:1:18: file_mappings[0] is an integer, expected a table"},
    {P "[[file_mappings]]\nsource = \"a\"\n" W, "fledge.toml:5:1: file_mappings[0].dest is missing: add dest"},
    {P "[[file_mappings]]\nsource = \"\"\n", "fledge.toml:6:10: file_mappings[0].source is empty"},
    {P "[[file_mappings]]\nsource = [\"a\"]\n",
     "fledge.toml:6:10: file_mappings[0].source is an array, expected a string"},
    {P M "mode = 755\n" W, AFTER_M "8: file_mappings[0].mode is 755 in decimal: write 0o755"},
    {P M "mode = 0x1ff\n" W, AFTER_M "8: file_mappings[0].mode is not written in octal"},
    {P M "mode = 493\n" W, AFTER_M "8: file_mappings[0].mode is not written in octal"},
    {P M "mode = \"0755\"\n" W,
     AFTER_M "8: file_mappings[0].mode is a string, expected an octal integer: write mode = 0o755"},
    {P M "mode = 0o10000\n" W, AFTER_M "8: file_mappings[0].mode is out of range, allowed: 0o000 to 0o7777"},
    {P M "mode = -1\n" W, AFTER_M "8: file_mappings[0].mode is out of range"},
    {P M "libraries = \"yes\"\n" W, AFTER_M "13: file_mappings[0].libraries is \"yes\", allowed: \"auto\", \"none\""},
    {P M "libraries = true\n" W, AFTER_M "13: file_mappings[0].libraries is a boolean, expected a string"},
    /* [workload] */
    {P M "[workload]\n", "fledge.toml:8:1: workload.entrypoint is missing: add entrypoint = ["},
    {P M "[workload]\nentrypoint = \"/bin/web\"\n",
     "fledge.toml:9:14: workload.entrypoint is a string, expected an array of strings"},
    {P M "[workload]\nentrypoint = []\n", "fledge.toml:9:14: workload.entrypoint is empty"},
    {P M "[workload]\nentrypoint = [\"\"]\n", "fledge.toml:9:15: workload.entrypoint[0] is empty"},
    {P M "[workload]\nentrypoint = [\"a\", 1]\n",
     "fledge.toml:9:20: workload.entrypoint[1] is an integer, expected strings"},
    {P M "[workload]\nentrypoint = [\"  \"]\n", "fledge.toml:9:14: workload.entrypoint[0] is blank"},
    {P M W "env = { PORT = 80 }\n", AFTER_W "16: workload.env.\"PORT\" is an integer, expected a string"},
    {P M W "env = [\"A=b\"]\n", AFTER_W "7: workload.env is an array, expected a table of strings"},
    {P M W "env = { \"A=b\" = \"c\" }\n", AFTER_W "7: workload.env has the name \"A=b\""},
    {P M W "workdir = \"srv\"\n", AFTER_W "11: workload.workdir is \"srv\": write an absolute path"},
    {P M W "workdir = \"/a/../b\"\n", AFTER_W "11: workload.workdir is \"/a/../b\": write an absolute path"},
    {P M W "user = \"a b\"\n", AFTER_W "8: workload.user is \"a b\", allowed: "},
    {P M W "user = 1000\n", AFTER_W "8: workload.user is an integer, expected a string: write user = \"1000:1000\""},
    {P M W "type = \"tcp\"\n", AFTER_W "8: workload.type is \"tcp\", allowed: \"http\", \"exec\""},
    {P M W "type = \"http\"\n", "fledge.toml:8:1: workload.base_url is missing: write http://"},
    {P M W "base_url = \"localhost:80\"\n", AFTER_W "12: workload.base_url is \"localhost:80\", allowed: http://"},
    /* [resources] */
    {P M W "[resources]\nmemory_mb = 8\n", "fledge.toml:11:13: resources.memory_mb is 8, allowed 48 to "},
    {P M W "[resources]\nmemory_mb = \"64M\"\n",
     "fledge.toml:11:13: resources.memory_mb is a string, expected an integer"},
    {P M W "[resources]\ncpu_cores = 0\n", "fledge.toml:11:13: resources.cpu_cores is 0: write cpu_cores = 1"},
    {P M W "[resources]\ncpu_cores = 65\n", "fledge.toml:11:13: resources.cpu_cores is 65, allowed 1 to 64"},
    {P M W "[resources]\ncpu_cores = 1.5\n", "fledge.toml:11:13: resources.cpu_cores is a float, expected an integer"},
    /* restart, [health_check] */
    {"[plugin]\nrestart = \"never\"\n",
     "fledge.toml:2:11: plugin.restart is \"never\", allowed: \"no\", \"on-failure\", \"always\""},
    {"[plugin]\nrestart = true\n", "fledge.toml:2:11: plugin.restart is a boolean, expected a string: write restart"},
    {"restart = \"no\"\n", "fledge.toml:1:1: unknown key \"restart\": it belongs below [plugin]"},
    {P M W "health_check = \"/\"\n",
     AFTER_W "1: unknown key \"health_check\" in 'workload': write it as [health_check]"},
    {P M W "[health_check]\ntype = \"grpc\"\n",
     "fledge.toml:11:8: health_check.type is \"grpc\", allowed: \"http\", \"tcp\", \"exec\""},
    {P M W "[health_check]\ninterval = 5\n",
     "fledge.toml:11:1: unknown key \"interval\" in 'health_check': did you mean 'interval_ms'?"},
    {P M W "[health_check]\nport = 80\ninterval_ms = 0\n",
     "fledge.toml:12:15: health_check.interval_ms is 0: write interval_ms = 10000"},
    {P M W "[health_check]\nport = 80\ninterval_ms = 5\n",
     "fledge.toml:12:15: health_check.interval_ms is 5, allowed 100 to 3600000"},
    {P M W "[health_check]\nport = 80\ninterval_ms = \"10s\"\n",
     "fledge.toml:12:15: health_check.interval_ms is a string, expected an integer: write interval_ms = 10000"},
    {P M W "[health_check]\nport = 80\nstart_period_ms = -1\n",
     "fledge.toml:12:19: health_check.start_period_ms is -1: write start_period_ms = 5000"},
    {P M W "[health_check]\nport = 80\nretries = 1000\n",
     "fledge.toml:12:11: health_check.retries is 1000, allowed 1 to 100"},
    {P M W "[health_check]\ncommand = []\n", "fledge.toml:11:11: health_check.command is empty: write command = ["},
    {P M W "[health_check]\ncommand = \"/bin/check\"\n",
     "fledge.toml:11:11: health_check.command is a string, expected an array of strings"},
    {P M W "[health_check]\nport = 80\ncommand = [\"a\"]\n",
     "fledge.toml:11:8: health_check.port does not go with a command: remove one of the two"},
    {P M W "[health_check]\nendpoint = \"/\"\n",
     "fledge.toml:10:1: health_check.port is missing: write the port to ask, or workload.base_url"},
    {P M W "base_url = \"http://127.0.0.1\"\n[health_check]\nendpoint = \"http://other/\"\n",
     "fledge.toml:12:12: health_check.endpoint is \"http://other/\": write a path"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config c = {.n_mappings = 4711};
        struct vl_error err = {0};
        int r = config_parse("fledge.toml", bad[i].text, strlen(bad[i].text), &c, &err);

        if (r >= 0) fail_msg("accepted:\n%s", bad[i].text);
        if (!str_starts(err.msg, bad[i].msg)) fail_msg("expected '%s'\ngot      '%s'", bad[i].msg, err.msg);
        assert_int_equal(err.kind, VL_INVALID);
        assert_int_equal(c.n_mappings, 4711); /* untouched */
    }
}

static void parse_good(const char *text, struct config *c)
{
    struct vl_error err = {0};

    if (config_parse("fledge.toml", text, strlen(text), c, &err) < 0) fail_msg("%s", err.msg);
}

static void test_the_seed_s_own_file(void **state)
{
    static const char text[] = "[plugin]\n"
                               "name = \"caddy\"\n"
                               "version = \"1.0.0\"\n"
                               "strategy = \"initramfs\"\n"
                               "\n"
                               "[[file_mappings]]\n"
                               "source = \"./caddy_linux_amd64\"\n"
                               "dest = \"/usr/local/bin/caddy\"\n"
                               "mode = 0o755\n"
                               "\n"
                               "[[file_mappings]]\n"
                               "source = \"./Caddyfile\"\n"
                               "dest = \"/etc/Caddyfile\"\n"
                               "mode = 0o644\n"
                               "\n"
                               "[workload]\n"
                               "entrypoint = [\"/usr/local/bin/caddy\", \"run\", \"--config\", \"/etc/Caddyfile\"]\n";
    auto_config c = {0};

    (void)state;
    parse_good(text, &c);
    assert_string_equal(c.manifest.name, "caddy");
    assert_string_equal(c.manifest.runtime, "caddy");
    assert_string_equal(c.manifest.schema_version, "1.0");
    assert_true(c.manifest.enabled);
    assert_int_equal(c.manifest.resources.cpu_cores, 1);
    assert_int_equal(c.manifest.resources.memory_mb, 256);
    assert_string_equal(c.manifest.workload.type, "exec");
    assert_int_equal(c.manifest.workload.entrypoint.len, 4);
    assert_null(c.manifest.initramfs.url);
    assert_null(c.manifest.initramfs.checksum);
    assert_int_equal(c.n_mappings, 2);
    assert_string_equal(c.mappings[0].source, "./caddy_linux_amd64");
    assert_string_equal(c.mappings[1].dest, "/etc/Caddyfile");
    assert_int_equal(c.mappings[0].mode, 0755);
    assert_int_equal(c.mappings[1].mode, 0644);
    assert_int_equal(c.mappings[1].libraries, LIBRARIES_DEFAULT);
    assert_int_equal(c.mappings[1].source_at.line, 12);
    assert_int_equal(c.mappings[1].source_at.column, 10);
    assert_int_equal(c.entrypoint_at.line, 17);
    assert_int_equal(c.entrypoint_at.column, 15);
}

static void test_everything(void **state)
{
    static const char text[] = P M
        "mode = 0o4711\nlibraries = \"none\"\n" M "libraries = \"auto\"\n"
        "[workload]\nentrypoint = [\"web\", \"\", \" spaced \"]\nenv = { A = \"1\", B = \"\" }\nworkdir = \"/srv\"\n"
        "user = \"1000:1000\"\nbase_url = \"http://127.0.0.1:8080/\"\n[resources]\ncpu_cores = 2\nmemory_mb = 64\n"
        "[health_check]\nendpoint = \"/up\"\nport = 8080\ninterval_ms = 500\ncheck_timeout_ms = 50\nretries = 1\n"
        "start_period_ms = 0\ntimeout_ms = 0\n";
    auto_config c = {0};

    (void)state;
    parse_good(text, &c);
    assert_int_equal(c.mappings[0].mode, 04711);
    assert_int_equal(c.mappings[0].libraries, LIBRARIES_NONE);
    assert_int_equal(c.mappings[1].mode, -1);
    assert_int_equal(c.mappings[1].libraries, LIBRARIES_AUTO);
    assert_string_equal(c.manifest.workload.type, "http");
    assert_string_equal(c.manifest.workload.entrypoint.items[2], " spaced ");
    assert_string_equal(strmap_get(&c.manifest.workload.env, "A"), "1");
    assert_string_equal(strmap_get(&c.manifest.workload.env, "B"), "");
    assert_string_equal(c.manifest.workload.workdir, "/srv");
    assert_string_equal(c.manifest.workload.user, "1000:1000");
    assert_int_equal(c.manifest.resources.cpu_cores, 2);
    assert_string_equal(c.manifest.health_check.type, "http");
    assert_string_equal(c.manifest.health_check.endpoint, "/up");
    assert_int_equal(c.manifest.health_check.port, 8080);
    assert_int_equal(c.manifest.health_check.interval_ms, 500);
    assert_int_equal(c.manifest.health_check.check_timeout_ms, 50);
    assert_int_equal(c.manifest.health_check.retries, 1);
    assert_null(c.manifest.restart);
    assert_int_equal(c.manifest.resources.memory_mb, 64);
}

static void test_a_command_and_a_restart(void **state)
{
    auto_config c = {0};

    (void)state;
    parse_good("[plugin]\nname = \"web\"\nversion = \"1\"\nstrategy = \"initramfs\"\nrestart = \"on-failure\"\n" W
               "[health_check]\ncommand = [\"/bin/check\", \"-q\"]\n",
               &c);
    assert_string_equal(c.manifest.restart, "on-failure");
    assert_string_equal(c.manifest.health_check.type, "exec");
    assert_int_equal(c.manifest.health_check.command.len, 2);
    assert_int_equal(c.manifest.health_check.interval_ms, HEALTH_INTERVAL_MS);
}

static void test_rootfs(void **state)
{
    static const char text[] = R O "[filesystem]\ntype = \"ext4\"\nsize_buffer_mb = 10\npreallocate = true\n"
                                   "[workload]\nenv = { A = \"mine\" }\nuser = \"7\"\n";
    auto_config c = {0};
    json_auto_t *image = json_pack("{s:{s:[ss], s:{s:s, s:s}, s:s, s:s, s:s}, s:s}", "workload", "entrypoint", "/run",
                                   "-x", "env", "A", "its", "B", "too", "user", "root", "base_url",
                                   "http://127.0.0.1:81", "stop_signal", "SIGQUIT", "image", "nginx");
    struct vl_error err = {0};

    (void)state;
    parse_good(text, &c);
    assert_true(c.rootfs && c.fs.preallocate);
    assert_string_equal(c.image, "nginx");
    assert_int_equal(c.fs.type, FS_EXT4);
    assert_int_equal(c.fs.free_mb, 10);
    assert_int_equal(config_complete(&c, image, "other", "9", &err), 0);
    assert_string_equal(c.manifest.name, "web");
    assert_string_equal(c.manifest.workload.entrypoint.items[1], "-x");
    assert_string_equal(strmap_get(&c.manifest.workload.env, "A"), "mine");
    assert_string_equal(strmap_get(&c.manifest.workload.env, "B"), "too");
    assert_string_equal(c.manifest.workload.user, "7");
    assert_string_equal(c.manifest.workload.type, "http");
    assert_string_equal(c.manifest.workload.stop_signal, "SIGQUIT");
    assert_string_equal(c.manifest.image, "nginx");
}

static void test_without_mappings(void **state)
{
    auto_config c = {0};

    (void)state;
    parse_good(P W, &c);
    assert_int_equal(c.n_mappings, 0);
}

/* Deep nesting must not end in a stack that is too small, whatever way it is written. */
static void test_deep_nesting(void **state)
{
    static const char *const patterns[][2] = {
        {"a = ", "["}, {"", "a."}, {"[", "a."}, {"a = ", "{a="}, {"", "a.a.a=[\n{"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        auto_strbuf text = {0};
        struct config c;
        struct vl_error err = {0};

        strbuf_adds(&text, patterns[i][0]);
        for (int n = 0; n < 20000; n++)
            strbuf_adds(&text, patterns[i][1]);
        assert_true(config_parse("f", text.data, text.len, &c, &err) < 0);
        assert_true(str_starts(err.msg, "f:"));
    }
}

static void test_too_many_mappings(void **state)
{
    auto_strbuf text = {0};
    struct config c;
    struct vl_error err = {0};

    (void)state;
    strbuf_adds(&text, P W);
    for (int n = 0; n <= MAPPINGS_MAX; n++)
        strbuf_adds(&text, "[[file_mappings]]\nsource='a'\ndest='/a'\n");
    assert_true(config_parse("f", text.data, text.len, &c, &err) < 0);
    assert_non_null(strstr(err.msg, "there are 2049 file_mappings, allowed 2048"));
}

static void test_no_file(void **state)
{
    struct config c;
    struct vl_error err = {0};

    (void)state;
    assert_true(config_read("/nonexistent/fledge.toml", &c, &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
    assert_true(str_starts(err.msg, "there is no file '/nonexistent/fledge.toml'"));
    assert_true(config_read("/tmp", &c, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_the_seed_s_own_file),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_a_command_and_a_restart),
        cmocka_unit_test(test_without_mappings),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_too_many_mappings),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_rootfs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
