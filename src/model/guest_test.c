/* SPDX-License-Identifier: Apache-2.0 */
#include "model/guest.h"

#include <string.h>

#include "base/unit.h"

union message {
    struct guest_config config;
    struct guest_health health;
    struct guest_event event;
    struct guest_stats stats;
    struct guest_log log;
    struct guest_clock clock;
};

static json_t *parse(const char *text)
{
    struct vl_error err = {0};
    json_t *j = NULL;

    if (json_parse(text, strlen(text), "test", &j, &err) < 0) fail_msg("%s: %s", text, err.msg);
    return j;
}

#define CONFIG                                                                                                         \
    "{\"api\":1,\"vm_id\":7,\"hostname\":\"web\",\"shutdown\":\"reboot\",\"network\":{\"address\":\"192.168.127.10/"   \
    "24\","                                                                                                            \
    "\"gateway\":\"192.168.127.1\",\"mac\":\"02:f9:e8:54:fb:c4\"},\"ready_port\":80,\"workload\":{\"type\":\"http\","  \
    "\"base_url\":\"http://127.0.0.1:80\",\"entrypoint\":[\"/usr/sbin/nginx\",\"-g\",\"daemon off;\"],"                \
    "\"env\":{\"A\":\"b\"},\"workdir\":\"/srv\",\"user\":\"33:33\"}}"

/* In the order of the tables, so that encoding gives the same text. */
static const struct {
    const struct schema *schema;
    const char *json;
} good[] = {
    {&guest_config_schema, CONFIG},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"poweroff\",\"workload\":{\"entrypoint\":[\"a\"]}}"},
    {&guest_health_schema, "{\"api\":1,\"version\":\"0.1.0\",\"state\":\"running\",\"ready\":false,\"uptime_ms\":0}"},
    {&guest_event_schema, "{\"type\":\"state\",\"state\":\"running\",\"ready\":true}"},
    {&guest_event_schema,
     "{\"type\":\"workload_exited\",\"state\":\"exited\",\"ready\":false,\"code\":137,\"signal\":9}"},
    {&guest_event_schema, "{\"type\":\"of_the_future\",\"ready\":false}"},
    {&guest_event_schema,
     "{\"type\":\"health\",\"state\":\"running\",\"ready\":false,\"health\":\"unhealthy\",\"reason\":\"why\"}"},
    {&guest_health_schema,
     "{\"api\":2,\"version\":\"0.2.0\",\"state\":\"running\",\"ready\":true,\"health\":\"healthy\","
     "\"reason\":\"\xc3\xa9\",\"uptime_ms\":0}"},
    {&guest_config_schema,
     "{\"api\":2,\"shutdown\":\"reboot\",\"health_check\":{\"type\":\"exec\",\"command\":[\"a\",\"\"],"
     "\"interval_ms\":100},\"workload\":{\"entrypoint\":[\"a\"]}}"},
    {&guest_stats_schema, "{\"uptime_ms\":1,\"memory_total\":2,\"memory_available\":3,\"cpu_user_ms\":4,\"cpu_system_"
                          "ms\":5,\"cpu_idle_ms\":6,"
                          "\"processes\":7,\"workload_pid\":8,\"workload_rss\":9223372036854775807}"},
    {&guest_log_schema, "{\"stream\":\"stdout\",\"line\":\"\",\"timestamp\":\"2026-01-01T00:00:00Z\"}"},
    {&guest_clock_schema, "{\"unix_us\":1767225600000000}"},
};

static void messages_come_back_as_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        json_auto_t *in = parse(good[i].json), *out = NULL;
        auto_free char *text = NULL;
        struct vl_error err = {0};
        union message m;

        assert_true(good[i].schema->size <= sizeof(m));
        if (schema_decode(good[i].schema, in, NULL, &m, NULL, &err) < 0) fail_msg("%s: %s", good[i].json, err.msg);
        out = schema_encode(good[i].schema, &m);
        text = json_text(out);
        assert_string_equal(text, good[i].json);
        schema_done(good[i].schema, &m);
    }
}

static const struct {
    const struct schema *schema;
    const char *json, *message;
} bad[] = {
    {&guest_config_schema, "{}", "config.api is missing"},
    {&guest_config_schema, "{\"api\":0}", "config.api is 0, allowed 1 to 9223372036854775807"},
    {&guest_config_schema, "{\"api\":1}", "config.shutdown is missing"},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"foo\"}", "config.shutdown is \"foo\", allowed: reboot, poweroff"},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"\"}", "config.shutdown is \"\", allowed: reboot, poweroff"},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"reboot\",\"workload\":{}}",
     "config.workload.entrypoint is missing"},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"reboot\",\"ready_port\":65536,\"workload\":{}}",
     "config.ready_port is 65536, allowed 0 to 65535"},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"reboot\",\"network\":{\"mac\":7}}",
     "config.network.mac must be a string, is an integer"},
    {&guest_health_schema, "{\"api\":1}", "health.state is missing"},
    {&guest_health_schema, "{\"api\":1,\"state\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
     "health.state is 33 bytes long, allowed 0 to 32"},
    {&guest_health_schema, "{\"api\":1,\"state\":\"a\",\"uptime_ms\":-1}",
     "health.uptime_ms is -1, allowed 0 to 9223372036854775807"},
    {&guest_event_schema, "{\"type\":\"health\",\"health\":\"aaaaaaaaaaaaaaaaa\"}",
     "event.health is 17 bytes long, allowed 0 to 16"},
    {&guest_health_schema, "{\"api\":2,\"state\":\"a\",\"reason\":[]}", "health.reason must be a string, is an array"},
    {&guest_config_schema, "{\"api\":1,\"shutdown\":\"reboot\",\"health_check\":{\"interval_ms\":0},\"workload\":{}}",
     "config.health_check.interval_ms is 0, allowed 100 to 3600000"},
    {&guest_event_schema, "{\"type\":\"\"}", "event.type is 0 bytes long, allowed 1 to 64"},
    {&guest_event_schema, "{\"type\":\"workload_exited\",\"code\":256}", "event.code is 256, allowed 0 to 255"},
    {&guest_event_schema, "{\"type\":\"workload_exited\",\"signal\":-9}", "event.signal is -9, allowed 0 to 127"},
    {&guest_event_schema, "{\"type\":\"ready\",\"ready\":1}", "event.ready must be true or false, is an integer"},
    {&guest_stats_schema, "{\"processes\":-1}", "stats.processes is -1, allowed 0 to 9223372036854775807"},
    {&guest_stats_schema, "{\"memory_total\":1e9}",
     "stats.memory_total must be an integer, is a number with a fraction"},
    {&guest_log_schema, "{\"line\":5}", "log.line must be a string, is an integer"},
    {&guest_log_schema, "{\"stream\":\"aaaaaaaaaaaaaaaaa\"}", "log.stream is 17 bytes long, allowed 0 to 16"},
    {&guest_clock_schema, "{}", "clock.unix_us is missing"},
    {&guest_clock_schema, "{\"unix_us\":0}", "clock.unix_us is 0, allowed 1 to 9223372036854775807"},
};

static void what_a_hostile_guest_says_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_auto_t *in = parse(bad[i].json);
        static const union message zero;
        struct vl_error err = {0};
        union message m = {0};

        assert_int_equal(schema_decode(bad[i].schema, in, NULL, &m, NULL, &err), -EINVAL);
        assert_string_equal(err.msg, bad[i].message);
        assert_memory_equal(&m, &zero, bad[i].schema->size);
    }
}

static void a_line_is_bounded(void **state)
{
    char line[LOG_LINE_MAX + 2];
    json_auto_t *in = NULL;
    struct vl_error err = {0};
    struct guest_log log;

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    in = json_pack("{s:s}", "line", line);
    assert_int_equal(schema_decode(&guest_log_schema, in, NULL, &log, NULL, &err), -EINVAL);
    assert_string_equal(err.msg, "log.line is 16385 bytes long, allowed 0 to 16384");
    assert_int_equal(json_object_set_new(in, "line", json_string(line + 1)), 0);
    assert_int_equal(schema_decode(&guest_log_schema, in, NULL, &log, NULL, &err), 0);
    schema_done(&guest_log_schema, &log);
}

static void the_configuration_for_a_guest(void **state)
{
    json_auto_t *in = parse(CONFIG);
    auto_guest_config c = {0};
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(schema_decode(&guest_config_schema, in, "/" GUEST_CONFIG_PATH, &c, NULL, &err), 0);
    assert_int_equal(c.vm_id, 7);
    assert_string_equal(c.network.gateway, "192.168.127.1");
    assert_string_equal(c.workload.entrypoint.items[2], "daemon off;");
    assert_null(c.workload.entrypoint.items[3]);
    assert_int_equal(workload_port(&c.workload), 80);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back_as_they_were),
        cmocka_unit_test(what_a_hostile_guest_says_is_refused),
        cmocka_unit_test(a_line_is_bounded),
        cmocka_unit_test(the_configuration_for_a_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
