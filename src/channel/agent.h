/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of the control channel: waits on `sync` for SYNC lines, answers with the marker on `ctl`, and serves
 * an HTTP/2 session there until the next SYNC. Never polls: EPOLLET on both ports, no timer.
 */
#pragma once
#include "base/loop.h"
#include "channel/h2.h"

struct channel_agent;

/* Takes both descriptors, also on failure (non-blocking character devices, or sockets in tests). ops.request serves;
 * see h2.h. */
int channel_agent_new(struct loop *l, int ctl_fd, int sync_fd, const struct h2_ops *ops, void *arg,
                      struct channel_agent **ret);
void channel_agent_free(struct channel_agent *a); /* streams get their `closed`; not from a callback of it */
DEFINE_AUTO(struct channel_agent *, channel_agent_free)
/* After h2_stream_wake or a late h2_respond from outside its callbacks: moves what became sendable. */
void channel_agent_flush(struct channel_agent *a);
