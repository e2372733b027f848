/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM is stopped, why it ended, and how it is forgotten. */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"

#define END_RETRY_MS 5000

/* --- stopping ----------------------------------------------------------------------------------------------------- */

static void stop_late(struct timer *t)
{
    struct vm *vm = container_of(t, struct vm, deadline);

    log_warn("vm=%s: the guest did not end in time, ending its VMM", vm->row.name);
    vm->late = true;
    if (!vm->stop_asked) vm->agent_refused = true; /* it was not there to be asked */
    vm_step(vm);
}

static void poweroff_asked(void *arg, int r)
{
    struct vm *vm = arg;

    if (r == 0 || r == -ECANCELED) return;
    if (r == -ECONNRESET && !vm->agent_awaited)
        vm->stop_asked = false; /* it may not have heard: once more, unless that was the machine's end */
    else
        vm->late = vm->agent_refused = true; /* the agent will not do it */
    vm_step(vm);
}

void vm_await_agent(struct vm *vm)
{
    if (vm->agent_awaited) return;
    vm->agent_awaited = true;
    vm_try_agent(vm); /* nobody may have tried any more */
    if (loop_timer(vm->engine->cfg.loop, &vm->deadline, mono_ms() + vm->engine->cfg.agent_ms, stop_late) == 0) return;
    vm->late = true;
    vm_step(vm);
}

void vm_ask_stop(struct vm *vm)
{
    const struct engine_config *cfg = &vm->engine->cfg;
    int64_t until = mono_ms() + cfg->stop_grace_ms + cfg->agent_ms;

    vm->stop_asked = true;
    vm->late = false;
    if (loop_timer(cfg->loop, &vm->deadline, until, stop_late) < 0 ||
        guest_poweroff(vm->guest, cfg->stop_grace_ms, poweroff_asked, vm) < 0) {
        vm->late = true;
        vm_step(vm);
    }
}

struct end_job {
    struct job job;
    struct vm *vm;
    int r;
    struct vl_error err;
};

static void end_run(struct job *j)
{
    struct end_job *e = container_of(j, struct end_job, job);

    const struct engine_config *cfg = &e->vm->engine->cfg;

    e->r = vmm_end(e->vm->dir, &e->vm->run, cfg->quit_ms, cfg->term_ms, &e->err);
    CRASH_POINT("stop.vmm_ended");
}

static void end_done(struct job *j, bool cancelled)
{
    struct end_job *e = container_of(j, struct end_job, job);
    struct vm *vm = e->vm;

    vm->busy = false;
    if (cancelled || vm->engine->closing) {
        free(e);
        return;
    }
    if (e->r >= 0) {
        vm->vmm_gone = true; /* its pidfd says so too; both lead to one collection */
        vm->end_step = (enum vmm_end_step)e->r;
    } else {
        log_err("vm=%s: cannot end its VMM: %s", vm->row.name, e->err.msg);
    }
    free(e);
    CRASH_POINT("stop.end_known");
    if (vm->vmm_gone)
        vm_step(vm);
    else
        vm_step_later(vm, END_RETRY_MS);
}

void vm_end_vmm(struct vm *vm)
{
    struct end_job *e = calloc(1, sizeof(*e));

    if (e) {
        e->vm = vm;
        e->job = (struct job){.run = end_run, .done = end_done};
        vm->busy = true;
        if (pool_submit(vm->engine->pool, &e->job) == 0) return;
        vm->busy = false;
        free(e);
    }
    vm_step_later(vm, END_RETRY_MS);
}

/* --- why it ended ------------------------------------------------------------------------------------------------- */

struct collect {
    struct job job;
    struct vm *vm;
    bool have_exit, rebooted;
    struct vmm_exit exit;
    struct console_end console;
    struct vl_error err;
};

/* What a shim that was killed could not remove. A process that does not end keeps its cgroup, which is swept later. */
static void sweep_boot(const struct vm *vm, const struct vmm_run *run)
{
    if (vmm_run_lives(run)) return; /* of another boot, or it will not end */
    (void)vmm_sockets_remove(vm->dir);
    (void)vmm_cgroup_remove(vm->engine->cfg.host, vm->row.id);
}

/* The shim writes exit.json when the VMM is gone, and then goes itself. */
static void collect_run(struct job *j)
{
    struct collect *c = container_of(j, struct collect, job);
    const struct vm *vm = c->vm;
    struct vmm_run run = vm->run;
    char boot_id[40];

    if (!*run.boot && vmm_run_read(vm->dir, &run, NULL) < 0) run = (struct vmm_run){0};
    if (str_eq(run.boot, vm->row.boot)) {
        host_boot_id(boot_id);
        c->rebooted = !str_eq(run.host_boot_id, boot_id);
        if (!c->rebooted)
            c->have_exit = vmm_exit_wait(vm->dir, &run, mono_ms() + vm->engine->cfg.shim_ms, &c->exit, &c->err) == 0;
    }
    vmm_console_end(vm->dir, &c->console);
    sweep_boot(vm, &run);
    CRASH_POINT("stop.collected");
}

#define WORKLOAD_ENDED_WELL "the workload ended with exit code 0"
#define GUEST_ENDED_WELL    "the guest ended its machine"

bool vm_ended_well(const struct vm *vm)
{
    return vm->status == VM_STOPPED &&
           (str_starts(vm->row.reason, WORKLOAD_ENDED_WELL) || str_starts(vm->row.reason, GUEST_ENDED_WELL));
}

/* `said`: by kestrel, of a workload that it could not start. */
static void workload_verdict(int64_t code, const char *said, struct verdict *v)
{
    v->status = code == 0 ? VM_STOPPED : VM_CRASHED;
    v->has_code = true;
    v->code = code;
    if ((code == 127 || code == 126) && *said)
        (void)strf(v->reason, sizeof(v->reason), "the workload could not be started: %.250s", said);
    else if (code == 127 || code == 126)
        (void)strf(v->reason, sizeof(v->reason),
                   "the workload could not be started (exit code %lld): see `volar vms logs`", (long long)code);
    else if (code > 128)
        (void)strf(v->reason, sizeof(v->reason), "the workload was ended by signal %lld", (long long)code - 128);
    else if (code != 0)
        (void)strf(v->reason, sizeof(v->reason), "the workload ended with exit code %lld", (long long)code);
    else
        (void)strf(v->reason, sizeof(v->reason), WORKLOAD_ENDED_WELL);
}

static void vmm_verdict(const struct collect *c, struct verdict *v)
{
    v->status = VM_CRASHED;
    if (c->rebooted)
        (void)strf(v->reason, sizeof(v->reason), "the host was restarted");
    else if (!c->have_exit)
        (void)strf(
            v->reason, sizeof(v->reason),
            "the VMM ended and its shim could not say why, as it had been killed (`dmesg` tells whether the host "
            "ran out of memory)");
    else if (c->exit.signal)
        (void)strf(v->reason, sizeof(v->reason), "the VMM was ended by signal %d%s", c->exit.signal,
                   c->exit.signal == SIGKILL ? ": somebody killed it, or the host ran out of memory (`dmesg` tells)"
                                             : "");
    else if (c->exit.code != 0)
        (void)strf(v->reason, sizeof(v->reason), "the VMM ended with exit code %d: %.250s", c->exit.code,
                   c->exit.stderr_tail);
    else {
        v->status = VM_STOPPED;
        (void)strf(v->reason, sizeof(v->reason), GUEST_ENDED_WELL);
    }
}

/* What runs is stopped by us for a reason, or by a client; a restart is the client's too. */
static bool ended_for_a_reason(const struct vm *vm)
{
    return vm->status == VM_STOPPING && vm->desire == DESIRE_RUNNING && *vm->row.reason;
}

/* What it took to stop it, where that was more than to ask its guest. */
static void stop_story(const struct vm *vm, char *ret, size_t size)
{
    static const char *const steps[] = {
        [VMM_END_NOTHING] = "was ended",
        [VMM_END_QUIT] = "was ended by its VMM",
        [VMM_END_TERM] = "was ended with its VMM, by SIGTERM",
        [VMM_END_KILL] = "was ended with its VMM, by SIGKILL",
    };

    *ret = '\0';
    if (vm->agent_refused)
        (void)strf(ret, size, "the guest could not be asked to stop and %s", steps[vm->end_step]);
    else if (vm->stop_asked && vm->late)
        (void)strf(ret, size, "the guest did not stop within %d s and %s",
                   (vm->engine->cfg.stop_grace_ms + vm->engine->cfg.agent_ms) / 1000, steps[vm->end_step]);
    else if (vm->end_step > VMM_END_QUIT)
        (void)strf(ret, size, "the VM %s", steps[vm->end_step]);
}

static void asked_verdict(const struct vm *vm, struct verdict *v)
{
    v->status = VM_STOPPED;
    if (ended_for_a_reason(vm)) {
        v->status = str_starts(vm->row.reason, NOT_HEALTHY_IN_TIME) ? VM_FAILED : VM_CRASHED;
        (void)strf(v->reason, sizeof(v->reason), "%.380s", vm->row.reason);
    } else {
        stop_story(vm, v->reason, sizeof(v->reason));
    }
}

/* Whatever became of it: more helps. */
static void add_memory(const struct vm *vm, struct verdict *v)
{
    size_t len = strlen(v->reason);

    (void)strf(v->reason + len, sizeof(v->reason) - len,
               "%sthe guest ran out of its %lld MB of memory: give it more (memory_mb)", len ? "; " : "",
               (long long)vm->row.memory_mb);
}

static void decide(const struct vm *vm, const struct collect *c, struct verdict *v)
{
    if (vm->workload_ended)
        workload_verdict(vm->workload_code, "", v);
    else if (c->console.verdict == CONSOLE_EXIT_CODE)
        workload_verdict(c->console.code, c->console.text, v);
    else if (c->console.verdict == CONSOLE_PANIC) {
        v->status = VM_CRASHED;
        (void)strf(v->reason, sizeof(v->reason), "guest kernel panic: %.200s", c->console.text);
    } else if (c->console.verdict == CONSOLE_NO_SETUP) {
        v->status = VM_FAILED;
        v->has_code = true;
        v->code = c->console.code;
        (void)strf(v->reason, sizeof(v->reason), "the machine could not be set up: %.250s", c->console.text);
    } else
        vmm_verdict(c, v);
    if (c->console.out_of_memory && v->status != VM_STOPPED) add_memory(vm, v);
    if (vm->status == VM_STOPPING || vm->desire == DESIRE_DELETED) asked_verdict(vm, v);
}

/*
 * An early death that says nothing of the workload: one more try, then `failed`. A panic would only repeat itself;
 * and without an agent, a machine that ends well may have done all it was for.
 */
static bool boot_died(const struct vm *vm, const struct collect *c, const struct verdict *v)
{
    if (!manifest_has_agent(&vm->manifest) && v->status == VM_STOPPED) return false;
    return vm->status == VM_STARTING && vm->desire == DESIRE_RUNNING && !vm->workload_ended &&
           c->console.verdict != CONSOLE_EXIT_CODE;
}

static const char *end_event(enum vm_status s)
{
    return s == VM_CRASHED ? "VM_CRASHED" : s == VM_FAILED ? "VM_FAILED" : "VM_STOPPED";
}

static void ended(struct vm *vm)
{
    CRASH_POINT("stop.end_recorded");
    *vm->reason_now = '\0';
}

void vm_end_commit(struct vm *vm, const struct verdict *v)
{
    struct vm_change c = vm_change_of(vm);
    bool restart = vm->status == VM_STOPPING && vm->desire == DESIRE_RUNNING && !ended_for_a_reason(vm);
    struct verdict end = *v;
    char reason[sizeof(end.reason) + 160];

    end.event = end_event(v->status);
    c.pid = c.started_ms = c.not_before_ms = 0;
    c.status = v->status;
    c.reason = v->reason;
    c.event = end.event;
    c.new_exit_code = v->has_code;
    c.exit_code = v->code;
    if (restart) {
        c.status = VM_PENDING;
        c.reason = "";
        c.event = "VM_STOPPED";
    } else if (vm->desire == DESIRE_RUNNING) {
        vm_restart_decide(vm, &end, &c, reason, sizeof(reason));
    }
    vm_commit(vm, &c, ended, NULL);
}

static void collect_boot_died(struct vm *vm, const struct collect *c, struct verdict *v)
{
    if (!*vm->reason_now)
        (void)strf(vm->reason_now, sizeof(vm->reason_now), "%.*s", utf8_cut(v->reason, 150), v->reason);
    if (c->console.verdict == CONSOLE_PANIC || c->console.verdict == CONSOLE_NO_SETUP) {
        v->status = VM_FAILED;
        vm_end_commit(vm, v);
        return;
    }
    log_warn("vm=%s: boot %d failed: %s", vm->row.name, vm->attempts, vm->reason_now);
    vm_step(vm); /* not live any more: the next attempt, or the end of them */
}

static void collect_done(struct job *j, bool cancelled)
{
    struct collect *c = container_of(j, struct collect, job);
    struct vm *vm = c->vm;
    struct verdict v = {0};

    vm->busy = false;
    if (!cancelled && !vm->engine->closing) {
        CRASH_POINT("stop.cause_known");
        decide(vm, c, &v);
        vm_detach(vm);
        vm->run = (struct vmm_run){0};
        if (boot_died(vm, c, &v)) {
            collect_boot_died(vm, c, &v);
        } else {
            vm_end_commit(vm, &v);
        }
    }
    vmm_exit_done(&c->exit);
    free(c);
}

void vm_collect(struct vm *vm)
{
    struct collect *c = calloc(1, sizeof(*c));

    if (c) {
        c->vm = vm;
        c->job = (struct job){.run = collect_run, .done = collect_done};
        vm->busy = true;
        if (pool_submit(vm->engine->pool, &c->job) == 0) return;
        vm->busy = false;
        free(c);
    }
    vm_step_later(vm, END_RETRY_MS);
}
