/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See host.h. Only the marker of the newest nonce counts: a guest that answered an older one finds the newer line next
 * and begins anew, so a resend can cost a round trip but never a session. Before the guest runs, lines wait in the
 * port; the guest takes the last and answers at once, so the growing pause between resends delays no boot.
 *
 * A callback may free or disconnect the channel it is called from: while one is on the stack (busy), sessions are only
 * put aside, and leave() releases them.
 */
#include "channel/host.h"

#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "channel/port.h"

#define RECONNECT_MS     5000
#define RETRY_MIN_MS     5 /* nobody listens yet, or the queue is full */
#define RETRY_MAX_MS     100
#define RESEND_MIN_MS    50
#define RESEND_MAX_MS    1000
#define PING_EVERY_MS    30000
#define PONG_MS          5000
#define STABLE_MS        10000 /* a session that lived so long was a good one */
#define FAILURES_MAX     3     /* in a row */
#define FAILURE_PAUSE_MS 200
#define STALE_MAX        ((size_t)8 << 20) /* before the marker; honest leftovers stay below some 1.3 MB */

enum host_state { HOST_DOWN, HOST_CONNECTING, HOST_RINGING, HOST_UP };

struct channel_host {
    struct loop *loop;
    char *ctl_path, *sync_path;
    const struct channel_host_ops *ops;
    void *arg;
    enum host_state state;
    struct watch ctl; /* fd -1 where not connected */
    int sync_fd;      /* kept open, so that nobody else can ring */
    struct timer timer;
    int64_t deadline; /* of connecting and ringing */
    int retry_ms, resend_ms;
    int failures;
    int64_t up_ms; /* since when */
    struct h2 *h2; /* NULL unless HOST_UP */
    struct h2 *aside;
    uint64_t pongs; /* that the last PING makes, awaited while h2_pongs is below */
    uint8_t nonce[PORT_NONCE];
    struct port_search search;
    size_t stale;
    const char *why;  /* what went wrong last */
    const char *drop; /* asked for by channel_host_drop */
    unsigned busy;
    bool freed;
    struct port_out out;
};

static void on_timer(struct timer *t);
static void on_ctl(struct watch *w, uint32_t events);

/* Cannot fail: the timer is armed for as long as the channel is not down, and to move it takes no memory. */
static void arm(struct channel_host *c, int64_t at_ms)
{
    (void)loop_timer(c->loop, &c->timer, at_ms, on_timer);
}

/* The old ctl is closed first: QEMU then knows of it when it serves the next line on sync. */
static void disconnect(struct channel_host *c)
{
    loop_unwatch(&c->ctl);
    closep(&c->ctl.fd);
    closep(&c->sync_fd);
    c->ctl.fd = c->sync_fd = -1;
    c->out.at = c->out.len = 0;
}

static void destroy(struct channel_host *c)
{
    free(c->ctl_path);
    free(c->sync_path);
    free(c);
}

static void go_down(struct channel_host *c, const char *why)
{
    disconnect(c);
    loop_untimer(&c->timer);
    c->state = HOST_DOWN;
    if (!c->freed) c->ops->down(c->arg, why, true);
}

static void try_later(struct channel_host *c, const char *why, int pause_ms)
{
    int64_t at = mono_ms() + pause_ms;

    disconnect(c);
    c->why = why;
    c->state = HOST_CONNECTING;
    arm(c, at < c->deadline ? at : c->deadline);
}

static int next_pause(int *pause_ms, int max_ms)
{
    int now = *pause_ms;

    *pause_ms = 2 * now < max_ms ? 2 * now : max_ms;
    return now;
}

/* The guest did something that no honest one does, or fell silent. */
static void failed(struct channel_host *c, const char *why)
{
    struct h2 *h = take_ptr(c->h2);
    bool was_up = c->state == HOST_UP, final;

    if (was_up && mono_ms() - c->up_ms >= STABLE_MS) c->failures = 0;
    final = ++c->failures >= FAILURES_MAX;
    c->state = HOST_CONNECTING;
    h2_free(h);
    if (c->freed || c->state != HOST_CONNECTING) return; /* a callback decided otherwise */
    if (final) {
        go_down(c, why);
        return;
    }
    if (was_up) {
        c->deadline = mono_ms() + RECONNECT_MS;
        c->retry_ms = RETRY_MIN_MS;
    }
    try_later(c, why, c->failures > 1 ? FAILURE_PAUSE_MS : 0);
    if (was_up) c->ops->down(c->arg, why, false);
}

static void enter(struct channel_host *c)
{
    c->busy++;
}

/* Nobody may touch c after this. */
static void leave(struct channel_host *c)
{
    while (c->busy == 1 && (c->aside || c->drop)) {
        const char *why = take_ptr(c->drop);

        h2_free(take_ptr(c->aside));
        if (why && c->h2) failed(c, why);
    }
    if (--c->busy == 0 && c->freed) destroy(c);
}

/* Ringing */

static void ring(struct channel_host *c)
{
    char line[PORT_SYNC_LINE + 1];
    int64_t at = mono_ms() + next_pause(&c->resend_ms, RESEND_MAX_MS);
    int r = port_line_make(line, c->nonce);

    if (r < 0 || write(c->sync_fd, line, PORT_SYNC_LINE) != PORT_SYNC_LINE) {
        try_later(c, r < 0 ? vl_strerror(r) : "the doorbell port takes nothing more",
                  next_pause(&c->retry_ms, RETRY_MAX_MS));
        return;
    }
    port_search_begin(&c->search, c->nonce);
    arm(c, at < c->deadline ? at : c->deadline);
}

static void try_connect(struct channel_host *c)
{
    int r = unix_connect(c->ctl_path);

    if (r >= 0) {
        c->ctl.fd = r;
        r = c->sync_fd = unix_connect(c->sync_path);
    }
    if (r >= 0) r = loop_watch(c->loop, &c->ctl, c->ctl.fd, EPOLLIN, on_ctl);
    if (r < 0) {
        try_later(c, vl_strerror(r), next_pause(&c->retry_ms, RETRY_MAX_MS));
        return;
    }
    c->state = HOST_RINGING;
    c->resend_ms = RESEND_MIN_MS;
    c->stale = 0;
    c->why = "the guest's agent does not answer";
    ring(c);
}

/* The session */

static void flush(struct channel_host *c)
{
    struct h2 *h = c->h2;
    int r = port_out_flush(&c->out, &c->ctl.fd, &c->h2);

    if (c->h2 != h) return; /* a callback put it aside */
    if (r < 0 || h2_finished(c->h2))
        failed(c, r < 0 && r != -EPROTO ? vl_strerror(r) : h2_why(h));
    else
        (void)loop_rewatch(&c->ctl, r > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void feed(struct channel_host *c, const void *data, size_t n)
{
    struct h2 *h = c->h2;
    bool awaited = h2_pongs(h) < c->pongs;
    const char *why;
    int r = h2_feed(h, data, n, &why);

    if (c->h2 != h) return; /* a callback put it aside */
    if (r < 0)
        failed(c, why);
    else if (awaited && h2_pongs(h) >= c->pongs)
        arm(c, mono_ms() + PING_EVERY_MS);
}

static void ping(struct channel_host *c)
{
    if (h2_ping(c->h2) < 0) return; /* over, or out of memory: the silence that follows is dealt with */
    c->pongs = h2_pongs(c->h2) + 1;
}

static void keep_alive(struct channel_host *c)
{
    if (h2_pongs(c->h2) < c->pongs) {
        failed(c, "the guest's agent is silent");
        return;
    }
    ping(c);
    arm(c, mono_ms() + PONG_MS);
    flush(c);
}

/* The marker, the preface and the first requests go out in one write. */
static void start_session(struct channel_host *c)
{
    struct h2 *h;
    int r = h2_new_client(&c->h2);

    if (r < 0) {
        failed(c, vl_strerror(r));
        return;
    }
    h = c->h2;
    c->state = HOST_UP;
    c->up_ms = mono_ms();
    arm(c, c->up_ms + PONG_MS);
    c->ops->up(c->arg, h);
    if (c->h2 != h) return;
    ping(c);
    r = port_out_begin(&c->out, c->nonce, &c->h2);
    if (c->h2 != h) return;
    if (r < 0)
        failed(c, "out of memory");
    else
        flush(c);
}

static void marker_searched(struct channel_host *c, const uint8_t *data, size_t n)
{
    ssize_t at = port_search_feed(&c->search, data, n);

    if (at >= 0) {
        start_session(c);
        if (c->h2 && (size_t)at < n) feed(c, data + at, n - (size_t)at);
    } else if ((c->stale += n) > STALE_MAX) {
        failed(c, "the guest sends without end but no answer");
    }
}

/* One read a round, so that one guest cannot keep the loop from the others. */
static void read_ctl(struct channel_host *c)
{
    uint8_t data[PORT_BUFFER];
    ssize_t n = read(c->ctl.fd, data, sizeof(data));
    const char *why = n == 0 ? "the VMM closed the channel" : vl_strerror(errno);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 && c->state == HOST_UP)
        failed(c, why);
    else if (n <= 0)
        try_later(c, why, next_pause(&c->retry_ms, RETRY_MAX_MS));
    else if (c->state == HOST_UP)
        feed(c, data, (size_t)n);
    else
        marker_searched(c, data, (size_t)n);
}

static void on_ctl(struct watch *w, uint32_t events)
{
    struct channel_host *c = container_of(w, struct channel_host, ctl);

    enter(c);
    if (events & ~(uint32_t)EPOLLOUT) read_ctl(c);
    if (c->h2) flush(c);
    leave(c);
}

static void on_timer(struct timer *t)
{
    struct channel_host *c = container_of(t, struct channel_host, timer);

    enter(c);
    if (c->state == HOST_UP)
        keep_alive(c);
    else if (mono_ms() >= c->deadline)
        go_down(c, c->why);
    else if (c->state == HOST_CONNECTING)
        try_connect(c);
    else
        ring(c);
    leave(c);
}

/* Its owner */

int channel_host_new(struct loop *l, const char *ctl_path, const char *sync_path, const struct channel_host_ops *ops,
                     void *arg, struct channel_host **ret)
{
    auto_(channel_host_freep) struct channel_host *c = calloc(1, sizeof(*c));

    if (!c) return -ENOMEM;
    c->loop = l;
    c->ops = ops;
    c->arg = arg;
    c->ctl.fd = c->sync_fd = -1;
    if (!(c->ctl_path = strdup(ctl_path)) || !(c->sync_path = strdup(sync_path))) return -ENOMEM;
    *ret = take_ptr(c);
    return 0;
}

static void put_aside(struct channel_host *c)
{
    disconnect(c);
    loop_untimer(&c->timer);
    c->state = HOST_DOWN;
    c->drop = NULL;
    if (c->h2) c->aside = take_ptr(c->h2);
}

void channel_host_free(struct channel_host *c)
{
    if (!c) return;
    enter(c);
    c->freed = true;
    put_aside(c);
    leave(c);
}

int channel_host_connect(struct channel_host *c, int64_t deadline_ms)
{
    int r;

    if (c->state != HOST_DOWN) return 0;
    if ((r = loop_timer(c->loop, &c->timer, deadline_ms, on_timer)) < 0) return r;
    c->deadline = deadline_ms;
    c->retry_ms = RETRY_MIN_MS;
    c->failures = 0;
    c->why = "there was no time to connect";
    c->state = HOST_CONNECTING;
    try_connect(c);
    return 0;
}

void channel_host_disconnect(struct channel_host *c)
{
    enter(c);
    put_aside(c);
    leave(c);
}

void channel_host_drop(struct channel_host *c, const char *why)
{
    enter(c);
    if (!c->drop) c->drop = why; /* the first reason is the cause of the others */
    leave(c);
}

struct h2 *channel_host_session(struct channel_host *c)
{
    return c->h2;
}

void channel_host_flush(struct channel_host *c)
{
    if (!c->h2 || c->busy) return;
    enter(c);
    flush(c);
    leave(c);
}
