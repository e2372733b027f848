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

    vm->budget_runs = false;
    if (vm->health != HEALTH_STARTING) return;
    vm->over_budget = true;
    vm_step(vm);
}

void vm_stop_budget(struct vm *vm)
{
    loop_untimer(&vm->budget);
    vm->budget_runs = vm->over_budget = false;
}

void vm_begin_budget(struct vm *vm)
{
    const struct health_check *check = &vm->manifest.health_check;

    if (!check->type || vm->health != HEALTH_STARTING || vm->budget_runs || vm->over_budget) return;
    vm->budget_runs = true;
    if (loop_timer(vm->engine->cfg.loop, &vm->budget, mono_ms() + health_check_budget_ms(check), budget_over) < 0)
        log_err("vm=%s: no memory for a timer", vm->row.name);
}

void vm_say_health(struct vm *vm)
{
    const char *why = vm->health_reason ? vm->health_reason : "";

    *vm->reason_now = '\0';
    if (vm->health == UNHEALTHY)
        (void)strf(vm->reason_now, sizeof(vm->reason_now), "unhealthy: %.*s", utf8_cut(why, 140), why);
}

void vm_take_health(struct vm *vm, const char *health, const char *reason)
{
    enum health before = vm->health;

    if (!health || !*health) return; /* no check, or an agent that knows of none */
    vm->health = health_parse(health);
    if (string_set(&vm->health_reason, reason) < 0) log_err("vm=%s: out of memory", vm->row.name);
    if (vm->health == HEALTHY) vm_stop_budget(vm);
    vm_say_health(vm);
    /* One that is adopted healthy has been told of. */
    if ((vm->health == HEALTHY && before != HEALTHY && (before != HEALTH_NONE || vm->status == VM_STARTING)) ||
        (vm->health == UNHEALTHY && before != UNHEALTHY))
        vm->health_news = true;
}

/* --- what comes of it --------------------------------------------------------------------------------------------- */

#define AGAIN_MS 1000

/*
 * What is being committed counts as told from then on: what the guest says meanwhile is news again. These are for a
 * commit that failed.
 */
static void budget_not_told(struct vm *vm, int r, const struct vl_error *err)
{
    (void)r;
    (void)err;
    vm->over_budget = true;
    vm_step_later(vm, AGAIN_MS);
}

static void hang_not_told(struct vm *vm, int r, const struct vl_error *err)
{
    (void)r;
    (void)err;
    vm->hang_news = true;
    vm_step_later(vm, AGAIN_MS);
}

static void health_not_told(struct vm *vm, int r, const struct vl_error *err)
{
    (void)r;
    (void)err;
    vm->health_news = true;
    vm_step_later(vm, AGAIN_MS);
}

/* `reason`: what was to run and is stopped for one has not ended well (end.c). */
static void judge_budget(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    char reason[400];

    (void)strf(reason, sizeof(reason), NOT_HEALTHY_IN_TIME " within %lld s: %s",
               (long long)health_check_budget_ms(&vm->manifest.health_check) / 1000,
               vm->health_reason ? vm->health_reason : "no check has ended yet");
    c.status = VM_STOPPING;
    c.reason = reason;
    vm->over_budget = false;
    vm_commit(vm, &c, NULL, budget_not_told);
}

/* Something is wrong with it now: told; and where the restart policy has it again, it is ended for that. */
static void judge_ill(struct vm *vm, const char *event,
                      void (*not_told)(struct vm *vm, int r, const struct vl_error *err))
{
    struct vm_change c = vm_change_of(vm);
    char reason[sizeof(vm->reason_now)];

    (void)strf(reason, sizeof(reason), "%s", vm->reason_now);
    c.event = event;
    c.message = reason;
    if (vm_restart_policy(vm) != RESTART_NO) {
        c.status = VM_STOPPING;
        c.reason = reason;
    }
    vm_commit(vm, &c, NULL, not_told);
}

static void judge_health(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    vm->health_news = false;
    if (vm->health == UNHEALTHY) {
        judge_ill(vm, "VM_UNHEALTHY", health_not_told);
    } else {
        c.event = "VM_HEALTHY";
        vm_commit(vm, &c, NULL, health_not_told);
    }
}

void vm_judge_guest(struct vm *vm)
{
    vm->over_budget = vm->over_budget && vm->health == HEALTH_STARTING; /* what was over before anybody looked */
    vm->hang_news = vm->hang_news && vm->hung;
    vm->health_news = vm->health_news && (vm->health == HEALTHY || vm->health == UNHEALTHY);
    if (vm->over_budget) {
        judge_budget(vm);
    } else if (vm->hang_news) {
        vm->hang_news = false;
        judge_ill(vm, "VM_UNRESPONSIVE", hang_not_told);
    } else if (vm->health_news) {
        judge_health(vm);
    }
}
