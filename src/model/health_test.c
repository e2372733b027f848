/* SPDX-License-Identifier: Apache-2.0 */
/* The health check of a manifest: what it is taken for, what is refused, where it asks. */
#include <string.h>

#include "base/unit.h"
#include "model/manifest_rules.h"

#define BASE "\"base_url\":\"http://127.0.0.1:8080/app/v1?x=1\""

/* A manifest with this health_check, and what else is in its workload. */
static int decode(const char *check, const char *work, const char *keys, struct manifest *ret, json_t **ret_stored,
                  struct strv *warnings, struct vl_error *err)
{
    auto_free char *text =
        strf_new("{\"name\":\"a\",\"version\":\"1\",\"initramfs\":{\"url\":\"/a\",\"checksum\":\"%064d\"},"
                 "\"workload\":{\"entrypoint\":[\"/a\"]%s%s},\"health_check\":%s%s}",
                 0, *work ? "," : "", work, check, keys);
    json_auto_t *json = NULL;

    if (json_parse(text, strlen(text), "test", &json, err) < 0) fail_msg("%s: %s", text, err->msg);
    return manifest_decode(json, "m", ret, ret_stored, warnings, err);
}

static const struct {
    const char *check, *work, *type, *stored; /* type NULL: no check */
} good[] = {
    {"null", "", NULL, "{}"},
    {"{}", "", NULL, "{}"},
    {"{}", BASE, NULL, "{}"},
    {"{\"endpoint\":\"\",\"timeout_ms\":0}", "", NULL, "{}"},
    {"{\"endpoint\":\" \",\"timeout_ms\":5000}", BASE, NULL, "{\"timeout_ms\":5000}"},
    {"{\"type\":\"\",\"port\":0,\"command\":[],\"interval_ms\":10000}", "", NULL, "{}"},
    {"{\"endpoint\":\"/\",\"timeout_ms\":10000}", BASE, "http",
     "{\"type\":\"http\",\"endpoint\":\"/\",\"timeout_ms\":10000}"},
    {"{\"endpoint\":\" healthz \"}", BASE, "http", "{\"type\":\"http\",\"endpoint\":\"healthz\"}"},
    {"{\"type\":\"http\"}", BASE, "http", "{\"type\":\"http\"}"},
    {"{\"type\":\"http\",\"port\":80}", "", "http", "{\"type\":\"http\",\"port\":80}"},
    {"{\"endpoint\":\"/\",\"port\":9000}", BASE, "http", "{\"type\":\"http\",\"endpoint\":\"/\",\"port\":9000}"},
    {"{\"endpoint\":\"http://127.0.0.1:8080/up\"}", BASE, "http",
     "{\"type\":\"http\",\"endpoint\":\"http://127.0.0.1:8080/up\"}"},
    {"{\"port\":5432}", "", "tcp", "{\"type\":\"tcp\",\"port\":5432}"},
    {"{\"type\":\"tcp\"}", BASE, "tcp", "{\"type\":\"tcp\"}"},
    {"{\"command\":[\" /bin/check \",\"\",\" x \"]}", BASE, "exec",
     "{\"type\":\"exec\",\"command\":[\"/bin/check\",\"\",\" x \"]}"},
    {"{\"port\":1,\"interval_ms\":100,\"check_timeout_ms\":10,\"retries\":1,\"start_period_ms\":1,\"timeout_ms\":"
     "86400000}",
     "", "tcp",
     "{\"type\":\"tcp\",\"port\":1,\"timeout_ms\":86400000,\"interval_ms\":100,\"check_timeout_ms\":10,\"retries\":1,"
     "\"start_period_ms\":1}"},
};

static void what_is_given_decides_the_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        auto_manifest m = {0}, again = {0};
        json_auto_t *stored = NULL, *twice = NULL;
        auto_free char *text = NULL;
        auto_strv warnings = {0};
        struct vl_error err = {0};

        if (decode(good[i].check, good[i].work, "", &m, &stored, &warnings, &err) < 0)
            fail_msg("%s: %s", good[i].check, err.msg);
        if (!str_eq(m.health_check.type, good[i].type)) fail_msg("%s is %s", good[i].check, m.health_check.type);
        assert_int_equal(warnings.len, 0);
        text = json_text(json_object_get(stored, "health_check"));
        assert_string_equal(text, good[i].stored);
        assert_int_equal(manifest_decode(stored, "m", &again, &twice, NULL, &err), 0);
        assert_true(json_equal(stored, twice));
    }
}

static const struct {
    const char *check, *work, *keys, *message;
} bad[] = {
    {"[]", "", "", "health_check must be an object, is an array"},
    {"{\"type\":\"grpc\"}", "", "", "health_check.type is \"grpc\", allowed: http, tcp, exec"},
    {"{\"type\":\"HTTP\"}", BASE, "", "health_check.type is \"HTTP\", allowed: http, tcp, exec"},
    {"{\"port\":80,\"interval_ms\":0}", "", "", "health_check.interval_ms is 0, allowed 100 to 3600000"},
    {"{\"interval_ms\":0}", "", "", "health_check.interval_ms is 0, allowed 100 to 3600000"},
    {"{\"port\":80,\"interval_ms\":99}", "", "", "health_check.interval_ms is 99, allowed 100 to 3600000"},
    {"{\"port\":80,\"interval_ms\":3600001}", "", "", "health_check.interval_ms is 3600001, allowed"},
    {"{\"port\":80,\"interval_ms\":1.5}", "", "", "health_check.interval_ms must be an integer"},
    {"{\"port\":80,\"check_timeout_ms\":0}", "", "", "health_check.check_timeout_ms is 0, allowed 10 to 600000"},
    {"{\"port\":80,\"retries\":0}", "", "", "health_check.retries is 0, allowed 1 to 100"},
    {"{\"port\":80,\"retries\":101}", "", "", "health_check.retries is 101, allowed 1 to 100"},
    {"{\"port\":80,\"start_period_ms\":-1}", "", "", "health_check.start_period_ms is -1, allowed 0 to 3600000"},
    {"{\"port\":80,\"timeout_ms\":-1}", "", "", "health_check.timeout_ms is -1, allowed 0 to 86400000"},
    {"{\"port\":65536}", "", "", "health_check.port is 65536, allowed 1 to 65535"},
    {"{\"port\":-1}", "", "", "health_check.port is -1, allowed 1 to 65535"},
    {"{\"port\":\"80\"}", "", "", "health_check.port must be an integer, is a string"},
    {"{\"command\":\"/bin/check\"}", "", "", "health_check.command must be an array of strings, is a string"},
    {"{\"retries\":5}", BASE, "", "health_check.type is missing: write what to check"},
    {"{\"endpoint\":\"\",\"start_period_ms\":5}", BASE, "", "health_check.type is missing: write what to check"},
    {"{\"type\":\"exec\"}", "", "", "health_check.command is missing: write program and arguments"},
    {"{\"command\":[\" \"]}", "", "", "health_check.command[0] is blank: name the program to run"},
    {"{\"command\":[\"a\"],\"port\":80}", "", "", "health_check.port does not go with a command: remove one"},
    {"{\"command\":[\"a\"],\"endpoint\":\"/\"}", BASE, "", "health_check.endpoint does not go with a command"},
    {"{\"command\":[\"a\"],\"type\":\"http\"}", BASE, "",
     "health_check.command does not go with type \"http\": write \"exec\", or remove it"},
    {"{\"command\":[\"a\"],\"type\":\"tcp\"}", BASE, "", "health_check.command does not go with type \"tcp\""},
    {"{\"type\":\"http\"}", "", "", "health_check.port is missing: write the port to ask, or workload.base_url"},
    {"{\"type\":\"tcp\"}", "", "", "health_check.port is missing: write the port to ask, or workload.base_url"},
    {"{\"endpoint\":\"/\"}", "", "", "health_check.port is missing: write the port to ask, or workload.base_url"},
    {"{\"type\":\"tcp\",\"port\":80,\"endpoint\":\"/\"}", "", "",
     "health_check.endpoint does not go with type \"tcp\": write \"http\", or remove it"},
    {"{\"endpoint\":\"https://127.0.0.1:8080/\"}", BASE, "",
     "health_check.endpoint is \"https://127.0.0.1:8080/\": write a path such as \"/healthz\""},
    {"{\"endpoint\":\"http://example.org/\"}", BASE, "",
     "health_check.endpoint is \"http://example.org/\": write a path"},
    {"{\"endpoint\":\"http://127.0.0.1/\"}", BASE, "", "health_check.endpoint is \"http://127.0.0.1/\": write a path"},
    {"{\"endpoint\":\"http://127.0.0.1:8080/\",\"port\":80}", BASE, "",
     "health_check.endpoint is \"http://127.0.0.1:8080"},
    {"{\"endpoint\":\"//example.org/\"}", BASE, "", "health_check.endpoint is \"//example.org/\": write a path"},
    {"{\"endpoint\":\"mailto:a\"}", BASE, "", "health_check.endpoint is \"mailto:a\": write a path"},
    {"{\"endpoint\":\"/a b\"}", BASE, "", "health_check.endpoint is \"/a b\": write a path"},
    {"{\"endpoint\":\"/a\\r\\nX: y\"}", BASE, "", "health_check.endpoint is \"/a\\x0d\\x0aX: y\": write a path"},
    {"{\"endpoint\":\"/\\u00e9\"}", BASE, "", "health_check.endpoint is \"/"},
    {"{\"endpoint\":\"/#a\"}", BASE, "", "health_check.endpoint is \"/#a\": write a path"},
    {"{\"type\":\"http\"}", "\"base_url\":\"http://a/\\u00e9\"", "", "health_check.endpoint is \"http://a/"},
    {"{\"port\":80}", "", ",\"agent\":\"none\"",
     "health_check needs the agent, which runs it in the guest: remove it, or agent \"none\""},
    {"{}", "", ",\"restart\":\"sometimes\"", "restart is \"sometimes\", allowed: no, on-failure, always"},
    {"{}", "", ",\"restart\":true", "restart must be a string, is a boolean"},
};

static void what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct manifest m = {.name = (char *)1};
        struct vl_error err = {0};
        json_t *stored = NULL;

        if (decode(bad[i].check, bad[i].work, bad[i].keys, &m, &stored, NULL, &err) >= 0)
            fail_msg("accepted: %s", bad[i].check);
        assert_int_equal(err.kind, VL_INVALID);
        if (!str_starts(err.msg, "m: ") || !str_starts(err.msg + 3, bad[i].message))
            fail_msg("%s: %s\nexpected: %s", bad[i].check, err.msg, bad[i].message);
        assert_ptr_equal(m.name, (char *)1);
        assert_null(stored);
    }
}

static void the_start_budget(void **state)
{
    static const struct {
        int64_t given, budget;
    } table[] = {{0, 120000}, {1, 120000}, {10000, 120000}, {120000, 120000}, {120001, 120001}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct health_check h = {.timeout_ms = table[i].given};

        assert_int_equal(health_check_budget_ms(&h), table[i].budget);
    }
}

static const struct {
    const char *type, *base_url, *endpoint;
    const char *host, *path; /* of the request; NULL for tcp */
    int port, want;          /* want 0: refused */
} targets[] = {
    {"http", "http://127.0.0.1:8080/app/v1?x=1#f", "/up", "127.0.0.1:8080", "/up", 0, 8080},
    {"http", "http://127.0.0.1:8080/app/v1?x=1#f", "up", "127.0.0.1:8080", "/app/up", 0, 8080},
    {"http", "http://127.0.0.1:8080/app/v1?x=1#f", "?y", "127.0.0.1:8080", "/app/v1?y", 0, 8080},
    {"http", "http://127.0.0.1:8080/app/v1?x=1#f", NULL, "127.0.0.1:8080", "/app/v1?x=1", 0, 8080},
    {"http", "http://127.0.0.1:8080/app/v1?x=1#f", "", "127.0.0.1:8080", "/app/v1?x=1", 0, 8080},
    {"http", "http://127.0.0.1:8080/app/v1", "http://127.0.0.1:8080", "127.0.0.1:8080", "/", 0, 8080},
    {"http", "http://Web.example", "HTTP://web.example/", NULL, NULL, 0, 0},
    {"http", "http://Web.example", "http://web.EXAMPLE:80/?q", "Web.example", "/?q", 0, 80},
    {"http", "http://a", "up", "a", "/up", 0, 80},
    {"http", "http://a", "?up", "a", "/?up", 0, 80},
    {"http", "http://a?b", NULL, "a", "/?b", 0, 80},
    {"http", "http://a/b/", "c:d", NULL, NULL, 0, 0},
    {"http", "http://a/b/", "./c:d", "a", "/b/./c:d", 0, 80},
    {"http", "http://[::1]:81/", "x", "[::1]:81", "/x", 0, 81},
    {"http", "http://a:81/", "/", "a:90", "/", 90, 90},
    {"http", NULL, NULL, "127.0.0.1:90", "/", 90, 90},
    {"http", NULL, "x", "127.0.0.1", "/x", 80, 80},
    {"http", NULL, NULL, NULL, NULL, 0, 0},
    {"http", NULL, NULL, NULL, NULL, 70000, 0},
    {"http", "ftp://a", NULL, NULL, NULL, 0, 0},
    {"tcp", "http://a:81", NULL, NULL, NULL, 0, 81},
    {"tcp", NULL, NULL, NULL, NULL, 5432, 5432},
};

static void where_a_check_asks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        const struct health_check h = {
            .type = (char *)targets[i].type, .endpoint = (char *)targets[i].endpoint, .port = targets[i].port};
        const struct workload w = {.base_url = (char *)targets[i].base_url};
        struct health_target t = {.port = 4711};
        int r = health_target_make(&h, &w, &t);

        if (targets[i].want == 0) {
            assert_int_equal(r, -EINVAL);
            assert_int_equal(t.port, 4711);
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(t.port, targets[i].want);
        if (!str_eq(t.host, targets[i].host) || !str_eq(t.path, targets[i].path))
            fail_msg("%zu: %s %s", i, t.host, t.path);
        health_target_done(&t);
    }
}

static void restart_policies_by_name(void **state)
{
    auto_manifest m = {0};
    enum restart_policy p = RESTART_ALWAYS;
    json_auto_t *stored = NULL;
    struct vl_error err;

    (void)state;
    assert_int_equal(decode("{}", "", ",\"restart\":\"on-failure\"", &m, &stored, NULL, &err), 0);
    assert_string_equal(m.restart, "on-failure");
    assert_string_equal(json_string_value(json_object_get(stored, "restart")), "on-failure");
    for (int i = RESTART_NO; i <= RESTART_ALWAYS; i++) {
        assert_int_equal(restart_policy_parse(restart_policy_name((enum restart_policy)i), &p), 0);
        assert_int_equal(p, i);
    }
    assert_int_equal(restart_policy_parse("never", &p), -EINVAL);
    assert_int_equal(p, RESTART_ALWAYS);
    assert_int_equal(restart_policy_parse(NULL, &p), 0);
    assert_int_equal(p, RESTART_NO);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_decides_the_kind),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(the_start_budget),
        cmocka_unit_test(where_a_check_asks),
        cmocka_unit_test(restart_policies_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
