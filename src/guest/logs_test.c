/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "guest/fake_agent.h"

struct reader {
    struct world *w;
    struct guest_logs *logs;
    int told;
    bool free_guest, close;
};

static void on_readable(void *arg)
{
    struct reader *r = arg;

    r->told++;
    if (r->close) guest_logs_close(take_ptr(r->logs));
    if (r->free_guest) guest_free(take_ptr(r->w->guest));
}

static const struct guest_logs_ops logs_ops = {.readable = on_readable};

static void logs_open(struct world *w, struct reader *r, struct body *logs)
{
    world_open(w, &(struct agent_plan){0});
    w->logs = *logs;
    r->w = w;
    assert_int_equal(guest_logs_open(w->guest, 5, true, &logs_ops, r, &r->logs), -ENOTCONN);
    AWAIT(w, w->ups == 1);
    assert_int_equal(guest_logs_open(w->guest, 5, true, &logs_ops, r, &r->logs), 0);
}

/* The next line, waiting for it. */
static ssize_t next_line(struct reader *r, const char **ret)
{
    ssize_t n;

    while ((n = guest_logs_read(r->logs, ret)) == 0) {
        int told = r->told;

        AWAIT(r->w, r->told > told);
    }
    return n;
}

/* n lines "N\n", one more than that long where `long_one`. */
static char *make_lines(size_t n, size_t long_one, size_t *ret_len)
{
    auto_strbuf b = {0};

    for (size_t i = 0; i < n; i++)
        strbuf_addf(&b, "{\"line\":\"number %zu\"}\n", i);
    for (size_t i = 0; i < long_one; i++)
        strbuf_adds(&b, "x");
    if (long_one) strbuf_adds(&b, "\n");
    *ret_len = b.len;
    return strbuf_take(&b);
}

static void test_logs(void **state)
{
    static struct world w;
    struct body logs = {0};
    struct reader r = {0};
    const char *line;
    char want[40];
    auto_free char *text = make_lines(20000, 90000, &logs.len);

    (void)state;
    logs.text = text;
    logs_open(&w, &r, &logs);
    AWAIT(&w, r.told == 1);
    settle(&w);
    assert_string_equal(w.last_path, "/v1/logs?follow=1&tail=5");
    assert_int_equal(r.told, 1);
    assert_int_equal(w.logs.at, H2_STREAM_WINDOW); /* nobody reads, nobody sends */
    for (int i = 0; i < 20000; i++) {
        int n = strf(want, sizeof(want), "{\"line\":\"number %d\"}", i);

        assert_int_equal(next_line(&r, &line), n);
        assert_memory_equal(line, want, (size_t)n);
    }
    assert_int_equal(next_line(&r, &line), 90000);
    assert_int_equal(next_line(&r, &line), -ENODATA);
    assert_int_equal(guest_logs_read(r.logs, &line), -ENODATA);
    guest_logs_close(r.logs);
    world_close(&w);
}

/* How a stream of logs may end, and that what came whole before is still read. */
static void test_logs_end(void **state)
{
    static const struct {
        const char *text;
        size_t long_line;
        int lines, result;
        int status;
    } cases[] = {
        {"a\nb\n", 0, 2, -ENODATA, 0}, {"a\n\n\nb\n", 0, 2, -ENODATA, 0}, {"", 0, 0, -ENODATA, 0},
        {"a\nhalf", 0, 1, -EPROTO, 0}, {"", 200000, 0, -EMSGSIZE, 0},     {"", 0, 0, -EREMOTEIO, 503},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct body logs = {.text = cases[i].text, .len = strlen(cases[i].text)};
        static struct world w;
        struct reader r = {0};
        const char *line;
        auto_free char *text = make_lines(0, cases[i].long_line, &logs.len);

        logs.len = cases[i].long_line ? logs.len : strlen(cases[i].text);
        if (cases[i].long_line) logs.text = text;
        logs_open(&w, &r, &logs);
        w.plan.logs_status = cases[i].status;
        for (int n = 0; n < cases[i].lines; n++)
            assert_int_equal(next_line(&r, &line), 1);
        assert_int_equal(next_line(&r, &line), cases[i].result);
        guest_logs_close(r.logs);
        assert_true(guest_is_up(w.guest));
        world_close(&w);
    }
}

static void test_logs_follow(void **state)
{
    struct body logs = {.text = "first\n", .len = 6, .held_open = true};
    static struct world w;
    struct reader r = {0};
    const char *line;

    (void)state;
    logs_open(&w, &r, &logs);
    assert_int_equal(next_line(&r, &line), 5);
    assert_int_equal(guest_logs_read(r.logs, &line), 0);
    settle(&w);
    w.logs.text = "more\n";
    w.logs.at = 0;
    w.logs.len = 5;
    h2_stream_wake(w.logs.stream);
    channel_agent_flush(w.agent);
    assert_int_equal(next_line(&r, &line), 4);
    channel_agent_free(take_ptr(w.agent)); /* both ports are shut: the VMM ended */
    relay_port_close(&w.relay.ctl);
    relay_port_close(&w.relay.sync);
    assert_int_equal(next_line(&r, &line), -ECONNRESET);
    guest_logs_close(r.logs);
    (void)relay_port_open(&w.relay, &w.relay.ctl, w.dir, "other");
    (void)close(relay_port_open(&w.relay, &w.relay.sync, w.dir, "another"));
    world_close(&w);
}

static void test_logs_and_free(void **state)
{
    (void)state;
    for (int how = 0; how < 5; how++) {
        struct body logs = {.text = "first\nhal", .len = 9, .held_open = true};
        static struct world w;
        struct reader r = {.close = how == 2 || how == 4, .free_guest = how == 3 || how == 4};
        const char *line;

        logs_open(&w, &r, &logs);
        if (how > 0) AWAIT(&w, w.logs.at == 9 && (r.told || !r.logs));
        if (how == 0) { /* closed before anything came */
            guest_logs_close(take_ptr(r.logs));
        } else if (how == 1) { /* read after guest_free */
            assert_int_equal(next_line(&r, &line), 5);
            assert_int_equal(guest_logs_read(r.logs, &line), 0);
            guest_free(take_ptr(w.guest));
            assert_int_equal(r.told, 2);
            assert_int_equal(guest_logs_read(r.logs, &line), -ECANCELED);
        } else if (how == 3) {
            assert_int_equal(guest_logs_read(r.logs, &line), 5);
            assert_int_equal(guest_logs_read(r.logs, &line), -ECANCELED);
        }
        settle(&w);
        guest_logs_close(r.logs);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_logs_end),
        cmocka_unit_test(test_logs_follow),
        cmocka_unit_test(test_logs_and_free),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
