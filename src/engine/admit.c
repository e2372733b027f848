/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fits on this host. A VM has its share from the moment it is wanted to run (or judged to become so) until it is
 * not wanted any more, whether its process is there or not: so a restart always fits, and what is promised can be kept.
 */
#include "base/io.h"
#include "engine/draft.h"

struct share {
    int64_t memory_mb, vcpus;
};

/* As far as anybody could have: both numbers are far below what they are multiplied with. */
static struct share capacity(const struct engine *e)
{
    const struct admission *a = &e->cfg.admission;
    int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE), cores = sysconf(_SC_NPROCESSORS_ONLN);

    return (struct share){.memory_mb = (pages * page >> 20) * a->memory_percent / 100,
                          .vcpus = (cores > 0 ? cores : 1) * a->vcpus_per_core};
}

static const struct draft *draft_of(const struct engine *e, const struct vm *vm)
{
    const struct draft *d = e->drafts;

    while (d && d->vm != vm)
        d = d->next;
    return d;
}

static void add(struct share *s, int64_t memory_mb, int64_t vcpus)
{
    s->memory_mb += memory_mb;
    s->vcpus += vcpus;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* All shares but that of one VM (NULL: all). */
static struct share taken(const struct engine *e, const struct vm *but)
{
    struct share s = {0};

    for (const struct vm *vm = e->vms; vm; vm = vm->next) {
        const struct draft *d;
        bool runs, will;

        if (vm == but) continue;
        d = draft_of(e, vm);
        runs = vm->desire == DESIRE_RUNNING || vm->admitted;
        will = d && d->to_run;
        if (!runs && !will) continue;
        add(&s, larger(runs ? vm->row.memory_mb : 0, will ? d->row.memory_mb : 0),
            larger(runs ? vm->row.cpu_cores : 0, will ? d->row.cpu_cores : 0));
    }
    for (const struct draft *d = e->drafts; d; d = d->next)
        if (!d->vm && d->to_run) add(&s, d->row.memory_mb, d->row.cpu_cores);
    return s;
}

int admit(const struct engine *e, const char *name, const struct vm *vm, int64_t memory_mb, int64_t vcpus,
          struct vl_error *err)
{
    const struct admission *a = &e->cfg.admission;
    struct share all = capacity(e), gone = taken(e, vm);

    if (a->memory_percent > 0 && gone.memory_mb + memory_mb > all.memory_mb)
        return vl_fail(err, VL_CONFLICT,
                       "VM '%s' needs %lld MB, %lld MB of %lld MB are left for VMs (VOLANT_MEMORY_OVERCOMMIT %d.%02d): "
                       "stop another VM, give it less memory, or raise the setting",
                       name, (long long)memory_mb, (long long)larger(all.memory_mb - gone.memory_mb, 0),
                       (long long)all.memory_mb, a->memory_percent / 100, a->memory_percent % 100);
    if (a->vcpus_per_core > 0 && gone.vcpus + vcpus > all.vcpus)
        return vl_fail(err, VL_CONFLICT,
                       "VM '%s' needs %lld vCPUs, %lld of %lld are left for VMs (VOLANT_CPU_OVERCOMMIT %d per core): "
                       "stop another VM, give it fewer, or raise the setting",
                       name, (long long)vcpus, (long long)larger(all.vcpus - gone.vcpus, 0), (long long)all.vcpus,
                       a->vcpus_per_core);
    return 0;
}

int vm_admit(struct vm *vm, struct vl_error *err)
{
    struct engine *e = vm->engine;
    int r;

    if ((r = engine_disk_check(e, err)) < 0) return r;
    if (vm->desire != DESIRE_RUNNING && (r = admit(e, vm->row.name, vm, vm->row.memory_mb, vm->row.cpu_cores, err)) < 0)
        return r;
    vm->admitted = true;
    return 0;
}

int engine_disk_check(const struct engine *e, struct vl_error *err)
{
    const struct admission *a = &e->cfg.admission;
    uint64_t room;

    /* A folder that cannot be asked will fail those who write to it, and they say it better. */
    if (a->disk_floor == 0 || disk_free(a->state_dir, &room) < 0 || room >= a->disk_floor) return 0;
    return vl_fail(err, VL_NO_SPACE,
                   "%llu MB are free in %s, %llu MB are kept for the registry (VOLANT_DISK_RESERVE): make room there, "
                   "or delete VMs and plugins",
                   (unsigned long long)(room >> 20), a->state_dir, (unsigned long long)(a->disk_floor >> 20));
}

void engine_capacity(const struct engine *e, struct engine_capacity *ret)
{
    struct share all = capacity(e), gone = taken(e, NULL);

    *ret = (struct engine_capacity){.memory_mb = all.memory_mb,
                                    .memory_taken_mb = gone.memory_mb,
                                    .vcpus = all.vcpus,
                                    .vcpus_taken = gone.vcpus,
                                    .disk_reserve = e->cfg.admission.disk_floor};
    if (e->cfg.admission.state_dir) (void)disk_free(e->cfg.admission.state_dir, &ret->disk_free);
}
