/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a VM's control channel under QEMU: two Unix sockets that lead to virtio-serial ports, `ctl`
 * (HTTP/2) and `sync` (the doorbell that makes a reconnect visible to the guest). Connects, rings with a fresh nonce,
 * resends with another one after 50, 100, ... ms, then runs an h2 client session; pings it; falls back to ringing when
 * it goes. Loop thread only. The guest is hostile until proven otherwise: one read of 64 KiB a round, budgets of h2.h.
 */
#pragma once
#include "base/loop.h"
#include "channel/h2.h"

struct channel_host;

struct channel_host_ops {
    void (*up)(void *arg, struct h2 *h); /* a fresh session; requests may be made from here until `down` */
    /*
     * The session went (every stream has had its `closed`) or could not be had before the deadline. final: the channel
     * stays down until channel_host_connect; otherwise it is ringing again by itself. `why` is a text for people.
     */
    void (*down)(void *arg, const char *why, bool final);
};

/* Paths of the two listening sockets (copied). Does nothing until channel_host_connect. */
int channel_host_new(struct loop *l, const char *ctl_path, const char *sync_path, const struct channel_host_ops *ops,
                     void *arg, struct channel_host **ret);
/* Streams still get their `closed`, `down` is not called any more. NULL is fine; also from callbacks of it and its
 * session. */
void channel_host_free(struct channel_host *c);
DEFINE_AUTO(struct channel_host *, channel_host_free)

/*
 * Begins to connect, and to reconnect whenever the session is lost. deadline_ms (mono_ms): when to give up getting the
 * first session (the boot's deadline); each later reconnect has 5 s. No-op while connecting or up. -ENOMEM.
 */
int channel_host_connect(struct channel_host *c, int64_t deadline_ms);
/* Drops the session and stays down; `down` is not called. Streams get their `closed` once no callback is on the stack.
 */
void channel_host_disconnect(struct channel_host *c);
/*
 * The peer cannot be used or believed: the session, if there is one, counts as failed (`down`, then another one; after
 * three in a row that lived less than 10 s, final). `why` is a constant text.
 */
void channel_host_drop(struct channel_host *c, const char *why);
struct h2 *channel_host_session(struct channel_host *c); /* NULL unless up */
/* After h2 calls from outside its own callbacks: moves what became sendable. */
void channel_host_flush(struct channel_host *c);
