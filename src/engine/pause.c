/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping and continuing a VM's vCPUs. What is wanted is committed first (the status), then the VMM is told: a crash
 * in between leaves a difference that the next step sees and ends.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"

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

    p->r = vmm_pause(p->vm->dir, p->paused, mono_ms() + p->vm->engine->cfg.monitor_ms, &p->err);
}

/* Who asked hears why, and what to do: a VMM that does not answer is no mistake of theirs. */
static void refuse(struct vm *vm, enum wait_for what, const char *doing, struct vl_error *err)
{
    (void)vl_wrap(err, "VM '%s' cannot be %s, `volar vms restart %s` ends it if its VMM hangs", vm->row.name, doing,
                  vm->row.name);
    err->kind = VL_UNAVAILABLE;
    log_warn("%s", err->msg);
    vm_fail_waiters(vm, what, err);
}

/* It runs, says the row; nobody knows what the VMM made of it, so it is told to go on. */
static void pause_failed(struct vm *vm, struct vl_error *err)
{
    struct vm_change c = vm_change_of(vm);

    refuse(vm, WAIT_PAUSED, "paused", err);
    vm->paused = true;
    vm_heard(vm);
    c.status = VM_RUNNING;
    vm_commit(vm, &c, NULL, NULL);
}

static void not_continued(struct vm *vm, struct vl_error *err)
{
    refuse(vm, WAIT_RUNNING, "resumed", err);
    if (vm->status == VM_STOPPING) {
        vm->late = vm->agent_refused = true; /* its workload cannot be told */
        vm_step(vm);
    } else {
        vm_step_later(vm, RETRY_MS);
    }
}

/* Its clock stood still, its channel may have been given up, and nothing that it did not say counts. */
static void goes_on(struct vm *vm)
{
    vm_heard(vm);
    hang_watch(vm->engine);
    vm_begin_budget(vm);
    if (!vm->guest) return;
    if (guest_is_up(vm->guest))
        (void)guest_sync_clock(vm->guest);
    else
        vm_try_agent(vm);
}

static void told(struct vm *vm, bool paused)
{
    vm->paused = paused;
    if (paused)
        vm_stop_budget(vm);
    else
        goes_on(vm);
    vm_settle(vm);
    vm_step(vm);
}

static void pause_done(struct job *j, bool cancelled)
{
    struct pause_job *p = container_of(j, struct pause_job, job);
    struct vm *vm = p->vm;

    vm->busy = false;
    if (!cancelled && !vm->engine->closing) {
        CRASH_POINT("pause.told");
        if (p->r == 0)
            told(vm, p->paused);
        else if (vm->vmm_gone)
            vm_step(vm);
        else if (p->paused)
            pause_failed(vm, &p->err);
        else
            not_continued(vm, &p->err);
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
