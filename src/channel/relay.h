/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: what QEMU does between the two listening sockets and the guest's ports. As there, the guest cannot see
 * that a host went or came: bytes on their way stay and reach the next one, or are lost with the one that died.
 * Everything that QEMU may do in any order is done in random order (`lazy`) and in pieces of random size (`piece`).
 */
#pragma once
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/loop.h"
#include "base/str.h"

#define RELAY_QUEUE 65536

struct relay;

struct relay_port {
    struct relay *relay;
    struct watch listen, client, guest;
    int listen_fd, client_fd, guest_fd;
    char path[100];
    struct strbuf to_guest, to_host;
};

struct relay {
    struct loop *loop;
    struct relay_port ctl, sync;
    unsigned seed;
    unsigned lazy;   /* so many of 100 wake-ups are overslept */
    size_t piece;    /* pieces of at most this size */
    bool guest_away; /* it has not opened its ports yet */
    uint64_t stale;  /* bytes that were left when a host went */
};

static inline unsigned relay_random(struct relay *r, unsigned below)
{
    r->seed = r->seed * 1103515245u + 12345u;
    return (r->seed >> 8) % below;
}

static inline bool relay_sleeps(struct relay *r)
{
    return relay_random(r, 100) < r->lazy;
}

static inline void relay_update(struct relay_port *p)
{
    uint32_t in = EPOLLIN, out = EPOLLOUT;
    bool guest = !p->relay->guest_away;

    (void)loop_rewatch(&p->listen, p->client_fd < 0 ? in : 0);
    (void)loop_rewatch(&p->guest, (guest && p->client_fd >= 0 && p->to_host.len < RELAY_QUEUE ? in : 0) |
                                      (guest && p->to_guest.len ? out : 0));
    if (p->client_fd >= 0)
        (void)loop_rewatch(&p->client, (p->to_guest.len < RELAY_QUEUE ? in : 0) | (p->to_host.len ? out : 0));
}

/* What the guest sent may reach the next host or go with this one. */
static inline void relay_hang_up(struct relay_port *p)
{
    p->relay->stale += p->to_host.len + p->to_guest.len;
    loop_unwatch(&p->client);
    (void)close(take_fd(&p->client_fd));
    if (relay_random(p->relay, 2)) strbuf_consume(&p->to_host, p->to_host.len);
}

static inline ssize_t relay_fill(struct relay_port *p, int fd, struct strbuf *queue)
{
    char data[RELAY_QUEUE];
    ssize_t n = read(fd, data, 1 + relay_random(p->relay, (unsigned)p->relay->piece));

    if (n > 0) strbuf_add(queue, data, (size_t)n);
    return n;
}

static inline bool relay_drain(struct relay_port *p, int fd, struct strbuf *queue)
{
    size_t n = 1 + relay_random(p->relay, (unsigned)p->relay->piece);
    ssize_t sent = send(fd, queue->data, queue->len < n ? queue->len : n, MSG_NOSIGNAL);

    if (sent > 0) strbuf_consume(queue, (size_t)sent);
    return sent >= 0 || errno == EAGAIN;
}

static inline void relay_on_client(struct watch *w, uint32_t events)
{
    struct relay_port *p = container_of(w, struct relay_port, client);
    bool alive = true;

    if (relay_sleeps(p->relay)) return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = relay_fill(p, w->fd, &p->to_guest);

        alive = n > 0 || (n < 0 && errno == EAGAIN);
    }
    if (alive && p->to_host.len > 0) alive = relay_drain(p, w->fd, &p->to_host);
    if (!alive) relay_hang_up(p);
    relay_update(p);
}

static inline void relay_on_guest(struct watch *w, uint32_t events)
{
    struct relay_port *p = container_of(w, struct relay_port, guest);

    if (relay_sleeps(p->relay)) return;
    if ((events & EPOLLIN) && p->client_fd >= 0) (void)relay_fill(p, w->fd, &p->to_host);
    if (p->to_guest.len > 0) (void)relay_drain(p, w->fd, &p->to_guest);
    relay_update(p);
}

static inline void relay_on_listen(struct watch *w, uint32_t events)
{
    struct relay_port *p = container_of(w, struct relay_port, listen);
    int fd;

    (void)events;
    if (p->client_fd >= 0 || relay_sleeps(p->relay)) return;
    if ((fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) return;
    if (loop_watch(p->relay->loop, &p->client, fd, EPOLLIN, relay_on_client) < 0) abort();
    p->client_fd = fd;
    relay_update(p);
}

/* The guest's end, the caller's; listen_fd listens, and becomes the relay's. */
static inline int relay_port_take(struct relay *r, struct relay_port *p, int listen_fd)
{
    int fds[2];

    p->relay = r;
    p->listen_fd = listen_fd;
    p->client_fd = -1;
    if (listen_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) abort();
    p->guest_fd = fds[0];
    if (loop_watch(r->loop, &p->listen, p->listen_fd, EPOLLIN, relay_on_listen) < 0 ||
        loop_watch(r->loop, &p->guest, p->guest_fd, 0, relay_on_guest) < 0)
        abort();
    return fds[1];
}

static inline int relay_port_open(struct relay *r, struct relay_port *p, const char *dir, const char *name)
{
    *p = (struct relay_port){0};
    if (strf(p->path, sizeof(p->path), "%s/%s", dir, name) < 0) abort();
    return relay_port_take(r, p, unix_listen(p->path, 8, 0600));
}

static inline void relay_port_close(struct relay_port *p)
{
    loop_unwatch(&p->listen);
    loop_unwatch(&p->client);
    loop_unwatch(&p->guest);
    closep(&p->listen_fd);
    closep(&p->client_fd);
    closep(&p->guest_fd);
    strbuf_done(&p->to_guest);
    strbuf_done(&p->to_host);
    (void)unlink(p->path);
}
