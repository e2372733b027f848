/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask of a VM that exists: an intent in its queue, a waiter that answers. */
#include <limits.h>

#include "base/clock.h"
#include "engine/vm.h"

#define ENDED_MS 28000 /* how long stop and delete keep a client waiting; the operation goes on */

_Static_assert((int)VM_WANT_PROCESS == WAIT_PROCESS && (int)VM_WANT_READY == WAIT_READY, "wants are waits");

/* Deferred, so that an answer never comes before the question has returned. */
static void step_asked(void *arg)
{
    struct engine *e = arg;

    e->step_scheduled = false;
    for (struct vm *vm = e->vms, *next; vm; vm = next) {
        next = vm->next;
        if (vm->intents) vm_step(vm);
    }
}

static int ask(struct engine *e, const char *name, struct intent i, enum wait_for what, int timeout_ms,
               engine_vm_done done, void *arg, struct vl_error *err)
{
    struct vm *vm = engine_vm_find(e, name);
    struct waiter *w;

    if (!vm) return vl_fail(err, VL_NOT_FOUND, "vm '%s' not found: see `volar vms list`", name);
    if (!(w = calloc(1, sizeof(*w)))) return vl_fail_errno(err, ENOMEM, "VM '%s'", name);
    *w = (struct waiter){.vm = vm, .what = what, .until_ms = mono_ms() + timeout_ms, .done = done, .arg = arg};
    i.waiter = w;
    if (waiter_begin(w) < 0 || vm_intend(vm, &i) < 0) {
        waiter_free(w);
        return vl_fail_errno(err, ENOMEM, "VM '%s'", name);
    }
    if (e->step_scheduled) return 0;
    if (loop_defer(e->cfg.loop, step_asked, e) < 0)
        step_asked(e);
    else
        e->step_scheduled = true;
    return 0;
}

int vm_ask(struct engine *e, const char *name, enum intent_kind kind, struct configure *c, enum wait_for what,
           int timeout_ms, engine_vm_done done, void *arg, struct vl_error *err)
{
    return ask(e, name, (struct intent){.kind = kind, .configure = c}, what, timeout_ms, done, arg, err);
}

int engine_vm_start(struct engine *e, const char *name, enum vm_want want, int timeout_ms, engine_vm_done done,
                    void *arg, struct vl_error *err)
{
    return vm_ask(e, name, INTENT_START, NULL, (enum wait_for)want, timeout_ms, done, arg, err);
}

int engine_vm_stop(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err)
{
    return engine_vm_stop_for(e, name, ENDED_MS, done, arg, err);
}

int engine_vm_stop_for(struct engine *e, const char *name, int timeout_ms, engine_vm_done done, void *arg,
                       struct vl_error *err)
{
    return vm_ask(e, name, INTENT_STOP, NULL, WAIT_ENDED, timeout_ms, done, arg, err);
}

int engine_vm_restart(struct engine *e, const char *name, enum vm_want want, int timeout_ms, engine_vm_done done,
                      void *arg, struct vl_error *err)
{
    return vm_ask(e, name, INTENT_RESTART, NULL, (enum wait_for)want, timeout_ms, done, arg, err);
}

int engine_vm_pause(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err)
{
    return vm_ask(e, name, INTENT_PAUSE, NULL, WAIT_PAUSED, ENDED_MS, done, arg, err);
}

int engine_vm_resume(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err)
{
    return vm_ask(e, name, INTENT_RESUME, NULL, WAIT_RUNNING, ENDED_MS, done, arg, err);
}

int engine_vm_delete(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err)
{
    return engine_vm_delete_as_of(e, name, 0, done, arg, err);
}

int engine_vm_delete_as_of(struct engine *e, const char *name, int64_t updated_ms, engine_vm_done done, void *arg,
                           struct vl_error *err)
{
    return ask(e, name, (struct intent){.kind = INTENT_DELETE, .updated_ms = updated_ms}, WAIT_GONE, ENDED_MS, done,
               arg, err);
}

static int await(struct engine *e, const char *name, enum wait_for what, int timeout_ms, engine_vm_done done, void *arg,
                 struct vl_error *err)
{
    struct vm *vm = engine_vm_find(e, name);
    struct waiter *w;

    if (!vm) return vl_fail(err, VL_NOT_FOUND, "vm '%s' not found: see `volar vms list`", name);
    if (!(w = calloc(1, sizeof(*w)))) return vl_fail_errno(err, ENOMEM, "VM '%s'", name);
    *w = (struct waiter){.what = what, .until_ms = mono_ms() + timeout_ms, .done = done, .arg = arg};
    vm_add_waiter(vm, w);
    return 0;
}

int engine_vm_await_agent(struct engine *e, const char *name, int timeout_ms, engine_vm_done done, void *arg,
                          struct vl_error *err)
{
    return await(e, name, WAIT_AGENT, timeout_ms, done, arg, err);
}

int engine_vm_await_down(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err)
{
    return await(e, name, WAIT_DOWN, INT_MAX, done, arg, err);
}

/* A waiter still has its place in a list, so it is only struck dumb. */
static void forget_one(struct waiter *w, const void *arg)
{
    if (w && w->arg == arg) w->done = NULL;
}

void engine_forget(struct engine *e, void *arg)
{
    creates_forget(e, arg);
    plugin_ops_forget(e, arg);
    drifts_forget(e, arg);
    histories_forget(e, arg);
    prunes_forget(e, arg);
    for (struct vm *vm = e->vms; vm; vm = vm->next) {
        for (struct waiter *w = vm->waiters; w; w = w->next)
            forget_one(w, arg);
        for (struct intent *i = vm->intents; i; i = i->next) {
            if (i->waiter && i->waiter->arg == arg)
                loop_untimer(&i->waiter->timer); /* it gets its turn, however late */
            forget_one(i->waiter, arg);
        }
    }
}
