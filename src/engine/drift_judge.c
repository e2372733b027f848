/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker found is judged on the loop: is it still so, and what else does the registry say that cannot be? */
#include <string.h>

#include "base/clock.h"
#include "engine/drift.h"

static void say_stranger(const struct drift *d, struct item *item)
{
    struct finding *f = &item->finding;
    struct vl_error err = {0};
    char why[sizeof(f->detail)], since[32] = "unknown";

    SET(why, "%s", f->detail);
    if (item->has_row && import_judge(d->engine, &item->row, &err) < 0) {
        item->has_row = false;
        SET(why, "%.390s", err.msg);
    }
    if (f->since_ms > 0) format_time(f->since_ms, since);
    SET(f->object, "VM '%s' (id %lld)", *f->name ? f->name : "?", (long long)f->id);
    SET(f->detail, "the registry does not know it; process %lld since %s%s%.280s", (long long)f->pid, since,
        item->has_row ? ", its record is complete" : "; cannot be taken in: ", item->has_row ? "" : why);
    if (item->has_row && *item->row.deployment) {
        SET(why, "%s", f->detail);
        SET(f->detail, "%.240s; it was a replica of deployment '%s', which decides over it once it is taken in", why,
            item->row.deployment);
    }
    SET(f->remedy, "%s",
        item->has_row ? "`volar doctor --fix` takes it in"
                      : "`volar doctor --fix --end-strangers` ends it and removes its folder");
    f->fixable = item->has_row || d->end_strangers;
}

/* Of a VM; false if it is not so any more. */
static bool say_vm(const struct drift *d, struct item *item)
{
    struct vm *vm = engine_vm_by_id(d->engine, item->finding.id);
    bool wants_live = !str_eq(item->finding.kind, "running");

    if (!vm || vm->busy || vm->live != wants_live || vm->vmm_gone) return false;
    SET(item->finding.object, "VM '%s'", vm->row.name);
    SET(item->finding.name, "%s", vm->row.name);
    return true;
}

static bool same_json(const char *a, const char *b)
{
    json_auto_t *x = NULL, *y = NULL;

    return str_eq(a, b) || (json_parse(a, strlen(a), "", &x, NULL) == 0 &&
                            json_parse(b, strlen(b), "", &y, NULL) == 0 && json_equal(x, y));
}

/* An older registry was put back, or it was configured and not started since. */
static bool say_configuration(const struct drift *d, struct item *item)
{
    const struct vm *vm = engine_vm_by_id(d->engine, item->finding.id);
    const struct vm_row *has, *runs = &item->row;

    if (!vm || !say_vm(d, item)) return false;
    has = &vm->row;
    if (!str_eq(has->boot, runs->boot)) return false;
    if (has->cpu_cores == runs->cpu_cores && has->memory_mb == runs->memory_mb && str_eq(has->plugin, runs->plugin) &&
        same_json(has->config, runs->config) && same_json(has->manifest, runs->manifest))
        return false;
    SET(item->finding.detail,
        "it runs with another configuration than it has now (%lld vCPUs, %lld MB; now %lld vCPUs, %lld MB): that "
        "counts from its next start on",
        (long long)runs->cpu_cores, (long long)runs->memory_mb, (long long)has->cpu_cores, (long long)has->memory_mb);
    SET(item->finding.remedy, "`volar vms restart %s`", vm->row.name);
    return true;
}

static bool is_still_so(const struct drift *d, struct item *item)
{
    const char *kind = item->finding.kind;

    if (str_eq(kind, "configuration")) return say_configuration(d, item);
    if (str_eq(kind, "running") || str_eq(kind, "ended") || str_eq(kind, "folder_gone")) return say_vm(d, item);
    if (item->finding.id > 0 && engine_vm_by_id(d->engine, item->finding.id)) return false; /* made meanwhile */
    if (str_eq(kind, "stranger")) say_stranger(d, item);
    return true;
}

static void judge_items(struct drift *d)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n_items; i++) {
        struct item item = d->items[i];

        if (is_still_so(d, &item))
            d->items[kept++] = item;
        else
            vm_row_done(&item.row);
    }
    d->n_items = kept;
}

static void judge_rows(struct drift *d)
{
    const struct store_orphans *o = &d->orphans;
    struct item *item;

    if (d->unread && (item = drift_add(d, "row", true, NULL))) {
        SET(item->finding.object, "registry");
        SET(item->finding.detail,
            "it has rows that this volantd cannot read: a newer one wrote them, or they are damaged");
        SET(item->finding.remedy, "volantd's log names them; what no readable row refers to is left alone meanwhile");
    }
    if (o->leases + o->ports + o->versions + o->configs == 0 || !(item = drift_add(d, "rows", false, fix_rows))) return;
    SET(item->finding.object, "registry");
    SET(item->finding.detail, "%lld leases, %lld ports and %lld versions of VMs and deployments that are not there",
        (long long)o->leases, (long long)o->ports, (long long)(o->versions + o->configs));
    SET(item->finding.remedy, "`volar doctor --fix` removes them");
}

static bool has_strangers(const struct drift *d)
{
    for (size_t i = 0; i < d->n_items; i++)
        if (str_eq(d->items[i].finding.kind, "stranger")) return true;
    return false;
}

/* A stranger that becomes a VM again needs its artifact; who may need what is not known of all of them. */
static void judge_artifacts(struct drift *d)
{
    bool strangers = has_strangers(d);
    char checksum[sizeof("sha256:") + SHA256_HEX];

    for (size_t i = 0; i < d->old.len && !d->unread; i++) {
        const char *hex = d->old.items[i];
        struct item *item;
        size_t k = 0;

        if (!*hex) continue;
        while (k < i && !str_eq(d->old.items[k], hex))
            k++;
        SET(checksum, "sha256:%s", hex);
        if (k < i || artifact_wanted(d->engine, checksum) || artifact_going(d->engine, checksum)) continue;
        if (!(item = drift_add(d, "artifact", false, strangers ? NULL : fix_artifact))) return;
        SET(item->hex, "%s", hex);
        SET(item->finding.object, "artifact sha256:%.16s", hex);
        SET(item->finding.detail, "no plugin and no VM refers to it (sha256:%s)%s", hex,
            d->engine->cfg.former ? "; the registry that a restore replaced, which is kept beside it, may" : "");
        SET(item->finding.remedy, "%s",
            strangers ? "take in or end the strangers first, one may need it" : "`volar doctor --fix` removes it");
    }
}

/* How long a status may last; 0: for ever. See transition.c. */
static int64_t longest_ms(const struct vm *vm)
{
    const struct engine_config *cfg = &vm->engine->cfg;
    const int64_t end = (int64_t)cfg->quit_ms + cfg->term_ms + 20000, slack = 30000;

    switch (vm->status) {
    case VM_PENDING:
        if (vm->desire != DESIRE_RUNNING || mono_ms() < vm->wait_until_ms) return 0;
        if (cfg->boot_width > 0 && vm->engine->booting >= cfg->boot_width) return 0; /* those have a deadline */
        return vm->wait_until_ms > vm->since_ms ? vm->wait_until_ms - vm->since_ms + slack : slack;
    case VM_STARTING:
        return 2 * (int64_t)cfg->boot_deadline_ms + 2 * end + slack;
    case VM_STOPPING:
        return cfg->stop_grace_ms + end + slack;
    default:
        return 0;
    }
}

static void judge_stuck(struct drift *d)
{
    for (struct vm *vm = d->engine->vms; vm; vm = vm->next) {
        int64_t longest = longest_ms(vm), since = mono_ms() - vm->since_ms;
        struct item *item;

        if (longest == 0 || since <= longest || !(item = drift_add(d, "stuck", true, vm->busy ? NULL : fix_vm)))
            continue;
        item->finding.id = vm->row.id;
        SET(item->finding.name, "%s", vm->row.name);
        SET(item->finding.object, "VM '%s'", vm->row.name);
        SET(item->finding.detail, "it is %s since %lld s, and should not be for more than %lld s",
            vm_status_name(vm->status), (long long)since / 1000, (long long)longest / 1000);
        SET(item->finding.remedy, "%s",
            vm->busy ? "restart volantd: VMs go on" : "`volar doctor --fix` looks at it anew");
    }
}

static void count_strangers(const struct drift *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_items; i++)
        n += str_eq(d->items[i].finding.kind, "stranger");
    d->engine->strangers = n;
}

void drift_judge(struct drift *d)
{
    judge_items(d);
    judge_rows(d);
    judge_artifacts(d);
    judge_stuck(d);
    count_strangers(d);
}
