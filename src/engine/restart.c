/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows the end of a VM that was to run: nothing, another boot after a while, or the end of trying. A restart is
 * a new boot of the machine, with everything that a boot has; the guest never restarts a workload.
 */
#include "base/clock.h"
#include "engine/vm.h"

enum restart_policy vm_restart_policy(const struct vm *vm)
{
    enum restart_policy policy = RESTART_NO;

    if (vm->config.auto_remove) return RESTART_NO; /* whatever its image would like */
    /* Both were checked against the list when they were decoded. */
    (void)restart_policy_parse(vm->config.restart ? vm->config.restart : vm->manifest.restart, &policy);
    return policy;
}

static bool comes_back(enum restart_policy policy, enum vm_status end)
{
    return policy == RESTART_ALWAYS || (policy == RESTART_ON_FAILURE && end != VM_STOPPED);
}

/* By the wall clock, as volantd may have been away; a jump of it costs or gives a few tries, no more. */
static bool stayed_up(const struct vm *vm)
{
    return vm->row.started_ms > 0 && wall_ms() - vm->row.started_ms >= vm->engine->cfg.restart.stable_ms;
}

static int64_t delay_ms(const struct restart_times *t, int64_t restarts)
{
    int64_t ms = t->first_ms;

    while (restarts-- > 0 && ms < t->max_ms)
        ms *= 2;
    return ms < t->max_ms ? ms : t->max_ms;
}

static void give_up(const struct vm *vm, const struct verdict *v, struct vm_change *c, char *reason, size_t size)
{
    (void)strf(reason, size, "crash_loop: ended %lld times in a row, last: %.250s; mend it, then `volar vms start %s`",
               (long long)vm->row.restarts + 1, v->reason, vm->row.name);
    c->status = VM_FAILED;
    c->desire = DESIRE_STOPPED;
    c->event = "VM_FAILED";
}

void vm_restart_decide(const struct vm *vm, const struct verdict *v, struct vm_change *c, char *reason, size_t size)
{
    const struct restart_times *t = &vm->engine->cfg.restart;
    int64_t before = stayed_up(vm) ? 0 : vm->row.restarts, delay = delay_ms(t, before);

    c->reason = reason;
    c->event = v->event;
    (void)strf(reason, size, "%s", v->reason);
    if (!comes_back(vm_restart_policy(vm), v->status)) {
        c->status = v->status;
        c->desire = DESIRE_STOPPED;
    } else if (before >= t->limit) {
        give_up(vm, v, c, reason, size);
    } else {
        (void)strf(reason, size, "starting again in %lld.%lld s (%lld of %d): %.250s", (long long)delay / 1000,
                   (long long)delay % 1000 / 100, (long long)before + 1, t->limit, v->reason);
        c->status = VM_PENDING;
        c->restarts = before + 1;
        c->not_before_ms = wall_ms() + delay;
    }
}
