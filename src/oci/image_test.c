/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

#define A                     "0000000000000000000000000000000000000000000000000000000000000001"
#define B                     "000000000000000000000000000000000000000000000000000000000000000b"
#define LAYER                 "application/vnd.oci.image.layer.v1.tar"
#define CONFIG                "{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:" A "\",\"size\":2}"
#define D(type, digest, size) "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" #size "}"
#define M(layers)             "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" layers "]}"
#define L1                    D(LAYER "+gzip", "sha256:" B, 10)
#define INDEX(list)           "{\"schemaVersion\":2,\"manifests\":[" list "]}"
#define P(digest, os, arch)                                                                                            \
    "{\"digest\":\"sha256:" digest "\",\"size\":5,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}}"
#define N(digest, name)                                                                                                \
    "{\"digest\":\"sha256:" digest "\",\"size\":5,\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"" \
    "}}"
#define C(rest) "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"sha256:" A "\"]}" rest "}"

static const struct {
    const char *text, *msg; /* NULL: good */
} manifests[] = {
    {M(L1), NULL},
    {M(""), NULL},
    {M(D("application/vnd.docker.image.rootfs.diff.tar.gzip", "sha256:" B, 1)), NULL},
    {M(D(LAYER, "sha256:" B, 1)), NULL},
    {M(D(LAYER "+zstd", "sha256:" B, 1)), NULL},
    {M(D("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "sha256:" B, 1)), NULL},
    {"[]", "is no JSON object"},
    {"{}", "neither an index nor an image"},
    {"{\"schemaVersion\":1,\"fsLayers\":[]}", "schema 1"},
    {"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[],\"config\":" CONFIG "}", "index and image at once"},
    {"{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"layers\":[],\"config\":" CONFIG "}",
     "and the content of another"},
    {"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"manifests\":[]}", "and the content of another"},
    {"{\"mediaType\":\"text/html\",\"layers\":[],\"config\":" CONFIG "}", "media type \"text/html\""},
    {"{\"schemaVersion\":3,\"layers\":[],\"config\":" CONFIG "}", "schemaVersion is 3"},
    {"{\"layers\":[]}", "config"},
    {"{\"layers\":{},\"config\":" CONFIG "}", "layers"},
    {"{\"layers\":[1],\"config\":" CONFIG "}", "layers[0]"},
    {"{\"layers\":[],\"config\":{\"digest\":\"sha256:" A "\"}}", "config.size"},
    {"{\"layers\":[],\"config\":{\"digest\":\"sha256:" A "\",\"size\":99999999}}", "config has 99999999 bytes"},
    {"{\"layers\":[],\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"sha256:" A
     "\",\"size\":1}}",
     "no image that could be booted"},
    {M(D(LAYER "+xz", "sha256:" B, 1)), "layers[0] has the media type"},
    {M(D(LAYER "+gzip+encrypted", "sha256:" B, 1)), "layers[0] has the media type"},
    {M(D("application/x-tar", "sha256:" B, 1)), "layers[0] has the media type"},
    {M("{\"digest\":\"sha256:" B "\",\"size\":1}"), "layers[0] has the media type \"\""},
    {M(D(LAYER, "sha256:" B, -1)), "layers[0].size is -1"},
    {M(D(LAYER, "sha256:" B, 0)), "layers[0] has no bytes"},
    {M(D(LAYER, "sha256:" B, 9223372036854775807)), "layers[0].size is 9223372036854775807"},
    {M(D(LAYER, "sha256:12", 1)), "is no digest"},
    {M(D(LAYER, "sha256:../../../../etc/passwd", 1)), "is no digest"},
    {M(D(LAYER, "sha512:" A A, 1)), "allowed: sha256:"},
    {M(D(LAYER, "md5:1234", 1)), "allowed: sha256:"},
};

static int decode_manifest(const char *text, struct oci_image *image, struct vl_error *err)
{
    json_auto_t *doc = NULL;
    enum oci_document kind = OCI_INDEX;
    int r = json_parse(text, strlen(text), "m", &doc, err);

    if (r == 0) r = oci_document_kind(doc, "m", &kind, err);
    if (r < 0) return r;
    return kind == OCI_MANIFEST ? oci_manifest_decode(doc, "m", image, err) : vl_fail(err, VL_INVALID, "an index");
}

static void expect(const char *text, int r, const char *msg, const struct vl_error *err)
{
    if (!msg && r < 0) fail_msg("%s\n%s", text, err->msg);
    if (!msg) return;
    if (r >= 0) fail_msg("accepted: %s", text);
    if (!strstr(err->msg, msg)) fail_msg("'%s' is not in '%s'", msg, err->msg);
    assert_true(err->kind == VL_INVALID || err->kind == VL_TOO_LARGE);
}

static void test_manifests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(manifests); i++) {
        auto_oci_image image = {0};
        struct vl_error err = {0};
        int r = decode_manifest(manifests[i].text, &image, &err);

        expect(manifests[i].text, r, manifests[i].msg, &err);
        if (r < 0) assert_null(image.layers);
    }
}

static const struct {
    const char *text, *name, *hex, *msg; /* what is asked for; NULL: it is A */
} indexes[] = {
    {INDEX(P(B, "linux", "arm64") "," P(A, "linux", "amd64")), NULL, NULL, NULL},
    {INDEX(P(A, "linux", "amd64") "," P(B, "linux", "amd64")), NULL, NULL, NULL}, /* variants: the first */
    {INDEX(P(B, "unknown", "unknown") "," P(A, "linux", "amd64")), NULL, NULL, NULL},
    {INDEX(N(A, "one") "," N(B, "two")), "one", NULL, NULL},
    {INDEX(N(A, "docker.io/library/x:one") "," N(B, "two")), "one", NULL, NULL},
    {INDEX(N(B, "one") "," N(A, "two")), NULL, A, NULL},
    {INDEX(N(A, "one") "," N(A, "two")), NULL, NULL, NULL},
    {INDEX(N(A, "one")), NULL, NULL, NULL},
    {INDEX(""), NULL, NULL, "but: nothing"},
    {INDEX(P(A, "linux", "arm64") "," P(A, "windows", "amd64")), NULL, NULL, "but: linux/arm64, windows/amd64"},
    {INDEX(N(A, "one") "," N(B, "two")), NULL, NULL, "several images"},
    {INDEX(N(A, "one") "," N(B, "two")), "three", NULL, "'three' for linux/amd64, but: one for any/any, two"},
    {INDEX(N(A, "one")), NULL, B, "holds no image"},
    {INDEX("{\"digest\":\"md5:1\",\"size\":1}"), NULL, NULL, "allowed: sha256:"},
    {INDEX("{\"digest\":\"sha256:" A "\"}"), NULL, NULL, "size"},
    {"{\"manifests\":5}", NULL, NULL, "manifests"},
    {"{\"manifests\":[[]]}", NULL, NULL, "manifests[0]"},
};

static void test_indexes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
        json_auto_t *doc = NULL;
        struct oci_listed listed = {.size = 77};
        struct vl_error err = {0};
        int r;

        assert_int_equal(json_parse(indexes[i].text, strlen(indexes[i].text), "i", &doc, &err), 0);
        r = oci_index_choose(doc, "i", indexes[i].name, indexes[i].hex, &listed, &err);
        expect(indexes[i].text, r, indexes[i].msg, &err);
        if (r == 0) assert_string_equal(listed.hex, A);
        if (r < 0) assert_int_equal(listed.size, 77);
    }
}

static const struct {
    const char *text, *msg;
} configs[] = {
    {C(""), NULL},
    {C(",\"config\":null"), NULL},
    {C(",\"config\":{\"Cmd\":null,\"Env\":null,\"ExposedPorts\":null,\"Labels\":null,\"Volumes\":{}}"), NULL},
    {C(",\"config\":{\"Unknown\":[1,2]},\"history\":[{}]"), NULL},
    {"[]", "object"},
    {"{}", "architecture"},
    {"{\"os\":\"linux\",\"architecture\":\"arm64\",\"rootfs\":{\"diff_ids\":[]}}", "for \"linux\" on \"arm64\""},
    {"{\"os\":\"windows\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[]}}", "for \"windows\" on \"amd64\""},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\"}", "rootfs"},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{}}", "diff_ids"},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[]}}", "0 layers"},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"sha256:" A "\",\"sha256:" A "\"]}}",
     "2 layers"},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"md5:1\"]}}", "diff_ids[0]"},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"sha256:1\"]}}", "diff_ids[0]"},
    {"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[7]}}", "diff_ids[0]"},
    {C(",\"config\":{\"Entrypoint\":\"/bin/sh\"}"), "config.Entrypoint must be an array of strings"},
    {C(",\"config\":{\"Cmd\":[1]}"), "Cmd[0]"},
    {C(",\"config\":{\"Env\":{}}"), "Env"},
    {C(",\"config\":{\"User\":7}"), "User"},
    {C(",\"config\":{\"ExposedPorts\":[\"80\"]}"), "ExposedPorts"},
    {C(",\"config\":{\"Volumes\":\"/x\"}"), "Volumes"},
    {C(",\"config\":{\"Labels\":{\"a\":1}}"), "Labels.a"},
    {C(",\"config\":{\"Healthcheck\":{\"Interval\":\"5s\"}}"), "Healthcheck.Interval"},
    {C(",\"config\":{\"Healthcheck\":{\"Retries\":-1}}"), "Retries is -1"},
};

static void test_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        auto_oci_image image = {0};
        json_auto_t *doc = NULL;
        struct vl_error err = {0};
        int r;

        assert_int_equal(decode_manifest(M(L1), &image, &err), 0);
        assert_int_equal(json_parse(configs[i].text, strlen(configs[i].text), "c", &doc, &err), 0);
        r = oci_config_decode(doc, "c", &image, &err);
        expect(configs[i].text, r, configs[i].msg, &err);
        if (r == 0) assert_string_equal(image.layers[0].diff_hex, A);
        if (r < 0) assert_null(image.os);
    }
}

static void test_config_values(void **state)
{
    static const char text[] = C(
        ",\"config\":{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"],\"Env\":[\"A=1\"],\"User\":\"u:g\",\"WorkingDir\":\"/w\","
        "\"StopSignal\":\"SIGQUIT\",\"Volumes\":{\"/b\":{},\"/a\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
        "\"Labels\":{\"k\":\"v\"},\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":5}}");
    auto_oci_image image = {0};
    json_auto_t *doc = NULL;
    const struct oci_config *c = &image.config;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(decode_manifest(M(L1), &image, &err), 0);
    assert_int_equal(json_parse(text, strlen(text), "c", &doc, &err), 0);
    assert_int_equal(oci_config_decode(doc, "c", &image, &err), 0);
    assert_string_equal(c->entrypoint.items[0], "/e");
    assert_string_equal(c->cmd.items[0], "c");
    assert_string_equal(c->env.items[0], "A=1");
    assert_string_equal(c->user, "u:g");
    assert_string_equal(c->workdir, "/w");
    assert_string_equal(c->stop_signal, "SIGQUIT");
    assert_string_equal(c->volumes.items[0], "/a"); /* sorted */
    assert_string_equal(c->exposed_ports.items[0], "80/tcp");
    assert_string_equal(strmap_get(&c->labels, "k"), "v");
    assert_int_equal(c->health.interval, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_indexes),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_config_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
