/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine whose VMM lives but which does not answer. One timer for all VMs asks each running guest's agent, four
 * times within the time that makes a silence a hang; without a guest to ask there is no timer. A silence counts only as
 * far as somebody listened: one that volantd slept through itself (stopped, swapped out) is one look, however long.
 */
#include "base/clock.h"
#include "base/log.h"
#include "engine/vm.h"

#define ASKED_WITHIN 4

static bool is_watched(const struct vm *vm)
{
    return vm->status == VM_RUNNING && vm->live && manifest_has_agent(&vm->manifest);
}

void vm_heard(struct vm *vm)
{
    vm->heard_ms = mono_ms();
    vm->silent_looks = 0;
    if (!vm->hung) return;
    vm->hung = false;
    vm_say_health(vm);
    log_info("vm=%s: its guest answers again", vm->row.name);
}

void vm_is_broken(struct vm *vm)
{
    vm->hung = vm->hang_news = true;
    (void)strf(vm->reason_now, sizeof(vm->reason_now),
               "the VMM cannot run its guest any more (internal-error: KVM has given it up)");
    log_warn("vm=%s: %s", vm->row.name, vm->reason_now);
}

static void pong(void *arg, int r)
{
    struct vm *vm = arg;
    bool hung = vm->hung;

    vm->pinged = false;
    if (r < 0 && r != -EREMOTEIO) return; /* whatever it answers, it lives */
    vm_heard(vm);
    if (hung) vm_settle(vm);
}

static void look(struct vm *vm)
{
    struct guest *guest = engine_vm_guest(vm);
    int64_t silent = mono_ms() - vm->heard_ms;

    if (vm->silent_looks < ASKED_WITHIN) vm->silent_looks++;
    if (!vm->hung && silent >= vm->engine->cfg.hang_ms && vm->silent_looks >= ASKED_WITHIN) {
        vm->hung = vm->hang_news = true;
        (void)strf(vm->reason_now, sizeof(vm->reason_now), "the guest has not answered for %lld s: it hangs",
                   (long long)silent / 1000);
        log_warn("vm=%s: %s", vm->row.name, vm->reason_now);
        vm_settle(vm);
        vm_step(vm);
    } else if (guest && !vm->pinged) {
        vm->pinged = guest_ping(guest, vm->engine->cfg.hang_ms, pong, vm) == 0;
    }
}

static void look_at_all(struct timer *t)
{
    struct engine *e = container_of(t, struct engine, hang_timer);
    bool any = false;

    for (struct vm *vm = e->vms, *next; vm; vm = next) {
        next = vm->next;
        if (!is_watched(vm)) continue;
        any = true;
        look(vm);
    }
    e->hang_armed = false;
    if (any) hang_watch(e);
}

void hang_watch(struct engine *e)
{
    if (e->cfg.hang_ms == 0 || e->hang_armed || e->closing) return;
    if (loop_timer(e->cfg.loop, &e->hang_timer, mono_ms() + e->cfg.hang_ms / ASKED_WITHIN, look_at_all) < 0)
        log_err("no memory for a timer: guests that hang go unnoticed");
    else
        e->hang_armed = true;
}
