/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest says of its workload's health, and what comes of it. The check itself is run in the guest. A VM that
 * no restart policy would boot again is left as it is, and says what is wrong; except one that never became healthy in
 * the time its manifest gives it: that has failed to start.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/vm.h"

static enum health health_parse(const char *s)
{
    if (str_eq(s, "healthy")) return HEALTHY;
    if (str_eq(s, "unhealthy")) return UNHEALTHY;
    return str_eq(s, "starting") ? HEALTH_STARTING : HEALTH_NONE;
}

static void budget_over(struct timer *t)
{
    struct vm *vm = container_of(t, struct vm, budget);

    if (vm->health == HEALTHY) return;
    vm->over_budget = true;
    vm_step(vm);
}

void vm_begin_budget(struct vm *vm)
{
    const struct health_check *check = &vm->manifest.health_check;

    if (!check->type || vm->health == HEALTHY || vm->health == HEALTH_NONE) return;
    if (loop_timer(vm->engine->cfg.loop, &vm->budget, mono_ms() + health_check_budget_ms(check), budget_over) < 0)
        log_err("vm=%s: no memory for a timer", vm->row.name);
}

void vm_take_health(struct vm *vm, const char *health, const char *reason)
{
    enum health before = vm->health;

    if (!health || !*health) return; /* no check, or an agent that knows of none */
    vm->health = health_parse(health);
    if (string_set(&vm->health_reason, reason) < 0) log_err("vm=%s: out of memory", vm->row.name);
    if (vm->health == HEALTHY) {
        loop_untimer(&vm->budget);
        vm->over_budget = false;
        *vm->reason_now = '\0';
    }
    if (vm->health == UNHEALTHY)
        (void)strf(vm->reason_now, sizeof(vm->reason_now), "unhealthy: %.*s",
                   (int)utf8_prefix(reason ? reason : "", 140), reason ? reason : "");
    /* One that is adopted healthy has been told of. */
    if ((vm->health == HEALTHY && before != HEALTHY && (before != HEALTH_NONE || vm->status == VM_STARTING)) ||
        (vm->health == UNHEALTHY && before != UNHEALTHY))
        vm->health_news = true;
}

/* --- what comes of it --------------------------------------------------------------------------------------------- */

static void judged(struct vm *vm)
{
    vm->hang_news = vm->health_news = vm->over_budget = false;
}

/* With a reason: what was to run and is stopped for one has not ended well (end.c). */
static void end_for(struct vm *vm, const char *event, const char *reason)
{
    struct vm_change c = vm_change_of(vm);

    c.status = VM_STOPPING;
    c.event = event;
    c.reason = reason;
    vm_commit(vm, &c, judged, NULL);
}

static void tell(struct vm *vm, const char *event, const char *message)
{
    struct vm_change c = vm_change_of(vm);

    c.event = event;
    c.message = message;
    vm_commit(vm, &c, judged, NULL);
}

static void judge_budget(struct vm *vm)
{
    char reason[400];

    (void)strf(reason, sizeof(reason), NOT_HEALTHY_IN_TIME " within %lld s: %s",
               (long long)health_check_budget_ms(&vm->manifest.health_check) / 1000,
               vm->health_reason ? vm->health_reason : "no check has ended yet");
    end_for(vm, NULL, reason);
}

void vm_judge_guest(struct vm *vm)
{
    bool restarts = vm_restart_policy(vm) != RESTART_NO;
    char reason[sizeof(vm->reason_now)];

    (void)strf(reason, sizeof(reason), "%s", vm->reason_now);
    if (vm->over_budget && vm->health != HEALTHY)
        judge_budget(vm);
    else if (vm->hung && vm->hang_news)
        restarts ? end_for(vm, "VM_UNRESPONSIVE", reason) : tell(vm, "VM_UNRESPONSIVE", reason);
    else if (vm->health_news && vm->health == UNHEALTHY)
        restarts ? end_for(vm, "VM_UNHEALTHY", reason) : tell(vm, "VM_UNHEALTHY", reason);
    else if (vm->health_news && vm->health == HEALTHY)
        tell(vm, "VM_HEALTHY", NULL);
    else
        judged(vm); /* it was over before anybody looked */
}
