/* SPDX-License-Identifier: Apache-2.0 */
/* Two real HTTP/2 sessions, the host's and the agent's, joined in memory. */
#include "kestrel/api.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "model/guest.h"

struct reply {
    struct h2_stream *stream;
    int status, err;
    char type[64];
    struct strbuf body;
    bool closed, hold; /* hold: takes nothing */
};

struct bench {
    struct h2 *client, *server;
    struct logs logs;
    struct api api;
    int64_t clock_us;
    int grace_ms, flushes;
};

static void note_flush(void *arg)
{
    ((struct bench *)arg)->flushes++;
}

static int note_clock(void *arg, int64_t unix_us)
{
    if (unix_us == 1) return -EPERM;
    ((struct bench *)arg)->clock_us = unix_us;
    return 0;
}

static void note_poweroff(void *arg, int grace_ms)
{
    ((struct bench *)arg)->grace_ms = grace_ms;
}

static const struct api_ops ops = {.flush = note_flush, .set_clock = note_clock, .poweroff = note_poweroff};

static bool move(struct h2 *from, struct h2 *to)
{
    static char buf[65536];
    const char *why = "";
    ssize_t n = h2_pull(from, buf, sizeof(buf));

    assert_true(n >= 0);
    if (n == 0) return false;
    if (h2_feed(to, buf, (size_t)n, &why) < 0) fail_msg("%s", why);
    return true;
}

static void pump(struct bench *b)
{
    while ((int)move(b->client, b->server) | (int)move(b->server, b->client))
        continue;
}

static void on_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    struct reply *r = arg;

    (void)s;
    r->status = head->status;
    (void)strf(r->type, sizeof(r->type), "%s", head->content_type ? head->content_type : "");
}

static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct reply *r = arg;

    strbuf_add(&r->body, data, n);
    if (!r->hold) h2_stream_consume(s, n);
}

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct reply *r = arg;

    (void)s;
    r->closed = true;
    r->err = err;
}

static const struct h2_stream_ops client_ops = {.head = on_head, .data = on_data, .closed = on_closed};

struct text {
    const char *at;
    size_t left;
};

static ssize_t read_text(void *arg, void *buf, size_t n)
{
    struct text *t = arg;

    if (n > t->left) n = t->left;
    memcpy(buf, t->at, n);
    t->at += n;
    t->left -= n;
    return (ssize_t)n;
}

static void ask(struct bench *b, const char *method, const char *path, const char *body, struct reply *r)
{
    struct text t = {body, body ? strlen(body) : 0};
    const struct h2_source source = {read_text, &t};

    assert_int_equal(h2_request(b->client, method, path, body ? &source : NULL, &client_ops, r, &r->stream), 0);
    pump(b);
}

static int set_up(void **state)
{
    static struct bench b;

    b = (struct bench){0};
    assert_int_equal(logs_init(&b.logs, 4UL * LOG_LINE_MAX), 0);
    api_init(&b.api, &b.logs, &ops, &b);
    assert_int_equal(h2_new_server(&api_h2_ops, &b.api, &b.server), 0);
    assert_int_equal(h2_new_client(&b.client), 0);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    h2_free(b->client);
    h2_free(b->server);
    assert_null(b->api.open);
    assert_int_equal(b->api.n_open, 0);
    logs_done(&b->logs);
    return 0;
}

static void decode(const struct schema *schema, const char *text, size_t n, void *ret)
{
    json_auto_t *json = NULL;
    struct vl_error err = {0};

    if (json_parse(text, n, "reply", &json, &err) < 0 || schema_decode(schema, json, "reply", ret, NULL, &err) < 0)
        fail_msg("%s in %.*s", err.msg, (int)n, text);
}

static void test_statuses(void **state)
{
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *says;
    } table[] = {
        {"GET", "/v1/health", NULL, 200, "starting"},
        {"GET", "/v1/stats", NULL, 200, "memory_total"},
        {"GET", "/", NULL, 404, "API 2"},
        {"GET", "/v1/healthy", NULL, 404, "/v1/healthy"},
        {"GET", "/v2/health", NULL, 404, "error"},
        {"GET", "/v1/health/", NULL, 404, "error"},
        {"POST", "/v1/health", NULL, 405, "POST"},
        {"GET", "/v1/poweroff", NULL, 405, "GET"},
        {"PUT", "/v1/clock", "{\"unix_us\":1700000000000000}", 204, ""},
        {"PUT", "/v1/clock", "{\"unix_us\":1}", 500, "clock"},
        {"PUT", "/v1/clock", NULL, 400, "body"},
        {"PUT", "/v1/clock", "{}", 400, "unix_us"},
        {"PUT", "/v1/clock", "{\"unix_us\":\"now\"}", 400, "unix_us"},
        {"PUT", "/v1/clock", "[", 400, "body"},
        {"POST", "/v1/poweroff", NULL, 202, ""},
        {"POST", "/v1/poweroff?grace_ms=x", NULL, 400, "grace_ms"},
        {"POST", "/v1/poweroff", "{\"grace_ms\":-1}", 400, "grace_ms"},
        {"POST", "/v1/poweroff", "{\"grace_ms\":600001}", 400, "grace_ms"},
        {"GET", "/v1/logs?tail=-1", NULL, 400, "tail"},
        {"GET", "/v1/logs?follow=2", NULL, 400, "follow"},
        {"GET", "/v1/logs?follow=", NULL, 400, "follow"},
        {"GET", "/v1/logs?tail=3&more", NULL, 200, ""},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct reply r = {0};

        ask(b, table[i].method, table[i].path, table[i].body, &r);
        if (!r.closed || r.err != 0 || r.status != table[i].status ||
            !strstr(r.body.data ? r.body.data : "", table[i].says))
            fail_msg("%s %s %s: %d '%s' closed %d %d", table[i].method, table[i].path, table[i].body, r.status,
                     r.body.data ? r.body.data : "", r.closed, r.err);
        if (r.status >= 400) assert_true(str_starts(r.body.data, "{\"error\":\""));
        strbuf_done(&r.body);
    }
    assert_int_equal(b->clock_us, 1700000000000000);
}

static void test_health_and_stats(void **state)
{
    const struct api_state running = {.state = WORKLOAD_RUNNING, .ready = true, .pid = getpid()};
    struct bench *b = *state;
    struct reply r = {0}, r2 = {0};
    struct guest_health health = {0};
    struct guest_stats stats = {0};

    api_set_state(&b->api, &running);
    ask(b, "GET", "/v1/health", NULL, &r);
    decode(&guest_health_schema, r.body.data, r.body.len, &health);
    assert_int_equal(health.api, AGENT_API);
    assert_string_equal(health.state, "running");
    assert_true(health.ready);
    schema_done(&guest_health_schema, &health);
    strbuf_done(&r.body);
    ask(b, "GET", "/v1/stats", NULL, &r2);
    decode(&guest_stats_schema, r2.body.data, r2.body.len, &stats);
    assert_true(stats.memory_total > stats.memory_available && stats.memory_available > 0);
    assert_true(stats.cpu_idle_ms > 0 && stats.processes > 0 && stats.workload_rss > 0);
    assert_int_equal(stats.workload_pid, getpid());
    strbuf_done(&r2.body);
}

static void test_poweroff_takes_its_grace_from_either(void **state)
{
    static const struct {
        const char *path, *body;
        int grace;
    } table[] = {
        {"/v1/poweroff", NULL, API_GRACE_DEFAULT_MS}, {"/v1/poweroff", "{}", API_GRACE_DEFAULT_MS},
        {"/v1/poweroff", "{\"grace_ms\":0}", 0},      {"/v1/poweroff", "{\"grace_ms\":250}", 250},
        {"/v1/poweroff?grace_ms=300", NULL, 300},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct reply r = {0};

        b->grace_ms = -1;
        ask(b, "POST", table[i].path, table[i].body, &r);
        assert_int_equal(r.status, 202);
        assert_int_equal(b->grace_ms, table[i].grace);
        strbuf_done(&r.body);
    }
}

static void expect_event(struct reply *r, const char *type, const char *state, bool ready, int code)
{
    const char *newline = strchr(r->body.data ? r->body.data : "", '\n');
    struct guest_event ev = {0};

    assert_non_null(newline);
    decode(&guest_event_schema, r->body.data, (size_t)(newline - r->body.data), &ev);
    assert_string_equal(ev.type, type);
    assert_string_equal(ev.state, state);
    assert_int_equal(ev.ready, ready);
    assert_int_equal(ev.code, code);
    schema_done(&guest_event_schema, &ev);
    strbuf_consume(&r->body, (size_t)(newline + 1 - r->body.data));
}

static void test_events_are_held_open(void **state)
{
    struct api_state st = {.state = WORKLOAD_RUNNING, .pid = 12};
    struct bench *b = *state;
    struct reply r = {0}, late = {0};

    ask(b, "GET", "/v1/events", NULL, &r);
    expect_event(&r, "state", "starting", false, 0);
    assert_ptr_equal(api_session(&b->api, false), b->server);
    assert_null(api_session(&b->api, true));
    api_set_state(&b->api, &st);
    pump(b);
    assert_int_equal(r.body.len, 0);
    st.ready = true;
    api_set_state(&b->api, &st);
    api_set_state(&b->api, &st);
    assert_true(b->flushes > 0);
    pump(b);
    expect_event(&r, "ready", "running", true, 0);
    ask(b, "GET", "/v1/events", NULL, &late);
    expect_event(&late, "state", "running", true, 0);
    st = (struct api_state){.state = WORKLOAD_EXITED, .code = 137, .signal = 9};
    api_set_state(&b->api, &st);
    pump(b);
    expect_event(&r, "workload_exited", "exited", false, 137);
    expect_event(&late, "workload_exited", "exited", false, 137);
    assert_int_equal(r.body.len, 0);
    assert_false(r.closed);
    h2_stream_reset(late.stream);
    pump(b);
    assert_true(late.closed);
    assert_int_equal(b->api.n_open, 1);
    strbuf_done(&r.body);
    strbuf_done(&late.body);
    h2_free(b->client); /* closes r, which must not outlive this function */
    b->client = NULL;
    assert_true(r.closed);
}

static void expect_health(struct reply *r, const char *type, const char *health, const char *reason, bool ready)
{
    const char *newline = strchr(r->body.data ? r->body.data : "", '\n');
    struct guest_event ev = {0};

    assert_non_null(newline);
    decode(&guest_event_schema, r->body.data, (size_t)(newline - r->body.data), &ev);
    assert_string_equal(ev.type, type);
    assert_string_equal(ev.health, health);
    if (!str_eq(ev.reason, reason)) fail_msg("%s, expected %s", ev.reason, reason);
    assert_int_equal(ev.ready, ready);
    schema_done(&guest_event_schema, &ev);
    strbuf_consume(&r->body, (size_t)(newline + 1 - r->body.data));
}

static void set_health(struct bench *b, enum health_state health, const char *reason)
{
    struct api_state st = {.state = WORKLOAD_RUNNING, .pid = 12, .health = health, .ready = health == HEALTH_HEALTHY};

    (void)strf(st.reason, sizeof(st.reason), "%s", reason);
    api_set_state(&b->api, &st);
    pump(b);
}

static void expect_told_health(struct bench *b, const char *health, const char *reason)
{
    struct guest_health told = {0};
    struct reply r = {0};

    ask(b, "GET", "/v1/health", NULL, &r);
    decode(&guest_health_schema, r.body.data, r.body.len, &told);
    assert_true(str_eq(told.health, health) && str_eq(told.reason, reason));
    schema_done(&guest_health_schema, &told);
    strbuf_done(&r.body);
}

/* `health` when that or ready changes; a reason alone is told once a second while starting, but never forgotten. */
static void test_health_is_told(void **state)
{
    struct bench *b = *state;
    struct api_state over = {.state = WORKLOAD_EXITED};
    struct reply r = {0};

    expect_told_health(b, NULL, NULL);
    set_health(b, HEALTH_STARTING, "");
    ask(b, "GET", "/v1/events", NULL, &r);
    expect_health(&r, "state", "starting", NULL, false);
    b->api.told_ms = 0;
    set_health(b, HEALTH_STARTING, "a \"b\"");
    expect_health(&r, "health", "starting", "a \"b\"", false);
    set_health(b, HEALTH_STARTING, "c");
    set_health(b, HEALTH_STARTING, "c");
    assert_int_equal(r.body.len, 0);
    expect_told_health(b, "starting", "c");
    b->api.told_ms = 0;
    set_health(b, HEALTH_STARTING, "c");
    expect_health(&r, "health", "starting", "c", false);
    set_health(b, HEALTH_HEALTHY, "");
    expect_health(&r, "health", "healthy", NULL, true);
    expect_health(&r, "ready", "healthy", NULL, true);
    set_health(b, HEALTH_HEALTHY, "d");
    b->api.told_ms = 0;
    set_health(b, HEALTH_HEALTHY, "d");
    assert_int_equal(r.body.len, 0);
    expect_told_health(b, "healthy", "d");
    set_health(b, HEALTH_UNHEALTHY, "e");
    expect_health(&r, "health", "unhealthy", "e", false);
    set_health(b, HEALTH_HEALTHY, "");
    expect_health(&r, "health", "healthy", NULL, true);
    expect_health(&r, "ready", "healthy", NULL, true);
    api_set_state(&b->api, &over);
    pump(b);
    expect_event(&r, "workload_exited", "exited", false, 0);
    assert_int_equal(r.body.len, 0);
    strbuf_done(&r.body);
    h2_free(b->client);
    b->client = NULL;
}

static size_t count_lines(const struct reply *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->body.len; i++)
        n += r->body.data[i] == '\n';
    return n;
}

static void test_logs(void **state)
{
    struct bench *b = *state;
    struct reply all = {0}, tail = {0}, follow = {0};
    struct guest_log log = {0};

    logs_add(&b->logs, LOG_STDOUT, 1700000000123, "one \"quoted\"", 12);
    logs_add(&b->logs, LOG_STDERR, 1700000001000, "two\0\xff", 5);
    ask(b, "GET", "/v1/logs", NULL, &all);
    assert_true(all.closed);
    assert_int_equal(count_lines(&all), 2);
    decode(&guest_log_schema, all.body.data, (size_t)(strchr(all.body.data, '\n') - all.body.data), &log);
    assert_string_equal(log.stream, "stdout");
    assert_string_equal(log.line, "one \"quoted\"");
    assert_string_equal(log.timestamp, "2023-11-14T22:13:20.123Z");
    schema_done(&guest_log_schema, &log);
    ask(b, "GET", "/v1/logs?tail=1", NULL, &tail);
    decode(&guest_log_schema, tail.body.data, tail.body.len, &log);
    assert_string_equal(log.line, "two\xef\xbf\xbd\xef\xbf\xbd");
    schema_done(&guest_log_schema, &log);
    ask(b, "GET", "/v1/logs?follow=1&tail=0", NULL, &follow);
    assert_int_equal(follow.body.len, 0);
    assert_false(follow.closed);
    logs_add(&b->logs, LOG_STDOUT, 0, "three", 5);
    api_logs_grown(&b->api, false);
    pump(b);
    assert_int_equal(count_lines(&follow), 1);
    assert_ptr_equal(api_session(&b->api, true), b->server);
    api_logs_grown(&b->api, true);
    pump(b);
    assert_true(follow.closed);
    assert_int_equal(follow.err, 0);
    strbuf_done(&all.body);
    strbuf_done(&tail.body);
    strbuf_done(&follow.body);
}

static void test_a_slow_reader_hears_what_it_missed(void **state)
{
    static char text[1000];
    struct bench *b = *state;
    struct reply r = {.hold = true};

    memset(text, 'x', sizeof(text));
    ask(b, "GET", "/v1/logs?follow=1", NULL, &r);
    for (int i = 0; i < 1000; i++) {
        logs_add(&b->logs, LOG_STDOUT, 0, text, sizeof(text));
        api_logs_grown(&b->api, false);
        pump(b);
    }
    assert_in_range(r.body.len, 1, H2_STREAM_WINDOW);
    assert_null(strstr(r.body.data, "left out"));
    r.hold = false;
    h2_stream_consume(r.stream, r.body.len);
    pump(b);
    assert_non_null(strstr(r.body.data, "lines left out"));
    assert_false(r.closed);
    api_logs_grown(&b->api, true);
    pump(b);
    assert_true(r.closed);
    strbuf_done(&r.body);
}

static void test_bounds(void **state)
{
    static struct reply held[API_STREAMS_MAX];
    auto_strbuf big = {0};
    struct reply r = {0}, refused = {0}, health = {0};
    struct bench *b = *state;

    for (int i = 0; i < API_BODY_MAX + 100; i++)
        strbuf_adds(&big, " ");
    ask(b, "PUT", "/v1/clock", big.data, &r);
    assert_int_equal(r.status, 413);
    strbuf_done(&r.body);
    memset(held, 0, sizeof(held));
    for (size_t i = 0; i < API_STREAMS_MAX; i++)
        ask(b, "GET", "/v1/events", NULL, &held[i]);
    ask(b, "GET", "/v1/logs", NULL, &refused);
    assert_int_equal(refused.status, 503);
    ask(b, "GET", "/v1/health", NULL, &health);
    assert_int_equal(health.status, 200);
    strbuf_done(&refused.body);
    strbuf_done(&health.body);
    h2_free(b->client);
    b->client = NULL;
    for (size_t i = 0; i < API_STREAMS_MAX; i++)
        strbuf_done(&held[i].body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_health_and_stats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_poweroff_takes_its_grace_from_either, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_are_held_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_health_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_logs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_reader_hears_what_it_missed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
