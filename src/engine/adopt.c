/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart of volantd: finding the VMs that run, finishing what was half done, sweeping what belongs to nothing.
 * Until a VM has been looked at it is busy, so that requests for it wait.
 */
#include <dirent.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"
#include "engine/vm.h"

#define FIND_MS       3000 /* for a shim that is just starting to say who it is */
#define FIND_TRIES    5
#define FIND_AGAIN_MS 1000
#define STATE_MS      2000  /* for the VMM to say whether its guest runs */
#define AGENT_MS      30000 /* for the agent of an adopted VM to answer */
/* What is named with a larger number is no folder of ours: an id must leave room for a user id. */
#define VM_ID_MAX 2000000000

struct adopt {
    struct job job;
    struct timer again;
    struct vm *vm;
    int r; /* 0: this very boot runs; -ENOENT, -ESRCH: it does not; else nobody knows */
    int tries;
    struct vmm_run run;
    bool paused;
    char *cmdline; /* of a launch whose commit was cut off */
    struct vl_error err;
};

/* One that does not answer is adopted all the same: it will be noticed (hang.c). */
static void ask_state(struct adopt *a)
{
    enum vmm_state state;
    struct vl_error err = {0};

    if (vmm_state_read(a->vm->dir, mono_ms() + STATE_MS, &state, &err) < 0)
        log_warn("vm=%s: its VMM does not tell its state: %s", a->vm->row.name, err.msg);
    else
        a->paused = state == VMM_PAUSED;
}

static void adopt_run(struct job *j)
{
    struct adopt *a = container_of(j, struct adopt, job);
    auto_close int fd = -1;
    char boot_id[40];

    a->tries++;
    a->r = vmm_run_find(a->vm->dir, a->vm->row.boot, mono_ms() + FIND_MS, &a->run, &a->err);
    if (a->r < 0) return;
    host_boot_id(boot_id);
    a->r = str_eq(a->run.host_boot_id, boot_id) ? proc_open(&a->run.vmm, &fd) : -ESRCH;
    if (a->r == 0) ask_state(a);
    if (a->r == 0 && a->vm->row.pid != a->run.vmm.pid) (void)vmm_cmdline_read(a->vm->dir, a->vm->row.boot, &a->cmdline);
}

static void adopt_done(struct job *j, bool cancelled);

static void adopt_submit(struct adopt *a)
{
    a->job = (struct job){.run = adopt_run, .done = adopt_done};
    if (pool_submit(a->vm->engine->pool, &a->job) == 0) return;
    adopt_run(&a->job); /* no thread to be had: do it here rather than not at all */
    adopt_done(&a->job, false);
}

static void adopt_again(struct timer *t)
{
    struct adopt *a = container_of(t, struct adopt, again);

    if (a->vm->engine->closing)
        adopt_done(&a->job, true);
    else
        adopt_submit(a);
}

/* Taking a VM that runs for one that does not would lose it: what the host is short of now may be there soon. */
static bool look_again(struct adopt *a)
{
    if (a->r == 0 || a->r == -ENOENT || a->r == -ESRCH || a->tries >= FIND_TRIES) return false;
    log_warn("vm=%s: cannot tell whether it runs, looking again: %s", a->vm->row.name,
             *a->err.msg ? a->err.msg : vl_strerror(-a->r));
    a->err = (struct vl_error){0};
    return loop_timer(a->vm->engine->cfg.loop, &a->again, mono_ms() + FIND_AGAIN_MS, adopt_again) == 0;
}

static void record_launch(struct vm *vm, const char *cmdline)
{
    struct vm_change c = vm_change_of(vm);

    c.kernel_cmdline = cmdline;
    vm_commit(vm, &c, NULL, NULL);
}

static void adopt_done(struct job *j, bool cancelled)
{
    struct adopt *a = container_of(j, struct adopt, job);
    struct vm *vm = a->vm;

    if (!cancelled && !vm->engine->closing && look_again(a)) return; /* still busy */
    vm->busy = false;
    if (!cancelled && !vm->engine->closing) {
        if (a->r == 0) {
            log_info("vm=%s adopted, pid %d, status %s", vm->row.name, (int)a->run.vmm.pid, vm_status_name(vm->status));
            vm_attach(vm, &a->run, AGENT_MS);
            vm->paused = a->paused;
            hang_watch(vm->engine);
            CRASH_POINT("adopt.attached");
            if (a->cmdline) record_launch(vm, a->cmdline);
        } else if (vm->status == VM_STARTING && a->r == -ENOENT) {
            log_info("vm=%s: its launch was cut off, launching again", vm->row.name);
        } else {
            vm->vmm_gone = true;
        }
        vm_settle(vm);
        vm_step(vm);
    }
    free(a->cmdline);
    free(a);
}

void vm_adopt(struct vm *vm)
{
    struct adopt *a;

    if (vm->status == VM_PENDING) vm_queue(vm);
    if (vm->status == VM_STARTING) vm_slot_keep(vm);
    if (vm_status_ended(vm->status) || vm->status == VM_PENDING || !*vm->row.boot) {
        vm_step(vm);
        return;
    }
    if (!(a = calloc(1, sizeof(*a)))) {
        log_err("vm=%s: out of memory, not adopted", vm->row.name);
        return;
    }
    a->vm = vm;
    vm->busy = true;
    adopt_submit(a);
}

/* --- folders that belong to no VM --------------------------------------------------------------------------------- */

struct sweep {
    struct job job;
    struct engine *engine;
    int64_t *ids;
    size_t n, strangers;
};

static void sweep_folder(struct sweep *s, int64_t id)
{
    struct vl_error err = {0};
    struct vmm_run run;
    char dir[512];
    int r;

    if (strf(dir, sizeof(dir), "%s/%lld", s->engine->cfg.vms_dir, (long long)id) < 0) return;
    if ((r = vmm_run_read(dir, &run, &err)) < 0 && r != -ENOENT) {
        log_warn("folder=%s: belongs to no VM, left alone: %s", dir, err.msg);
        return;
    }
    if (r == 0 && proc_alive(&run.vmm)) {
        log_warn("folder=%s: a VMM (pid %d) runs there that the registry does not know; left alone", dir,
                 (int)run.vmm.pid);
        s->strangers++;
        return;
    }
    if (vmm_folder_remove(s->engine->cfg.vms_dir, id, &err) < 0)
        log_warn("folder=%s: belongs to no VM and cannot be removed: %s", dir, err.msg);
    else
        log_info("folder=%s: belonged to no VM, removed", dir);
}

static void sweep_run(struct job *j)
{
    struct sweep *s = container_of(j, struct sweep, job);

    for (size_t i = 0; i < s->n; i++)
        sweep_folder(s, s->ids[i]);
}

static void sweep_free(struct sweep *s)
{
    free(s->ids);
    free(s);
}

static void sweep_done(struct job *j, bool cancelled)
{
    struct sweep *s = container_of(j, struct sweep, job);

    if (!cancelled) s->engine->strangers = s->strangers;
    sweep_free(s);
}

int folders_list(const char *vms_dir, int64_t **ret, size_t *ret_n)
{
    DIR *d = opendir(vms_dir);
    auto_free int64_t *ids = NULL;
    const struct dirent *ent;
    uint64_t id;
    size_t n = 0;

    if (!d) return -errno;
    while ((ent = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        int64_t *more;

        if (parse_u64(ent->d_name, 1, VM_ID_MAX, &id) < 0) continue;
        if (!(more = reallocarray(ids, n + 1, sizeof(*ids)))) {
            (void)closedir(d);
            return -ENOMEM;
        }
        ids = more;
        ids[n++] = (int64_t)id;
    }
    (void)closedir(d);
    *ret = take_ptr(ids);
    *ret_n = n;
    return 0;
}

void engine_sweep(struct engine *e, int64_t *ids, size_t n)
{
    struct sweep *s = calloc(1, sizeof(*s));

    if (!s) {
        free(ids);
        return;
    }
    s->engine = e;
    s->ids = ids;
    for (size_t i = 0; i < n && !e->unread; i++) {
        const struct vm *vm = e->vms;

        while (vm && vm->row.id != ids[i])
            vm = vm->next;
        if (!vm) ids[s->n++] = ids[i];
    }
    s->job = (struct job){.run = sweep_run, .done = sweep_done};
    if (!s->n || pool_submit(e->lane, &s->job) < 0) sweep_free(s);
}
