/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <string.h>

#include "model/deployment.h"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);

    assert_non_null(j);
    return j;
}

static void good_requests(void **state)
{
    static const struct {
        const char *text, *name, *plugin;
        int replicas;
        size_t notes;
    } table[] = {
        {"{\"name\":\"web\",\"replicas\":3,\"config\":{\"plugin\":\"nginx\"}}", "web", "nginx", 3, 0},
        {"{\"name\":\"web\",\"plugin\":\"nginx\"}", "web", "nginx", 0, 0},
        {"{\"name\":\"w\",\"plugin\":\"n\",\"replicas\":1000,\"config\":{\"plugin\":\"n\"},\"x\":1}", "w", "n", 1000,
         1},
        {"{\"name\":\"w\",\"replicas\":null,\"config\":{\"colour\":1}}", "w", NULL, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = parse(table[i].text);
        auto_(deployment_request_done) struct deployment_request req = {0};
        auto_strv notes = {0};
        struct vl_error err = {0};

        if (deployment_request_decode(j, &req, &notes, &err) < 0) fail_msg("%s: %s", table[i].text, err.msg);
        assert_string_equal(req.name, table[i].name);
        assert_int_equal(req.replicas, table[i].replicas);
        assert_true(str_eq(json_string_value(json_object_get(req.config, "plugin")), table[i].plugin));
        assert_int_equal(notes.len, table[i].notes);
    }
}

static void bad_requests(void **state)
{
    static const struct {
        const char *text, *word;
    } table[] = {
        {"{}", "name is missing"},
        {"[]", "object"},
        {"{\"name\":\"a/b\"}", "name \"a/b\""},
        {"{\"name\":\"..\"}", "name \"..\""},
        {"{\"name\":7}", "name"},
        {"{\"name\":\"w\",\"replicas\":-1}", "replicas is -1, allowed 0 to 1000"},
        {"{\"name\":\"w\",\"replicas\":10000}", "replicas is 10000, allowed 0 to 1000"},
        {"{\"name\":\"w\",\"replicas\":2.5}", "replicas"},
        {"{\"name\":\"w\",\"replicas\":\"2\"}", "replicas"},
        {"{\"name\":\"w\",\"config\":[]}", "config"},
        {"{\"name\":\"w\",\"config\":{\"expose\":[{\"port\":0}]}}", "config.expose[0].port"},
        {"{\"name\":\"w\",\"config\":{\"expose\":[{\"port\":1,\"host_port\":9},{\"port\":2,\"host_port\":9}]}}",
         "config.expose[1].host_port"},
        {"{\"name\":\"w\",\"config\":{\"restart\":\"maybe\"}}", "config.restart"},
        {"{\"name\":\"w\",\"plugin\":\"a\",\"config\":{\"plugin\":\"b\"}}", "plugin mismatch"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = parse(table[i].text);
        struct deployment_request req = {.replicas = 77};
        struct vl_error err = {0};

        assert_true(deployment_request_decode(j, &req, NULL, &err) < 0);
        if (!strstr(err.msg, table[i].word)) fail_msg("%s: '%s' lacks '%s'", table[i].text, err.msg, table[i].word);
        assert_int_equal(err.kind, VL_INVALID);
        assert_int_equal(req.replicas, 77);
        assert_null(req.name);
    }
}

static void patches(void **state)
{
    static const struct {
        const char *text, *word; /* NULL: good */
        int replicas;
        bool config;
    } table[] = {
        {"{\"replicas\":0}", NULL, 0, false},
        {"{\"replicas\":5,\"config\":{\"plugin\":\"x\"}}", NULL, 5, true},
        {"{\"config\":{}}", NULL, -1, true},
        {"{\"replicas\":null,\"config\":{\"expose\":[]}}", NULL, -1, true},
        {"{}", "'replicas'", 0, false},
        {"{\"replicas\":null}", "'replicas'", 0, false},
        {"{\"replicas\":-1}", "replicas is -1", 0, false},
        {"{\"replicas\":-9223372036854775807}", "allowed 0 to 1000", 0, false},
        {"{\"config\":3}", "config", 0, false},
        {"{\"config\":{\"resources\":{\"memory_mb\":1}}}", "config.resources.memory_mb", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = parse(table[i].text);
        auto_(deployment_patch_done) struct deployment_patch p = {.replicas = 77};
        struct vl_error err = {0};
        int r = deployment_patch_decode(j, &p, NULL, &err);

        if (table[i].word) {
            assert_true(r < 0 && p.replicas == 77 && !p.config);
            if (!strstr(err.msg, table[i].word)) fail_msg("%s: '%s'", table[i].text, err.msg);
            continue;
        }
        if (r < 0) fail_msg("%s: %s", table[i].text, err.msg);
        assert_int_equal(p.replicas, table[i].replicas);
        assert_int_equal(p.config != NULL, table[i].config);
    }
}

static void rollbacks(void **state)
{
    static const struct {
        const char *text;
        int64_t version; /* -1: refused */
    } table[] = {
        {"{}", 0},
        {"{\"version\":null}", 0},
        {"{\"version\":3}", 3},
        {"{\"version\":-1}", -1},
        {"{\"version\":0}", -1},
        {"{\"version\":\"1\"}", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_auto_t *j = parse(table[i].text);
        int64_t version = 77;
        int r = deployment_rollback_decode(j, &version, NULL, NULL);

        assert_int_equal(r < 0, table[i].version < 0);
        assert_int_equal(version, table[i].version < 0 ? 77 : table[i].version);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(patches),
        cmocka_unit_test(rollbacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
