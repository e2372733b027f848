/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients want of a VM, one thing after the other: each is judged when its turn has come, and changes in one
 * transaction what is desired and what follows at once. The steps after that are the reconciler's (step.c).
 */
#include <string.h>

#include "base/crash.h"
#include "engine/vm.h"

int vm_intend(struct vm *vm, const struct intent *what)
{
    struct intent *i = malloc(sizeof(*i)), **at = &vm->intents;

    if (!i) return -ENOMEM;
    *i = *what;
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
    CRASH_POINT("start.committed");
    vm->attempts = 0;
    vm->token_fresh = vm->status == VM_STARTING;
    intent_done(vm);
}

/* What was taken for a start that is not to be. */
static void start_failed(struct vm *vm, int r, const struct vl_error *err)
{
    if (vm->status != VM_STARTING) vm_slot_release(vm);
    intent_failed(vm, r, err);
}

/*
 * With a free slot it is `starting` in the same transaction, else in the queue; what is being stopped comes back when
 * it has ended, as in a restart. The token has to stay until the commit has begun. However often it was restarted
 * before: a client's word begins anew.
 */
static void change_start(struct vm *vm, struct vm_change *c, char token[static BOOT_TOKEN_LEN + 1])
{
    c->desire = DESIRE_RUNNING;
    c->restarts = c->not_before_ms = 0;
    if (!vm_status_ended(vm->status) && vm->status != VM_PENDING) return;
    c->reason = "";
    c->clear_exit_code = true;
    c->status = VM_PENDING;
    c->event = "VM_STARTING";
    if (vm->status == VM_PENDING || !vm_slot_take(vm)) return;
    random_token(token);
    c->status = VM_STARTING;
    c->boot = token;
}

static void change_restart(struct vm *vm, struct vm_change *c, char token[static BOOT_TOKEN_LEN + 1])
{
    change_start(vm, c, token);
    if (vm_status_ended(vm->status) || vm->status == VM_PENDING) return;
    c->status = VM_STOPPING;
    c->reason = ""; /* with one it would be ended for that (end.c) */
    c->message = "vm restarting";
}

static void intent_start(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    struct vl_error err = {0};
    char token[BOOT_TOKEN_LEN + 1];
    bool waits = vm->status == VM_PENDING && vm->row.not_before_ms > 0; /* for its next try: it need not */
    int r;

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if (vm->status == VM_PAUSED) return intent_refuse(vm, "is paused: resume it with `volar vms unpause`");
    if (vm->desire == DESIRE_RUNNING && vm->status == VM_RUNNING) return intent_refuse(vm, "is already running");
    if (vm->desire == DESIRE_RUNNING && !vm_status_ended(vm->status) && !waits)
        return intent_refuse(vm, "is already starting");
    if ((r = vm_admit(vm, &err)) < 0) return intent_failed(vm, r, &err);
    change_start(vm, &c, token);
    vm_commit(vm, &c, start_done, start_failed);
}

static void stop_done(struct vm *vm)
{
    CRASH_POINT("stop.committed");
    intent_done(vm);
}

static void intent_stop(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    bool up = vm->live || vm->status == VM_STARTING || vm->status == VM_RUNNING || vm->status == VM_PAUSED;

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if (vm->status == VM_STOPPED || (vm->status == VM_STOPPING && vm->desire == DESIRE_STOPPED))
        return intent_done_already(vm);
    c.desire = DESIRE_STOPPED;
    /* Contract 1.4: what was asked to stop is `stopped`, also if it had crashed; the reason of that stays. */
    c.status = up ? VM_STOPPING : VM_STOPPED;
    if (up || vm->status == VM_PENDING) c.reason = "";
    c.not_before_ms = 0;
    vm_commit(vm, &c, stop_done, intent_failed);
}

static void restart_done(struct vm *vm)
{
    CRASH_POINT("restart.committed");
    start_done(vm);
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
    vm_commit(vm, &c, restart_done, start_failed);
}

static void pause_recorded(struct vm *vm)
{
    CRASH_POINT("pause.committed");
    intent_done(vm);
}

static void intent_pause(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if (vm->status == VM_PAUSED) return intent_refuse(vm, "is paused already");
    if (vm->status != VM_RUNNING) return intent_refuse(vm, "is not running");
    c.status = VM_PAUSED;
    vm_commit(vm, &c, pause_recorded, intent_failed);
}

static void resume_recorded(struct vm *vm)
{
    CRASH_POINT("resume.committed");
    vm_heard(vm); /* while it stood still it was not to be heard */
    intent_done(vm);
}

static void intent_resume(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    if (vm->desire == DESIRE_DELETED) return intent_refuse(vm, "is being deleted");
    if (vm->status != VM_PAUSED) return intent_refuse(vm, "is not paused");
    c.status = VM_RUNNING;
    vm_commit(vm, &c, resume_recorded, intent_failed);
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
    vm_commit(vm, &c, configure_done, start_failed);
}

static void delete_done(struct vm *vm)
{
    CRASH_POINT("delete.committed");
    intent_done(vm);
}

static void intent_delete(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    if (vm->desire == DESIRE_DELETED) return intent_done_already(vm);
    if (vm->intents->updated_ms && vm->intents->updated_ms != vm->row.updated_ms)
        return intent_refuse(vm, "has changed since, and is left alone: look at it again");
    c.desire = DESIRE_DELETED;
    vm_commit(vm, &c, delete_done, intent_failed);
}

void vm_intent_apply(struct vm *vm)
{
    static void (*const apply[])(struct vm *) = {
        [INTENT_START] = intent_start,   [INTENT_STOP] = intent_stop,           [INTENT_RESTART] = intent_restart,
        [INTENT_DELETE] = intent_delete, [INTENT_CONFIGURE] = intent_configure, [INTENT_PAUSE] = intent_pause,
        [INTENT_RESUME] = intent_resume,
    };

    vm->intents->taken = true;
    apply[vm->intents->kind](vm);
}
