/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at what is there, lets plan_make decide, and begins it. */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "deploy/internal.h"

#define COMMIT_MS    1     /* an answer right after the commit: the rest is seen */
#define CONFIGURE_MS 25000 /* for its turn, and for its VMM process */
#define RETRY_MS     1000  /* after a shortage of memory */
#define STABLE_MS    60000 /* ready for so long: what went wrong before is forgotten */
#define REFUSALS_MAX 4     /* of a configuration, by whatever cause, until the rollout gives up */
#define CRASH_LOOP   "crash_loop"

/* --- places ------------------------------------------------------------------------------------------------------- */

static struct slot *slot_new(struct deployment *d, size_t index)
{
    struct slot *s = calloc(1, sizeof(*s));

    if (!s) return NULL;
    s->d = d;
    s->index = index;
    s->create = (struct slot_call){.slot = s, .flag = &s->seen.creating};
    s->configure = (struct slot_call){.slot = s, .flag = &s->seen.configuring};
    s->remove = (struct slot_call){.slot = s, .flag = &s->seen.deleting};
    return s;
}

static void slot_free(struct slot *s)
{
    struct engine *e = s->d->deploy->cfg.engine;

    engine_forget(e, &s->create);
    engine_forget(e, &s->configure);
    engine_forget(e, &s->remove);
    free(s->error);
    free(s);
}

void slots_free(struct deployment *d)
{
    for (size_t i = 0; i < d->n_slots; i++)
        slot_free(d->slots[i]);
    free(d->slots);
    d->slots = NULL;
    d->n_slots = 0;
}

static int slots_grow(struct deployment *d, size_t n)
{
    struct slot **more;

    if (n <= d->n_slots) return 0;
    if (!(more = reallocarray(d->slots, n, sizeof(struct slot *)))) return -ENOMEM;
    d->slots = more;
    for (; d->n_slots < n; d->n_slots++)
        if (!(d->slots[d->n_slots] = slot_new(d, d->n_slots))) return -ENOMEM;
    return 0;
}

static bool slot_is_idle(const struct slot *s)
{
    return !s->seen.exists && !s->seen.creating && !s->seen.configuring && !s->seen.deleting;
}

/* Places beyond the number of replicas that hold nothing any more. */
static void slots_shrink(struct deployment *d)
{
    while (d->n_slots > (uint64_t)d->want.replicas && slot_is_idle(d->slots[d->n_slots - 1]))
        slot_free(d->slots[--d->n_slots]);
}

void replica_name(const struct deployment *d, size_t index, char buf[static 64])
{
    (void)strf(buf, 64, "%s-%zu", d->name, index + 1); /* its length was checked */
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

struct look {
    struct deployment *d;
    int r;
};

/* The place of a VM of ours; -1 if it has a name that none of ours has. */
static int64_t index_of(const struct deployment *d, const struct vm_view *v)
{
    size_t n = strlen(d->name);
    uint64_t index;

    if (!str_eq(v->deployment, d->name) || strncmp(v->name, d->name, n) != 0 || v->name[n] != '-') return -1;
    return parse_u64(v->name + n + 1, 1, DEPLOYMENT_REPLICAS_MAX, &index) < 0 ? -1 : (int64_t)index - 1;
}

static void slot_see(struct plan_slot *s, const struct vm_view *v)
{
    s->exists = true;
    if (vm_status_parse(v->status, &s->status) < 0) s->status = VM_PENDING;
    s->ready = v->ready;
    s->unhealthy = str_eq(v->health, "unhealthy");
    s->crash_loop = s->status == VM_FAILED && v->reason && str_starts(v->reason, CRASH_LOOP);
    s->ended_well = v->ended_well;
    s->revision = v->revision;
    s->restarts = v->restarts;
}

static bool has_disk(const struct deployment *d, int64_t revision)
{
    const struct version *v = version_find(d, revision);

    return v && v->config.disk_mb > 0;
}

static bool see_vm(void *arg, struct vm *vm)
{
    struct look *l = arg;
    struct vm_view v;
    int64_t i;

    engine_vm_view(vm, &v);
    if ((i = index_of(l->d, &v)) < 0) return true;
    if ((l->r = slots_grow(l->d, (size_t)i + 1)) < 0) return false;
    slot_see(&l->d->slots[i]->seen, &v);
    l->d->slots[i]->seen.has_disk = has_disk(l->d, v.revision);
    return true;
}

/* Counts an end once, and when its replacement may come. */
static void note_end(struct slot *s, int64_t now)
{
    if (!plan_has_ended(&s->seen)) {
        s->ended_noted = false;
    } else if (!s->ended_noted) {
        s->ended_noted = true;
        s->seen.not_before_ms = now + plan_backoff_ms(++s->failures);
    }
}

static void note_ready(struct slot *s, int64_t now)
{
    if (s->seen.exists && s->seen.ready) {
        if (!s->ready_since) s->ready_since = now;
    } else if (s->ready_since) {
        if (now - s->ready_since >= STABLE_MS) s->failures = 0;
        s->ready_since = 0;
    }
}

static void note_awaited(struct slot *s, int64_t now)
{
    if (!plan_is_awaited(&s->seen, s->d->want.version))
        s->seen.awaited_ms = 0;
    else if (!s->seen.awaited_ms)
        s->seen.awaited_ms = now;
}

static int look(struct deployment *d)
{
    struct look l = {.d = d};
    int64_t now = mono_ms();

    if ((l.r = slots_grow(d, (size_t)d->want.replicas)) < 0) return l.r;
    for (size_t i = 0; i < d->n_slots; i++)
        d->slots[i]->seen.exists = d->slots[i]->seen.ready = false;
    (void)engine_vm_each(d->deploy->cfg.engine, see_vm, &l);
    if (l.r < 0) return l.r;
    slots_shrink(d);
    for (size_t i = 0; i < d->n_slots; i++) {
        note_ready(d->slots[i], now);
        note_end(d->slots[i], now);
        note_awaited(d->slots[i], now);
    }
    return 0;
}

void deployment_forgive(struct deployment *d)
{
    for (size_t i = 0; i < d->n_slots; i++) {
        struct slot *s = d->slots[i];

        s->failures = 0;
        s->seen.not_before_ms = s->seen.awaited_ms = 0;
        s->seen.failing = s->seen.refused = false;
        freep(&s->error);
        s->error = NULL;
    }
}

/* --- the engine's answers ----------------------------------------------------------------------------------------- */

/*
 * What is VL_INVALID stays so; all else may pass: a VM that somebody deletes, a full host, a port in use. A new replica
 * waits for that for ever; one that is to change holds up the others, and so does not.
 */
static void call_refused(struct slot_call *call, const struct vl_error *err)
{
    struct slot *s = call->slot;
    char *text = strdup(err->msg);

    if (s->failures == 0 || !str_eq(s->error, err->msg))
        log_warn("deployment=%s replica=%zu: %s", s->d->name, s->index + 1, err->msg);
    s->failures++;
    s->seen.failing = true;
    if (call == &s->configure)
        s->seen.refused = err->kind == VL_INVALID || s->failures >= REFUSALS_MAX;
    else
        s->seen.refused = call == &s->create && err->kind == VL_INVALID;
    s->seen.not_before_ms = mono_ms() + plan_backoff_ms(s->failures);
    free(s->error);
    s->error = text;
}

static void call_done(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct slot_call *call = arg;
    struct slot *s = call->slot;

    (void)vm; /* it is seen */
    *call->flag = false;
    if (r < 0) {
        call_refused(call, err);
    } else {
        s->seen.failing = s->seen.refused = false;
        freep(&s->error);
        s->error = NULL;
    }
    deployment_touch(s->d);
}

/* --- acting ------------------------------------------------------------------------------------------------------- */

static int call_create(struct slot *s, const struct version *v, const char *name, struct vl_error *err)
{
    const struct vm_owner owner = {.deployment = s->d->name, .revision = v->number};
    struct vm_request req;

    version_request(v, name, &req);
    return engine_vm_create(s->d->deploy->cfg.engine, &req, &owner, VM_WANT_PROCESS, COMMIT_MS, call_done, &s->create,
                            err);
}

static int call_configure(struct slot *s, const struct version *v, const char *name, bool restart, struct vl_error *err)
{
    const struct vm_owner owner = {.deployment = s->d->name, .revision = v->number};
    struct vm_request req;

    version_request(v, name, &req);
    return engine_vm_configure(s->d->deploy->cfg.engine, &req, &owner, 0, restart, VM_WANT_PROCESS, CONFIGURE_MS,
                               call_done, &s->configure, err);
}

static void act(struct deployment *d, const struct plan_action *a)
{
    struct slot *s = d->slots[a->slot];
    struct slot_call *call = a->what == PLAN_CREATE      ? &s->create
                             : a->what == PLAN_CONFIGURE ? &s->configure
                                                         : &s->remove;
    const struct version *v = version_find(d, a->version);
    struct vl_error err = {0};
    char name[64];
    int r;

    if (!v) v = version_find(d, d->want.version);
    replica_name(d, s->index, name);
    *call->flag = true;
    if (a->what == PLAN_CREATE)
        r = call_create(s, v, name, &err);
    else if (a->what == PLAN_CONFIGURE)
        r = call_configure(s, v, name, a->restart, &err);
    else
        r = engine_vm_delete(d->deploy->cfg.engine, name, call_done, &s->remove, &err);
    if (r < 0) {
        *call->flag = false;
        call_refused(call, &err);
        deployment_touch(d);
    }
}

/* Between two of them, whatever the operation was. */
static void crash_here(const struct deployment *d, enum plan_what what)
{
    if (what == PLAN_CREATE) CRASH_POINT("scale.replica_begun");
    if (what == PLAN_CONFIGURE) CRASH_POINT("update.replica_begun");
    if (what == PLAN_DELETE && d->want.deleted) CRASH_POINT("undeploy.replica_begun");
    if (what == PLAN_DELETE && !d->want.deleted) CRASH_POINT("scale.surplus_begun");
}

static void why_it_failed(const struct deployment *d, size_t blamed, char *buf, size_t size)
{
    const struct slot *s = d->slots[blamed];
    struct vm_view v = {0};
    const char *why = "it was not ready in time";
    struct vm *vm;
    char name[64];

    replica_name(d, blamed, name);
    if ((vm = engine_vm_find(d->deploy->cfg.engine, name))) engine_vm_view(vm, &v);
    if (s->seen.refused && s->error)
        why = s->error;
    else if (v.reason && *v.reason)
        why = v.reason;
    (void)snprintf(buf, size, "version %lld does not work in replica '%s': %s", (long long)d->want.version, name, why);
}

static void commit(struct deployment *d, const struct plan *p)
{
    char reason[DEPLOY_REASON_MAX + 200] = "";

    if (d->busy) return; /* its end looks again */
    if (p->gone) {
        deployment_commit_gone(d);
    } else if (p->rollout != d->want.rollout) {
        if (p->blamed != PLAN_NO_SLOT) why_it_failed(d, p->blamed, reason, sizeof(reason));
        deployment_commit_rollout(d, p->rollout, reason);
    }
}

static void look_again(struct timer *t)
{
    deployment_touch(container_of(t, struct deployment, again));
}

static void look_at(struct deployment *d, int64_t at_ms)
{
    if (loop_timer(d->deploy->cfg.loop, &d->again, at_ms, look_again) < 0)
        log_err("deployment=%s: no memory for a timer", d->name);
}

static void make_plan(struct deployment *d, struct plan_slot *slots, struct plan *ret)
{
    const struct plan_in in = {
        .replicas = d->want.replicas,
        .version = d->want.version,
        .deleted = d->want.deleted,
        .rollout = d->want.rollout,
        .now_ms = mono_ms(),
        .ready_ms = version_find(d, d->want.version)->ready_ms,
        .slots = slots,
        .n_slots = d->n_slots,
    };

    for (size_t i = 0; i < d->n_slots; i++)
        slots[i] = d->slots[i]->seen;
    plan_make(&in, ret);
    d->plan = *ret;
    d->plan.actions = NULL;
}

/* *ret_actions is the caller's. */
static int plan_now(struct deployment *d, struct plan_action **ret_actions, struct plan *ret)
{
    auto_free struct plan_slot *slots = NULL;
    int r;

    if ((r = look(d)) < 0) return r;
    if (!(slots = calloc(d->n_slots + 1, sizeof(*slots))) ||
        !(ret->actions = calloc(d->n_slots + 1, sizeof(*ret->actions))))
        return -ENOMEM;
    *ret_actions = ret->actions;
    make_plan(d, slots, ret);
    return 0;
}

int deployment_refresh(struct deployment *d)
{
    auto_free struct plan_action *actions = NULL;
    struct plan p = {0};

    return plan_now(d, &actions, &p);
}

static void reconcile(struct deployment *d)
{
    auto_free struct plan_action *actions = NULL;
    struct plan p = {0};

    d->dirty = false;
    loop_untimer(&d->again);
    if (plan_now(d, &actions, &p) < 0) {
        look_at(d, mono_ms() + RETRY_MS);
        return;
    }
    for (size_t i = 0; i < p.n_actions; i++) {
        act(d, &actions[i]);
        crash_here(d, actions[i].what);
    }
    if (p.look_again_ms) look_at(d, p.look_again_ms);
    commit(d, &p);
    waiters_settle(d);
}

/* --- when to look ------------------------------------------------------------------------------------------------- */

static void reconcile_dirty(void *arg)
{
    struct deploy *dp = arg;

    dp->scheduled = false;
    if (dp->closing) return;
    for (struct deployment *d = dp->list; d; d = d->next)
        if (d->dirty) reconcile(d);
}

void deployment_touch(struct deployment *d)
{
    struct deploy *dp = d->deploy;

    if (dp->closing) return;
    d->dirty = true;
    if (dp->scheduled) return;
    dp->scheduled = loop_defer(dp->cfg.loop, reconcile_dirty, dp) == 0;
    if (!dp->scheduled) look_at(d, mono_ms() + RETRY_MS);
}

void deploy_observe(void *arg, const struct vm_view *view, bool gone)
{
    struct deploy *dp = arg;
    struct deployment *d;

    (void)gone; /* it is seen */
    if (!view->deployment || !*view->deployment) return;
    if ((d = deploy_find(dp, view->deployment))) deployment_touch(d);
}
