/* SPDX-License-Identifier: Apache-2.0 */
/* A deployment as its users see it: counted from what is there now. */
#include <stdio.h>
#include <string.h>

#include "deploy/internal.h"

void text_cut(char *buf, size_t size, const char *text)
{
    (void)strf(buf, size, "%.*s", utf8_cut(text, size - 1), text);
}

void deployment_view_done(struct deployment_view *v)
{
    free(v->members);
    *v = (struct deployment_view){0};
}

static const char *hint(const struct plan_slot *s)
{
    if (s->status == VM_PAUSED) return "`volar vms unpause` lets it go on";
    if (s->status == VM_STOPPED) return "`volar vms start` brings it back";
    if (s->status == VM_RUNNING) return "it runs and is not ready yet";
    return "";
}

static void view_member(struct deployment *d, size_t i, struct replica_view *ret)
{
    const struct slot *s = d->slots[i];
    struct vm_view v = {0};
    struct vm *vm;
    const char *why;

    *ret = (struct replica_view){.status = vm_status_name(VM_PENDING)};
    replica_name(d, i, ret->name);
    if (s->seen.exists && (vm = engine_vm_find(d->deploy->cfg.engine, ret->name))) {
        engine_vm_view(vm, &v);
        ret->status = v.status;
        ret->ready = v.ready;
        ret->version = v.revision;
    }
    why = s->error ? s->error : v.reason && *v.reason ? v.reason : s->seen.exists && !v.ready ? hint(&s->seen) : "";
    text_cut(ret->reason, sizeof(ret->reason), why);
}

/* The sum of it in one line. */
static const char *reason_of(struct deployment *d, const struct deployment_view *v)
{
    static char text[800]; /* the loop thread's alone, as is every view */
    const struct replica_view *m = d->plan.worst < v->n_members ? &v->members[d->plan.worst] : NULL;
    int n = 0;

    text[0] = '\0';
    if (d->want.deleted)
        (void)snprintf(text, sizeof(text), "replicas still to be deleted: %zu", v->n_members);
    else if (d->want.rollout == ROLLOUT_FAILED)
        return d->want.reason;
    else if (d->want.rollout == ROLLOUT_PROGRESSING)
        n = snprintf(text, sizeof(text), "version %lld is rolled out: %lld of %lld replicas have it",
                     (long long)v->version, (long long)v->updated, (long long)v->replicas);
    else if (v->ended == v->replicas && v->replicas > 0)
        n = snprintf(text, sizeof(text), "every replica has ended, and its restart policy leaves it so");
    else if (v->ready < v->replicas)
        n = snprintf(text, sizeof(text), "%lld of %lld replicas are ready", (long long)v->ready,
                     (long long)v->replicas);
    else if (v->n_members > (uint64_t)v->replicas)
        (void)snprintf(text, sizeof(text), "replicas too many, which are being deleted: %zu",
                       v->n_members - (size_t)v->replicas);
    if (v->ended > 0 && v->ended < v->replicas && n > 0)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ", %lld have ended by themselves", (long long)v->ended);
    if (m && n > 0 && !m->ready)
        (void)snprintf(text + n, sizeof(text) - (size_t)n, "; '%s' is %s%s%s", m->name, m->status,
                       *m->reason ? ": " : "", m->reason);
    return text;
}

int deploy_view(struct deployment *d, struct deployment_view *ret)
{
    struct deployment_view v = {0};
    int r;

    if ((r = deployment_refresh(d)) < 0) return r;
    v = (struct deployment_view){
        .name = d->name,
        .replicas = d->want.replicas,
        .ready = d->plan.ready,
        .updated = d->plan.updated,
        .ended = d->plan.ended,
        .version = d->want.version,
        .created_ms = d->created_ms,
        .updated_ms = d->want.updated_ms,
        .status = plan_status_name(d->plan.status),
    };
    if (d->n_slots && !(v.members = calloc(d->n_slots, sizeof(*v.members)))) return -ENOMEM;
    for (size_t i = 0; i < d->n_slots; i++)
        if (d->slots[i]->seen.exists || (i < (uint64_t)d->want.replicas && !d->want.deleted))
            view_member(d, i, &v.members[v.n_members++]);
    v.reason = reason_of(d, &v);
    *ret = v;
    return 0;
}

json_t *deploy_config_json(const struct deployment *d)
{
    return version_json(version_find(d, d->want.version));
}

int deploy_history(const struct deployment *d,
                   bool (*fn)(void *arg, int64_t version, int64_t created_ms, json_t *config), void *arg)
{
    for (const struct version *v = d->versions; v; v = v->next) {
        json_t *config = version_json(v);

        if (!config) return -ENOMEM;
        if (!fn(arg, v->number, v->created_ms, config)) return 0;
    }
    return 0;
}
