/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/plan.h"

#include "deploy/deploy.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   300000

const char *const deployment_status_names[] = {
    [PLAN_READY] = "ready",
    [PLAN_PROGRESSING] = "progressing",
    [PLAN_DEGRADED] = "degraded",
    [PLAN_FAILED] = "failed",
    [PLAN_ENDED] = "ended",
    [PLAN_DELETING] = "deleting",
    NULL,
};

const char *plan_status_name(enum plan_status s)
{
    return deployment_status_names[s];
}

int64_t plan_backoff_ms(unsigned n)
{
    int64_t ms = BACKOFF_FIRST_MS;

    for (unsigned i = 1; i < n && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* --- one replica -------------------------------------------------------------------------------------------------- */

bool plan_is_by_hand(const struct plan_slot *s)
{
    return s->exists && ((s->status == VM_STOPPED && !s->ended_well) || s->status == VM_PAUSED);
}

bool plan_is_done(const struct plan_slot *s)
{
    return s->exists && s->status == VM_STOPPED && s->ended_well;
}

bool plan_has_ended(const struct plan_slot *s)
{
    return s->exists && (s->status == VM_CRASHED || (s->status == VM_FAILED && !s->crash_loop));
}

static bool in_crash_loop(const struct plan_slot *s)
{
    return s->exists && s->status == VM_FAILED && s->crash_loop;
}

static bool comes_back(const struct plan_slot *s)
{
    return s->exists && s->status == VM_PENDING && s->restarts > 0;
}

static bool is_of(const struct plan_slot *s, int64_t version)
{
    return s->exists && s->revision == version;
}

static bool is_busy(const struct plan_slot *s)
{
    return s->creating || s->configuring || s->deleting;
}

/* By its status alone, whatever its agent said before it was asked to change. */
static bool is_up(const struct plan_slot *s)
{
    return s->exists && s->ready && !s->configuring && !s->deleting;
}

bool plan_is_awaited(const struct plan_slot *s, int64_t version)
{
    bool queued = s->status == VM_PENDING && s->restarts == 0;

    return is_of(s, version) && !s->ready && !plan_is_by_hand(s) && !plan_is_done(s) && !queued;
}

static bool is_late(const struct plan_in *in, const struct plan_slot *s)
{
    return plan_is_awaited(s, in->version) && s->awaited_ms && in->now_ms - s->awaited_ms >= in->ready_ms;
}

/* --- actions ------------------------------------------------------------------------------------------------------ */

static void act(struct plan *p, enum plan_what what, size_t slot, int64_t version, bool restart)
{
    p->actions[p->n_actions++] =
        (struct plan_action){.what = what, .slot = slot, .version = version, .restart = restart};
}

static void look_again(struct plan *p, int64_t at_ms)
{
    if (!p->look_again_ms || at_ms < p->look_again_ms) p->look_again_ms = at_ms;
}

/* False until its back-off is over. */
static bool may_try(const struct plan_in *in, struct plan *p, const struct plan_slot *s)
{
    if (in->now_ms >= s->not_before_ms) return true;
    look_again(p, s->not_before_ms);
    return false;
}

/* What a new replica is made from: not from a version that has just proved to be bad, if another one serves. */
static int64_t version_for_new(const struct plan_in *in)
{
    int64_t best = 0;

    if (in->rollout != ROLLOUT_FAILED) return in->version;
    for (size_t i = 0; i < in->n_slots; i++)
        if (is_up(&in->slots[i]) && in->slots[i].revision != in->version && in->slots[i].revision > best)
            best = in->slots[i].revision;
    return best ? best : in->version;
}

/* An ended replica is replaced, unless it is what a rollout is judged by: that one is kept for whoever looks into it.
 */
static bool is_to_be_replaced(const struct plan_in *in, const struct plan_slot *s)
{
    if (!plan_has_ended(s)) return false;
    return in->rollout == ROLLOUT_COMPLETE || (in->rollout == ROLLOUT_FAILED && s->revision != in->version);
}

static void plan_place(const struct plan_in *in, struct plan *p, size_t i, int64_t new_version)
{
    const struct plan_slot *s = &in->slots[i];

    if (in->deleted || i >= (uint64_t)in->replicas) {
        if (s->exists && !s->deleting && may_try(in, p, s)) act(p, PLAN_DELETE, i, 0, false);
    } else if (is_busy(s)) {
        return; /* its answer calls again */
    } else if (!s->exists) {
        if (may_try(in, p, s)) act(p, PLAN_CREATE, i, new_version, false);
    } else if (is_to_be_replaced(in, s) && may_try(in, p, s)) {
        if (s->has_disk)
            act(p, PLAN_CONFIGURE, i, new_version, true);
        else
            act(p, PLAN_DELETE, i, 0, false);
    }
}

/* --- the rollout -------------------------------------------------------------------------------------------------- */

/* The replica that says that the new version is no good, or PLAN_NO_SLOT. */
static size_t find_failure(const struct plan_in *in, struct plan *p)
{
    for (size_t i = 0; i < (uint64_t)in->replicas; i++) {
        const struct plan_slot *s = &in->slots[i];

        if (s->refused || is_late(in, s)) return i;
        if (is_of(s, in->version) && !is_busy(s) && (plan_has_ended(s) || in_crash_loop(s))) return i;
        if (plan_is_awaited(s, in->version) && s->awaited_ms) look_again(p, s->awaited_ms + in->ready_ms);
    }
    return PLAN_NO_SLOT;
}

/* Something of the new version is still on its way. */
static bool is_under_way(const struct plan_in *in)
{
    for (size_t i = 0; i < (uint64_t)in->replicas; i++) {
        const struct plan_slot *s = &in->slots[i];

        if (s->creating || s->configuring) return true;
        if (is_of(s, in->version) && !s->ready && !plan_is_by_hand(s) && !plan_is_done(s)) return true;
    }
    return false;
}

/* The next replica to change: one that serves nobody before one that does. */
static size_t find_next(const struct plan_in *in)
{
    size_t next = PLAN_NO_SLOT;

    for (size_t i = 0; i < (uint64_t)in->replicas; i++) {
        const struct plan_slot *s = &in->slots[i];

        if (!s->exists || s->revision == in->version || plan_is_by_hand(s)) continue;
        if (!s->ready) return i;
        if (next == PLAN_NO_SLOT) next = i;
    }
    return next;
}

/*
 * What is stopped takes the new version along at its next start, and nobody misses it meanwhile. What is paused would
 * go on with the old one: its turn comes when it does.
 */
static void configure_stopped(const struct plan_in *in, struct plan *p)
{
    for (size_t i = 0; i < (uint64_t)in->replicas; i++) {
        const struct plan_slot *s = &in->slots[i];

        if (plan_is_by_hand(s) && s->status == VM_STOPPED && s->revision != in->version && !is_busy(s) &&
            may_try(in, p, s))
            act(p, PLAN_CONFIGURE, i, in->version, false);
    }
}

static void plan_rollout(const struct plan_in *in, struct plan *p)
{
    bool outdated = p->updated + p->missing < in->replicas;
    size_t next;

    if (in->rollout == ROLLOUT_COMPLETE && outdated) p->rollout = ROLLOUT_PROGRESSING;
    if (in->rollout != ROLLOUT_PROGRESSING) return;
    if ((p->blamed = find_failure(in, p)) != PLAN_NO_SLOT) {
        p->rollout = ROLLOUT_FAILED;
        return;
    }
    configure_stopped(in, p);
    if (is_under_way(in)) return;
    if ((next = find_next(in)) == PLAN_NO_SLOT) {
        if (!outdated && p->missing == 0) p->rollout = ROLLOUT_COMPLETE;
    } else if (!is_busy(&in->slots[next]) && may_try(in, p, &in->slots[next])) {
        act(p, PLAN_CONFIGURE, next, in->version, true);
    }
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* Something is wrong with this one that takes more than a moment. */
static bool is_bad(const struct plan_in *in, const struct plan_slot *s)
{
    if (!s->exists) return s->failing;
    return s->failing || s->unhealthy || plan_is_by_hand(s) || plan_is_done(s) || plan_has_ended(s) ||
           in_crash_loop(s) || comes_back(s) || is_late(in, s);
}

static void count(const struct plan_in *in, struct plan *p)
{
    for (size_t i = 0; i < (uint64_t)in->replicas; i++) {
        const struct plan_slot *s = &in->slots[i];

        p->ready += is_up(s);
        p->updated += is_of(s, in->version);
        p->missing += !s->exists;
        p->ended += plan_is_done(s);
        if (p->worst == PLAN_NO_SLOT && is_bad(in, s)) p->worst = i;
    }
}

static bool is_empty(const struct plan_in *in, size_t from)
{
    for (size_t i = from; i < in->n_slots; i++)
        if (in->slots[i].exists || is_busy(&in->slots[i])) return false;
    return true;
}

static enum plan_status status_of(const struct plan_in *in, const struct plan *p)
{
    if (in->deleted) return PLAN_DELETING;
    if (p->rollout == ROLLOUT_FAILED) return PLAN_FAILED;
    if (p->rollout == ROLLOUT_PROGRESSING) return PLAN_PROGRESSING;
    if (p->ready == in->replicas) return is_empty(in, (size_t)in->replicas) ? PLAN_READY : PLAN_PROGRESSING;
    if (p->ended == in->replicas) return PLAN_ENDED;
    return p->worst == PLAN_NO_SLOT ? PLAN_PROGRESSING : PLAN_DEGRADED;
}

void plan_make(const struct plan_in *in, struct plan *ret)
{
    int64_t new_version = version_for_new(in);

    *ret =
        (struct plan){.actions = ret->actions, .rollout = in->rollout, .blamed = PLAN_NO_SLOT, .worst = PLAN_NO_SLOT};
    if (!in->deleted) count(in, ret);
    for (size_t i = 0; i < in->n_slots; i++)
        plan_place(in, ret, i, new_version);
    if (in->deleted)
        ret->gone = is_empty(in, 0);
    else
        plan_rollout(in, ret);
    ret->status = status_of(in, ret);
}
