/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/ref.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text;
    enum oci_transport transport;
    bool plain_http;
    const char *name, *tag, *hex;
    const char *plugin, *version;
} good[] = {
    {"nginx", OCI_REGISTRY, false, "nginx", NULL, "", "nginx", "latest"},
    {"nginx:alpine", OCI_REGISTRY, false, "nginx", "alpine", "", "nginx", "alpine"},
    {"docker.io/library/nginx:1.25", OCI_REGISTRY, false, "docker.io/library/nginx", "1.25", "", "nginx", "1.25"},
    {"docker://quay.io/a/b_c", OCI_REGISTRY, false, "quay.io/a/b_c", NULL, "", "b_c", "latest"},
    {"a.example:5000/x/y", OCI_REGISTRY, false, "a.example:5000/x/y", NULL, "", "y", "latest"},
    {"a.example:5000/x/y:t", OCI_REGISTRY, false, "a.example:5000/x/y", "t", "", "y", "t"},
    {"nginx@sha256:" HEX, OCI_REGISTRY, false, "nginx", NULL, HEX, "nginx", "0123456789ab"},
    {"nginx:1@sha256:" HEX, OCI_REGISTRY, false, "nginx", "1", HEX, "nginx", "1"},
    {"localhost:5000/x", OCI_REGISTRY, true, "localhost:5000/x", NULL, "", "x", "latest"},
    {"localhost/x:1", OCI_REGISTRY, true, "localhost/x", "1", "", "x", "1"},
    {"127.0.0.1:5000/x", OCI_REGISTRY, true, "127.0.0.1:5000/x", NULL, "", "x", "latest"},
    {"127.1.2.3/x", OCI_REGISTRY, true, "127.1.2.3/x", NULL, "", "x", "latest"},
    {"[::1]:5000/x", OCI_REGISTRY, true, "[::1]:5000/x", NULL, "", "x", "latest"},
    {"127.evil.example/x", OCI_REGISTRY, false, "127.evil.example/x", NULL, "", "x", "latest"},
    {"localhost.example/x", OCI_REGISTRY, false, "localhost.example/x", NULL, "", "x", "latest"},
    {"oci:lay", OCI_LAYOUT, false, "/base/lay", NULL, "", "lay", "latest"},
    {"oci:/abs/lay:v1", OCI_LAYOUT, false, "/abs/lay", "v1", "", "lay", "v1"},
    {"oci:lay@sha256:" HEX, OCI_LAYOUT, false, "/base/lay", NULL, HEX, "lay", "0123456789ab"},
    {"./My Layout", OCI_LAYOUT, false, "/base/./My Layout", NULL, "", "my-layout", "latest"},
    {"../lay", OCI_LAYOUT, false, "/base/../lay", NULL, "", "lay", "latest"},
    {"oci-archive:a.tar", OCI_ARCHIVE, false, "/base/a.tar", NULL, "", "a", "latest"},
    {"oci-archive:/x/a.tar:v", OCI_ARCHIVE, false, "/x/a.tar", "v", "", "a", "v"},
    {"docker-archive:a.tar:app:2", OCI_DOCKER_ARCHIVE, false, "/base/a.tar", "app:2", "", "a", "2"},
};

static const char *const bad[] = {
    "",
    "-x",
    ":tag",
    "a b",
    "nginx:",
    "nginx:-t",
    "nginx@sha256:12",
    ("nginx@md5:" HEX),
    "a//b",
    "a/",
    "oci:",
    "oci-archive:",
    "oci:x:",
    "docker-archive:",
    "a\nb",
    "a\x1b[1m",
    "a;b",
    "a$(b)",
    "http://x/y",
    "nginx:a/b c",
    "docker://",
    ("@sha256:" HEX),
    "nginx:\xc3\xa9",
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        auto_oci_ref r = {0};
        struct vl_error err = {0};
        auto_free char *plugin = NULL, *version = NULL;

        if (oci_ref_parse(good[i].text, "/base", &r, &err) < 0) fail_msg("%s", err.msg);
        plugin = oci_ref_plugin_name(&r);
        version = oci_ref_version(&r);
        if (r.transport != good[i].transport || !str_eq(r.name, good[i].name) || !str_eq(r.tag, good[i].tag) ||
            !str_eq(r.hex, good[i].hex) || r.plain_http != good[i].plain_http)
            fail_msg("%s: %d %s %s '%s' %d", good[i].text, (int)r.transport, r.name, r.tag ? r.tag : "-", r.hex,
                     r.plain_http);
        assert_string_equal(plugin, good[i].plugin);
        assert_string_equal(version, good[i].version);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct oci_ref r = {.text = (char *)"untouched"};
        struct vl_error err = {0};

        if (oci_ref_parse(bad[i], ".", &r, &err) >= 0) fail_msg("accepted: '%s'", bad[i]);
        assert_string_equal(r.text, "untouched");
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, "write a name as in a registry"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
