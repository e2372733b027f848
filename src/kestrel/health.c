/* SPDX-License-Identifier: Apache-2.0 */
/* See health.h. */
#include "kestrel/health.h"

#include "base/clock.h"
#include "base/str.h"

#define FAST_DELAY_MIN_MS 4
#define FAST_TRIES        3 /* 1, 2, 4 ms */

const char *health_state_name(enum health_state s)
{
    static const char *const names[] = {"", "starting", "healthy", "unhealthy"};

    return names[s];
}

/* Until the next check: a sixteenth of what has passed is how much later than needed a start may be noticed. */
static int64_t delay_ms(const struct health *h, int64_t now)
{
    int64_t delay = (now - h->began_ms) / 16, interval = h->check->interval_ms;

    if (h->state != HEALTH_STARTING) return interval;
    if (h->tries < FAST_TRIES) return 1 << h->tries;
    return delay < FAST_DELAY_MIN_MS ? FAST_DELAY_MIN_MS : delay > interval ? interval : delay;
}

static void on_late(struct timer *t)
{
    probe_expire(&container_of(t, struct health, timer)->probe);
}

static void on_due(struct timer *t)
{
    struct health *h = container_of(t, struct health, timer);

    (void)loop_timer(h->loop, &h->timer, mono_ms() + h->check->check_timeout_ms, on_late);
    probe_begin(&h->probe);
}

static void note_failure(struct health *h, const char *why, int64_t now)
{
    (void)strf(h->reason, sizeof(h->reason), "%s", why);
    if (h->state == HEALTH_STARTING || now - h->began_ms < h->check->start_period_ms) return;
    if (++h->failures >= h->check->retries) h->state = HEALTH_UNHEALTHY;
}

static void on_checked(void *arg, const char *why)
{
    struct health *h = arg;
    int64_t now = mono_ms();

    if (why) {
        note_failure(h, why, now);
    } else {
        h->state = HEALTH_HEALTHY;
        h->reason[0] = '\0';
        h->failures = 0;
    }
    (void)loop_timer(h->loop, &h->timer, now + delay_ms(h, now), on_due);
    h->tries++;
    h->checked(h->arg);
}

int health_start(struct health *h, struct loop *l, const struct guest_config *config, void (*checked)(void *arg),
                 void *arg, struct vl_error *err)
{
    struct probe_plan plan;
    int r = probe_plan_make(config, &plan, err);

    if (r < 0) return r;
    *h = (struct health){.loop = l,
                         .check = &config->health_check,
                         .plan = plan,
                         .state = HEALTH_STARTING,
                         .began_ms = mono_ms(),
                         .checked = checked,
                         .arg = arg};
    probe_init(&h->probe, l, &h->plan, on_checked, h);
    (void)loop_timer(l, &h->timer, h->began_ms + 1, on_due);
    return 0;
}

bool health_reap(struct health *h, pid_t pid, int status)
{
    return h->loop && probe_reap(&h->probe, pid, status);
}

void health_stop(struct health *h)
{
    if (!h->loop) return;
    loop_untimer(&h->timer);
    probe_abort(&h->probe);
}

void health_done(struct health *h)
{
    health_stop(h);
    probe_plan_done(&h->plan);
    h->loop = NULL;
}
