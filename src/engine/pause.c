/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping and continuing a VM's vCPUs. What is wanted is committed first (the status), then the VMM is told: a crash
 * in between leaves a difference that the next step sees and ends.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"

#define PAUSE_MS 5000
#define RETRY_MS 5000

struct pause_job {
    struct job job;
    struct vm *vm;
    bool paused;
    int r;
    struct vl_error err;
};

static void pause_run(struct job *j)
{
    struct pause_job *p = container_of(j, struct pause_job, job);

    p->r = vmm_pause(p->vm->dir, p->paused, mono_ms() + PAUSE_MS, &p->err);
}

/* Back to what it is; who asked hears why. */
static void pause_failed(struct vm *vm, const struct vl_error *err)
{
    struct vm_change c = vm_change_of(vm);

    struct vl_error told = {0};

    log_warn("vm=%s: cannot be paused: %s", vm->row.name, err->msg);
    (void)vl_fail(&told, VL_UNAVAILABLE, "VM '%s' cannot be paused now: %.200s", vm->row.name, err->msg);
    vm_fail_waiters(vm, WAIT_PAUSED, &told);
    c.status = VM_RUNNING;
    vm_commit(vm, &c, NULL, NULL);
}

static void not_continued(struct vm *vm, const struct vl_error *err)
{
    log_err("vm=%s: cannot be resumed: %s", vm->row.name, err->msg);
    if (vm->status == VM_STOPPING) {
        vm->late = true; /* its workload cannot be told */
        vm_step(vm);
    } else {
        vm_step_later(vm, RETRY_MS);
    }
}

static void pause_done(struct job *j, bool cancelled)
{
    struct pause_job *p = container_of(j, struct pause_job, job);
    struct vm *vm = p->vm;

    vm->busy = false;
    if (!cancelled && !vm->engine->closing) {
        CRASH_POINT("pause.told");
        if (p->r == 0) {
            vm->paused = p->paused;
            vm_heard(vm);
            if (!p->paused && vm->guest) (void)guest_sync_clock(vm->guest);
            hang_watch(vm->engine);
            vm_settle(vm);
            vm_step(vm);
        } else if (vm->vmm_gone) {
            vm_step(vm);
        } else if (p->paused) {
            pause_failed(vm, &p->err);
        } else {
            not_continued(vm, &p->err);
        }
    }
    free(p);
}

void vm_apply_pause(struct vm *vm, bool paused)
{
    struct pause_job *p = calloc(1, sizeof(*p));

    if (p) {
        p->vm = vm;
        p->paused = paused;
        p->job = (struct job){.run = pause_run, .done = pause_done};
        vm->busy = true;
        if (pool_submit(vm->engine->pool, &p->job) == 0) return;
        vm->busy = false;
        free(p);
    }
    vm_step_later(vm, RETRY_MS);
}
