/* SPDX-License-Identifier: Apache-2.0 */
/* volar's own parts: addresses, tables, request bodies, manifests on disk. The commands themselves are driven end to
 * end. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/unit.h"
#include "model/schema.h"
#include "volar/api.h"
#include "volar/create.h"
#include "volar/manifest_file.h"
#include "volar/output.h"

static void address_good(void **state)
{
    static const struct {
        const char *url, *socket, *base;
    } good[] = {
        {"unix:///run/volant/volantd.sock", "/run/volant/volantd.sock", "http://localhost"},
        {"/tmp/v.sock", "/tmp/v.sock", "http://localhost"},
        {"http://127.0.0.1:7777", "", "http://127.0.0.1:7777"},
        {"http://127.0.0.1", "", "http://127.0.0.1:7777"},
        {"http://localhost:80/api/v1?x", "", "http://localhost:80"},
        {"http://[::1]:99", "", "http://[::1]:99"},
        {"http://[::1]", "", "http://[::1]:7777"},
        {"https://volant.example/", "", "https://volant.example:7777"},
        {"https://volant.example:443", "", "https://volant.example:443"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct api_address a;

        assert_int_equal(api_address_parse(good[i].url, &a, NULL), 0);
        assert_string_equal(a.socket, good[i].socket);
        assert_string_equal(a.base, good[i].base);
    }
}

static void address_bad(void **state)
{
    static const char *const bad[] = {"",        "volantd",   "ftp://x",          "https://",
                                      "http://", "http:///x", "http://user@host", "unix://x"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct api_address a = {.base = "untouched"};
        struct vl_error err = {0};

        assert_true(api_address_parse(bad[i], &a, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        assert_string_equal(a.base, "untouched");
    }
}

/* In the clear a token stays on this host. */
static void token_goes(void **state)
{
    static const struct {
        const char *url;
        bool sent, refused;
    } table[] = {
        {"http://127.0.0.1:7777", true, false},
        {"http://127.9.9.9", true, false},
        {"http://LocalHost:80", true, false},
        {"http://[::1]:80", true, false},
        {"https://volant.example", true, false},
        {"unix:///run/volant/volantd.sock", false, false},
        {"http://volant.example", false, true},
        {"http://127.0.0.1.volant.example", false, true},
        {"http://127.volant.example:7777", false, true},
        {"http://localhost.example:7777", false, true},
        {"http://128.0.0.1:7777", false, true},
        {"http://[::2]:7777", false, true},
    };

    (void)state;
    assert_int_equal(setenv("VOLANT_API_TOKEN", "volant_0", 1), 0); /* NOLINT(concurrency-mt-unsafe): one thread */
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct api_address a = {0};
        struct vl_error err = {0};
        int r = api_address_find(table[i].url, &a, &err);

        if ((r < 0) != table[i].refused || (*a.token != '\0') != table[i].sent) fail_msg("%s", table[i].url);
        if (r < 0) assert_non_null(strstr(err.msg, "in the clear"));
    }
    assert_int_equal(unsetenv("VOLANT_API_TOKEN"), 0); /* NOLINT(concurrency-mt-unsafe): likewise */
}

static void table_aligns(void **state)
{
    static const char *const header[] = {"NAME", "IP"};
    auto_table t = {0};
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    (void)state;
    table_begin(&t, header, 2);
    table_add(&t, "web-cluster");
    table_add(&t, "10.0.0.1");
    table_add(&t, "a\x1b[31m");
    table_add(&t, NULL);
    assert_int_equal(table_print(&t, out), 0);
    (void)fclose(out);
    assert_string_equal(text, "NAME         IP\nweb-cluster  10.0.0.1\na\\x1b[31m    -\n");
}

static void sizes(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } table[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.0 kB"},
                 {12345678, "12.3 MB"},
                 {250000000, "250 MB"},
                 {5000000000, "5.0 GB"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char buf[24];

        size_text(table[i].n, buf);
        assert_string_equal(buf, table[i].text);
    }
}

static void body_from_options(void **state)
{
    auto_strv publish = {0};
    auto_free char *body = NULL;
    json_auto_t *j = NULL;
    struct create_options o = {.plugin = "nginx", .kernel = "/k/vmlinux", .cpu = 2, .memory = 512};

    (void)state;
    assert_int_equal(strv_add(&publish, "8080:80"), 0);
    assert_int_equal(strv_add(&publish, "53/udp"), 0);
    o.publish = publish;
    assert_int_equal(create_body("web", &o, &body, NULL), 0);
    assert_int_equal(json_parse(body, strlen(body), "body", &j, NULL), 0);
    assert_int_equal(json_integer_value(json_object_get(j, "cpu_cores")), 2);
    assert_int_equal(json_integer_value(json_object_get(j, "memory_mb")), 512);
    j = (json_decref(j), NULL);
    assert_non_null(strstr(body, "\"host_port\":8080"));
    assert_non_null(strstr(body, "\"protocol\":\"udp\""));
    assert_non_null(strstr(body, "\"kernel_override\":\"/k/vmlinux\""));
    assert_null(strstr(body, "runtime"));
}

static void body_bad_port(void **state)
{
    auto_strv publish = {0};
    struct create_options o = {.plugin = "nginx"};
    struct vl_error err = {0};
    char *body = NULL;

    (void)state;
    assert_int_equal(strv_add(&publish, "8080:http"), 0);
    o.publish = publish;
    assert_true(create_body("web", &o, &body, &err) < 0);
    assert_null(body);
    assert_non_null(strstr(err.msg, "--publish"));
}

/* --- manifests on disk
 * ------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/volar-test-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) < 0) return -1;
    return write_file_atomic_at(AT_FDCWD, "a.cpio.zst", "artifact", 8, 0644);
}

static int drop_folder(void **state)
{
    (void)state;
    return remove_tree_at(AT_FDCWD, folder);
}

static void put_manifest(const char *text)
{
    assert_int_equal(write_file_atomic_at(AT_FDCWD, "m.json", text, strlen(text), 0644), 0);
}

#define MANIFEST(initramfs)                                                                                            \
    "{\"name\":\"a\",\"version\":\"1\",\"initramfs\":" initramfs ",\"workload\":{\"entrypoint\":[\"/a\"]}}"
#define DIGEST "c7c5c1d70c5dec4416ab6158afd0b223ef40c29b1dc1f97ed9428b94d4cadb1c" /* of "artifact" */

static void manifest_made_ready(void **state)
{
    static const char *const good[] = {
        MANIFEST("{\"url\":\"a.cpio.zst\"}"),
        MANIFEST("{\"url\":\"./a.cpio.zst\",\"checksum\":\"sha256:" DIGEST "\"}"),
    };
    char path[64];

    (void)state;
    (void)strf(path, sizeof(path), "%s/a.cpio.zst", folder);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        auto_manifest_file m = {.fd = -1};
        const json_t *medium;

        put_manifest(good[i]);
        assert_int_equal(manifest_file_read("m.json", &m, NULL), 0);
        medium = json_object_get(m.json, "initramfs");
        assert_string_equal(json_string_value(json_object_get(medium, "url")), path);
        assert_string_equal(json_string_value(json_object_get(medium, "checksum")), "sha256:" DIGEST);
        assert_int_equal(m.size, 8);
    }
}

static void manifest_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{", "m.json"},
        {"[]", "m.json"},
        {MANIFEST("{\"url\":\"missing\"}"), "missing"},
        {MANIFEST("{\"url\":\".\"}"), "regular file"},
        {MANIFEST("{\"url\":\"ftp://x/y\"}"), "http://"},
        {MANIFEST("{\"url\":\"http://x/y\"}"), "checksum is missing"},
        {MANIFEST("{\"url\":\"a.cpio.zst\",\"checksum\":\"sha256:00\"}"), "initramfs.checksum"},
        {MANIFEST("{}"), "initramfs.url"},
        {MANIFEST("3"), "initramfs"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        auto_manifest_file m = {.fd = -1};
        struct vl_error err = {0};

        put_manifest(bad[i].text);
        assert_true(manifest_file_read("m.json", &m, &err) < 0);
        if (!strstr(err.msg, bad[i].says)) fail_msg("%zu: '%s' lacks '%s'", i, err.msg, bad[i].says);
        assert_null(m.json);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_good),
        cmocka_unit_test(address_bad),
        cmocka_unit_test(token_goes),
        cmocka_unit_test(table_aligns),
        cmocka_unit_test(sizes),
        cmocka_unit_test(body_from_options),
        cmocka_unit_test(body_bad_port),
        cmocka_unit_test(manifest_made_ready),
        cmocka_unit_test(manifest_refused),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
