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
    int r; /* 0: it runs; -ENOENT, -ESRCH: it does not; -EEXIST: something else does; else nobody knows */
    int tries;
    struct vmm_run run;
    bool paused, broken;
    char *cmdline;    /* of a launch whose commit was cut off, or of a boot that the row does not know */
    int64_t revision; /* of the other boot's configuration; -1: not known */
    int sockets;      /* removed: nobody was behind them any more */
    struct vl_error err;
};

/* One that does not answer is adopted all the same: it will be noticed (hang.c). */
static void ask_state(struct adopt *a)
{
    enum vmm_state state;
    struct vl_error err = {0};

    if (vmm_state_read(a->vm->dir, mono_ms() + STATE_MS, &state, &err) < 0)
        log_warn("vm=%s: its VMM does not tell its state: %s", a->vm->row.name, err.msg);
    else {
        a->paused = state == VMM_PAUSED;
        a->broken = state == VMM_BROKEN;
    }
}

/*
 * Ids are never given twice, so what runs in the folder is this VM, also in a boot that the row does not know; unless
 * the registry is of another host, say, which the name shows.
 */
static int check_other_boot(struct adopt *a)
{
    const struct vm_row *row = &a->vm->row;
    auto_(vmm_note_done) struct vmm_note note = {0};
    auto_(vm_row_done) struct vm_row runs = {0};
    int r = vmm_note_read(a->vm->dir, &note, &a->err);

    if (r < 0 && r != -ENOENT) return r;
    if (r == 0 && str_eq(note.boot, a->run.boot) && vm_record_row(&note, &runs, NULL) == 0) a->revision = runs.revision;
    if (r == -ENOENT || (note.id == row->id && str_eq(note.name, row->name))) return 0;
    (void)vl_fail(&a->err, VL_CONFLICT, "a VM named '%s' runs in its folder, as process %d: see `volar doctor`",
                  note.name, (int)a->run.vmm.pid);
    return -EEXIST;
}

static int look(struct adopt *a)
{
    const struct vm *vm = a->vm;
    auto_close int fd = -1;
    char boot_id[40];
    int r = vmm_run_find(vm->dir, vm->row.boot, mono_ms() + FIND_MS, &a->run, &a->err);

    if (r < 0 && vmm_run_rebuild(vm->engine->cfg.host, vm->row.id, vm->row.boot, &a->run) == 0) {
        log_warn("vm=%s: its folder does not tell that it runs, as process %d", vm->row.name, (int)a->run.vmm.pid);
        r = 0;
    }
    if (r < 0) return r;
    host_boot_id(boot_id);
    if (!str_eq(a->run.host_boot_id, boot_id)) return -ESRCH;
    if ((r = proc_open(&a->run.vmm, &fd)) < 0) return r;
    if (!str_eq(a->run.boot, vm->row.boot) && (r = check_other_boot(a)) < 0) return r;
    ask_state(a);
    if (vm->row.pid != a->run.vmm.pid) (void)vmm_cmdline_read(vm->dir, a->run.boot, &a->cmdline);
    return 0;
}

static void adopt_run(struct job *j)
{
    struct adopt *a = container_of(j, struct adopt, job);

    a->tries++;
    CRASH_POINT("adopt.looking");
    a->r = look(a);
    CRASH_POINT("adopt.looked");
    if (a->r == -ENOENT || a->r == -ESRCH) a->sockets = vmm_sockets_remove(a->vm->dir);
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
    if (a->r == 0 || a->r == -ENOENT || a->r == -ESRCH || a->r == -EEXIST || a->tries >= FIND_TRIES) return false;
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

static void found_recorded(struct vm *vm)
{
    CRASH_POINT("adopt.found_recorded");
    vm->found = false;
    freep(&vm->found_cmdline);
    vm->found_cmdline = NULL;
    hang_watch(vm->engine);
}

void vm_commit_found(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    char message[160];

    (void)strf(message, sizeof(message), "vm found running as process %d, the registry had it %s", (int)vm->run.vmm.pid,
               str_eq(vm->row.boot, vm->run.boot) ? vm_status_name(vm->status) : "in another boot");
    c.desire = DESIRE_RUNNING;
    c.status = vm->paused ? VM_PAUSED : VM_RUNNING;
    c.reason = "";
    c.boot = vm->run.boot;
    c.kernel_cmdline = vm->found_cmdline;
    c.clear_exit_code = true;
    c.restarts = c.not_before_ms = 0;
    c.started_ms = wall_ms();
    c.revision = vm->found_revision; /* its deployment sees what it runs, and rolls it if need be */
    c.event = "VM_ADOPTED";
    c.message = message;
    vm_commit(vm, &c, found_recorded, NULL);
}

/*
 * What runs is not ended because a row says so that may be of an older backup; only a client's own word, which is
 * about this very boot or the VM as such, still counts.
 */
static bool row_knows(const struct vm *vm, const struct vmm_run *run)
{
    if (vm->desire == DESIRE_DELETED) return true;
    return str_eq(vm->row.boot, run->boot) && !vm_status_ended(vm->status) && vm->status != VM_PENDING;
}

static void take(struct adopt *a)
{
    struct vm *vm = a->vm;

    vm->found = !row_knows(vm, &a->run);
    if (vm->found)
        log_warn("vm=%s: runs as pid %d, in the registry it is %s%s: the registry is corrected", vm->row.name,
                 (int)a->run.vmm.pid, vm_status_name(vm->status),
                 str_eq(vm->row.boot, a->run.boot) ? "" : ", in another boot");
    else
        log_info("vm=%s adopted, pid %d, status %s", vm->row.name, (int)a->run.vmm.pid, vm_status_name(vm->status));
    vm_attach(vm, &a->run, AGENT_MS);
    vm->paused = a->paused;
    if (a->broken) vm_is_broken(vm);
    hang_watch(vm->engine);
    CRASH_POINT("adopt.attached");
    vm->found_revision = a->revision;
    if (vm->found)
        vm->found_cmdline = take_ptr(a->cmdline);
    else if (a->cmdline)
        record_launch(vm, a->cmdline);
}

static void leave(struct adopt *a)
{
    struct vm *vm = a->vm;

    if (a->sockets) log_info("vm=%s: does not run, %d sockets of it removed", vm->row.name, a->sockets);
    if (a->r != -ENOENT && a->r != -ESRCH)
        log_err("vm=%s: is taken for not running: %s", vm->row.name, *a->err.msg ? a->err.msg : vl_strerror(-a->r));
    if (vm_status_ended(vm->status) || vm->status == VM_PENDING) return;
    if (vm->status == VM_STARTING && a->r == -ENOENT)
        log_info("vm=%s: its launch was cut off, launching again", vm->row.name);
    else
        vm->vmm_gone = true;
}

static void adopt_done(struct job *j, bool cancelled)
{
    struct adopt *a = container_of(j, struct adopt, job);
    struct vm *vm = a->vm;

    if (!cancelled && !vm->engine->closing && look_again(a)) return; /* still busy */
    vm->busy = false;
    if (!cancelled && !vm->engine->closing) {
        if (a->r == 0)
            take(a);
        else
            leave(a);
        vm_settle(vm);
        vm_step(vm);
    }
    free(a->cmdline);
    free(a);
}

void vm_adopt(struct vm *vm)
{
    struct adopt *a = calloc(1, sizeof(*a));

    if (vm->status == VM_PENDING) vm_queue(vm);
    if (vm->status == VM_STARTING) vm_slot_keep(vm);
    if (!a) {
        log_err("vm=%s: out of memory, not adopted", vm->row.name);
        return;
    }
    a->vm = vm;
    a->revision = -1;
    vm->busy = true;
    adopt_submit(a);
}

/* --- folders that belong to no VM --------------------------------------------------------------------------------- */

struct sweep {
    struct job job;
    struct engine *engine;
    int64_t *folders, *cgroups; /* their ids */
    size_t n_folders, n_cgroups, strangers;
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
    if (r == 0 && vmm_run_lives(&run)) {
        log_warn("folder=%s: a VMM (pid %d) runs there that the registry does not know; left alone, see `volar doctor`",
                 dir, (int)run.vmm.pid);
        s->strangers++;
        return;
    }
    if (vmm_data_disk_mb(dir) > 0) {
        log_warn("folder=%s: belongs to no VM, but holds the disk of one (data.ext4); left alone, see `volar doctor`",
                 dir);
        return;
    }
    CRASH_POINT("sweep.folder_found");
    if (vmm_folder_remove(s->engine->cfg.vms_dir, id, &err) < 0)
        log_warn("folder=%s: belongs to no VM and cannot be removed: %s", dir, err.msg);
    else
        log_info("folder=%s: belonged to no VM, removed", dir);
    CRASH_POINT("sweep.folder_removed");
}

static void sweep_cgroup(struct sweep *s, int64_t id)
{
    const struct vmm_host *host = s->engine->cfg.host;
    int r = vmm_cgroup_remove(host, id);

    if (r == 1) log_info("cgroup=%s/vm-%lld: belonged to no VM, removed", host->cgroup, (long long)id);
    if (r < 0 && r != -EBUSY)
        log_warn("cgroup=%s/vm-%lld: belongs to no VM and cannot be removed: %s", host->cgroup, (long long)id,
                 vl_strerror(-r));
}

static void sweep_run(struct job *j)
{
    struct sweep *s = container_of(j, struct sweep, job);

    for (size_t i = 0; i < s->n_folders; i++)
        sweep_folder(s, s->folders[i]);
    for (size_t i = 0; i < s->n_cgroups; i++)
        sweep_cgroup(s, s->cgroups[i]);
}

static void sweep_free(struct sweep *s)
{
    free(s->folders);
    free(s->cgroups);
    free(s);
}

static void sweep_done(struct job *j, bool cancelled)
{
    struct sweep *s = container_of(j, struct sweep, job);

    if (!cancelled) s->engine->strangers = s->strangers;
    if (!cancelled && s->strangers == 0) artifacts_sweep(s->engine);
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

/* Keeps of the ids those that no VM has; how many they are. */
static size_t keep_unknown(const struct engine *e, int64_t *ids, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n && !e->unread; i++)
        if (!engine_vm_by_id(e, ids[i])) ids[kept++] = ids[i];
    return kept;
}

void engine_sweep(struct engine *e, int64_t *ids, size_t n)
{
    struct sweep *s = calloc(1, sizeof(*s));

    if (!s) {
        free(ids);
        return;
    }
    s->engine = e;
    s->folders = ids;
    s->n_folders = keep_unknown(e, ids, n);
    if (vmm_cgroups_list(e->cfg.host, &s->cgroups, &n) == 0) s->n_cgroups = keep_unknown(e, s->cgroups, n);
    s->job = (struct job){.run = sweep_run, .done = sweep_done};
    if (s->n_folders + s->n_cgroups > 0 && pool_submit(e->lane, &s->job) == 0) return;
    if (s->n_folders == 0) artifacts_sweep(e);
    sweep_free(s);
}
