/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: desired state is in the store, the world is observed, one reconciler per VM makes them agree. It alone
 * combines store, artifacts, addresses, VMM and guest. Everything here belongs to the loop thread; what blocks runs on
 * workers, at most one job per VM. Memory changes after the commit, never before; reading a VM is reading memory.
 *
 * A request records intent in one transaction and answers when it is committed (or when the VMM process exists); the
 * reconciler does the rest. kill -9 at any instruction loses nothing: engine_start adopts what runs, finishes or rolls
 * back what was half done, and sweeps what belongs to nothing.
 */
#pragma once
#include "artifact/artifact.h"
#include "base/pool.h"
#include "guest/guest.h"
#include "model/vm.h"
#include "net/net.h"
#include "store/store.h"
#include "vmm/vmm.h"

struct engine;
struct vm;

/* How a VM with a restart policy comes back: after first_ms, then twice that, and so on, at most max_ms. */
struct restart_times {
    int first_ms, max_ms;
    int stable_ms; /* up for so long: what came before is forgotten */
    int limit;     /* restarts in a row; the next end is `failed`, "crash_loop: ..." */
};

/* What the VMs that are to run may have of the host together. */
struct admission {
    int memory_percent;    /* of MemTotal; 0: no limit */
    int vcpus_per_core;    /* of the cores online; 0: no limit */
    uint64_t disk_floor;   /* bytes free in the state folder below which nothing new is made; 0: none */
    const char *state_dir; /* whose file system; borrowed */
};

struct engine_config {
    struct loop *loop;
    struct store *store;
    struct artifacts *artifacts;
    const struct vmm_host *host; /* all borrowed, outlive the engine */
    const char *vms_dir;         /* absolute, exists */
    struct subnet subnet;
    int boot_deadline_ms; /* from launch to the agent's answer; one retry */
    int stop_grace_ms;    /* SIGTERM to SIGKILL of the workload, in the guest */
    int agent_ms;         /* beyond that, to end the machine; and for an agent that is not there to come back */
    int quit_ms, term_ms; /* then: for the VMM to obey its own way of being ended, and SIGTERM; last comes SIGKILL */
    int monitor_ms;       /* for the VMM to pause its guest, or let it go on */
    int shim_ms;          /* after the VMM's end: for its shim to write why, and to end */
    int hang_ms;          /* a running VM whose agent is silent for so long hangs */
    unsigned boot_width;  /* VMs that boot at the same time; the others are pending */
    struct restart_times restart;
    struct admission admission;
    bool former;         /* a registry that was replaced lies beside: artifacts that only it may name are left alone */
    const char *db_path; /* beside which it lies, for messages; borrowed */
    const struct strv *kernel_dirs; /* config.kernel_override is only looked for below these; borrowed */
    const struct strv *media_dirs;  /* file:// media are only read below these; NULL: none are; borrowed */
    int fetch_s;                    /* for a medium by http(s) to come; 0: an hour */
    unsigned workers;
};

int engine_new(const struct engine_config *cfg, struct engine **ret, struct vl_error *err);
/* Loads the registry and begins to adopt; requests are served at once, those for a VM being adopted wait for it. */
int engine_start(struct engine *e, struct vl_error *err);
/* Leaves every VM running. Waits for jobs in flight (each has its deadline). NULL is fine. */
void engine_free(struct engine *e);
DEFINE_AUTO(struct engine *, engine_free)

/* --- VMs --------------------------------------------------------------------------------------------------------- */
/*
 * Whose a VM is. The engine stores and shows it, and lets nobody else configure the VM; deployments are none of its
 * business otherwise.
 */
struct vm_owner {
    const char *deployment; /* NULL or "": nobody's */
    int64_t revision;
};

/* NULL if there is none. A struct vm is valid until the loop's next round; keep the name or id, not the pointer. */
struct vm *engine_vm_find(struct engine *e, const char *name);
/* In order of creation; returns the number, stops early if fn returns false. */
size_t engine_vm_each(struct engine *e, bool (*fn)(void *arg, struct vm *vm), void *arg);
/* Borrowed strings, valid until the loop's next round. */
void engine_vm_view(const struct vm *vm, struct vm_view *ret);
/* The same as JSON, rendered once for each change of it; borrowed likewise. NULL: out of memory. */
const char *engine_vm_text(struct vm *vm, size_t *ret_len);
/* For logs: NULL unless the agent answers. */
struct guest *engine_vm_guest(struct vm *vm);
/* The VM's folder, absolute. */
const char *engine_vm_folder(const struct vm *vm);

/*
 * What a request is answered with, on the loop thread, exactly once. r < 0: err says why and `vm` is NULL; else the VM
 * as it is now (NULL after a delete).
 */
typedef void (*engine_vm_done)(void *arg, int r, const struct vl_error *err, struct vm *vm);

/* What create, start and restart may wait for beyond the VMM process. */
enum vm_want { VM_WANT_PROCESS, VM_WANT_RUNNING, VM_WANT_READY };

/*
 * All return 0 and call `done` later, or fail at once and never call it. With a want, done comes when it is reached,
 * when it can no longer be (boot failed, VM ended), or after timeout_ms, with r = 0 and the VM as it is in each case.
 * With req->start false the VM is recorded as stopped, and that is what is waited for.
 * A request that does not get its turn in that time (the VM is busy with an earlier one) is taken back:
 * VL_UNAVAILABLE. One whose client went away is dropped by engine_forget(arg), the operation goes on.
 */
int engine_vm_create(struct engine *e, const struct vm_request *req, const struct vm_owner *owner /* NULL: none */,
                     enum vm_want want, int timeout_ms, engine_vm_done done, void *arg, struct vl_error *err);
int engine_vm_start(struct engine *e, const char *name, enum vm_want want, int timeout_ms, engine_vm_done done,
                    void *arg, struct vl_error *err);
int engine_vm_stop(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err);
/* The same, answered after timeout_ms at the latest, while it goes on. */
int engine_vm_stop_for(struct engine *e, const char *name, int timeout_ms, engine_vm_done done, void *arg,
                       struct vl_error *err);
int engine_vm_restart(struct engine *e, const char *name, enum vm_want want, int timeout_ms, engine_vm_done done,
                      void *arg, struct vl_error *err);
int engine_vm_delete(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err);
/*
 * The same, if it is still as it was at updated_ms (of its view) when its turn comes: VL_CONFLICT if it was started,
 * say, or is another VM of that name. 0: as it is.
 */
int engine_vm_delete_as_of(struct engine *e, const char *name, int64_t updated_ms, engine_vm_done done, void *arg,
                           struct vl_error *err);
/*
 * Another configuration for a VM that exists, in one transaction: req as for create (name is looked at, not changed),
 * validated the same way; its address stays, and so does the host port of a port that was picked before. With `restart`
 * a VM that is up is stopped and started with it, and one that has ended is started; without, it counts from the next
 * start on, and it is answered at once. The revision becomes owner->revision. Judged when its turn comes: refused as a
 * create would be, because the VM is being deleted, or because it is a deployment's and owner is NULL, it changes
 * nothing; and so does VL_CHANGED, where its configuration is not `as_of` (a version; 0: any will do) by then.
 */
int engine_vm_configure(struct engine *e, const struct vm_request *req, const struct vm_owner *owner, int64_t as_of,
                        bool restart, enum vm_want want, int timeout_ms, engine_vm_done done, void *arg,
                        struct vl_error *err);
/*
 * The same with a partial configuration (model/config_patch.h) that is laid over the present one when its turn comes;
 * nothing is restarted.
 */
int engine_vm_patch(struct engine *e, const char *name, const json_t *patch, int64_t as_of, int timeout_ms,
                    engine_vm_done done, void *arg, struct vl_error *err);
/* Whether its configuration is its own: VL_CONFLICT for a replica, which has what its deployment has. */
int engine_vm_check_own(const struct vm *vm, struct vl_error *err);
/* The configuration as it will be used at the next start, its manifest in it; NULL: out of memory. */
json_t *engine_vm_config(const struct vm *vm);
/* Which version that is, and since when. */
int64_t engine_vm_config_version(const struct vm *vm, int64_t *ret_since_ms);
/* On the loop, once; the rows are borrowed, newest first, of the `total` that there are. */
typedef void (*engine_history_done)(void *arg, int r, const struct vl_error *err, const struct vm_config_row *rows,
                                    size_t n, int64_t total);
/* The versions that are kept, at most `limit` (0: all), or only that one which is not 0. As the others. */
int engine_vm_history(struct engine *e, const char *name, int64_t version, int64_t limit, int64_t offset,
                      engine_history_done done, void *arg, struct vl_error *err);
/*
 * Whether `req` could be created now, or be the configuration of the VM of that name: as create and configure judge it,
 * and nothing is taken. What is true now need not be in a moment.
 */
int engine_vm_check(struct engine *e, const struct vm_request *req, struct vl_error *err);
/* Stops and continues its vCPUs. VL_CONFLICT unless it is running (or paused). */
int engine_vm_pause(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err);
int engine_vm_resume(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err);
/* Changes nothing: `done` comes when the agent answers, the VM ends, or after timeout_ms, with the VM as it is. */
int engine_vm_await_agent(struct engine *e, const char *name, int timeout_ms, engine_vm_done done, void *arg,
                          struct vl_error *err);
/*
 * Likewise, when this boot is over: the VM has ended, or waits to be started again. However long that takes; not in the
 * round in which it is asked.
 */
int engine_vm_await_down(struct engine *e, const char *name, engine_vm_done done, void *arg, struct vl_error *err);
/* Nobody waits for `arg` any more: its `done` will not be called. The operation itself goes on. */
void engine_forget(struct engine *e, void *arg);

/*
 * Observers, told of every VM that is made, changes in what engine_vm_view shows, or is gone (`gone`: the view is of
 * what it was). Comes from the loop, after the commit; they may read, and begin operations, but not wait for any. NULL
 * takes away the one of this `arg`.
 */
#define ENGINE_OBSERVERS_MAX 4
void engine_observe(struct engine *e, void (*changed)(void *arg, const struct vm_view *view, bool gone), void *arg);

/* --- Plugins ------------------------------------------------------------------------------------------------------ */
struct plugin; /* as struct vm: valid until the loop's next round */
struct plugin *engine_plugin_find(struct engine *e, const char *name);
size_t engine_plugin_each(struct engine *e, bool (*fn)(void *arg, struct plugin *p), void *arg); /* by name */
const char *engine_plugin_name(const struct plugin *p);
const char *engine_plugin_version(const struct plugin *p);
const char *engine_plugin_runtime(const struct plugin *p);
bool engine_plugin_enabled(const struct plugin *p);
/* The manifest as returned by GET, JSON text with the present `enabled`. NULL: out of memory; else the caller's. */
char *engine_plugin_manifest(const struct plugin *p);

typedef void (*engine_done)(void *arg, int r, const struct vl_error *err);
/*
 * Installs or replaces. The blob that the checksum names is brought from http(s), or from below the media folders,
 * where it is not there; from elsewhere it may not be (VL_CONFLICT says how to send it). What it is booted from is made
 * now. Goes on when it is forgotten. Warnings about the manifest's keys are added to `warnings` before it returns.
 */
int engine_plugin_install(struct engine *e, const json_t *manifest, struct strv *warnings, engine_done done, void *arg,
                          struct vl_error *err);
int engine_plugin_enable(struct engine *e, const char *name, bool enabled, engine_done done, void *arg,
                         struct vl_error *err);
/* VL_CONFLICT while VMs were made from it; artifacts nobody refers to any more go with it. */
int engine_plugin_remove(struct engine *e, const char *name, engine_done done, void *arg, struct vl_error *err);

/*
 * Somebody else who refers to artifacts, as `wanted` tells: what it says yes to stays. To be named before engine_start.
 * What it does not want any more it releases: deleted, unless a plugin or VM refers to it. checksum is as in manifests;
 * NULL is fine.
 */
void engine_keep_artifacts(struct engine *e, bool (*wanted)(void *arg, const char *checksum), void *arg);
void engine_release_artifact(struct engine *e, const char *checksum);

/* An artifact and who refers to it. */
struct artifact_use {
    char hex[SHA256_HEX + 1];
    uint64_t bytes; /* on the disk, of both forms */
    bool used;      /* a plugin, VM, deployment, one of their histories, or what is registered names it */
    bool fresh;     /* it came, or was asked for, within the hour: somebody may be about to use it */
    bool removable; /* it is what was to be removed */
    bool removed;
};
enum prune_what {
    PRUNE_LOOK, /* removes nothing */
    PRUNE_OLD,  /* what is not used and not fresh */
    PRUNE_ALL,  /* what is not used */
};
/* On the loop, once; the items are borrowed, in order of their digests. */
typedef void (*engine_prune_done)(void *arg, int r, const struct vl_error *err, const struct artifact_use *items,
                                  size_t n);
/*
 * With `dry` nothing is removed. Answers later, or fails at once (VL_CONFLICT where not all of whom artifacts belong to
 * is known) and never calls `done`; engine_forget(arg) forgets it.
 */
int engine_prune(struct engine *e, enum prune_what what, bool dry, engine_prune_done done, void *arg,
                 struct vl_error *err);

/*
 * Whether nothing of any VM runs or is about to, as it must be before the registry is replaced: VL_CONFLICT names what
 * does; VL_UNAVAILABLE a VM that has ended and is not done with yet, as in the first moment after a start.
 */
int engine_check_idle(struct engine *e, struct vl_error *err);

/* A child of volantd has ended: a shim that was killed while its VM goes on is reaped, the others at their VM's end. */
void engine_child_ended(struct engine *e);

/* --- Summary ------------------------------------------------------------------------------------------------------ */
struct engine_summary {
    size_t vms, by_status[VM_FAILED + 1], plugins, plugins_enabled;
    size_t strangers; /* live VMMs in our folders that the registry does not know */
};
/* VL_NO_SPACE with the numbers where the state folder has less room than the reserve: nothing new is to be put there.
 */
int engine_disk_check(const struct engine *e, struct vl_error *err);
struct engine_capacity {
    int64_t memory_mb, memory_taken_mb, vcpus, vcpus_taken; /* for VMs; 0: no limit */
    uint64_t disk_free, disk_reserve;                       /* bytes */
};
void engine_capacity(const struct engine *e, struct engine_capacity *ret);
void engine_summary(struct engine *e, struct engine_summary *ret);

/* --- Drift: where registry and host disagree --------------------------------------------------------------------- */
extern const char *const engine_finding_kinds[]; /* NULL-terminated, for tables */
struct finding {
    /*
     * "stranger" (a VMM that the registry does not know), "running" (a VM runs, the registry says it does not), "ended"
     * (the other way round), "folder_gone" (of a VM that runs), "configuration" (it runs with another than it has now),
     * "folder", "cgroup" (of no VM), "rows" (of no VM), "row" (cannot be read), "stuck" (a status past its deadline),
     * "artifact" (nobody's), "artifact_missing".
     */
    const char *kind; /* one of engine_finding_kinds */
    bool serious;     /* VMs are affected; else only room is taken */
    bool fixable;
    char object[96];
    char detail[400], remedy[240];
    char done[240];   /* what a repair did; "" nothing */
    char failed[400]; /* why it could not; "" */
    int64_t id;       /* the VM's, 0: of none; what follows is of strangers */
    char name[64];    /* "" unknown */
    int64_t pid;
    int64_t since_ms; /* wall clock; 0: unknown */
};
/* On the loop, once. The findings are borrowed; r < 0: err says why there are none. */
typedef void (*engine_drift_done)(void *arg, int r, const struct vl_error *err, const struct finding *findings,
                                  size_t n);
/*
 * Looks at everything, on workers. Answers later, or fails at once and never calls `done`; engine_forget(arg) forgets
 * it.
 */
int engine_check(struct engine *e, engine_drift_done done, void *arg, struct vl_error *err);
/*
 * The same, and mends what can be mended, one after the other: strangers with a complete record whose name, address and
 * ports are free are taken into the registry; the others are left alone, unless end_strangers: then they are ended as a
 * stop would, and their folders removed. VL_CONFLICT while another repair is under way.
 */
int engine_repair(struct engine *e, bool end_strangers, engine_drift_done done, void *arg, struct vl_error *err);
