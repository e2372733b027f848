/* SPDX-License-Identifier: Apache-2.0 */
/* See ready.h. An attempt that has not been decided when the next one is due (a full backlog) is given up for it. */
#include "kestrel/ready.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/clock.h"

int64_t ready_delay(unsigned tries, int64_t elapsed_ms)
{
    int64_t delay = elapsed_ms / 16;

    if (tries < 3) return 1 << tries;
    return delay < 4 ? 4 : delay > READY_DELAY_MAX_MS ? READY_DELAY_MAX_MS : delay;
}

static void drop_attempt(struct ready *r)
{
    loop_unwatch(&r->watch);
    if (r->fd >= 0) (void)close(take_fd(&r->fd));
}

void ready_stop(struct ready *r)
{
    drop_attempt(r);
    loop_untimer(&r->timer);
}

/*
 * Without a listener, an attempt at a port of the range that connections get theirs from may be given this very port,
 * and reach itself.
 */
static bool reached_itself(int fd)
{
    struct sockaddr_in from = {0}, to = {0};
    socklen_t from_len = sizeof(from), to_len = sizeof(to);

    return getsockname(fd, (struct sockaddr *)&from, &from_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&to, &to_len) == 0 && from.sin_port == to.sin_port &&
           from.sin_addr.s_addr == to.sin_addr.s_addr;
}

/* Whether closing resets: one that reached itself would otherwise keep the workload from its port for a minute. */
static void reset_at_close(int fd, bool on)
{
    const struct linger at_once = {.l_onoff = on};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static void accepted(struct ready *r)
{
    if (reached_itself(r->fd)) {
        drop_attempt(r);
        return;
    }
    reset_at_close(r->fd, false); /* to the workload it is a visitor who leaves */
    ready_stop(r);
    r->done(r->arg);
}

static void on_decided(struct watch *w, uint32_t events)
{
    struct ready *r = container_of(w, struct ready, watch);
    int refused = 0;
    socklen_t len = sizeof(refused);

    (void)events;
    if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &refused, &len) == 0 && refused == 0) {
        accepted(r);
    } else {
        drop_attempt(r);
    }
}

static void on_due(struct timer *t)
{
    struct ready *r = container_of(t, struct ready, timer);
    int64_t now = mono_ms();

    drop_attempt(r);
    (void)loop_timer(r->loop, &r->timer, now + ready_delay(r->tries++, now - r->began_ms), on_due);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->fd < 0) return;
    reset_at_close(r->fd, true);
    if (connect(r->fd, (const struct sockaddr *)&r->to, sizeof(r->to)) == 0) {
        accepted(r);
    } else if (errno != EINPROGRESS || loop_watch(r->loop, &r->watch, r->fd, EPOLLOUT, on_decided) < 0) {
        drop_attempt(r);
    }
}

void ready_start(struct ready *r, struct loop *l, uint32_t addr, uint16_t port, void (*done)(void *arg), void *arg)
{
    *r = (struct ready){.loop = l, .fd = -1, .began_ms = mono_ms(), .done = done, .arg = arg};
    r->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
    (void)loop_timer(l, &r->timer, r->began_ms + ready_delay(r->tries++, 0), on_due);
}
