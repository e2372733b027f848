/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host may ask, as HTTP over the control channel:
 *   GET  /v1/health                     guest_health
 *   GET  /v1/stats                      guest_stats
 *   GET  /v1/events                     guest_event lines, held open: the present `state` first
 *   GET  /v1/logs?tail=N&follow=0|1     guest_log lines: the last N (all that is kept without tail), then new ones
 *   PUT  /v1/clock {"unix_us"}          204
 *   POST /v1/poweroff {"grace_ms"}      202; also as ?grace_ms=; 10000 if not given
 * Everything else is 404 or 405 with {"error"}. Bodies are at most 64 KiB, at most API_STREAMS_MAX answers are held
 * open: beyond it 503, so that the host cannot spend the guest's memory. Loop thread only.
 */
#pragma once
#include "base/error.h"
#include "channel/h2.h"
#include "kestrel/health.h"
#include "kestrel/logs.h"

#define API_BODY_MAX         65536
#define API_STREAMS_MAX      32
#define API_GRACE_DEFAULT_MS 10000
#define API_GRACE_MAX_MS     600000
#define API_REASON_EVERY_MS  1000

struct api_ops {
    void (*flush)(void *arg); /* something became sendable outside a callback of the session */
    int (*set_clock)(void *arg, int64_t unix_us);
    void (*poweroff)(void *arg, int grace_ms);
};

enum workload_state { WORKLOAD_STARTING, WORKLOAD_RUNNING, WORKLOAD_EXITED };

struct api_state {
    enum workload_state state;
    enum health_state health;
    char reason[HEALTH_REASON_MAX + 1]; /* of the last failed check */
    bool ready;
    pid_t pid; /* 0 where none runs */
    int code, signal;
};

struct request;

struct api {
    const struct api_ops *ops;
    void *arg;
    const struct logs *logs;
    struct api_state state;
    bool logs_complete; /* nothing will be added any more */
    bool logs_asked;    /* somebody has read, or reads, the log */
    bool reason_untold; /* to those who follow /v1/events */
    int64_t told_ms;
    struct request *open;
    size_t n_open;
};

extern const struct h2_ops api_h2_ops; /* its argument is the struct api */

/* All but the state zero; the pointers are borrowed. Open answers outlive no session: free that before the api. */
void api_init(struct api *a, const struct logs *logs, const struct api_ops *ops, void *arg);
/*
 * Tells everyone who follows /v1/events: `health` where that or `ready` is another one (and, until the first success,
 * once a second why not), then `ready` where it has become that.
 */
void api_set_state(struct api *a, const struct api_state *state);
/* Lines were added; complete: and these were the last, so followers get their end. */
void api_logs_grown(struct api *a, bool complete);
/* A session with an answer held open, NULL if there is none: somebody is listening. Logs only: who reads logs. */
struct h2 *api_session(const struct api *a, bool logs_only);
