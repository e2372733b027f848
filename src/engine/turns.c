/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is to boot. From its launch to its agent's answer a VM holds one of boot_width slots: more at once only
 * make each of them late, and some too late. Who finds none is pending, and gets one in the order of asking. A VM that
 * waits for its next try (restart.c) is not in the queue before its time.
 */
#include "base/clock.h"
#include "base/log.h"
#include "engine/vm.h"

bool slot_take(struct engine *e)
{
    if (e->cfg.boot_width > 0 && e->booting >= e->cfg.boot_width) return false;
    e->booting++;
    return true;
}

static bool waits(const struct vm *vm)
{
    return vm->status == VM_PENDING && vm->desire == DESIRE_RUNNING && !vm->busy && !vm->slot &&
           mono_ms() >= vm->wait_until_ms;
}

static struct vm *next_waiting(struct engine *e)
{
    struct vm *first = NULL;

    for (struct vm *vm = e->vms; vm; vm = vm->next)
        if (waits(vm) && (!first || vm->turn < first->turn)) first = vm;
    return first;
}

static void slots_freed(void *arg)
{
    struct engine *e = arg;
    struct vm *vm;

    e->slots_scheduled = false;
    if (e->closing) return;
    while ((e->cfg.boot_width == 0 || e->booting < e->cfg.boot_width) && (vm = next_waiting(e))) {
        vm_step(vm);
        if (!vm->busy && !vm->slot) return; /* it could not begin; its own timer has it again */
    }
}

/* False: no memory for it. */
static bool look_for_slots(struct engine *e)
{
    if (!e->slots_scheduled) e->slots_scheduled = loop_defer(e->cfg.loop, slots_freed, e) == 0;
    return e->slots_scheduled;
}

void slot_give_back(struct engine *e)
{
    e->booting--;
    if (!e->closing && !look_for_slots(e)) slots_freed(e);
}

bool vm_slot_take(struct vm *vm)
{
    return vm->slot || (vm->slot = slot_take(vm->engine));
}

void vm_slot_keep(struct vm *vm)
{
    if (vm->slot) return;
    vm->slot = true;
    vm->engine->booting++;
}

void vm_slot_release(struct vm *vm)
{
    if (!vm->slot) return;
    vm->slot = false;
    slot_give_back(vm->engine);
}

void vm_queue(struct vm *vm)
{
    const struct engine_config *cfg = &vm->engine->cfg;
    int64_t left = vm->row.not_before_ms > 0 ? vm->row.not_before_ms - wall_ms() : 0;

    if (left < 0) left = 0;
    if (left > cfg->restart.max_ms) left = cfg->restart.max_ms; /* the clock was set back since */
    vm->turn = ++vm->engine->turns;
    vm->wait_until_ms = left > 0 ? mono_ms() + left : 0;
}

bool vm_turn_has_come(struct vm *vm)
{
    int64_t left = vm->wait_until_ms - mono_ms();
    const struct vm *first;

    if (left > 0) {
        vm_step_later(vm, (int)left);
        return false;
    }
    first = next_waiting(vm->engine);
    if (!first || first->turn >= vm->turn) return vm_slot_take(vm);
    /* Its own timer is late only: both begin now, if there are slots for both. */
    if (!look_for_slots(vm->engine)) log_warn("vm=%s: waits until another VM has booted", vm->row.name);
    return false;
}
