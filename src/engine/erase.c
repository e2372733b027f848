/* SPDX-License-Identifier: Apache-2.0 */
/* Forgetting a VM whose VMM is gone: first its folder, then its row with address and ports, then memory. */
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"

#define ERASE_RETRY_MS 1000

struct erase {
    struct job job;
    struct store_op op;
    struct vm *vm;
    int r;
    struct vl_error err;
};

static void erase_later(struct vm *vm, const struct vl_error *err)
{
    log_err("vm=%s: cannot delete yet: %s", vm->row.name, err->msg);
    vm_step_later(vm, ERASE_RETRY_MS);
}

static int forget_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct erase *e = container_of(op, struct erase, op);
    int r;

    if ((r = store_vm_delete(tx, e->vm->row.id, err)) < 0) return r;
    CRASH_POINT("delete.row_marked");
    return store_event_add(tx, e->vm->row.id, e->vm->row.name, "VM_DELETED", "stopped", "vm deleted", wall_ms(), err);
}

/* Those who waited for this get what they wanted, all others hear why they cannot. */
static void answer_all(struct vm *vm)
{
    struct vl_error err = {0};
    int r = vl_fail(&err, VL_NOT_FOUND, "VM '%s' was deleted", vm->row.name);

    while (vm->waiters) {
        struct waiter *w = vm->waiters;

        vm->waiters = w->next;
        waiter_end(w, w->what == WAIT_GONE ? 0 : r, w->what == WAIT_GONE ? NULL : &err, NULL);
    }
    while (vm->intents) {
        struct intent *i = vm->intents;

        vm->intents = i->next;
        if (i->waiter) waiter_end(i->waiter, i->kind == INTENT_DELETE ? 0 : r, &err, NULL);
        intent_free(i);
    }
}

static void forget_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct erase *e = container_of(op, struct erase, op);
    struct vm *vm = e->vm;
    struct engine *engine = vm->engine;

    vm->busy = false;
    if (r < 0 && !engine->closing) erase_later(vm, err);
    free(e);
    if (r < 0 || engine->closing) return;
    log_info("vm=%s deleted", vm->row.name);
    CRASH_POINT("delete.row_removed");
    vm_remove(vm);
    answer_all(vm);
    CRASH_POINT("delete.answered");
    vm_gone(vm);
    artifact_release(engine, manifest_checksum(&vm->manifest));
    vm_free(vm);
}

static void folder_run(struct job *j)
{
    struct erase *e = container_of(j, struct erase, job);
    const struct engine_config *cfg = &e->vm->engine->cfg;
    struct vmm_exit last = {0};
    struct vmm_run run;

    e->r = 0;
    /* Whatever we believe of it: nobody would find it again. */
    if (vmm_run_read(e->vm->dir, &run, NULL) == 0 ||
        vmm_run_rebuild(cfg->host, e->vm->row.id, e->vm->row.boot, &run) == 0)
        e->r = vmm_end(e->vm->dir, &run, cfg->quit_ms, cfg->term_ms, &e->err);
    if (e->r < 0) return;
    /* Its shim writes into the folder until it ends. */
    if (e->r != VMM_END_NOTHING && vmm_exit_wait(e->vm->dir, &run, mono_ms() + cfg->shim_ms, &last, NULL) == 0)
        vmm_exit_done(&last);
    CRASH_POINT("delete.vmm_ended");
    (void)vmm_cgroup_remove(cfg->host, e->vm->row.id);
    e->r = vmm_folder_remove(cfg->vms_dir, e->vm->row.id, &e->err);
}

static void folder_done(struct job *j, bool cancelled)
{
    struct erase *e = container_of(j, struct erase, job);
    struct vm *vm = e->vm;

    if (cancelled || e->r < 0 || vm->engine->closing) {
        vm->busy = false;
        if (!cancelled && e->r < 0) erase_later(vm, &e->err);
        free(e);
        return;
    }
    CRASH_POINT("delete.folder_removed");
    e->op = (struct store_op){.run = forget_run, .done = forget_done};
    store_post(vm->engine->cfg.store, &e->op);
}

void vm_erase(struct vm *vm)
{
    struct erase *e = calloc(1, sizeof(*e));
    struct vl_error err = {0};
    int r = -ENOMEM;

    if (e) {
        e->vm = vm;
        e->job = (struct job){.run = folder_run, .done = folder_done};
        if ((r = pool_submit(vm->engine->pool, &e->job)) == 0) {
            vm->busy = true;
            return;
        }
    }
    free(e);
    (void)vl_fail_errno(&err, r, "worker");
    erase_later(vm, &err);
}
