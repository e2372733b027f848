/* SPDX-License-Identifier: Apache-2.0 */
/* See ready.h. An attempt that has not been decided when the next one is due (a full backlog) is given up for it. */
#include "kestrel/ready.h"

#include <arpa/inet.h>

#include "base/clock.h"
#include "kestrel/dial.h"

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

static void on_decided(struct watch *w, uint32_t events)
{
    struct ready *r = container_of(w, struct ready, watch);
    bool accepted = dial_result(r->fd) == 0;

    (void)events;
    drop_attempt(r);
    if (!accepted) return;
    ready_stop(r);
    r->done(r->arg);
}

static void on_due(struct timer *t)
{
    struct ready *r = container_of(t, struct ready, timer);
    int64_t now = mono_ms();

    drop_attempt(r);
    (void)loop_timer(r->loop, &r->timer, now + ready_delay(r->tries++, now - r->began_ms), on_due);
    if (dial(&r->to, &r->fd) < 0) return;
    if (loop_watch(r->loop, &r->watch, r->fd, EPOLLOUT, on_decided) < 0) drop_attempt(r);
}

void ready_start(struct ready *r, struct loop *l, uint32_t addr, uint16_t port, void (*done)(void *arg), void *arg)
{
    *r = (struct ready){.loop = l, .fd = -1, .began_ms = mono_ms(), .done = done, .arg = arg};
    r->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
    (void)loop_timer(l, &r->timer, r->began_ms + ready_delay(r->tries++, 0), on_due);
}
