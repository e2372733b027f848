/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end alone: nobody there, a peer that lies, owners that end it from its own callbacks. */
#include <signal.h>
#include <stdio.h>

#include "channel/traffic.h"

/* Nobody listens, then somebody does. And nobody until the deadline. */
static void test_no_listener(void **state)
{
    static struct world w;

    (void)state;
    world_open(&w, 5, 0, RELAY_QUEUE);
    assert_int_equal(rename(w.relay.sync.path, w.relay.ctl.path), 0); /* a folder with one socket */
    connect_host(&w);
    step(&w, 50);
    disconnect_host(&w);
    assert_int_equal(channel_host_connect(w.host, mono_ms() + 50), 0);
    while (w.downs == 0)
        step(&w, 1);
    assert_int_equal(w.downs, 1);
    assert_non_null(w.why);
    assert_null(channel_host_session(w.host));
    step(&w, 20);
    assert_int_equal(w.downs, 1);
    assert_int_equal(w.ups, 0);
    world_close(&w);
}

/* A guest that answers every ring and then sends rubbish is given up after three sessions. */
struct liar {
    struct watch ctl, sync;
    int rings;
    bool silent;
};

static void liar_rung(struct watch *watch, uint32_t events)
{
    static char rubbish[300000];
    struct liar *liar = container_of(watch, struct liar, sync);
    char line[4096], marker[20] = "SYNC";
    ssize_t n = read(watch->fd, line, sizeof(line) - 1);

    (void)events;
    if (n < 38) return;
    liar->rings++;
    line[n - 1] = '\0';
    if (!liar->silent && hex_decode(line + n - 33, marker + 4, 16) == 0)
        (void)!write(liar->ctl.fd, marker, sizeof(marker));
    (void)!write(liar->ctl.fd, rubbish, sizeof(rubbish));
}

static void liar_asked(struct watch *watch, uint32_t events)
{
    struct liar *liar = container_of(watch, struct liar, ctl);
    static char data[RELAY_QUEUE];

    if (events & EPOLLIN) (void)!read(watch->fd, data, sizeof(data));
    if (liar->silent) (void)!write(watch->fd, data, sizeof(data));
}

static void test_liar(void **state)
{
    (void)state;
    for (int silent = 0; silent < 2; silent++) {
        static struct world w;
        struct liar liar = {.silent = silent};
        int64_t until = mono_ms() + UP_MS;
        int ctl, sync;

        world_open(&w, 6, 0, RELAY_QUEUE);
        channel_agent_free(take_ptr(w.agent));
        relay_port_close(&w.relay.ctl);
        relay_port_close(&w.relay.sync);
        ctl = relay_port_open(&w.relay, &w.relay.ctl, w.dir, "ctl");
        sync = relay_port_open(&w.relay, &w.relay.sync, w.dir, "sync");
        assert_int_equal(loop_watch(w.loop, &liar.ctl, ctl, EPOLLIN | (silent ? EPOLLOUT : 0), liar_asked), 0);
        assert_int_equal(loop_watch(w.loop, &liar.sync, sync, EPOLLIN, liar_rung), 0);
        assert_int_equal(channel_host_connect(w.host, until), 0);
        while (channel_host_connect(w.host, until) == 0 && w.downs < (silent ? 1 : 3) && mono_ms() < until)
            step(&w, 1);
        print_message("given up after %d rings, %d sessions: %s\n", liar.rings, w.ups, w.why);
        assert_int_equal(w.downs, silent ? 1 : 3);
        assert_int_equal(w.ups, silent ? 0 : 3);
        assert_null(channel_host_session(w.host));
        loop_unwatch(&liar.ctl);
        loop_unwatch(&liar.sync);
        (void)close(ctl);
        (void)close(sync);
        world_close(&w);
    }
}

/* Callbacks that end the channel they come from. */
enum ending {
    DISCONNECT_IN_UP,
    DROP_IN_UP,
    FREE_IN_UP,
    DISCONNECT_IN_DATA,
    DROP_IN_DATA,
    FREE_IN_DATA,
    RECONNECT_IN_DATA
};

struct ender {
    struct world *w;
    enum ending how;
    int ups, downs, closes, heads;
};

static void end_it(struct ender *e)
{
    struct world *w = e->w;

    if (e->how == FREE_IN_UP || e->how == FREE_IN_DATA) {
        channel_host_free(take_ptr(w->host));
    } else if (e->how == DROP_IN_UP || e->how == DROP_IN_DATA) {
        channel_host_drop(w->host, "for a test");
    } else {
        channel_host_disconnect(w->host);
        assert_null(channel_host_session(w->host));
        if (e->how == RECONNECT_IN_DATA) connect_host(w);
    }
}

static void ender_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct ender *e = arg;

    (void)data;
    if (e->w->host) h2_stream_consume(s, n);
    if (e->heads++ == 0 && e->how > FREE_IN_UP) end_it(e);
}

static void ender_closed(struct h2_stream *s, void *arg, int err)
{
    (void)s;
    (void)err;
    ((struct ender *)arg)->closes++;
}

static void ender_up(void *arg, struct h2 *h)
{
    static const struct h2_stream_ops ops = {.data = ender_data, .closed = ender_closed};
    struct ender *e = arg;
    struct h2_stream *s;

    e->ups++;
    assert_int_equal(h2_request(h, "POST", "/0/1/300000", NULL, &ops, e, &s), 0);
    if (e->ups == 1 && e->how <= FREE_IN_UP) end_it(e);
}

static void ender_down(void *arg, const char *why, bool final)
{
    struct ender *e = arg;

    assert_false(final);
    assert_string_equal(why, "for a test");
    e->downs++;
}

static void test_ended_by_callback(void **state)
{
    static const struct channel_host_ops ops = {.up = ender_up, .down = ender_down};

    (void)state;
    for (enum ending how = DISCONNECT_IN_UP; how <= RECONNECT_IN_DATA; how++) {
        bool again = how == DROP_IN_UP || how == DROP_IN_DATA || how == RECONNECT_IN_DATA;
        struct ender e = {.how = how};
        static struct world w;
        int64_t until = mono_ms() + UP_MS;

        world_open(&w, 7, 0, RELAY_QUEUE);
        e.w = &w;
        channel_host_free(w.host);
        assert_int_equal(channel_host_new(w.loop, w.relay.ctl.path, w.relay.sync.path, &ops, &e, &w.host), 0);
        connect_host(&w);
        while ((e.closes < 1 || (again && e.closes < 2)) && mono_ms() < until)
            step(&w, 1);
        step(&w, 20);
        assert_int_equal(e.ups, again ? 2 : 1);
        assert_int_equal(e.closes, again ? 2 : 1);
        assert_int_equal(e.downs, how == DROP_IN_UP || how == DROP_IN_DATA);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_listener),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_ended_by_callback),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
