/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the whole: loading, finding, leaving. */
#include "deploy/deploy.h"

#include <string.h>

#include "base/log.h"
#include "deploy/internal.h"

#define STEP_MS 50

static const char *const rollout_names[] = {
    [ROLLOUT_PROGRESSING] = "progressing", [ROLLOUT_COMPLETE] = "complete", [ROLLOUT_FAILED] = "failed"};

const char *rollout_name(enum rollout r)
{
    return rollout_names[r];
}

/* --- one deployment ----------------------------------------------------------------------------------------------- */

struct deployment *deployment_new(struct deploy *dp, const char *name)
{
    struct deployment *d = calloc(1, sizeof(*d));

    if (!d) return NULL;
    d->deploy = dp;
    d->want = (struct desire){.version = 1, .rollout = ROLLOUT_COMPLETE};
    (void)strf(d->name, sizeof(d->name), "%s", name);
    return d;
}

void deployment_free(struct deployment *d)
{
    if (!d) return;
    loop_untimer(&d->again);
    asks_free(d);
    waiters_free(d);
    slots_free(d);
    while (d->versions) {
        struct version *v = d->versions;

        d->versions = v->next;
        version_free(v);
    }
    free(d);
}

void deployment_insert(struct deployment *d)
{
    struct deployment **at = &d->deploy->list;

    while (*at && strcmp((*at)->name, d->name) < 0)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
}

void deployment_remove(struct deployment *d)
{
    struct deployment **at = &d->deploy->list;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
}

struct deployment *deploy_find(struct deploy *dp, const char *name)
{
    struct deployment *d = dp->list;

    while (d && !str_eq(d->name, name))
        d = d->next;
    return d;
}

size_t deploy_each(struct deploy *dp, bool (*fn)(void *arg, struct deployment *d), void *arg)
{
    size_t n = 0;

    for (struct deployment *d = dp->list; d; d = d->next, n++)
        if (fn && !fn(arg, d)) return n + 1;
    return n;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

struct load {
    struct store_op op;
    struct deploy *deploy;
    struct deployment *d;
    struct version **tail;
};

static int load_version(void *arg, struct deployment_version_row *row)
{
    struct load *l = arg;
    struct vl_error err = {0};
    struct version *v = NULL;
    json_t *stored = NULL;

    if (json_parse(row->config, strlen(row->config), "config", &stored, &err) < 0 ||
        version_new(l->deploy, stored, &v, &err) < 0) {
        log_err("deployment=%s: version %lld cannot be read, leaving it out: %s", l->d->name, (long long)row->version,
                err.msg);
        l->deploy->unread = true;
        return 0;
    }
    v->number = row->version;
    v->created_ms = row->created_ms;
    *l->tail = v;
    l->tail = &v->next;
    return 0;
}

static int rollout_parse(const char *s, enum rollout *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(rollout_names); i++) {
        if (!str_eq(s, rollout_names[i])) continue;
        *ret = (enum rollout)i;
        return 0;
    }
    return -EINVAL;
}

static int load_deployment(void *arg, struct deployment_row *row)
{
    struct load *l = arg;
    struct deployment *d = deployment_new(l->deploy, row->name);

    if (!d) return -ENOMEM;
    d->id = row->id;
    d->created_ms = row->created_ms;
    d->want = (struct desire){.replicas = row->replicas,
                              .version = row->version,
                              .deleted = str_eq(row->desired, "deleted"),
                              .updated_ms = row->updated_ms};
    (void)strf(d->want.reason, sizeof(d->want.reason), "%s", row->reason);
    if (rollout_parse(row->rollout, &d->want.rollout) < 0) d->want.rollout = ROLLOUT_PROGRESSING;
    deployment_insert(d);
    return 0;
}

/* One that cannot be read is left alone, with its VMs, for a volantd that can. */
static int load_versions(struct load *l, struct store_tx *tx, struct vl_error *err)
{
    for (struct deployment *d = l->deploy->list, *next; d; d = next) {
        int r;

        next = d->next;
        l->d = d;
        l->tail = &d->versions;
        if ((r = store_deployment_version_each(tx, d->id, load_version, l, err)) < 0) return r;
        if (version_find(d, d->want.version)) continue;
        log_err("deployment=%s: its version %lld is not to be had, leaving it and its VMs alone", d->name,
                (long long)d->want.version);
        deployment_remove(d);
        deployment_free(d);
    }
    return 0;
}

static int load_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct load *l = container_of(op, struct load, op);
    int r = store_deployment_each(tx, load_deployment, l, err);

    return r < 0 ? r : load_versions(l, tx, err);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* What a version needs can be rolled back to. */
static bool artifact_is_wanted(void *arg, const char *checksum)
{
    const struct deploy *dp = arg;

    for (const struct deployment *d = dp->list; d; d = d->next)
        for (const struct version *v = d->versions; v; v = v->next)
            if (str_eq(v->checksum, checksum)) return true;
    return dp->unread || changes_want(dp, checksum);
}

int deploy_new(const struct deploy_config *cfg, struct deploy **ret, struct vl_error *err)
{
    auto_(deploy_freep) struct deploy *dp = calloc(1, sizeof(*dp));
    struct load l = {.op.run = load_run, .deploy = dp};
    int r;

    if (!dp) return vl_fail_errno(err, ENOMEM, "deployments");
    dp->cfg = *cfg;
    if ((r = store_run(cfg->store, &l.op, err)) < 0) return vl_wrap(err, "load deployments");
    engine_keep_artifacts(cfg->engine, artifact_is_wanted, dp);
    *ret = take_ptr(dp);
    return 0;
}

void deploy_start(struct deploy *dp)
{
    engine_observe(dp->cfg.engine, deploy_observe, dp);
    for (struct deployment *d = dp->list; d; d = d->next)
        deployment_touch(d);
}

void deploy_free(struct deploy *dp)
{
    if (!dp) return;
    dp->closing = true;
    engine_observe(dp->cfg.engine, NULL, dp);
    while (dp->changes || dp->scheduled || dp->asks_scheduled) /* transactions have their own deadline */
        (void)loop_step(dp->cfg.loop, STEP_MS);
    engine_keep_artifacts(dp->cfg.engine, NULL, NULL);
    while (dp->list) {
        struct deployment *d = dp->list;

        dp->list = d->next;
        deployment_free(d);
    }
    free(dp);
}

const char *deploy_plugin_user(struct deploy *dp, const char *plugin)
{
    for (const struct deployment *d = dp->list; d; d = d->next)
        if (str_eq(version_find(d, d->want.version)->config.plugin, plugin)) return d->name;
    return NULL;
}
