/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconciler of one VM: what is to be done next, given what is desired, what is committed and what was observed.
 * The picture of its states is in transition.c; what clients ask for changes what is desired (intent.c).
 */
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"

#define BOOT_ATTEMPTS  2
#define AUTO_REMOVE_MS 5000

/* A launch whose commit failed, or was cut off by a crash. */
static void record_process(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    vm_commit(vm, &c, NULL, NULL);
}

static void auto_removed(struct vm *vm)
{
    (void)vm;
    CRASH_POINT("delete.auto_remove_committed");
}

static void step_pending(struct vm *vm)
{
    if (!vm_turn_has_come(vm)) return; /* the slot that is freed, or the back-off's timer, calls again */
    vm->attempts = 0;
    vm_begin_boot(vm);
}

static void step_starting(struct vm *vm)
{
    if (vm->live && vm->row.pid != vm->run.vmm.pid)
        record_process(vm);
    else if (vm->live && vm->agent_up)
        vm_commit_running(vm);
    else if (vm->live && vm->late)
        vm_end_vmm(vm);
    else if (vm->live)
        return; /* the agent, the deadline or the VMM's end will call again */
    else if (vm->attempts >= BOOT_ATTEMPTS)
        vm_boot_failed(vm);
    else if (vm->token_fresh)
        vm_launch(vm);
    else
        vm_begin_boot(vm);
}

/* What a running machine's guest has told, or has not, for too long. */
static void step_running(struct vm *vm)
{
    if (vm->late && !vm->paused)
        vm_end_vmm(vm); /* its workload has ended long ago */
    else if (vm->hang_news || vm->health_news || vm->over_budget)
        vm_judge_guest(vm);
    else if (vm->paused)
        vm_apply_pause(vm, false);
}

static void step_stopping(struct vm *vm)
{
    /* A guest that hangs would only be waited for. */
    if (vm->hung) vm->late = vm->agent_refused = true;
    if (!vm->live)
        vm_collect(vm);
    else if (vm->late || !vm->agent_up || !manifest_has_agent(&vm->manifest))
        vm_end_vmm(vm);
    else if (vm->paused)
        vm_apply_pause(vm, false); /* its workload shall have its SIGTERM */
    else if (vm->stop_asked)
        return;
    else if (engine_vm_guest(vm))
        vm_ask_stop(vm);
    else
        vm_await_agent(vm); /* it was there a moment ago */
}

/* --rm. Who waits for its end gets a moment to read why and with what code. */
static void step_ended(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    int64_t left = vm->since_ms + AUTO_REMOVE_MS - mono_ms();

    if (!vm->config.auto_remove || !vm->row.boot[0]) return; /* also one that was never to run yet */
    if (left > 0) return vm_step_later(vm, (int)left);
    c.desire = DESIRE_DELETED;
    vm_commit(vm, &c, auto_removed, NULL);
}

void vm_step(struct vm *vm)
{
    bool up = vm->status == VM_RUNNING || vm->status == VM_PAUSED;

    if (vm->busy || vm->engine->closing) return;
    if (vm->found)
        vm_commit_found(vm); /* also where it has just ended: then that has a beginning */
    else if (vm->vmm_gone || (up && !vm->live))
        vm_collect(vm);
    else if (vm->intents)
        vm_intent_apply(vm);
    else if (vm->desire == DESIRE_DELETED)
        vm->live ? vm_end_vmm(vm) : vm_erase(vm);
    else if (vm->status == VM_PENDING)
        step_pending(vm);
    else if (vm->status == VM_STARTING)
        step_starting(vm);
    else if (vm->status == VM_RUNNING)
        step_running(vm);
    else if (vm->status == VM_PAUSED && !vm->paused)
        vm_apply_pause(vm, true);
    else if (vm->status == VM_STOPPING)
        step_stopping(vm);
    else if (vm_status_ended(vm->status))
        step_ended(vm);
}
