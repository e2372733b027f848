/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for: judged against what is committed when its turn comes, then one transaction, then memory, then the
 * reconciler. Requests for one deployment wait for each other; a new one waits for nobody, as its name is the row's.
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "deploy/ask.h"
#include "deploy/internal.h"
#include "model/config_patch.h"

/* --- one transaction ---------------------------------------------------------------------------------------------- */

enum change_kind { CREATED, SCALED, UPDATED, ROLLED_BACK, CONDEMNED, GONE, ROLLOUT };
static const char *const kind_texts[] = {
    [CREATED] = "created",         [SCALED] = "scaled", [UPDATED] = "updated",         [ROLLED_BACK] = "rolled back",
    [CONDEMNED] = "to be deleted", [GONE] = "deleted",  [ROLLOUT] = "rollout changed",
};

struct change {
    struct store_op op;
    struct change *next;
    struct deployment *d;
    struct desire want;
    struct version *version; /* a new one; NULL: none */
    char *version_text;      /* as it is stored */
    int64_t *dropped;        /* versions that are no longer kept */
    size_t n_dropped;
    struct deploy_waiter *waiter;
    enum change_kind kind;
    bool fresh; /* CREATED, and not in the list yet */
};

static void change_free(struct change *c)
{
    if (c->fresh) deployment_free(c->d); /* not in the list yet */
    if (c->waiter) {
        c->waiter->wait.done = NULL;
        waiter_answer(c->waiter, 0, NULL, NULL);
    }
    version_free(c->version);
    free(c->version_text);
    free(c->dropped);
    free(c);
}
DEFINE_AUTO(struct change *, change_free)

static void change_unlink(struct change *c)
{
    struct change **at = &c->d->deploy->changes;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

static struct deployment_row row_of(const struct change *c)
{
    return (struct deployment_row){
        .id = c->d->id,
        .name = c->d->name,
        .desired = (char *)(c->want.deleted ? "deleted" : "present"),
        .replicas = c->want.replicas,
        .version = c->want.version,
        .rollout = (char *)rollout_name(c->want.rollout),
        .reason = (char *)c->want.reason,
        .created_ms = c->d->created_ms,
        .updated_ms = c->want.updated_ms,
    };
}

static int change_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct change *c = container_of(op, struct change, op);
    struct deployment_row row = row_of(c);
    int r;

    if (c->kind == GONE) return store_deployment_delete(tx, row.id, err);
    r = c->fresh ? store_deployment_insert(tx, &row, &c->d->id, err) : store_deployment_update(tx, &row, err);
    if (r == 0 && c->version) {
        const struct deployment_version_row v = {
            .version = c->version->number, .config = c->version_text, .created_ms = c->version->created_ms};

        r = store_deployment_version_add(tx, c->d->id, &v, err);
    }
    for (size_t i = 0; r == 0 && i < c->n_dropped; i++)
        r = store_deployment_version_drop(tx, c->d->id, c->dropped[i], err);
    return r;
}

static void drop_versions(struct change *c)
{
    for (size_t i = 0; i < c->n_dropped; i++) {
        struct version **at = &c->d->versions, *v;

        while (*at && (*at)->number != c->dropped[i])
            at = &(*at)->next;
        if (!(v = *at)) continue;
        *at = v->next;
        engine_release_artifact(c->d->deploy->cfg.engine, v->checksum);
        version_free(v);
    }
}

/* A moment for the crash tests after each kind of commit. */
static void crash_here(enum change_kind kind)
{
    if (kind == CREATED) CRASH_POINT("deploy.committed");
    if (kind == SCALED) CRASH_POINT("scale.committed");
    if (kind == UPDATED) CRASH_POINT("update.committed");
    if (kind == ROLLED_BACK) CRASH_POINT("rollback.committed");
    if (kind == CONDEMNED) CRASH_POINT("undeploy.committed");
    if (kind == GONE) CRASH_POINT("undeploy.gone");
    if (kind == ROLLOUT) CRASH_POINT("update.rollout_committed");
}

static void change_apply(struct change *c)
{
    struct deployment *d = c->d;

    d->want = c->want;
    if (c->version) {
        c->version->next = d->versions;
        d->versions = take_ptr(c->version);
    }
    drop_versions(c);
    if (c->fresh) deployment_insert(d);
    c->fresh = false;
    crash_here(c->kind);
    if (c->kind != ROLLOUT) deployment_forgive(d); /* somebody wants something of it: no back-off counts any more */
    log_info("deployment=%s %s: %lld replicas of version %lld, rollout %s%s%s", d->name, kind_texts[c->kind],
             (long long)d->want.replicas, (long long)d->want.version, rollout_name(d->want.rollout),
             *d->want.reason ? ": " : "", d->want.reason);
}

static void end_gone(struct change *c)
{
    struct deployment *d = c->d;

    crash_here(c->kind);
    log_info("deployment=%s deleted", d->name);
    deployment_remove(d);
    while (d->versions) { /* one by one, so that they do not keep what they share */
        struct version *v = d->versions;

        d->versions = v->next;
        engine_release_artifact(d->deploy->cfg.engine, v->checksum);
        version_free(v);
    }
    asks_gone(d);
    waiters_gone(d);
    deployment_free(d);
}

static void change_failed(struct change *c, int r, const struct vl_error *err)
{
    log_err("deployment=%s cannot be recorded as %s: %s", c->d->name, kind_texts[c->kind], err->msg);
    if (c->waiter) waiter_answer(take_ptr(c->waiter), r, err, NULL);
    if (!c->fresh) deployment_touch(c->d); /* it is looked at again, and so tried again */
}

static void change_done(struct store_op *op, int r, const struct vl_error *err)
{
    auto_(change_freep) struct change *c = container_of(op, struct change, op);
    struct deployment *d = c->d;

    change_unlink(c);
    d->busy = false;
    if (d->deploy->closing) return;
    if (r < 0) {
        change_failed(c, r, err);
        if (!c->fresh) deployment_next_ask(d);
        return;
    }
    if (c->kind == GONE) {
        end_gone(c);
        return;
    }
    change_apply(c);
    if (c->waiter) waiter_join(d, take_ptr(c->waiter));
    deployment_touch(d);
    deployment_next_ask(d);
}

static struct change *change_new(struct deployment *d, enum change_kind kind)
{
    struct change *c = calloc(1, sizeof(*c));

    if (!c) return NULL;
    c->op = (struct store_op){.run = change_run, .done = change_done};
    c->d = d;
    c->kind = kind;
    c->want = d->want;
    c->want.updated_ms = wall_ms();
    if (c->want.updated_ms <= d->want.updated_ms) c->want.updated_ms = d->want.updated_ms + 1; /* it tells them apart */
    return c;
}

static void change_post(struct change *c)
{
    struct deploy *dp = c->d->deploy;

    c->next = dp->changes;
    dp->changes = c;
    c->d->busy = true;
    store_post(dp->cfg.store, &c->op);
}

void changes_forget(struct deploy *dp, const void *arg)
{
    for (struct change *c = dp->changes; c; c = c->next)
        if (c->waiter && c->waiter->wait.arg == arg) c->waiter->wait.done = NULL;
}

bool changes_want(const struct deploy *dp, const char *checksum)
{
    for (const struct change *c = dp->changes; c; c = c->next)
        if (c->version && str_eq(c->version->checksum, checksum)) return true;
    return false;
}

/* --- versions ----------------------------------------------------------------------------------------------------- */

static bool is_in_use(const struct deployment *d, int64_t number)
{
    for (size_t i = 0; i < d->n_slots; i++)
        if (d->slots[i]->seen.exists && d->slots[i]->seen.revision == number) return true;
    return number == d->want.version;
}

/* The oldest ones above DEPLOY_VERSIONS_KEPT that no replica has. */
static int forget_old_versions(struct change *c)
{
    size_t n = 0;

    for (const struct version *v = c->d->versions; v; v = v->next)
        n++;
    if (n < DEPLOY_VERSIONS_KEPT) return 0;
    if (!(c->dropped = calloc(n, sizeof(*c->dropped)))) return -ENOMEM;
    n = 0;
    for (const struct version *v = c->d->versions; v; v = v->next)
        if (++n >= DEPLOY_VERSIONS_KEPT && !is_in_use(c->d, v->number)) c->dropped[c->n_dropped++] = v->number;
    return 0;
}

/* Above every one that a replica has, too: those of a registry that was replaced by an older one go on being theirs. */
static int64_t next_number(const struct deployment *d)
{
    int64_t last = d->versions ? d->versions->number : 0;

    for (size_t i = 0; i < d->n_slots; i++)
        if (d->slots[i]->seen.exists && d->slots[i]->seen.revision > last) last = d->slots[i]->seen.revision;
    return last + 1;
}

static int add_version(struct change *c, struct version *v, struct vl_error *err)
{
    assert(v);
    c->version = v;
    v->number = next_number(c->d);
    v->created_ms = c->want.updated_ms;
    if (!(c->version_text = json_text(v->stored)) || forget_old_versions(c) < 0)
        return vl_fail_errno(err, ENOMEM, "deployment '%s'", c->d->name);
    c->want.version = v->number;
    c->want.rollout = ROLLOUT_PROGRESSING;
    c->want.reason[0] = '\0';
    return 0;
}

/* --- create ------------------------------------------------------------------------------------------------------- */

static int version_from(struct deploy *dp, const json_t *base, const json_t *patch, struct version **ret,
                        struct vl_error *err)
{
    json_auto_t *from = json_deep_copy(base), *merged = NULL;
    const char *plugin = json_string_value(json_object_get(patch, "plugin"));
    int r;

    if (!from) return vl_fail_errno(err, ENOMEM, "configuration");
    if (plugin && *plugin) { /* its manifest is looked up anew, also if it is the same plugin as before */
        (void)json_object_del(from, "manifest");
        (void)json_object_del(from, "runtime");
    }
    if ((r = vm_config_patch(from, patch, true, &merged, NULL, err)) < 0 || (r = config_settle(dp, merged, err)) < 0)
        return r;
    return version_new(dp, take_ptr(merged), ret, err);
}

static int create_judge(struct deploy *dp, struct change *c, const struct deployment_request *req, struct vl_error *err)
{
    auto_(version_freep) struct version *v = NULL;
    json_auto_t *nothing = json_object();
    int r;

    if (!nothing) return vl_fail_errno(err, ENOMEM, "deployment '%s'", req->name);
    if ((r = version_from(dp, nothing, req->config, &v, err)) < 0 ||
        (r = ask_check_places(c->d, req->replicas, err)) < 0 ||
        (r = version_check(dp, v, req->name, req->replicas, err)) < 0)
        return r;
    if ((r = add_version(c, take_ptr(v), err)) < 0) return r;
    c->want.replicas = req->replicas;
    c->want.rollout = ROLLOUT_COMPLETE; /* nothing has to make room for anything */
    return 0;
}

int deploy_create(struct deploy *dp, const struct deployment_request *req, const struct deploy_wait *wait,
                  struct vl_error *err)
{
    auto_(change_freep) struct change *c = NULL;
    auto_(deployment_freep) struct deployment *d = NULL;
    const struct deployment *there;
    int r;

    for (const struct change *other = dp->changes; other; other = other->next)
        if (other->fresh && str_eq(other->d->name, req->name))
            return vl_fail(err, VL_CONFLICT, "a deployment named '%s' is being created: choose another name",
                           req->name);
    if ((there = deploy_find(dp, req->name)))
        return vl_fail(err, VL_CONFLICT, "a deployment named '%s' %s", req->name,
                       there->want.deleted ? "is being deleted: choose another name, or try again when it is gone"
                                           : "exists already: choose another name, or delete it first");
    if (!(d = deployment_new(dp, req->name)) || !(c = change_new(d, CREATED)) || !(c->waiter = waiter_make(wait)))
        return vl_fail_errno(err, ENOMEM, "deployment '%s'", req->name);
    d->created_ms = c->want.updated_ms;
    if ((r = create_judge(dp, c, req, err)) < 0) return r;
    (void)take_ptr(d);
    c->fresh = true;
    change_post(take_ptr(c));
    return 0;
}

/* --- what is asked of one that exists ----------------------------------------------------------------------------- */

/* Nothing is to be committed: it is as it was asked to be. */
static int settled_already(struct change **c)
{
    struct deployment *d = (*c)->d;

    waiter_join(d, take_ptr((*c)->waiter));
    deployment_touch(d);
    return 0;
}

/* A failed one is tried again, as a new version: what it left is changed by that. */
static bool is_had_already(const struct deployment *d, const struct version *v)
{
    return d->want.rollout != ROLLOUT_FAILED && json_equal(v->stored, version_find(d, d->want.version)->stored);
}

static int begin_update(struct change **c, const struct ask *a, struct vl_error *err)
{
    auto_(version_freep) struct version *v = NULL;
    struct deployment *d = (*c)->d;
    const struct version *now = version_find(d, d->want.version);
    int64_t replicas = a->replicas < 0 ? d->want.replicas : a->replicas;
    int r;

    if (a->config && (r = version_from(d->deploy, now->stored, a->config, &v, err)) < 0) return r;
    if (v && is_had_already(d, v)) {
        version_free(v);
        v = NULL;
    }
    if (!v && replicas == d->want.replicas) return settled_already(c);
    if (replicas > d->want.replicas && (r = ask_check_places(d, replicas, err)) < 0) return r;
    if ((r = v ? version_check(d->deploy, v, d->name, replicas, err) : ports_check(now, replicas, err)) < 0) return r;
    if (v) (*c)->kind = UPDATED;
    if (v && (r = add_version(*c, take_ptr(v), err)) < 0) return r;
    (*c)->want.replicas = replicas;
    change_post(take_ptr(*c));
    return 0;
}

static int begin_rollback(struct change **c, const struct ask *a, struct vl_error *err)
{
    auto_(version_freep) struct version *v = NULL;
    struct deployment *d = (*c)->d;
    const struct version *to = NULL;
    int r;

    if ((r = ask_find_version(d, a->version, &to, err)) < 0 ||
        (r = version_new(d->deploy, json_incref(to->stored), &v, err)) < 0 ||
        (r = version_check(d->deploy, v, d->name, d->want.replicas, err)) < 0)
        return r;
    if (is_had_already(d, v)) return settled_already(c);
    (*c)->kind = ROLLED_BACK;
    if ((r = add_version(*c, take_ptr(v), err)) < 0) return r;
    change_post(take_ptr(*c));
    return 0;
}

static int begin_delete(struct change **c)
{
    (*c)->waiter->for_end = true;
    if ((*c)->d->want.deleted) return settled_already(c);
    (*c)->kind = CONDEMNED;
    (*c)->want.deleted = true;
    change_post(take_ptr(*c));
    return 0;
}

/* Takes the waiter of the ask unless it fails. */
static int ask_begin(struct deployment *d, struct ask *a, struct vl_error *err)
{
    auto_(change_freep) struct change *c = change_new(d, SCALED);
    int r = 0;

    if (!c) return vl_fail_errno(err, ENOMEM, "deployment '%s'", d->name);
    if (d->want.deleted && (a->kind == ASK_UPDATE || a->kind == ASK_ROLLBACK))
        return vl_fail(err, VL_CONFLICT, "deployment '%s' is being deleted: create another one when it is gone",
                       d->name);
    if (a->kind != ASK_WAIT && a->waiter->wait.as_of && a->waiter->wait.as_of != d->want.updated_ms)
        return vl_fail(
            err, VL_CHANGED,
            "deployment '%s' has been changed meanwhile: look at it, and send the change again with its ETag", d->name);
    c->waiter = a->waiter;
    switch (a->kind) {
    case ASK_WAIT:
        r = settled_already(&c);
        break;
    case ASK_UPDATE:
        r = begin_update(&c, a, err);
        break;
    case ASK_ROLLBACK:
        r = begin_rollback(&c, a, err);
        break;
    case ASK_DELETE:
        r = begin_delete(&c);
        break;
    }
    if (r < 0)
        c->waiter = NULL; /* still the ask's, who is told */
    else
        a->waiter = NULL;
    return r;
}

void deployment_next_ask(struct deployment *d)
{
    while (!d->busy && d->asks) {
        struct ask *a = d->asks;
        struct vl_error err = {0};
        int r;

        d->asks = a->next;
        if ((r = ask_begin(d, a, &err)) < 0) waiter_answer(take_ptr(a->waiter), r, &err, NULL);
        ask_free(a);
    }
}

/* --- what the reconciler records ---------------------------------------------------------------------------------- */

void deployment_commit_rollout(struct deployment *d, enum rollout rollout, const char *reason)
{
    struct change *c = change_new(d, ROLLOUT);

    if (!c) return; /* its next look tries again */
    c->want.rollout = rollout;
    c->want.updated_ms = d->want.updated_ms; /* no change of what is desired */
    text_cut(c->want.reason, sizeof(c->want.reason), reason);
    change_post(c);
}

void deployment_commit_gone(struct deployment *d)
{
    struct change *c = change_new(d, GONE);

    if (c) change_post(c);
}
