/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host asks of one guest, over its control channel: state and events, logs, stats, clock, power-off. Loop
 * thread only. Every request has a deadline; answers are bounded; whatever arrives is decoded by model/guest.h.
 */
#pragma once
#include "base/loop.h"
#include "model/guest.h"

struct guest;

struct guest_ops {
    /* The agent answered /v1/health and the clock was set; events follow. Again after each reconnect. */
    void (*up)(void *arg, const struct guest_health *health);
    void (*event)(void *arg, const struct guest_event *ev); /* of the types that model/guest.h knows */
    /* The channel is gone (it was up, or could not be had). final: nobody tries again until guest_connect. */
    void (*down)(void *arg, const char *why, bool final);
};

/* `dir` is the VM's folder with the sockets `ctl` and `sync`. */
int guest_new(struct loop *l, const char *dir, const struct guest_ops *ops, void *arg, struct guest **ret);
/* Open requests and log streams get their callbacks with -ECANCELED first. NULL is fine. May be called from its
 * callbacks. */
void guest_free(struct guest *g);
DEFINE_AUTO(struct guest *, guest_free)
int guest_connect(struct guest *g, int64_t deadline_ms); /* see channel_host_connect */
bool guest_is_up(const struct guest *g);

/*
 * For both requests: -ENOTCONN where it is not up, -EAGAIN for too many requests at once; else `done` is called once,
 * never from within the call: r is 0, -EREMOTEIO (the agent refused), -ETIMEDOUT (5 s), -EPROTO, -EMSGSIZE or -EINVAL
 * (an answer that is none), -ECONNRESET (the channel went), -ECANCELED (guest_free).
 *
 * POST /v1/poweroff: the agent ends the workload (SIGTERM, after grace_ms SIGKILL) and the machine.
 */
int guest_poweroff(struct guest *g, int grace_ms, void (*done)(void *arg, int r), void *arg);
/* GET /v1/health: whether its agent still answers, however slow its host is: with a time of its own. done: r as above.
 */
int guest_ping(struct guest *g, int timeout_ms, void (*done)(void *arg, int r), void *arg);
/* Its clock again, after its vCPUs stood still. -ENOTCONN, -EAGAIN, -ENOMEM; that it could not be set is not told. */
int guest_sync_clock(struct guest *g);
/* done: stats is borrowed, NULL where r < 0. */
int guest_stats(struct guest *g, void (*done)(void *arg, int r, const struct guest_stats *stats), void *arg);

/*
 * GET /v1/logs?tail=N&follow=0|1: the last `tail` lines (-1: all that is kept), then, if follow, new ones as they come.
 * Lines are the agent's JSON lines, handed over by reading: a slow reader slows the guest's stream, never the loop.
 * -ENOTCONN where the guest is not up, -EAGAIN for too many requests at once.
 */
struct guest_logs;
struct guest_logs_ops {
    void (*readable)(void *arg); /* guest_logs_read has something, or the end; said once after it had nothing */
};
int guest_logs_open(struct guest *g, int64_t tail, bool follow, const struct guest_logs_ops *ops, void *arg,
                    struct guest_logs **ret);
/*
 * The next whole line without its newline (valid until the next call) and its length; 0 = nothing now (wait for
 * `readable`); -ENODATA = complete end; another negative errno = the stream broke off.
 */
ssize_t guest_logs_read(struct guest_logs *s, const char **ret_line);
void guest_logs_close(struct guest_logs *s); /* also after the end, and after guest_free */
