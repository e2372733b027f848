/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See agent.h. A virtio-serial port says POLLHUP for as long as the host is away, so both are watched edge-triggered:
 * read until there is nothing (EAGAIN, or 0 from a port without a host), write until it blocks, then sleep.
 */
#include "channel/agent.h"

#include "channel/port.h"

enum agent_state {
    AGENT_IDLE,    /* no session: what comes on ctl belongs to nobody */
    AGENT_SYNCING, /* our marker is on its way, the host's is awaited */
    AGENT_UP,
};

struct channel_agent {
    struct watch ctl, sync;
    const struct h2_ops *ops;
    void *arg;
    enum agent_state state;
    struct h2 *h2; /* NULL unless AGENT_UP */
    bool busy;     /* ours is on the stack: whoever asks for a flush gets it on the way back */
    struct port_search search;
    struct port_line line;
    struct port_out out;
};

/* No word to the host but what was flushed: it rings when it misses us. */
static void drop_session(struct channel_agent *a)
{
    h2_free(take_ptr(a->h2));
    a->out.at = a->out.len = 0;
    a->state = AGENT_IDLE;
}

static void flush(struct channel_agent *a)
{
    int r = port_out_flush(&a->out, &a->ctl.fd, &a->h2);

    if (a->h2 && (r < 0 || h2_finished(a->h2))) drop_session(a);
}

static void feed(struct channel_agent *a, const void *data, size_t n)
{
    const char *why;

    if (h2_feed(a->h2, data, n, &why) == 0) return;
    flush(a); /* its GOAWAY tells the host */
    if (a->h2) drop_session(a);
}

static void marker_searched(struct channel_agent *a, const uint8_t *data, size_t n)
{
    ssize_t at = port_search_feed(&a->search, data, n);

    if (at < 0) return;
    if (h2_new_server(a->ops, a->arg, &a->h2) < 0) {
        drop_session(a);
        return;
    }
    a->state = AGENT_UP;
    feed(a, data + at, n - (size_t)at);
}

static void on_ctl(struct watch *w, uint32_t events)
{
    struct channel_agent *a = container_of(w, struct channel_agent, ctl);
    uint8_t data[PORT_BUFFER];
    ssize_t n;

    (void)events;
    a->busy = true;
    while ((n = read(w->fd, data, sizeof(data))) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0) continue;
        if (a->state == AGENT_UP)
            feed(a, data, (size_t)n);
        else if (a->state == AGENT_SYNCING)
            marker_searched(a, data, (size_t)n);
        flush(a);
    }
    flush(a); /* also where it was the other direction that woke us */
    a->busy = false;
}

static void on_sync(struct watch *w, uint32_t events)
{
    struct channel_agent *a = container_of(w, struct channel_agent, sync);
    uint8_t data[PORT_SYNC_CHUNK], nonce[PORT_NONCE];
    bool rung = false;
    ssize_t n;

    (void)events;
    while ((n = read(w->fd, data, sizeof(data))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && port_line_feed(&a->line, data, (size_t)n, nonce)) rung = true;
    if (!rung) return;
    a->busy = true;
    drop_session(a);
    port_search_begin(&a->search, nonce);
    a->state = AGENT_SYNCING;
    if (port_out_begin(&a->out, nonce, &a->h2) == 0) flush(a);
    a->busy = false;
}

int channel_agent_new(struct loop *l, int ctl_fd, int sync_fd, const struct h2_ops *ops, void *arg,
                      struct channel_agent **ret)
{
    auto_(channel_agent_freep) struct channel_agent *a = calloc(1, sizeof(*a));
    int r;

    if (!a) {
        closep(&ctl_fd);
        closep(&sync_fd);
        return -ENOMEM;
    }
    a->ctl.fd = ctl_fd;
    a->sync.fd = sync_fd;
    a->ops = ops;
    a->arg = arg;
    if ((r = loop_watch(l, &a->ctl, ctl_fd, EPOLLIN | EPOLLOUT | EPOLLET, on_ctl)) < 0) return r;
    if ((r = loop_watch(l, &a->sync, sync_fd, EPOLLIN | EPOLLET, on_sync)) < 0) return r;
    *ret = take_ptr(a);
    return 0;
}

void channel_agent_free(struct channel_agent *a)
{
    if (!a) return;
    loop_unwatch(&a->ctl);
    loop_unwatch(&a->sync);
    a->busy = true;
    drop_session(a);
    closep(&a->ctl.fd);
    closep(&a->sync.fd);
    free(a);
}

void channel_agent_flush(struct channel_agent *a)
{
    if (a->busy) return;
    a->busy = true;
    flush(a);
    a->busy = false;
}
