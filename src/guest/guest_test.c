/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "guest/fake_agent.h"

static void test_up(void **state)
{
    static struct world w;
    int64_t us = wall_ms() * 1000;
    uint64_t told;

    (void)state;
    world_open(&w, &(struct agent_plan){0});
    AWAIT(&w, w.n_events == 1);
    assert_string_equal(w.trace, "us");
    assert_true(str_starts(w.body.data, "{\"unix_us\":"));
    w.body.data[w.body.len - 1] = '\0';
    assert_int_equal(parse_u64(w.body.data + 11, 0, INT64_MAX, &told), 0);
    assert_true(told >= (uint64_t)us && told < (uint64_t)us + 60000000);
    world_close(&w);
}

/* Events that come before the health are kept until it is known. */
static void test_events_wait(void **state)
{
    static struct world w;

    (void)state;
    world_open(&w, &(struct agent_plan){.late_health = true});
    AWAIT(&w, w.health_stream && w.events.at == w.events.len);
    settle(&w);
    assert_string_equal(w.trace, "");
    answer(w.health_stream, 200, HEALTH);
    channel_agent_flush(w.agent);
    AWAIT(&w, w.n_events == 1);
    assert_string_equal(w.trace, "us");
    world_close(&w);
}

/* The agent goes on with this. */
static void events_are_next(struct world *w, const char *text)
{
    w->events.text = text;
    w->events.at = 0;
    w->events.len = strlen(text);
    h2_stream_wake(w->events.stream);
    channel_agent_flush(w->agent);
}

static void test_events(void **state)
{
    static struct world w;

    (void)state;
    world_open(&w, &(struct agent_plan){0});
    AWAIT(&w, w.n_events == 1);
    events_are_next(
        &w, "{\"type\":\"ready\",\"state\":\"running\",\"ready\":true}\n{\"type\":\"from the future\",\"x\":[1]}\n"
            "{\"type\":\"workload_exited\",\"state\":\"exited\",\"code\":137,\"signal\":9}\n");
    AWAIT(&w, w.n_events == 3);
    assert_string_equal(w.trace, "usrw");
    assert_int_equal(w.result, 137);
    world_close(&w);
}

static void test_health_events(void **state)
{
    static const struct {
        const char *line, *health, *reason;
        bool ready;
    } table[] = {
        {"{\"type\":\"state\",\"state\":\"running\",\"ready\":false,\"health\":\"starting\"}\n", "starting", "", false},
        {"{\"type\":\"health\",\"state\":\"running\",\"ready\":false,\"health\":\"starting\",\"reason\":\"nobody "
         "listens on port 80\"}\n",
         "starting", "nobody listens on port 80", false},
        {"{\"type\":\"health\",\"state\":\"running\",\"ready\":true,\"health\":\"healthy\"}\n", "healthy", "", true},
        {"{\"type\":\"health\",\"state\":\"running\",\"ready\":false,\"health\":\"unhealthy\",\"reason\":\"no "
         "\\\"answer"
         "\\\"\"}\n",
         "unhealthy", "no \"answer\"", false},
    };
    static struct world w;

    (void)state;
    world_open(&w, &(struct agent_plan){0});
    AWAIT(&w, w.n_events == 1);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        events_are_next(&w, table[i].line);
        AWAIT(&w, w.n_events == 2 + (int)i);
        assert_string_equal(w.health.health, table[i].health);
        assert_string_equal(w.health.reason, table[i].reason);
        assert_int_equal(w.health.ready, table[i].ready);
    }
    assert_string_equal(w.trace, "usshhh");
    world_close(&w);
}

/* 1000 at once are more than any workload has; the same over time are one that is well and unwell in turns. */
static void test_a_flood_of_events(void **state)
{
    static const char line[] = "{\"type\":\"health\",\"ready\":true,\"health\":\"healthy\"}\n";
    static struct world w;
    auto_strbuf text = {0};

    (void)state;
    for (int i = 0; i < 1100; i++)
        strbuf_adds(&text, line);
    world_open(&w, &(struct agent_plan){0});
    AWAIT(&w, w.n_events == 1);
    w.events.text = text.data;
    w.events.at = 0;
    w.events.len = 900 * strlen(line);
    h2_stream_wake(w.events.stream);
    channel_agent_flush(w.agent);
    AWAIT(&w, w.n_events == 901);
    assert_int_equal(w.downs, 0);
    w.events.at = 0;
    w.events.len = text.len;
    h2_stream_wake(w.events.stream);
    channel_agent_flush(w.agent);
    AWAIT(&w, w.downs > 0);
    assert_non_null(strstr(w.why, "more events than any workload has"));
    world_close(&w);
}

static char long_line[5000];

static const struct {
    struct agent_plan plan;
    const char *events; /* NULL: the honest one */
    const char *why;
} liars[] = {
    {{.health_status = 500}, NULL, "does not tell its health"},
    {{.health = "hello"}, NULL, "cannot be read"},
    {{.health = "{\"api\":\"one\"}"}, NULL, "cannot be read"},
    {{.health = "{\"api\":0,\"version\":\"0.1\",\"state\":\"running\",\"ready\":true,\"uptime_ms\":1}"},
     NULL,
     "cannot be read"},
    {{.clock_status = 500}, NULL, "cannot set the clock"},
    {{.events_status = 404}, NULL, "has no events"},
    {{.events_end = true}, NULL, "ended its events"},
    {{0}, "not JSON\n", "malformed"},
    {{0}, "\n", "malformed"},
    {{0}, "{\"type\":1}\n", "malformed"},
    {{0}, "{\"type\":\"health\",\"health\":true}\n", "malformed"},
    {{0}, "{\"type\":\"health\",\"health\":\"more than 16 bytes\"}\n", "malformed"},
    {{0}, long_line, "without end"},
};

/* Three times, then it is final. */
static void test_liars(void **state)
{
    (void)state;
    memset(long_line, ' ', sizeof(long_line) - 1);
    for (size_t i = 0; i < ARRAY_LEN(liars); i++) {
        static struct world w;

        world_open(&w, &liars[i].plan);
        if (liars[i].events) events_are(&w.events, liars[i].events);
        AWAIT(&w, w.finals == 1);
        if (!strstr(w.why, liars[i].why)) fail_msg("%zu: %s", i, w.why);
        assert_int_equal(w.downs, w.ups ? 3 : 1);
        assert_false(guest_is_up(w.guest));
        assert_int_equal(guest_stats(w.guest, NULL, NULL), -ENOTCONN);
        world_close(&w);
    }
}

static void on_done(void *arg, int r)
{
    struct world *w = arg;

    w->dones++;
    w->result = r;
    saw(w, 'o');
}

static void on_stats(void *arg, int r, const struct guest_stats *stats)
{
    struct world *w = arg;

    assert_true((r < 0) == !stats);
    if (stats) w->stats = *stats;
    on_done(w, r);
}

static const struct {
    struct agent_plan plan;
    int result;
} stats_cases[] = {
    {{0}, 0},
    {{.stats = "[]"}, -EINVAL},
    {{.stats = "{\"uptime_ms\":\"long\"}"}, -EINVAL},
    {{.reset_stats = true}, -EPROTO},
    {{.silent_stats = true}, -ETIMEDOUT}, /* takes its five seconds */
};

static void test_stats(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stats_cases); i++) {
        static struct world w;

        world_open(&w, &stats_cases[i].plan);
        assert_int_equal(guest_stats(w.guest, on_stats, &w), -ENOTCONN);
        AWAIT(&w, w.ups == 1);
        assert_int_equal(guest_stats(w.guest, on_stats, &w), 0);
        assert_int_equal(w.dones, 0);
        AWAIT(&w, w.dones == 1);
        assert_int_equal(w.result, stats_cases[i].result);
        assert_int_equal(w.stats.workload_pid, w.result == 0 ? 77 : 0);
        assert_true(guest_is_up(w.guest));
        world_close(&w);
        assert_int_equal(w.dones, 1);
    }
}

static void test_poweroff(void **state)
{
    (void)state;
    for (int refuses = 0; refuses < 2; refuses++) {
        static struct world w;

        world_open(&w, &(struct agent_plan){.poweroff_status = refuses ? 503 : 202});
        AWAIT(&w, w.ups == 1);
        assert_int_equal(guest_poweroff(w.guest, 1500, on_done, &w), 0);
        AWAIT(&w, w.dones == 1);
        assert_int_equal(w.result, refuses ? -EREMOTEIO : 0);
        assert_string_equal(w.last_path, "/v1/poweroff");
        assert_string_equal(w.body.data, "{\"grace_ms\":1500}");
        world_close(&w);
    }
}

/* The guest may be freed from each of its callbacks; open requests are told. */
static void test_free_anywhere(void **state)
{
    static const char letters[] = "usdDo";

    (void)state;
    for (const char *at = letters; *at; at++) {
        static struct world w;

        world_open(&w, &(struct agent_plan){.silent_stats = *at == 'd', .events_end = *at == 'D'});
        w.free_at = *at;
        if (*at == 'd' || *at == 'o') {
            AWAIT(&w, w.n_events == 1);
            assert_int_equal(guest_stats(w.guest, on_stats, &w), 0);
            assert_int_equal(guest_stats(w.guest, on_stats, &w), 0);
            settle(&w);
        }
        if (*at == 'd') h2_stream_reset(w.events.stream);
        channel_agent_flush(w.agent);
        AWAIT(&w, !w.guest);
        settle(&w);
        if (*at == 'o') assert_true(w.result == -ECANCELED || w.dones == 2);
        if (*at == 'd') assert_int_equal(w.dones, 2);
        world_close(&w);
    }
}

static void test_free_cancels(void **state)
{
    static struct world w;

    (void)state;
    world_open(&w, &(struct agent_plan){.silent_stats = true});
    AWAIT(&w, w.n_events == 1);
    assert_int_equal(guest_stats(w.guest, on_stats, &w), 0);
    guest_free(take_ptr(w.guest));
    assert_int_equal(w.dones, 1);
    assert_int_equal(w.result, -ECANCELED);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up),
        cmocka_unit_test(test_events_wait),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_health_events),
        cmocka_unit_test(test_a_flood_of_events),
        cmocka_unit_test(test_liars),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_poweroff),
        cmocka_unit_test(test_free_anywhere),
        cmocka_unit_test(test_free_cancels),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
