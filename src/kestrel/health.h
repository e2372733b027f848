/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the workload healthy? The manifest's check, one at a time: often until it passes for the first time, ever more
 * rarely like ready.h's attempts but no more rarely than every `interval_ms`, which is the rule afterwards. One success
 * is health; `retries` failures in a row after it are the lack of it. Those before the first success are a start that
 * takes its time: how long it may take is the host's business. Loop thread only.
 */
#pragma once
#include "kestrel/probe.h"

enum health_state { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };
const char *health_state_name(enum health_state s); /* as in model/guest.h: "" for HEALTH_NONE */

struct health {
    struct loop *loop; /* NULL: not started */
    const struct health_check *check;
    struct probe_plan plan;
    struct probe probe;
    struct timer timer; /* until the next check, or the deadline of the one under way */
    enum health_state state;
    char reason[HEALTH_REASON_MAX + 1]; /* what the last check found wrong, "" */
    unsigned tries;
    int64_t began_ms, failures; /* in a row, as far as they count */
    void (*checked)(void *arg); /* after each check */
    void *arg;
};

/*
 * `config` is borrowed and has a health_check.type. `checked` comes from the loop, never from within this call.
 * VL_INVALID where the check cannot be made out.
 */
int health_start(struct health *h, struct loop *l, const struct guest_config *config, void (*checked)(void *arg),
                 void *arg, struct vl_error *err);
/* Every child that was reaped is shown: true if it was this one's. Also after health_stop. */
bool health_reap(struct health *h, pid_t pid, int status);
/* No more checks; one under way is given up. Idempotent; zero-initialised is fine. */
void health_stop(struct health *h);
void health_done(struct health *h); /* stops, releases */
