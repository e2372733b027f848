/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See guest.h. A fresh session asks for health, sets the clock and opens the events in one flight, as every round trip
 * counts while booting; events that arrive first wait in their buffer. A guest that breaks the contract loses its
 * session.
 */
#include <string.h>

#include "base/clock.h"
#include "guest/internal.h"

#define EVENT_LINE_MAX 4096
#define EVENTS_MAX     1000 /* at once; an honest workload has a handful */
#define EVENT_EVERY_MS 50   /* more, over time: health may change back and forth with every check, 100 ms apart */

struct events {
    struct guest *g;
    struct h2_stream *stream;
    struct strbuf buf;
    int64_t n_seen, begun_ms;
};

static void on_flush(struct timer *t)
{
    channel_host_flush(container_of(t, struct guest, flush)->host);
}

void guest_flush(struct guest *g)
{
    (void)loop_timer(g->loop, &g->flush, mono_ms(), on_flush); /* without memory the deadline of the call tells */
}

/* Events */

static bool is_known(const char *type)
{
    return str_eq(type, "state") || str_eq(type, "ready") || str_eq(type, "health") || str_eq(type, "workload_exited");
}

/* One line. The guest may be gone after it. */
static int deliver(struct guest *g, const char *line, size_t n)
{
    json_auto_t *json = NULL;
    struct guest_event event;
    int r = json_parse(line, n, "event", &json, NULL);

    if (r < 0 || (r = schema_decode(&guest_event_schema, json, "event", &event, NULL, NULL)) < 0) return r;
    if (is_known(event.type)) g->ops->event(g->arg, &event);
    schema_done(&guest_event_schema, &event);
    return 0;
}

static void deliver_events(struct events *e)
{
    const char *end, *why = NULL;

    while (e->g && !why && (end = e->buf.len ? memchr(e->buf.data, '\n', e->buf.len) : NULL)) {
        size_t n = (size_t)(end - e->buf.data);

        if (n > EVENT_LINE_MAX || deliver(e->g, e->buf.data, n) < 0) why = "the guest's agent sends malformed events";
        if (++e->n_seen > EVENTS_MAX + (mono_ms() - e->begun_ms) / EVENT_EVERY_MS)
            why = "the guest's agent sends more events than any workload has";
        strbuf_consume(&e->buf, n + 1);
        h2_stream_consume(e->stream, n + 1);
    }
    if (!why && (e->buf.len > EVENT_LINE_MAX || e->buf.failed)) why = "the guest's agent sends events without end";
    if (why && e->g) channel_host_drop(e->g->host, why);
}

static void on_events_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    const struct events *e = arg;

    (void)s;
    if (e->g && head->status != 200) channel_host_drop(e->g->host, "the guest's agent has no events");
}

static void on_events_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct events *e = arg;

    (void)s;
    if (!e->g) return;
    strbuf_add(&e->buf, data, n);
    if (e->g->up) deliver_events(e);
}

static void on_events_closed(struct h2_stream *s, void *arg, int err)
{
    struct events *e = arg;

    (void)s;
    if (e->g) {
        e->g->events = NULL;
        if (err != -ECONNRESET) channel_host_drop(e->g->host, "the guest's agent ended its events");
    }
    strbuf_done(&e->buf);
    free(e);
}

static int open_events(struct guest *g, struct h2 *session)
{
    static const struct h2_stream_ops ops = {
        .head = on_events_head, .data = on_events_data, .closed = on_events_closed};
    struct events *e = calloc(1, sizeof(*e));
    int r;

    if (!e) return -ENOMEM;
    if ((r = h2_request(session, "GET", "/v1/events", NULL, &ops, e, &e->stream)) < 0) {
        free(e);
        return r;
    }
    e->g = g;
    e->begun_ms = mono_ms();
    g->events = e;
    return 0;
}

/* Coming up */

static void come_up(struct guest *g)
{
    struct events *e = g->events;

    if (!g->healthy || !g->clock_set || !e) return;
    g->up = true;
    g->ops->up(g->arg, &g->health);
    deliver_events(e); /* it lives until its stream is closed, which never is within a callback */
}

/* A session that went says so itself; one that is being freed needs no reason. */
static bool is_over(int r)
{
    return r == -ECONNRESET || r == -ECANCELED;
}

static void health_finished(struct call *c, int r)
{
    struct guest *g = c->g;

    if (is_over(r)) return;
    if (r < 0) {
        channel_host_drop(g->host, "the guest's agent does not tell its health");
    } else if (call_decode(c, &guest_health_schema, &g->health) < 0) {
        channel_host_drop(g->host, "the guest's agent tells its health in a way that cannot be read");
    } else {
        g->healthy = true;
        come_up(g);
    }
}

static void clock_finished(struct call *c, int r)
{
    if (is_over(r)) return;
    if (r < 0) {
        channel_host_drop(c->g->host, "the guest's agent cannot set the clock");
    } else {
        c->g->clock_set = true;
        come_up(c->g);
    }
}

static void forget_session(struct guest *g)
{
    schema_done(&guest_health_schema, &g->health);
    g->health = (struct guest_health){0};
    g->healthy = g->clock_set = g->up = false;
}

static int put_clock(struct guest *g, void (*finish)(struct call *c, int r))
{
    char clock[64];

    (void)strf(clock, sizeof(clock), "{\"unix_us\":%lld}", (long long)wall_ms() * 1000);
    return call_open(g, "PUT", "/v1/clock", clock, finish, NULL);
}

static void on_channel_up(void *arg, struct h2 *session)
{
    struct guest *g = arg;

    forget_session(g);
    if (call_open(g, "GET", "/v1/health", NULL, health_finished, NULL) < 0 || put_clock(g, clock_finished) < 0 ||
        open_events(g, session) < 0)
        channel_host_drop(g->host, "out of memory");
}

static void on_channel_down(void *arg, const char *why, bool final)
{
    struct guest *g = arg;
    bool was_up = g->up;

    forget_session(g);
    if (was_up || final) g->ops->down(g->arg, why, final);
}

/* Its owner */

int guest_new(struct loop *l, const char *dir, const struct guest_ops *ops, void *arg, struct guest **ret)
{
    static const struct channel_host_ops host_ops = {.up = on_channel_up, .down = on_channel_down};
    auto_(guest_freep) struct guest *g = calloc(1, sizeof(*g));
    auto_free char *ctl = strf_new("%s/ctl", dir), *sync = strf_new("%s/sync", dir);
    int r;

    if (!g || !ctl || !sync) return -ENOMEM;
    g->loop = l;
    g->ops = ops;
    g->arg = arg;
    if ((r = channel_host_new(l, ctl, sync, &host_ops, g, &g->host)) < 0) return r;
    *ret = take_ptr(g);
    return 0;
}

void guest_free(struct guest *g)
{
    if (!g || g->freeing) return;
    g->freeing = true;
    g->up = false;
    call_cancel_all(g);
    logs_cancel_all(g);
    if (g->events) g->events->g = NULL;
    loop_untimer(&g->flush);
    channel_host_free(g->host);
    forget_session(g);
    free(g);
}

int guest_connect(struct guest *g, int64_t deadline_ms)
{
    return channel_host_connect(g->host, deadline_ms);
}

bool guest_is_up(const struct guest *g)
{
    return g->up;
}

static void done_finished(struct call *c, int r)
{
    c->done(c->arg, r);
}

int guest_poweroff(struct guest *g, int grace_ms, void (*done)(void *arg, int r), void *arg)
{
    struct call *c;
    char body[48];
    int r;

    if (!g->up) return -ENOTCONN;
    if ((r = strf(body, sizeof(body), "{\"grace_ms\":%d}", grace_ms)) < 0) return r;
    if ((r = call_open(g, "POST", "/v1/poweroff", body, done_finished, &c)) < 0) return r;
    c->done = done;
    c->arg = arg;
    return 0;
}

int guest_ping(struct guest *g, int timeout_ms, void (*done)(void *arg, int r), void *arg)
{
    struct call *c;
    int r;

    if (!g->up) return -ENOTCONN;
    if ((r = call_open(g, "GET", "/v1/health", NULL, done_finished, &c)) < 0) return r;
    call_set_timeout(c, timeout_ms);
    c->done = done;
    c->arg = arg;
    return 0;
}

static void nothing_finished(struct call *c, int r)
{
    (void)c;
    (void)r; /* its clock is late then, and the next session sets it */
}

int guest_sync_clock(struct guest *g)
{
    return g->up ? put_clock(g, nothing_finished) : -ENOTCONN;
}

static void stats_finished(struct call *c, int r)
{
    struct guest_stats stats;

    if (r == 0) r = call_decode(c, &guest_stats_schema, &stats);
    c->stats_done(c->arg, r, r < 0 ? NULL : &stats); /* numbers only: nothing to release */
}

int guest_stats(struct guest *g, void (*done)(void *arg, int r, const struct guest_stats *stats), void *arg)
{
    struct call *c;
    int r;

    if (!g->up) return -ENOTCONN;
    if ((r = call_open(g, "GET", "/v1/stats", NULL, stats_finished, &c)) < 0) return r;
    c->stats_done = done;
    c->arg = arg;
    return 0;
}
