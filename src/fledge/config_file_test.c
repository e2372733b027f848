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
#define V1      "version = \"1\"\nstrategy = \"initramfs\"\n"
#define V1R     "version = \"1\"\nstrategy = \"oci_rootfs\"\n"
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
    {R O "[initramfs]\n", "fledge.toml:7:2: 'initramfs' is of strategy = \"initramfs\": remove it"},
    {R "[oci_source]\nimage = \"a\"\ndockerfile = \"b\"\n",
     "fledge.toml:7:1: oci_source.image and dockerfile exclude each other"},
    {R O "target = \"x\"\n", "fledge.toml:7:1: oci_source.target is of a dockerfile: remove it, or name one"},
    {R "[oci_source]\ndockerfile = \"a\"\nbuild_args = { A = 1 }\n",
     "fledge.toml:7:20: oci_source.build_args.\"A\" is an integer, expected a string"},
    /* [initramfs] */
    {P M W "[initramfs]\ncompression = \"xz\"\n",
     "fledge.toml:11:15: initramfs.compression is \"xz\", allowed: \"zstd\", \"lz4\", \"gzip\", \"none\""},
    {P M W "[initramfs]\ncompression = \"gzip\"\ncompression_level = 10\n",
     "fledge.toml:12:21: initramfs.compression_level is 10, allowed 0 to 9 of \"gzip\""},
    {P M W "[initramfs]\ncompression = \"none\"\ncompression_level = 1\n",
     "fledge.toml:12:1: initramfs.compression_level: \"none\" has none: remove it"},
    {P M W "[initramfs]\nbusybox = \"yes\"\n",
     "fledge.toml:11:11: initramfs.busybox is a string, expected true or false: write busybox = true"},
    {P M W "[initramfs]\nbusybox_sha256 = \"00\"\n",
     "fledge.toml:11:1: initramfs.busybox_sha256 without busybox = true: remove it"},
    {P M W "[filesystem]\n", "fledge.toml:10:2: 'filesystem' is of strategy = \"oci_rootfs\": remove it"},
    /* [init] */
    {P M "[init]\n", "fledge.toml:8:1: init.path is missing: add path = \"./init\" or none = true"},
    {P M "[init]\nnone = false\n", "fledge.toml:8:1: init.path is missing"},
    {P M "[init]\npath = \"i\"\nnone = true\n",
     "fledge.toml:10:1: init.path and init.none exclude each other: remove one of them"},
    {P M W "[init]\nnone = true\n", "fledge.toml:8:2: 'workload' is kestrel's business, which [init] replaces"},
    {P M "[init]\nnone = true\n[health_check]\nport = 80\n", "fledge.toml:10:2: 'health_check' is kestrel's business"},
    {R O "[init]\npath = \"sbin/init\"\n", "fledge.toml:8:8: init.path 'sbin/init' is not absolute"},
    /* the other dialect */
    {"version = \"2\"\n", "fledge.toml:1:11: version is \"2\", allowed: \"1\""},
    {"version = 1\n", "fledge.toml:1:11: version is an integer, expected a string: write version = \"1\""},
    {"strategy = \"initramfs\"\n", "fledge.toml:1:1: version is missing: add version = \"1\""},
    {V1 "image = \"x\"\n", "fledge.toml:3:1: unknown key \"image\": it belongs below [source]"},
    {V1, "fledge.toml:1:1: workload is missing: add [workload] to a manifest.toml beside it"},
    {V1 "[init]\nnone = true\n[agent]\n", "fledge.toml:5:1: agent: [init] does without one: remove one of the two"},
    {V1 "[agent]\nsource_strategy = \"http\"\nurl = \"http://x/\"\n",
     "fledge.toml:4:19: agent.source_strategy is \"http\": fledge fetches no agents"},
    {V1 "[agent]\nversion = \"v9.9.9\"\n", "fledge.toml:4:11: agent.version is \"v9.9.9\": the one that is installed"},
    {V1 "[agent]\nsource_strategy = \"local\"\n", "fledge.toml:3:1: agent.path is missing: add path = "},
    {V1 "[source]\nbusybox_url = \"https://busybox.net/x\"\n",
     "fledge.toml:4:15: source.busybox_url is \"https://busybox.net/x\": fledge fetches no programs. Remove it"},
    {V1 "[filesystem]\n", "fledge.toml:3:2: 'filesystem' is of strategy = \"oci_rootfs\""},
    {V1 "[mappings]\n\"a\" = \"\"\n", "fledge.toml:4:7: mappings: the destination of a source is empty"},
    {V1 "[mappings]\n\"\" = \"/a\"\n", "fledge.toml:4:1: mappings: a source is empty"},
    {V1 "[mappings]\na = 5\n", "fledge.toml:4:5: mappings.\"a\" is an integer, expected a string"},
    {V1R, "fledge.toml:1:1: source is missing: add [source] with image = "},
    {V1R "[source]\n", "fledge.toml:3:1: source.image is missing: add image = "},
    {V1R "[source]\nimage = \"a\"\ndockerfile = \"b\"\n",
     "fledge.toml:5:1: source.image and dockerfile exclude each other: remove one of them"},
    {V1R "[source]\nimage = \"a\"\n[filesystem]\ntype = \"xfs\"\n",
     "fledge.toml:6:8: filesystem.type is \"xfs\": such a file system takes root and a loop device"},
    {V1R "[source]\nimage = \"a\"\n[filesystem]\noverlay_size = \"2G\"\n",
     "fledge.toml:6:16: filesystem.overlay_size is the VM's business: half of its memory, or a disk of its own"},
    {V1R "[source]\nimage = \"a\"\n[filesystem]\nsize_buffer_mb = 5\n",
     "fledge.toml:6:1: filesystem.size_buffer_mb is of type = \"ext4\""},
    {V1R "[agent]\nsource_strategy = \"local\"\npath = \"k\"\n",
     "fledge.toml:4:19: agent.source_strategy is \"local\": VMs of a rootfs get their agent from the kernel"},
    {P "[filesystem]\n" M W, "fledge.toml:5:2: 'filesystem' is of strategy = \"oci_rootfs\""},
    {"plugin = 1\n", "fledge.toml:1:10: plugin is an integer, expected a table: write [plugin]"},
    {"[[plugin]]\n", "fledge.toml:1:1: plugin is an array, expected a table: write [plugin]"},
    /* unknown keys */
    {"foo = 1\n", "fledge.toml:1:1: unknown key \"foo\": remove it; the keys here are plugin, oci_source, filesystem, "
                  "initramfs, init, file_mappings, "},
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

static int parse(const char *text, struct config *c, struct vl_error *err)
{
    const struct config_text from = {.file = "fledge.toml", .text = text, .len = strlen(text)};

    return config_parse(&from, c, err);
}

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config c = {.n_mappings = 4711};
        struct vl_error err = {0};
        int r = parse(bad[i].text, &c, &err);

        if (r >= 0) fail_msg("accepted:\n%s", bad[i].text);
        if (!str_starts(err.msg, bad[i].msg)) fail_msg("expected '%s'\ngot      '%s'", bad[i].msg, err.msg);
        assert_int_equal(err.kind, VL_INVALID);
        assert_int_equal(c.n_mappings, 4711); /* untouched */
    }
}

static void parse_good(const char *text, struct config *c)
{
    struct vl_error err = {0};

    if (parse(text, c, &err) < 0) fail_msg("%s", err.msg);
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
    assert_string_equal(c.from.image, "nginx");
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

static int parse_two(const char *text, const char *manifest, struct config *c, struct vl_error *err)
{
    const struct config_text from = {.file = "fledge.toml",
                                     .text = text,
                                     .len = strlen(text),
                                     .manifest_file = "manifest.toml",
                                     .manifest = manifest,
                                     .manifest_len = strlen(manifest),
                                     .folder = "/srv/my web"};

    return config_parse(&from, c, err);
}

#define MT "name = \"web\"\nversion = \"1.2\"\nruntime = \"r\"\n"

static void test_version_1(void **state)
{
    auto_config c = {0};
    struct vl_error err = {0};
    auto_free char *extra = NULL;

    (void)state;
    if (parse_two(V1 "[agent]\nsource_strategy = \"release\"\nversion = \"latest\"\n[source]\nbusybox_sha256 = \"00\"\n"
                     "[mappings]\n\"./web\" = \"/usr/bin/web\"\nsite = \"/srv\"\n",
                  "schema_version = \"v1\"\n" MT "[resources]\ncpu_cores = 2\nmemory_mb = 512\n"
                  "[workload]\nentrypoint = \"/usr/bin/web\"\nargs = [\"-x\", \"\"]\nworkdir = \"/srv\"\n"
                  "[env]\nA = \"b\"\n[network]\nmode = \"bridged\"\n"
                  "[[network.expose]]\nport = 80\nhost_port = 8080\n[[network.expose]]\nport = 53\nprotocol = \"udp\"\n"
                  "[actions.reload]\npath = \"/r\"\nmethod = \"POST\"\n"
                  "[cloud_init.user_data]\ninline = true\ncontent = \"x\"\n[devices]\npci_passthrough = [\"0\"]\n",
                  &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(c.v1 && !c.rootfs && c.initramfs.busybox);
    assert_string_equal(c.initramfs.busybox_sha256, "00");
    assert_string_equal(c.manifest.name, "web");
    assert_string_equal(c.manifest.version, "1.2");
    assert_string_equal(c.manifest.runtime, "r");
    assert_int_equal(c.manifest.resources.memory_mb, 512);
    assert_int_equal(c.manifest.workload.entrypoint.len, 3);
    assert_string_equal(c.manifest.workload.entrypoint.items[2], "");
    assert_string_equal(c.manifest.workload.workdir, "/srv");
    assert_string_equal(strmap_get(&c.manifest.workload.env, "A"), "b");
    assert_string_equal(c.manifest.workload.exposed_ports.items[0], "80/tcp");
    assert_string_equal(c.manifest.workload.exposed_ports.items[1], "53/udp");
    assert_int_equal(c.n_mappings, 2);
    assert_string_equal(c.mappings[0].source, "./web");
    assert_string_equal(c.mappings[1].dest, "/srv");
    assert_int_equal(c.mappings[1].source_at.line, 10);
    extra = json_text(c.extra);
    assert_string_equal(extra, "{\"network\":{\"mode\":\"bridged\",\"expose\":[{\"port\":80,\"host_port\":8080},"
                               "{\"port\":53,\"protocol\":\"udp\"}]},\"actions\":{\"reload\":{\"path\":\"/r\","
                               "\"method\":\"POST\"}},\"cloud_init\":{\"user_data\":{\"inline\":true,\"content\":"
                               "\"x\"}},\"devices\":{\"pci_passthrough\":[\"0\"]}}");
}

/* Names where no manifest.toml gives one; what is 0 there means nothing. */
static void test_version_1_alone(void **state)
{
    static const struct {
        const char *text, *name;
    } table[] = {
        {V1R "[source]\nimage = \"docker.io/library/nginx:alpine\"\n[filesystem]\ntype = \"squashfs\"\n"
             "size_buffer_mb = 0\npreallocate = false\ncompression_level = 15\n",
         "nginx"},
        {V1R "[source]\ndockerfile = \"./Dockerfile\"\ntarget = \"x\"\nbuild_args = { A = \"b\" }\n", "plugin"},
        {V1 "[init]\npath = \"./i\"\n", "plugin"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_config c = {0};
        struct vl_error err = {0};
        const struct config_text from = {
            .file = "fledge.toml", .text = table[i].text, .len = strlen(table[i].text), .folder = "/nonexistent"};

        if (config_parse(&from, &c, &err) < 0) fail_msg("%s", err.msg);
        assert_string_equal(c.manifest.name, table[i].name);
        assert_string_equal(c.manifest.version, "1.0.0");
        if (i == 0) assert_int_equal(c.fs.level, 15);
        if (i == 1) assert_string_equal(strmap_get(&c.from.build_args, "A"), "b");
        if (i == 2) assert_string_equal(c.mappings[0].dest, "/init");
        if (i == 2) assert_string_equal(c.manifest.agent, "none");
    }
}

static void test_bad_manifest_toml(void **state)
{
    static const struct {
        const char *text, *msg;
    } table[] = {
        {"a = ", "manifest.toml:1:5: this is not TOML: "},
        {"name = \"a\"\n", "manifest.toml:1:1: version is missing: add version = \"1.0.0\""},
        {MT "foo = 1\n", "manifest.toml:4:1: unknown key \"foo\": remove it; the keys here are schema_version, name"},
        {MT "entrypoint = \"/x\"\n", "manifest.toml:4:1: unknown key \"entrypoint\": it belongs below [workload]"},
        {"schema_version = \"v2\"\n" MT, "manifest.toml:1:18: schema_version is \"v2\", allowed: \"v1\""},
        {MT "[workload]\nargs = [\"a\"]\n", "manifest.toml:5:8: workload.args without entrypoint"},
        {MT "[workload]\nentrypoint = [\"/x\"]\n",
         "manifest.toml:5:14: workload.entrypoint is an array, expected a string"},
        {MT "[workload]\nentrypoint = \"/x\"\nargs = [1]\n",
         "manifest.toml:6:9: workload.args[0] is an integer, expected strings"},
        {MT "[workload]\n", "manifest.toml:4:1: workload.entrypoint is missing: add entrypoint = \"/usr/"},
        {MT "[workload]\nentrypoint = \"/x\"\nworkdir = \"x\"\n",
         "manifest.toml:6:11: workload.workdir is \"x\": write an absolute path"},
        {MT "[workload]\nentrypoint = \"/x\"\n[resources]\nmemory_mb = 1\n",
         "manifest.toml:7:13: resources.memory_mb is 1, allowed 48 to"},
        {MT "[[network.expose]]\nport = 70000\n", "manifest.toml:5:8: network.expose[0].port is 70000, allowed 1 to"},
        {MT "[[network.expose]]\nprotocol = \"icmp\"\n",
         "manifest.toml:5:12: network.expose[0].protocol is \"icmp\", allowed: "},
        {MT "[actions.x]\npath = \"/\"\n", "manifest.toml:4:1: actions.\"x\".method is missing: add method = "},
        {MT "actions = { a = 1 }\n", "manifest.toml:4:17: actions.\"a\" is an integer, expected a table"},
        {MT "[devices]\na = [1.5]\n", "manifest.toml:5:6: devices is a float, expected strings, integers"},
        {MT "[cloud_init]\na = \"\\u0000\"\n", "manifest.toml:5:5: cloud_init contains a NUL character"},
        {"name = \"a/b\"\nversion = \"1\"\nruntime = \"r\"\n[workload]\nentrypoint = \"/x\"\n",
         "manifest.toml:1:8: name \"a/b\" may hold letters"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct config c = {.n_mappings = 4711};
        struct vl_error err = {0};

        if (parse_two(V1, table[i].text, &c, &err) >= 0) fail_msg("accepted:\n%s", table[i].text);
        if (!str_starts(err.msg, table[i].msg)) fail_msg("expected '%s'\ngot      '%s'", table[i].msg, err.msg);
        assert_int_equal(c.n_mappings, 4711);
    }
}

static void test_init_and_packing(void **state)
{
    auto_config c = {0}, d = {0}, e = {0};

    (void)state;
    parse_good(
        P M "[init]\npath = \"./i\"\n[initramfs]\nbusybox = true\ncompression = \"lz4\"\ncompression_level = 3\n", &c);
    assert_int_equal(c.init, INIT_CUSTOM);
    assert_int_equal(c.n_mappings, 2);
    assert_string_equal(c.mappings[1].source_name, "init.path");
    assert_true(c.initramfs.busybox && c.initramfs.packing == PACK_LZ4 && c.initramfs.level == 3);
    assert_string_equal(c.manifest.agent, "none");
    assert_int_equal(c.manifest.workload.entrypoint.len, 0);
    parse_good(R O "[init]\nnone = true\n", &d);
    assert_int_equal(d.init, INIT_NONE);
    parse_good(P O M, &e); /* an image in an initramfs: its own program is started */
    assert_true(!e.rootfs && config_has_image(&e));
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
        assert_true(parse(text.data, &c, &err) < 0);
        assert_true(str_starts(err.msg, "fledge.toml:"));
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
    assert_true(parse(text.data, &c, &err) < 0);
    assert_non_null(strstr(err.msg, "there are 2049 file_mappings, allowed 2048"));
}

static void test_no_file(void **state)
{
    struct config c;
    struct vl_error err = {0};

    (void)state;
    assert_true(config_read("/nonexistent/fledge.toml", NULL, &c, &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
    assert_true(str_starts(err.msg, "there is no file '/nonexistent/fledge.toml'"));
    assert_true(config_read("/tmp", NULL, &c, &err) < 0);
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
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_version_1_alone),
        cmocka_unit_test(test_bad_manifest_toml),
        cmocka_unit_test(test_init_and_packing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
