/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/ask.h"

#include <string.h>

void ask_free(struct ask *a)
{
    json_decref(a->config);
    if (a->waiter) {
        a->waiter->wait.done = NULL;
        waiter_answer(a->waiter, 0, NULL, NULL);
    }
    free(a);
}

void asks_free(struct deployment *d)
{
    while (d->asks) {
        struct ask *a = d->asks;

        d->asks = a->next;
        ask_free(a);
    }
}

void asks_gone(struct deployment *d)
{
    while (d->asks) {
        struct ask *a = d->asks;
        struct vl_error err = {0};
        int r = 0;

        d->asks = a->next;
        if (a->kind != ASK_DELETE) r = vl_fail(&err, VL_NOT_FOUND, "deployment '%s' was deleted meanwhile", d->name);
        waiter_answer(take_ptr(a->waiter), r, &err, NULL);
        ask_free(a);
    }
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

static int check_name_length(const struct deployment *d, int64_t replicas, struct vl_error *err)
{
    char digits[24];
    int n;

    (void)strf(digits, sizeof(digits), "%lld", (long long)replicas);
    n = (int)(strlen(d->name) + 1 + strlen(digits));
    if (n < (int)sizeof(d->name)) return 0;
    return vl_fail(err, VL_INVALID,
                   "name '%s' is too long: its replica '%s-%s' would have a name of %d bytes, allowed 63", d->name,
                   d->name, digits, n);
}

struct stranger {
    const struct deployment *d;
    int64_t replicas;
    uint64_t others; /* VMs that are not this deployment's */
    char name[64];   /* of the one that has a replica's name */
};

/* Index of a name that "<deployment>-<index>" would be, from 1; 0: it is none. */
static uint64_t index_of(const struct deployment *d, const char *name)
{
    size_t n = strlen(d->name);
    uint64_t index;

    if (strncmp(name, d->name, n) != 0 || name[n] != '-' || name[n + 1] == '0') return 0;
    return parse_u64(name + n + 1, 1, DEPLOYMENT_REPLICAS_MAX, &index) < 0 ? 0 : index;
}

static bool look_for_stranger(void *arg, struct vm *vm)
{
    struct stranger *s = arg;
    struct vm_view v;
    uint64_t index;

    engine_vm_view(vm, &v);
    if (s->d->id && str_eq(v.deployment, s->d->name)) return true;
    s->others++;
    index = index_of(s->d, v.name);
    if (index > 0 && index <= (uint64_t)s->replicas && !*s->name) (void)strf(s->name, sizeof(s->name), "%s", v.name);
    return true;
}

int ask_check_places(struct deployment *d, int64_t replicas, struct vl_error *err)
{
    const struct deploy_config *cfg = &d->deploy->cfg;
    struct stranger s = {.d = d, .replicas = replicas};
    int r;

    if ((r = check_name_length(d, replicas, err)) < 0) return r;
    (void)engine_vm_each(cfg->engine, look_for_stranger, &s);
    if (*s.name)
        return vl_fail(err, VL_CONFLICT,
                       "a replica of deployment '%s' would have the name of VM '%s', which is not its own: delete that "
                       "VM, or choose another name",
                       d->name, s.name);
    if ((uint64_t)replicas + s.others <= cfg->addresses) return 0;
    return vl_fail(err, VL_CONFLICT,
                   "%lld replicas cannot get addresses: the subnet has %llu, %llu of them are other VMs': have at most "
                   "%llu replicas, or give volantd a larger VOLANT_SUBNET",
                   (long long)replicas, (unsigned long long)cfg->addresses, (unsigned long long)s.others,
                   (unsigned long long)(s.others < cfg->addresses ? cfg->addresses - s.others : 0));
}

int ask_find_version(const struct deployment *d, int64_t number, const struct version **ret, struct vl_error *err)
{
    const struct version *v = d->versions;
    int64_t oldest = 0;

    while (v && (number ? v->number != number : v->number >= d->want.version))
        v = v->next;
    for (const struct version *o = d->versions; o; o = o->next)
        oldest = o->number;
    if (!v && !number)
        return vl_fail(err, VL_INVALID, "deployment '%s' has no version before %lld to go back to", d->name,
                       (long long)d->want.version);
    if (!v)
        return vl_fail(err, VL_INVALID,
                       "version is %lld, which deployment '%s' does not have (%lld to %lld): see "
                       "`volar deployments history %s`",
                       (long long)number, d->name, (long long)oldest, (long long)d->want.version, d->name);
    if (v->number == d->want.version)
        return vl_fail(err, VL_INVALID, "version %lld is the present one of deployment '%s': name an earlier one",
                       (long long)number, d->name);
    *ret = v;
    return 0;
}

/* --- queueing ----------------------------------------------------------------------------------------------------- */

static struct ask *ask_new(enum ask_kind kind, const struct deploy_wait *wait)
{
    struct ask *a = calloc(1, sizeof(*a));

    if (!a) return NULL;
    *a = (struct ask){.kind = kind, .replicas = -1, .waiter = waiter_make(wait)};
    if (a->waiter) return a;
    free(a);
    return NULL;
}

static void begin_asks(void *arg)
{
    struct deploy *dp = arg;

    dp->asks_scheduled = false;
    if (dp->closing) return;
    for (struct deployment *d = dp->list; d; d = d->next)
        deployment_next_ask(d);
}

/* Deferred, so that an answer never comes before the question has returned. */
static int queue(struct deploy *dp, const char *name, struct ask *a, struct vl_error *err)
{
    struct deployment *d = deploy_find(dp, name);
    struct ask **at;

    if (!a) return vl_fail_errno(err, ENOMEM, "deployment '%s'", name);
    if (!d || (!dp->asks_scheduled && loop_defer(dp->cfg.loop, begin_asks, dp) < 0)) {
        ask_free(a);
        if (d) return vl_fail_errno(err, ENOMEM, "deployment '%s'", name);
        return vl_fail(err, VL_NOT_FOUND, "deployment '%s' not found: see `volar deployments list`", name);
    }
    dp->asks_scheduled = true;
    for (at = &d->asks; *at;)
        at = &(*at)->next;
    *at = a;
    return 0;
}

int deploy_update(struct deploy *dp, const char *name, const struct deployment_patch *patch,
                  const struct deploy_wait *wait, struct vl_error *err)
{
    struct ask *a = ask_new(ASK_UPDATE, wait);

    if (a) {
        a->replicas = patch->replicas;
        a->config = json_incref(patch->config);
    }
    return queue(dp, name, a, err);
}

int deploy_rollback(struct deploy *dp, const char *name, int64_t version, const struct deploy_wait *wait,
                    struct vl_error *err)
{
    struct ask *a = ask_new(ASK_ROLLBACK, wait);

    if (a) a->version = version;
    return queue(dp, name, a, err);
}

int deploy_await(struct deploy *dp, const char *name, const struct deploy_wait *wait, struct vl_error *err)
{
    return queue(dp, name, ask_new(ASK_WAIT, wait), err);
}

int deploy_delete(struct deploy *dp, const char *name, const struct deploy_wait *wait, struct vl_error *err)
{
    return queue(dp, name, ask_new(ASK_DELETE, wait), err);
}

/* --- forgetting --------------------------------------------------------------------------------------------------- */

static void forget_one(struct deploy_waiter *w, const void *arg)
{
    if (w && w->wait.arg == arg) w->wait.done = NULL;
}

void deploy_forget(struct deploy *dp, void *arg)
{
    changes_forget(dp, arg);
    for (struct deployment *d = dp->list; d; d = d->next) {
        for (struct deploy_waiter *w = d->waiters; w; w = w->next)
            forget_one(w, arg);
        for (struct ask *a = d->asks; a; a = a->next)
            forget_one(a->waiter, arg);
    }
}
