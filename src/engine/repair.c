/* SPDX-License-Identifier: Apache-2.0 */
/* What mends a finding: one after the other, so that each sees what the one before it did. */
#include <string.h>

#include "base/crash.h"
#include "base/log.h"
#include "engine/drift.h"

void drift_repair(struct drift *d)
{
    struct item *item;

    while (d->at < d->n_items && !d->engine->closing) {
        item = &d->items[d->at];
        if (item->finding.fixable && item->fix) {
            item->fix(d, item);
            return; /* drift_fixed goes on */
        }
        d->at++;
    }
    drift_end(d, 0, NULL);
}

void drift_fixed(struct drift *d, int r, const struct vl_error *err, const char *done)
{
    struct finding *f = &d->items[d->at].finding;

    CRASH_POINT("repair.mended");
    if (r < 0) {
        (void)strf(f->failed, sizeof(f->failed), "%.390s", err && *err->msg ? err->msg : vl_strerror(-r));
        log_warn("repair: %s: cannot mend: %s", f->object, f->failed);
    } else {
        (void)strf(f->done, sizeof(f->done), "%.230s", done);
        log_info("repair: %s: %s", f->object, f->done);
    }
    d->at++;
    drift_repair(d);
}

void fix_stranger(struct drift *d, struct item *item)
{
    if (item->has_row)
        import_begin(d, item);
    else
        evict_begin(d, item);
}

/* --- on a worker -------------------------------------------------------------------------------------------------- */

static void mend_done(struct job *j, bool cancelled)
{
    struct drift *d = container_of(j, struct drift, job);

    drift_fixed(d, cancelled ? -ECANCELED : d->r, &d->err, "removed");
}

static void mend(struct drift *d, void (*run)(struct job *j))
{
    int r;

    d->r = 0;
    d->err = (struct vl_error){0};
    d->job = (struct job){.run = run, .done = mend_done};
    if ((r = pool_submit(d->engine->pool, &d->job)) < 0) drift_fixed(d, r, NULL, NULL);
}

/* Looks once more: nobody has a folder of this id, but a stranger might have come to life in it. */
static void folder_run(struct job *j)
{
    struct drift *d = container_of(j, struct drift, job);
    const char *vms_dir = d->engine->cfg.vms_dir;
    int64_t id = d->items[d->at].finding.id;
    struct vmm_run run;
    char dir[512];

    if (strf(dir, sizeof(dir), "%s/%lld", vms_dir, (long long)id) >= 0 && vmm_run_read(dir, &run, NULL) == 0 &&
        vmm_run_lives(&run))
        d->r = vl_fail(&d->err, VL_CONFLICT, "process %d runs there", (int)run.vmm.pid);
    else
        d->r = vmm_folder_remove(vms_dir, id, &d->err);
}

void fix_folder(struct drift *d, struct item *item)
{
    (void)item;
    mend(d, folder_run);
}

static void cgroup_run(struct job *j)
{
    struct drift *d = container_of(j, struct drift, job);

    d->r = vmm_cgroup_remove(d->engine->cfg.host, d->items[d->at].finding.id);
    if (d->r == -EBUSY)
        (void)vl_fail(&d->err, VL_CONFLICT, "there are processes in it");
    else if (d->r > 0)
        d->r = 0;
}

void fix_cgroup(struct drift *d, struct item *item)
{
    (void)item;
    mend(d, cgroup_run);
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static int rows_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    (void)op;
    return store_orphans_remove(tx, err);
}

static void rows_done(struct store_op *op, int r, const struct vl_error *err)
{
    drift_fixed(container_of(op, struct drift, op), r, err, "removed");
}

void fix_rows(struct drift *d, struct item *item)
{
    (void)item;
    d->op = (struct store_op){.run = rows_run, .done = rows_done};
    store_post(d->engine->cfg.store, &d->op);
}

void fix_artifact(struct drift *d, struct item *item)
{
    char checksum[sizeof("sha256:") + SHA256_HEX];

    (void)strf(checksum, sizeof(checksum), "sha256:%s", item->hex);
    artifact_release(d->engine, checksum);
    if (artifact_going(d->engine, checksum))
        drift_fixed(d, 0, NULL, "is being removed");
    else
        drift_fixed(d, -EBUSY, NULL, NULL);
}

void fix_vm(struct drift *d, struct item *item)
{
    struct vm *vm = engine_vm_by_id(d->engine, item->finding.id);

    if (!vm || vm->busy) {
        drift_fixed(d, 0, NULL, "it has moved meanwhile");
        return;
    }
    if (str_eq(item->finding.kind, "running"))
        vm_adopt(vm);
    else if (str_eq(item->finding.kind, "ended"))
        vm->vmm_gone = true;
    vm_step(vm);
    drift_fixed(d, 0, NULL, "it is looked at anew");
}
