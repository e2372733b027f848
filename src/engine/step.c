/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconciler of one VM: what is to be done next, given what is desired, what is committed and what was observed;
 * and the requests of clients, which only ever change what is desired.
 *
 *   pending --> starting --> running --> stopping --> stopped
 *                  |            |            '------> pending   (restart)
 *                  |            '-----> stopped | crashed       (the workload or the VMM ended)
 *                  '-----> failed | stopped | crashed
 */
#include "engine/vm.h"

#include <string.h>

#include "base/log.h"

#define BOOT_ATTEMPTS 2

/* --- what clients want -------------------------------------------------------------------------------------------- */

int vm_intend(struct vm *vm, enum intent_kind kind, struct configure *c, struct waiter *w)
{
    struct intent *i = calloc(1, sizeof(*i)), **at = &vm->intents;

    if (!i) return -ENOMEM;
    i->kind = kind;
    i->waiter = w;
    i->configure = c;
    while (*at)
        at = &(*at)->next;
    *at = i;
    return 0;
}

void intent_free(struct intent *i)
{
    configure_free(i->configure);
    free(i);
}

static struct intent *intent_pop(struct vm *vm)
{
    struct intent *i = vm->intents;

    vm->intents = i->next;
    vm->admitted = false; /* it is desired to run now, or was not to be */
    return i;
}

/* The head of the queue is committed: its waiter now waits for the VM. */
static void intent_done(struct vm *vm)
{
    struct intent *i = intent_pop(vm);

    if (i->waiter) vm_add_waiter(vm, i->waiter);
    intent_free(i);
}

/* Nothing had to be committed. */
static void intent_done_already(struct vm *vm)
{
    intent_done(vm);
    vm_settle(vm);
    vm_step(vm);
}

static void intent_failed(struct vm *vm, int r, const struct vl_error *err)
{
    struct intent *i = intent_pop(vm);

    if (i->waiter) waiter_end(i->waiter, r, err, NULL);
    intent_free(i);
    vm_step(vm);
}

static void intent_refuse(struct vm *vm, const char *what)
{
    struct vl_error err = {0};
    int r = vl_fail(&err, VL_CONFLICT, "VM '%s' %s", vm->row.name, what);

    intent_failed(vm, r, &err);
}

static void start_done(struct vm *vm)
{
    vm->attempts = 0;
    vm->token_fresh = vm->status == VM_STARTING;
    intent_done(vm);
}

/* The token has to stay until the commit has begun. */
static void change_start(const struct vm *vm, struct vm_change *c, char token[static BOOT_TOKEN_LEN + 1])
{
    c->desire = DESIRE_RUNNING;
    if (!vm_status_ended(vm->status)) return; /* it is stopping: what ends comes back, as in a restart */
    random_token(token);
    c->status = VM_STARTING;
    c->boot = token;
    c->reason = "";
    c->clear_exit_code = true;
    c->event = "VM_STARTING";
    c->message = "vm starting";
}

static void change_restart(const struct vm *vm, struct vm_change *c, char token[static BOOT_TOKEN_LEN + 1])
{
    if (vm_status_ended(vm->status)) {
        change_start(vm, c, token);
        return;
    }
    c->desire = DESIRE_RUNNING;
    c->status = VM_STOPPING;
    c->event = "VM_STOPPING";
    c->message = "vm restarting";
}

static void intent_start(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    struct vl_error err = {0};
    char token[BOOT_TOKEN_LEN + 1];
    int r;

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if (vm->desire == DESIRE_RUNNING && vm->status == VM_RUNNING) return intent_refuse(vm, "is already running");
    if (vm->desire == DESIRE_RUNNING && !vm_status_ended(vm->status)) return intent_refuse(vm, "is already starting");
    if ((r = vm_admit(vm, &err)) < 0) return intent_failed(vm, r, &err);
    change_start(vm, &c, token);
    vm_commit(vm, &c, start_done, intent_failed);
}

static void intent_stop(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if (vm->status == VM_STOPPED || (vm->status == VM_STOPPING && vm->desire == DESIRE_STOPPED))
        return intent_done_already(vm);
    c.desire = DESIRE_STOPPED;
    /* Contract 1.4: what was asked to stop is `stopped`, also if it had crashed; the reason stays. */
    c.status = vm->live || vm->status == VM_STARTING || vm->status == VM_RUNNING ? VM_STOPPING : VM_STOPPED;
    c.event = c.status == VM_STOPPED ? "VM_STOPPED" : "VM_STOPPING";
    c.message = "vm stopping";
    vm_commit(vm, &c, intent_done, intent_failed);
}

static void intent_restart(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    struct vl_error err = {0};
    char token[BOOT_TOKEN_LEN + 1];
    int r;

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if ((r = vm_admit(vm, &err)) < 0) return intent_failed(vm, r, &err);
    change_restart(vm, &c, token);
    vm_commit(vm, &c, start_done, intent_failed);
}

static void configure_done(struct vm *vm)
{
    struct configure *c = vm->intents->configure;

    configure_apply(vm, c);
    if (configure_restarts(c))
        start_done(vm);
    else
        intent_done(vm);
}

static void intent_configure(struct vm *vm)
{
    struct configure *config = vm->intents->configure;
    struct vm_change c = vm_change_of(vm);
    struct vl_error err = {0};
    char token[BOOT_TOKEN_LEN + 1];
    int r;

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if ((r = configure_judge(vm, config, &c.also, &err)) < 0) return intent_failed(vm, r, &err);
    if (configure_restarts(config)) change_restart(vm, &c, token);
    vm_commit(vm, &c, configure_done, intent_failed);
}

static void intent_delete(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    if (vm->desire == DESIRE_DELETED) return intent_done_already(vm);
    c.desire = DESIRE_DELETED;
    vm_commit(vm, &c, intent_done, intent_failed);
}

static void intent_apply(struct vm *vm)
{
    static void (*const apply[])(struct vm *) = {
        [INTENT_START] = intent_start,   [INTENT_STOP] = intent_stop,           [INTENT_RESTART] = intent_restart,
        [INTENT_DELETE] = intent_delete, [INTENT_CONFIGURE] = intent_configure,
    };

    vm->intents->taken = true;
    apply[vm->intents->kind](vm);
}

/* --- what has to be done ------------------------------------------------------------------------------------------ */

static void boot_failed(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    c.desire = DESIRE_STOPPED;
    c.status = VM_FAILED;
    c.reason = *vm->reason_now ? vm->reason_now : "the VM could not be booted";
    c.pid = 0;
    c.event = "VM_FAILED";
    c.message = c.reason;
    vm_commit(vm, &c, NULL, NULL);
}

/* A launch whose commit failed, or was cut off by a crash. */
static void record_process(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    vm_commit(vm, &c, NULL, NULL);
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
        boot_failed(vm);
    else if (vm->token_fresh)
        vm_launch(vm);
    else
        vm_begin_boot(vm);
}

static void step_stopping(struct vm *vm)
{
    if (!vm->live)
        vm_collect(vm);
    else if (vm->late || !vm->agent_up || !manifest_has_agent(&vm->manifest))
        vm_end_vmm(vm);
    else if (vm->stop_asked)
        return;
    else if (engine_vm_guest(vm))
        vm_ask_stop(vm);
    else
        vm_await_agent(vm); /* it was there a moment ago: the workload shall have its SIGTERM */
}

void vm_step(struct vm *vm)
{
    bool ended = vm->vmm_gone || (vm->status == VM_RUNNING && !vm->live);

    if (vm->busy || vm->engine->closing) return;
    if (ended)
        vm_collect(vm);
    else if (vm->intents)
        intent_apply(vm);
    else if (vm->desire == DESIRE_DELETED)
        vm->live ? vm_end_vmm(vm) : vm_erase(vm);
    else if (vm->status == VM_PENDING)
        vm_begin_boot(vm);
    else if (vm->status == VM_STARTING)
        step_starting(vm);
    else if (vm->status == VM_STOPPING)
        step_stopping(vm);
    else if (vm->live && vm->late)
        vm_end_vmm(vm); /* its workload has ended long ago */
}
