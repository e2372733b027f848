/* SPDX-License-Identifier: Apache-2.0 */
#include "model/manifest.h"

#include <string.h>

#include "base/unit.h"

#define HEX  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEX_ "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
#define BOOT "\"initramfs\":{\"url\":\"/a.cpio\",\"checksum\":\"sha256:" HEX "\"}"
#define WORK "\"workload\":{\"entrypoint\":[\"/a\"]}"
/* A manifest of which one part is under test. */
#define IDENTITY(part) "{" part "," BOOT "," WORK "}"
#define WITH(part)     "{\"name\":\"a\",\"version\":\"1\"," BOOT "," WORK "," part "}"
#define MEDIUM(part)   "{\"name\":\"a\",\"version\":\"1\",\"initramfs\":{" part "}," WORK "}"
#define DISK(keys)                                                                                                     \
    "{\"name\":\"a\",\"version\":\"1\"," WORK ",\"rootfs\":{\"checksum\":\"" HEX "\""                                  \
    "," keys "}}"
#define URL(url)   MEDIUM("\"checksum\":\"" HEX "\",\"url\":" url)
#define SUM(sum)   MEDIUM("\"url\":\"/a\",\"checksum\":" sum)
#define LOAD(part) "{\"name\":\"a\",\"version\":\"1\"," BOOT ",\"workload\":{" part "}}"
#define RUNS(part) LOAD("\"entrypoint\":[\"/a\"]," part)

static json_t *parse(const char *text)
{
    struct vl_error err = {0};
    json_t *j = NULL;

    if (json_parse(text, strlen(text), "test", &j, &err) < 0) fail_msg("%s: %s", text, err.msg);
    return j;
}

/* Gives the stored form; that form is accepted and stored the same once more. */
static char *store(const char *text, struct manifest *ret, struct strv *warnings)
{
    json_auto_t *in = parse(text), *before = json_deep_copy(in), *stored = NULL, *again = NULL;
    auto_manifest second = {0};
    struct vl_error err = {0};

    if (manifest_decode(in, "manifest", ret, &stored, warnings, &err) < 0) fail_msg("%s: %s", text, err.msg);
    assert_true(json_equal(in, before));
    if (manifest_decode(stored, "stored", &second, &again, NULL, &err) < 0) fail_msg("%s: %s", text, err.msg);
    assert_true(json_equal(stored, again));
    return json_text(stored);
}

static const struct {
    const char *json, *message;
} bad[] = {
    {"[]", "manifest must be an object, is an array"},
    {"{}", "manifest: name is missing"},
    {IDENTITY("\"version\":\"1\""), "manifest: name is missing"},
    {IDENTITY("\"name\":\"a\""), "manifest: version is missing"},
    {IDENTITY("\"name\":\"\",\"version\":\"1\""), "manifest: name must not be empty"},
    {IDENTITY("\"name\":\" \",\"version\":\"1\""), "manifest: name must not be empty"},
    {IDENTITY("\"name\":\"a/b\",\"version\":\"1\""),
     "manifest: name \"a/b\" may hold letters, digits, '.', '-' and '_' only"},
    {IDENTITY("\"name\":\"a..b\",\"version\":\"1\""), "manifest: name \"a..b\" must not hold '..'"},
    {IDENTITY("\"name\":\"-a\",\"version\":\"1\""), "manifest: name \"-a\" must begin with a letter or digit"},
    {IDENTITY("\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"version\":\"1\""),
     "manifest: name \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" must not be longer than 63 "
     "characters"},
    {IDENTITY("\"name\":5,\"version\":\"1\""), "manifest: name must be a string, is an integer"},
    {IDENTITY("\"name\":\"a\",\"version\":1.0"), "manifest: version must be a string, is a number with a fraction"},
    {IDENTITY("\"name\":\"a\",\"version\":\" \""), "manifest: version must not be empty: write one, such as \"1.0.0\""},
    {IDENTITY("\"name\":\"a\",\"version\":\"1\\n2\""),
     "manifest: version is \"1\\x0a2\": remove the control characters"},
    {WITH("\"runtime\":\"a\\u0007\""), "manifest: runtime is \"a\\x07\": remove the control characters"},
    {WITH("\"runtime\":[]"), "manifest: runtime must be a string, is an array"},
    {WITH("\"enabled\":\"yes\""), "manifest: enabled must be true or false, is a string"},
    {WITH("\"labels\":[\"a\"]"), "manifest: labels must be an object of strings, is an array"},
    {WITH("\"labels\":{\"a\":1}"), "manifest: labels.a must be a string, is an integer"},
    {WITH("\"schema_version\":1"), "manifest: schema_version must be a string, is an integer"},
    {WITH("\"resources\":[]"), "manifest: resources must be an object, is an array"},
    {WITH("\"resources\":{\"cpu_cores\":65}"), "manifest: resources.cpu_cores is 65, allowed 1 to 64"},
    {WITH("\"resources\":{\"cpu_cores\":-1}"), "manifest: resources.cpu_cores is -1, allowed 1 to 64"},
    {WITH("\"resources\":{\"cpu_cores\":1.5}"),
     "manifest: resources.cpu_cores must be an integer, is a number with a fraction"},
    {WITH("\"resources\":{\"memory_mb\":20}"), "manifest: resources.memory_mb is 20, allowed 48 to 1048576"},
    {WITH("\"resources\":{\"memory_mb\":1048577}"), "manifest: resources.memory_mb is 1048577, allowed 48 to 1048576"},
    {WITH("\"resources\":{\"memory_mb\":\"64\"}"), "manifest: resources.memory_mb must be an integer, is a string"},
    {WITH("\"rootfs\":\"x.img\""), "manifest: rootfs must be an object, is a string"},
    {WITH("\"rootfs\":{\"url\":5}"), "manifest: rootfs.url must be a string, is an integer"},
    {WITH("\"health_check\":[]"), "manifest: health_check must be an object, is an array"},
    {WITH("\"disks\":{}"), "manifest: disks must be an array of objects, is an object"},
    {WITH("\"env\":[\"A=b\"]"), "manifest: env must be an object of strings: or write workload.env"},
    {WITH("\"env\":{\"A\":5}"), "manifest: workload.env.A must be a string, is an integer"},
    {"{\"name\":\"a\",\"version\":\"1\"," WORK "}",
     "manifest: initramfs.url and rootfs.url are missing: write the path"},
    {"{\"name\":\"a\",\"version\":\"1\"," WORK ",\"initramfs\":null,\"rootfs\":{\"url\":\" \"}}",
     "manifest: initramfs.url and rootfs.url are missing: write the path"},
    {DISK("\"size\":1"), "manifest: rootfs.url is missing: write the path of the disk image (fledge build does)"},
    {DISK("\"url\":\"x.img\""), "manifest: rootfs.url is \"x.img\": write an absolute path"},
    {DISK("\"url\":\"/x.img\",\"format\":\"qcow2\""), "manifest: rootfs.format is \"qcow2\", allowed: raw"},
    {DISK("\"url\":\"/x.img\",\"fstype\":\"xfs\""), "manifest: rootfs.fstype is \"xfs\", allowed: squashfs, ext4"},
    {DISK("\"url\":\"/x.img\",\"init\":\"sbin/init\""),
     "manifest: rootfs.init is \"sbin/init\": write an absolute path"},
    {DISK("\"url\":\"/x.img\",\"init\":\"/a/../b\""), "manifest: rootfs.init is \"/a/../b\": write an absolute path"},
    {DISK("\"url\":\"/x.img\",\"init\":\"/sbin/init\""),
     "manifest: rootfs.init is \"/sbin/init\", and agent is kestrel"},
    {"{\"name\":\"a\",\"version\":\"1\"," WORK ",\"initramfs\":{\"url\":\"\"},\"rootfs\":{\"url\":\"/x.img\"}}",
     "manifest: rootfs.checksum is missing: write sha256:<hex> (fledge build does)"},
    {"{\"name\":\"a\",\"version\":\"1\"," WORK ",\"initramfs\":\"/a.cpio\"}",
     "manifest: initramfs must be an object, is a string"},
    {URL("\"a.cpio.zst\""),
     "manifest: initramfs.url is \"a.cpio.zst\": write an absolute path (volar plugins install makes "
     "a relative one absolute), file:///PATH, http://HOST/... or https://HOST/..."},
    {URL("\"./a\""), "manifest: initramfs.url is \"./a\": write an absolute path"},
    {URL("\"file://a\""), "manifest: initramfs.url is \"file://a\": write an absolute path"},
    {URL("\"http:///a\""), "manifest: initramfs.url is \"http:///a\": write an absolute path"},
    {URL("\"ftp://a/b\""), "manifest: initramfs.url is \"ftp://a/b\": write an absolute path"},
    {URL("\"HTTP://a/b\""), "manifest: initramfs.url is \"HTTP://a/b\": write an absolute path"},
    {URL("\"/a\\nb\""), "manifest: initramfs.url is \"/a\\x0ab\": remove the control characters"},
    {URL("[\"/a\"]"), "manifest: initramfs.url must be a string, is an array"},
    {MEDIUM("\"url\":\"/a\""), "manifest: initramfs.checksum is missing: write sha256:<hex> (fledge build does)"},
    {SUM("\"\""), "manifest: initramfs.checksum is missing: write sha256:<hex> (fledge build does)"},
    {SUM("\"sha256:e3b0\""), "manifest: initramfs.checksum is \"sha256:e3b0\", allowed: sha256: and 64 hex digits"},
    {SUM("\"sha256:" HEX "00\""), "manifest: initramfs.checksum is \"sha256:"},
    {SUM("\"md5:" HEX "\""), "manifest: initramfs.checksum is \"md5:"},
    {SUM("\"x" HEX "\""), "manifest: initramfs.checksum is \"xe3b"},
    {SUM("\"sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""),
     "manifest: initramfs.checksum is \"sha256:g3b"},
    {MEDIUM("\"url\":\"/a\",\"checksum\":\"" HEX "\",\"size\":-1"),
     "manifest: initramfs.size is -1, allowed 0 to 9223372036854775807"},
    {"{\"name\":\"a\",\"version\":\"1\"," BOOT "}", "manifest: workload is missing"},
    {"{\"name\":\"a\",\"version\":\"1\"," BOOT ",\"agent\":\"kestrel\"}", "manifest: workload is missing"},
    {"{\"name\":\"a\",\"version\":\"1\",\"agent\":\"some\"}", "manifest: agent is \"some\", allowed: kestrel, none"},
    {"{\"name\":\"a\",\"version\":\"1\",\"agent\":\"none\",\"initramfs\":{\"url\":\"/a\"}}",
     "manifest: initramfs.checksum is missing"},
    {"{\"name\":\"a\",\"version\":\"1\",\"agent\":\"none\",\"initramfs\":{\"checksum\":\"" HEX "\"}}",
     "manifest: initramfs.url is missing"},
    {"{\"name\":\"a\",\"version\":\"1\"," BOOT ",\"workload\":\"/a\"}",
     "manifest: workload must be an object, is a string"},
    {LOAD(""), "manifest: workload.entrypoint is missing"},
    {LOAD("\"entrypoint\":[]"), "manifest: workload.entrypoint has 0 entries, allowed 1 to 1024"},
    {LOAD("\"entrypoint\":[\" \"]"), "manifest: workload.entrypoint[0] is blank: name the program to run"},
    {LOAD("\"entrypoint\":\"/a -b\""), "manifest: workload.entrypoint must be an array of strings, is a string"},
    {LOAD("\"entrypoint\":[\"/a\",5]"), "manifest: workload.entrypoint[1] must be a string, is an integer"},
    {LOAD("\"entrypoint\":\"/a\",\"args\":\"-b\""),
     "manifest: workload.args must be an array of strings: or write entrypoint as an array"},
    {LOAD("\"entrypoint\":\"/a\",\"args\":[1]"), "manifest: workload.entrypoint[1] must be a string, is an integer"},
    {RUNS("\"type\":\"grpc\""), "manifest: workload.type is \"grpc\", allowed: http, exec"},
    {RUNS("\"type\":1"), "manifest: workload.type must be a string, is an integer"},
    {RUNS("\"type\":\"http\""),
     "manifest: workload.base_url is missing: write http://127.0.0.1:PORT, or type \"exec\" if it "
     "serves no HTTP"},
    {RUNS("\"base_url\":\"127.0.0.1:80\""),
     "manifest: workload.base_url is \"127.0.0.1:80\", allowed: http://HOST[:PORT][/path]"},
    {RUNS("\"base_url\":\"https://a\""), "manifest: workload.base_url is \"https://a\", allowed"},
    {RUNS("\"base_url\":\"http://\""), "manifest: workload.base_url is \"http://\", allowed"},
    {RUNS("\"base_url\":\"http://:80\""), "manifest: workload.base_url is \"http://:80\", allowed"},
    {RUNS("\"base_url\":\"http://a:0\""), "manifest: workload.base_url is \"http://a:0\", allowed"},
    {RUNS("\"base_url\":\"http://a:65536\""), "manifest: workload.base_url is \"http://a:65536\", allowed"},
    {RUNS("\"base_url\":\"http://a:8O\""), "manifest: workload.base_url is \"http://a:8O\", allowed"},
    {RUNS("\"base_url\":\"http://a:/\""), "manifest: workload.base_url is \"http://a:/\", allowed"},
    {RUNS("\"base_url\":\"http://u@a/\""), "manifest: workload.base_url is \"http://u@a/\", allowed"},
    {RUNS("\"base_url\":\"http://a b/\""), "manifest: workload.base_url is \"http://a b/\", allowed"},
    {RUNS("\"base_url\":\"http://a/ b\""), "manifest: workload.base_url is \"http://a/ b\", allowed"},
    {RUNS("\"base_url\":\"http://[::1/\""), "manifest: workload.base_url is \"http://[::1/\", allowed"},
    {RUNS("\"env\":{\"\":\"x\"}"),
     "manifest: workload.env has the name \"\": use one without '=' and control characters"},
    {RUNS("\"env\":{\" \":\"x\"}"), "manifest: workload.env has the name \" \""},
    {RUNS("\"env\":{\"A=B\":\"x\"}"), "manifest: workload.env has the name \"A=B\""},
    {RUNS("\"env\":\"A=b\""), "manifest: workload.env must be an object of strings, is a string"},
    {RUNS("\"env\":{\"A\":true}"), "manifest: workload.env.A must be a string, is a boolean"},
    {RUNS("\"workdir\":\"srv\""), "manifest: workload.workdir is \"srv\": write an absolute path without \"..\""},
    {RUNS("\"workdir\":\"/a/../b\""), "manifest: workload.workdir is \"/a/../b\""},
    {RUNS("\"workdir\":\"/a/..\""), "manifest: workload.workdir is \"/a/..\""},
    {RUNS("\"workdir\":\"/..\""), "manifest: workload.workdir is \"/..\""},
    {RUNS("\"user\":\"a b\""), "manifest: workload.user is \"a b\", allowed: UID, UID:GID, NAME or NAME:GROUP"},
    {RUNS("\"user\":\"a:\""), "manifest: workload.user is \"a:\""},
    {RUNS("\"user\":\":a\""), "manifest: workload.user is \":a\""},
    {RUNS("\"user\":\"a:b:c\""), "manifest: workload.user is \"a:b:c\""},
    {RUNS("\"user\":\"-1\""), "manifest: workload.user is \"-1\""},
    {RUNS("\"user\":\"4294967295\""), "manifest: workload.user is \"4294967295\""},
    {RUNS("\"user\":33"), "manifest: workload.user must be a string, is an integer"},
};

static void bad_manifests_are_refused_by_field(void **state)
{
    json_t *const untouched = (json_t *)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_auto_t *in = parse(bad[i].json);
        struct vl_error err = {0};
        auto_strv warnings = {0};
        struct manifest m, before;
        json_t *stored = untouched;

        memset(&m, 0x5a, sizeof(m));
        before = m;
        assert_int_equal(manifest_decode(in, "manifest", &m, &stored, &warnings, &err), -EINVAL);
        assert_int_equal(err.kind, VL_INVALID);
        assert_memory_equal(&m, &before, sizeof(m));
        assert_ptr_equal(stored, untouched);
        assert_null(warnings.items);
        if (!str_starts(err.msg, bad[i].message))
            fail_msg("%s: %s\nexpected: %s", bad[i].json, err.msg, bad[i].message);
    }
}

static void the_contracts_minimal_manifest(void **state)
{
    auto_manifest m = {0};
    auto_strv warnings = {0};
    auto_free char *stored = NULL;

    (void)state;
    stored = store(
        "{\"schema_version\":\"1.0\",\"name\":\"caddy\",\"version\":\"0.1.0\",\"runtime\":\"caddy\",\"enabled\":true,"
        "\"initramfs\":{\"url\":\"/srv/caddy/plugin.cpio.gz\",\"checksum\":\"sha256:" HEX "\"},"
        "\"resources\":{\"cpu_cores\":1,\"memory_mb\":512},"
        "\"workload\":{\"type\":\"http\",\"base_url\":\"http://127.0.0.1:80\","
        "\"entrypoint\":[\"/usr/bin/caddy\",\"run\",\"--config\",\"/etc/caddy/Caddyfile\"]},"
        "\"health_check\":{\"endpoint\":\"/\",\"timeout_ms\":10000}}",
        &m, &warnings);
    assert_string_equal(m.name, "caddy");
    assert_string_equal(m.version, "0.1.0");
    assert_true(m.enabled);
    assert_int_equal(m.resources.memory_mb, 512);
    assert_string_equal(m.initramfs.checksum, "sha256:" HEX);
    assert_int_equal(m.workload.entrypoint.len, 4);
    assert_int_equal(workload_port(&m.workload), 80);
    assert_string_equal(m.health_check.endpoint, "/");
    assert_string_equal(m.health_check.type, "http");
    assert_int_equal(warnings.len, 0);
    assert_string_equal(
        stored,
        "{\"initramfs\":{\"url\":\"/srv/caddy/plugin.cpio.gz\",\"checksum\":\"sha256:" HEX "\"},"
        "\"resources\":{\"cpu_cores\":1,\"memory_mb\":512},"
        "\"workload\":{\"type\":\"http\",\"base_url\":\"http://127.0.0.1:80\","
        "\"entrypoint\":[\"/usr/bin/caddy\",\"run\",\"--config\",\"/etc/caddy/Caddyfile\"]},"
        "\"health_check\":{\"type\":\"http\",\"endpoint\":\"/\",\"timeout_ms\":10000},"
        "\"rootfs\":{\"url\":\"\",\"format\":\"raw\"},"
        "\"schema_version\":\"1.0\",\"name\":\"caddy\",\"version\":\"0.1.0\",\"runtime\":\"caddy\",\"enabled\":true,"
        "\"labels\":{\"volant.plugin\":\"caddy\",\"volant.runtime\":\"caddy\"}}");
}

static void the_least_there_can_be(void **state)
{
    auto_manifest m = {0};
    auto_strv warnings = {0};
    auto_free char *stored = store(LOAD("\"entrypoint\":[\"a\"]"), &m, &warnings);

    (void)state;
    assert_int_equal(warnings.len, 0);
    assert_string_equal(m.schema_version, "1.0");
    assert_string_equal(m.runtime, "a");
    assert_true(m.enabled);
    assert_string_equal(m.workload.type, "exec");
    assert_null(m.workload.base_url);
    assert_null(m.workload.workdir);
    assert_null(m.workload.user);
    assert_int_equal(m.resources.cpu_cores + m.resources.memory_mb, 0);
    assert_int_equal(workload_port(&m.workload), 0);
    assert_non_null(strstr(stored, "\"health_check\":{}"));
    assert_null(strstr(stored, "resources"));
}

static void what_the_original_emits_brings_no_warning(void **state)
{
    auto_manifest m = {0};
    auto_strv warnings = {0};
    auto_free char *stored = NULL;

    (void)state;
    stored =
        store("{\"$schema\":\"https://x\",\"schema_version\":\"1.0\",\"name\":\"a\",\"version\":\"1\",\"runtime\":\"\","
              "\"enabled\":false,\"openapi\":\"\",\"labels\":{\"volant.plugin\":\"b\",\"k\":\" v \"},"
              "\"resources\":{\"cpu_cores\":0,\"memory_mb\":0},\"rootfs\":{\"url\":\"\",\"format\":\"raw\"},"
              "\"initramfs\":{\"url\":\"/a\",\"checksum\":\"" HEX "\"},\"disks\":null,"
              "\"workload\":{\"type\":\" HTTP \",\"base_url\":\" http://127.0.0.1:8080/x?y \",\"entrypoint\":[\" /a "
              "\",\" \"],"
              "\"env\":null,\"workdir\":\" \"},\"health_check\":{\"endpoint\":\"\",\"timeout_ms\":0},\"actions\":{},"
              "\"cloud_init\":{\"user_data\":{},\"meta_data\":{},\"network_config\":{}},\"network\":null}",
              &m, &warnings);
    assert_int_equal(warnings.len, 0);
    assert_false(m.enabled);
    assert_string_equal(m.runtime, "a");
    assert_string_equal(strmap_get(&m.labels, "volant.plugin"), "a");
    assert_string_equal(strmap_get(&m.labels, "k"), "v");
    assert_string_equal(m.workload.type, "http");
    assert_string_equal(m.workload.base_url, "http://127.0.0.1:8080/x?y");
    assert_string_equal(m.workload.entrypoint.items[0], "/a");
    assert_string_equal(m.workload.entrypoint.items[1], " ");
    assert_null(m.workload.workdir);
    assert_int_equal(workload_port(&m.workload), 8080);
    assert_null(strstr(stored, "$schema"));
    assert_null(strstr(stored, "workdir"));
    assert_non_null(strstr(stored, "\"entrypoint\":[\"/a\",\" \"]"));
}

static void without_an_agent(void **state)
{
    auto_manifest m = {0}, full = {0};
    auto_free char *stored = NULL, *stored_full = NULL;

    (void)state;
    stored = store("{\"name\":\"a\",\"version\":\"1\",\"agent\":\"none\",\"restart\":\"always\"}", &m, NULL);
    assert_false(manifest_has_agent(&m));
    assert_null(m.initramfs.url);
    assert_null(m.initramfs.checksum);
    assert_int_equal(m.workload.entrypoint.len, 0);
    assert_string_equal(m.restart, "always");
    assert_null(strstr(stored, "workload"));
    stored_full = store("{\"name\":\"a\",\"version\":\"1\",\"agent\":\"none\"," BOOT "," WORK "}", &full, NULL);
    assert_string_equal(full.workload.type, "exec");
    assert_non_null(full.initramfs.checksum);
}

static void what_fledge_emitted(void **state)
{
    auto_manifest m = {0};
    auto_strv warnings = {0};
    auto_free char *stored = NULL;

    (void)state;
    stored = store(
        "{\"schema_version\":\"v1\",\"name\":\"c\",\"version\":\"1\",\"runtime\":\"c\","
        "\"resources\":{\"cpu_cores\":1,\"memory_mb\":128},"
        "\"workload\":{\"entrypoint\":\"/bin/c\",\"args\":[\"-v\",\"\"],\"env\":{\"K\":\"own\"}},"
        "\"env\":{\"K\":\"theirs\",\"L\":\"l\"},\"network\":{\"mode\":\"bridged\",\"expose\":[{\"port\":80}]},"
        "\"initramfs\":{\"url\":\"file:///out/c.cpio.gz\",\"format\":\"cpio.gz\",\"checksum\":\"sha256:" HEX_ "\"}}",
        &m, &warnings);
    assert_string_equal(m.schema_version, "v1");
    assert_string_equal(m.workload.type, "exec");
    assert_int_equal(m.workload.entrypoint.len, 3);
    assert_string_equal(m.workload.entrypoint.items[1], "-v");
    assert_string_equal(m.workload.entrypoint.items[2], "");
    assert_string_equal(strmap_get(&m.workload.env, "K"), "own");
    assert_string_equal(strmap_get(&m.workload.env, "L"), "l");
    assert_string_equal(m.initramfs.checksum, "sha256:" HEX);
    assert_int_equal(warnings.len, 2);
    assert_string_equal(warnings.items[0], "manifest key 'initramfs.format' has no effect in this version");
    assert_string_equal(warnings.items[1], "manifest key 'network' has no effect in this version");
    assert_null(strstr(stored, "args"));
    assert_null(strstr(stored, "theirs"));
    assert_non_null(strstr(stored, "\"entrypoint\":[\"/bin/c\",\"-v\",\"\"]"));
}

static void forms_that_are_accepted(void **state)
{
    static const struct {
        const char *json;
        int64_t port;
    } good[] = {
        {URL("\"file:///a/b c\""), 0},
        {URL("\" /a \""), 0},
        {URL("\"http://example.org/a\""), 0},
        {URL("\"https://example.org\""), 0},
        {SUM("\" " HEX_ " \""), 0},
        {SUM("\"SHA256:" HEX_ "\""), 0},
        {LOAD("\"entrypoint\":\"/a\",\"args\":null"), 0},
        {LOAD("\"entrypoint\":\"/a\",\"args\":[]"), 0},
        {RUNS("\"type\":\"exec\",\"base_url\":\"http://a\""), 80},
        {RUNS("\"base_url\":\"http://[::1]:81/\""), 81},
        {RUNS("\"base_url\":\"http://[::1]\""), 80},
        {RUNS("\"base_url\":\"http://a-b_c.example:65535#x\""), 65535},
        {RUNS("\"workdir\":\"/\""), 0},
        {RUNS("\"workdir\":\"/a/..b/c..\""), 0},
        {RUNS("\"user\":\"0\""), 0},
        {RUNS("\"user\":\"4294967294:0\""), 0},
        {RUNS("\"user\":\" www-data:www_data.1 \""), 0},
        {RUNS("\"user\":\"\""), 0},
        {RUNS("\"env\":{\"A\":\" keep \",\"B\":null,\"lower.case-1\":\"\"}"), 0},
        {WITH("\"env\":null"), 0},
        {WITH("\"env\":{\"A\":\"1\"}"), 0},
        {WITH("\"rootfs\":null,\"resources\":null,\"labels\":null,\"health_check\":null"), 0},
        {WITH("\"resources\":{\"cpu_cores\":64,\"memory_mb\":48}"), 0},
        {"{\"name\":\" a \",\"version\":\" 1 \"," BOOT "," WORK "}", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        auto_manifest m = {0};
        auto_strv warnings = {0};
        auto_free char *stored = store(good[i].json, &m, &warnings);

        assert_non_null(stored);
        assert_int_equal(warnings.len, 0);
        assert_int_equal(workload_port(&m.workload), good[i].port);
        assert_string_equal(m.name, "a");
        assert_string_equal(m.version, "1");
        assert_true(str_starts(m.initramfs.checksum, "sha256:" HEX));
    }
}

static void the_future_is_kept(void **state)
{
    auto_manifest m = {0};
    auto_strv warnings = {0};
    auto_free char *stored = NULL;

    (void)state;
    stored = store(WITH("\"later\":{\"deep\":[1,2.5,null]},\"rootfs\":{\"url\":\" /x.img \",\"format\":\"QCOW2\"},"
                        "\"actions\":{\"go\":{\"method\":\"POST\",\"path\":\"/go\"}}"),
                   &m, &warnings);
    assert_int_equal(warnings.len, 3);
    assert_string_equal(warnings.items[0], "manifest key 'later' is unknown and ignored");
    assert_string_equal(warnings.items[1], "manifest key 'actions' has no effect in this version");
    assert_string_equal(warnings.items[2], "manifest key 'rootfs' has no effect beside an initramfs");
    assert_non_null(strstr(stored, "\"later\":{\"deep\":[1,2.5,null]}"));
    assert_non_null(strstr(stored, "\"actions\":{\"go\":{\"method\":\"POST\",\"path\":\"/go\"}}"));
    assert_non_null(strstr(stored, "\"rootfs\":{\"url\":\"/x.img\",\"format\":\"qcow2\"}"));
}

static void what_was_stored_unlooked_at_does_not_lose_a_plugin(void **state)
{
    static const char *const stored[] = {
        "{\"name\":\"a\",\"version\":\"1\"," BOOT "," WORK ",\"health_check\":{\"type\":\"dns\"}}",
        "{\"name\":\"a\",\"version\":\"1\"," BOOT "," WORK ",\"health_check\":7,\"restart\":\"sometimes\"}",
        "{\"name\":\"a\",\"version\":\"1\"," BOOT "," WORK ",\"agent\":{}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stored); i++) {
        json_auto_t *j = json_loads(stored[i], 0, NULL);
        auto_manifest m = {0};
        struct vl_error err = {0};

        assert_true(manifest_decode(j, "manifest", &m, NULL, NULL, NULL) < 0);
        if (manifest_decode_stored(j, &m, &err) < 0) fail_msg("%s", err.msg);
        assert_string_equal(m.name, "a");
        assert_null(m.health_check.type);
    }
}

static void labels_are_bounded_with_ours(void **state)
{
    json_auto_t *in = parse(WITH("\"labels\":{}"));
    auto_manifest m = {0};
    struct vl_error err = {0};
    char key[16];

    (void)state;
    for (int i = 0; i < 255; i++) {
        assert_true(strf(key, sizeof(key), "k%d", i) > 0);
        assert_int_equal(json_object_set_new(json_object_get(in, "labels"), key, json_string("")), 0);
    }
    assert_int_equal(manifest_decode(in, "m.json", &m, NULL, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "m.json: labels has 257 entries with our two, allowed 0 to 256");
    assert_int_equal(json_object_del(json_object_get(in, "labels"), key), 0);
    assert_int_equal(manifest_decode(in, "m.json", &m, NULL, NULL, &err), 0);
    assert_int_equal(m.labels.len, 256);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_manifests_are_refused_by_field),
        cmocka_unit_test(the_contracts_minimal_manifest),
        cmocka_unit_test(the_least_there_can_be),
        cmocka_unit_test(what_the_original_emits_brings_no_warning),
        cmocka_unit_test(without_an_agent),
        cmocka_unit_test(what_fledge_emitted),
        cmocka_unit_test(forms_that_are_accepted),
        cmocka_unit_test(the_future_is_kept),
        cmocka_unit_test(what_was_stored_unlooked_at_does_not_lose_a_plugin),
        cmocka_unit_test(labels_are_bounded_with_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
