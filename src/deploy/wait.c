/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for a deployment to get somewhere, and for how long. */
#include "base/clock.h"
#include "deploy/internal.h"

struct deploy_waiter *waiter_make(const struct deploy_wait *wait)
{
    struct deploy_waiter *w = calloc(1, sizeof(*w));

    if (w) w->wait = *wait;
    return w;
}

void waiter_answer(struct deploy_waiter *w, int r, const struct vl_error *err, struct deployment *d)
{
    deploy_done done = w->wait.done;
    void *arg = w->wait.arg;

    loop_untimer(&w->timer);
    free(w);
    if (done) done(arg, r, err, d);
}

static void unlink_waiter(struct deploy_waiter *w)
{
    struct deploy_waiter **at = &w->d->waiters;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

static void waiter_late(struct timer *t)
{
    struct deploy_waiter *w = container_of(t, struct deploy_waiter, timer);

    unlink_waiter(w);
    waiter_answer(w, 0, NULL, w->d);
}

void waiter_join(struct deployment *d, struct deploy_waiter *w)
{
    w->d = d;
    w->next = d->waiters;
    d->waiters = w;
    if (loop_timer(d->deploy->cfg.loop, &w->timer, mono_ms() + w->wait.timeout_ms, waiter_late) < 0)
        waiter_late(&w->timer);
}

/* Each place has its VM, or what was tried for it has failed. */
static bool has_members(const struct deployment *d)
{
    for (size_t i = 0; i < (uint64_t)d->want.replicas; i++)
        if (i >= d->n_slots || (!d->slots[i]->seen.exists && !d->slots[i]->seen.failing)) return false;
    return true;
}

static bool is_over(const struct deployment *d, const struct deploy_waiter *w)
{
    if (w->for_end) return false;
    switch (w->wait.want) {
    case DEPLOY_WANT_COMMITTED:
        return true;
    case DEPLOY_WANT_MEMBERS:
        return d->want.deleted || has_members(d);
    case DEPLOY_WANT_READY:
        return d->want.deleted || d->plan.status == PLAN_READY || d->plan.status == PLAN_FAILED ||
               d->plan.status == PLAN_ENDED;
    }
    return true;
}

void waiters_settle(struct deployment *d)
{
    struct deploy_waiter *w = d->waiters, *next;

    /* Answering changes no list: `done` comes back here by a request of its own at the earliest. */
    for (; w; w = next) {
        next = w->next;
        if (!is_over(d, w)) continue;
        unlink_waiter(w);
        waiter_answer(w, 0, NULL, d);
    }
}

void waiters_gone(struct deployment *d)
{
    while (d->waiters) {
        struct deploy_waiter *w = d->waiters;

        d->waiters = w->next;
        waiter_answer(w, 0, NULL, NULL);
    }
}

void waiters_free(struct deployment *d)
{
    while (d->waiters) {
        struct deploy_waiter *w = d->waiters;

        d->waiters = w->next;
        w->wait.done = NULL;
        waiter_answer(w, 0, NULL, NULL);
    }
}
