/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in a thread of its own: the one writer. A transaction is an owned operation posted from the loop; it runs on
 * the store thread inside BEGIN IMMEDIATE ... COMMIT and answers back on the loop after the commit. Functions that take
 * `struct store_tx` may only be called from an operation's `run`. Rows own their memory.
 */
#pragma once
#include "base/error.h"
#include "base/loop.h"

struct store;
struct store_tx;

/*
 * Opens or creates the database (0600; an absolute path, in a folder that exists), checks it, migrates forwards, and
 * starts the thread. A database of a newer version or of another program is VL_INVALID and untouched; the text says
 * which version it needs. A damaged one is VL_INTERNAL with the remedy. One volantd for a database: the caller holds a
 * lock.
 */
int store_open(struct loop *l, const char *path, struct store **ret, struct vl_error *err);
/*
 * Loop thread. Finishes what was posted, what the `done` of that posts too, delivers posts of the loop meanwhile, then
 * joins the thread: when it returns every `done` has run. NULL is fine.
 */
void store_close(struct store *s);
DEFINE_AUTO(struct store *, store_close)

/*
 * --- backup.c: blocking, for workers and for the time before store_open; paths are absolute ---
 *
 * A consistent copy of the database at `path`, also while it is in use, as the new file `target` (not synced).
 * VL_NO_SPACE, VL_UNAVAILABLE after the deadline; what there is of the target is the caller's to remove.
 */
int store_copy(const char *path, const char *target, int64_t deadline_ms, struct vl_error *err);
/* In the names of copies that are being made or received, PATH + this + something: leftovers, if found at a start. */
#define STORE_TEMP_MARK ".copy-"
/* Removes them; what could not be is left. How many. */
int store_copies_sweep(const char *path);
/*
 * Whether a file, which nobody else uses, could be put back: VL_INVALID says why not (no database, another program's, a
 * newer volantd's, damaged, other tables than ours). A good one has our schema afterwards, in one file; not synced.
 */
int store_check_copy(const char *path, int64_t deadline_ms, struct vl_error *err);
/* Moves a copy that was checked and synced (on the same file system) to `path`.restore, from where the next opening
 * takes it. */
int store_restore_at_next_open(const char *path, const char *copy, struct vl_error *err);
/*
 * Before store_open: puts `path`.restore in place, if there is one and it is good: 1, and *ret_kept is the caller's,
 * what the database that was there is called now: `path`.before-restore, or with .1, .2 if there are earlier ones; "":
 * there was none. May be cut off at any moment and goes on the next time. 0: nothing to put back. The tokens stay those
 * of the database that was there, unless it has none.
 */
int store_restore_pending(const char *path, int64_t deadline_ms, char **ret_kept, struct vl_error *err);
/* Whether a database that was replaced so is still beside it: somebody may want to go back. */
bool store_former_is_there(const char *path);

struct store_op {
    /* Store thread, inside a transaction: 0 commits, a negative errno with err set rolls back. */
    int (*run)(struct store_op *op, struct store_tx *tx, struct vl_error *err);
    /* Loop thread, after the commit (r = 0) or the rollback. Owns op from here. */
    void (*done)(struct store_op *op, int r, const struct vl_error *err);
    struct store *store; /* private, as all that follows */
    struct store_op *next;
    struct post post;         /* brings `done` to the loop */
    bool waited_for, ended;   /* by store_run; it has run */
    struct event_row *events; /* that it appended, for the watcher */
    size_t n_events;
    bool events_lost;
    int r;
    struct vl_error err;
};
/*
 * Loop thread. Operations run in order of posting, each in a transaction of its own. Never fails: `done` tells, with
 * VL_UNAVAILABLE where another program kept the database locked for 5 s or the disk is full; `err` is
 * good until `done` returns, also if that frees op. A failure without a text (no memory in `run`) gets one.
 */
void store_post(struct store *s, struct store_op *op);
/* Loop thread. Runs one operation, after what was posted, and waits for it; `done` may be NULL and is not called. For
 * start-up. */
int store_run(struct store *s, struct store_op *op, struct vl_error *err);

/* --- vms.c: desired and last known state of VMs ---------------------------------------------------------------- */
struct vm_row {
    int64_t id;
    char *name, *plugin, *runtime;
    char *desired; /* "running", "stopped", "deleted" */
    char *status;  /* vm_status_name */
    char *reason;  /* "" or a text for people */
    int64_t cpu_cores, memory_mb;
    char *ip_address, *mac_address;
    char *config;         /* vm_config JSON */
    char *manifest;       /* snapshot of the plugin's manifest at creation, JSON */
    char *boot;           /* token of the present or last boot, "" before the first */
    char *kernel_cmdline; /* of the present or last boot */
    int64_t pid;          /* of the VMM, 0 none */
    bool has_exit_code;
    int64_t exit_code;
    int64_t created_ms, updated_ms;
    char *deployment;                  /* whose replica it is, "" none */
    int64_t revision;                  /* of the deployment's configuration */
    int64_t restarts;                  /* by the restart policy, since it last stayed up */
    int64_t not_before_ms;             /* wall clock: pending, and not to be booted before; 0: at once */
    int64_t started_ms;                /* wall clock: when the present boot became running; 0: it has not */
    int64_t config_version, config_ms; /* of `config`, and since when it is the present one */
};
void vm_row_done(struct vm_row *r);
/*
 * With id 0 *ret_id is new and never used again, else that very id, which no row has (VL_CONFLICT). Addresses may be
 * NULL or "" (none yet). Its configuration becomes the history's first version. Name taken: VL_CONFLICT.
 */
int store_vm_insert(struct store_tx *tx, const struct vm_row *row, int64_t *ret_id, struct vl_error *err);
/* Writes desired, status, reason, boot, kernel_cmdline, pid, exit code, restarts, not_before_ms, started_ms and
 * updated_ms of row->id; VL_NOT_FOUND. */
int store_vm_update(struct store_tx *tx, const struct vm_row *row, struct vl_error *err);
/*
 * Writes runtime, plugin, cpu_cores, memory_mb, config, manifest, revision, config_version and config_ms of row->id,
 * and the history's new version; VL_NOT_FOUND.
 */
int store_vm_configure(struct store_tx *tx, const struct vm_row *row, struct vl_error *err);
/* With its lease and ports. Its events stay. VL_NOT_FOUND. */
int store_vm_delete(struct store_tx *tx, int64_t id, struct vl_error *err);
/* The address the lease gave; the row was inserted with an empty one in the same transaction. */
int store_vm_set_address(struct store_tx *tx, int64_t id, const char *ip_address, const char *mac_address,
                         struct vl_error *err);
/* No new VM gets an id up to this one (folders of VMs that this database does not know may exist). */
int store_vm_reserve(struct store_tx *tx, int64_t id, struct vl_error *err);
/* In order of id; fn takes the row (may steal strings), a negative return ends and is returned. */
int store_vm_each(struct store_tx *tx, int (*fn)(void *arg, struct vm_row *row), void *arg, struct vl_error *err);

/* --- vm_configs.c: every configuration a VM was given, with the manifest it had --------------------------------- */
#define STORE_CONFIGS_KEPT 100 /* of each VM */
struct vm_config_row {
    int64_t id, version, created_ms;
    char *config, *manifest; /* JSON, as in vm_row */
};
void vm_config_row_done(struct vm_config_row *r);
/* That of row->id and row->config_version, and drops the oldest above STORE_CONFIGS_KEPT. */
int store_vm_config_add(struct store_tx *tx, const struct vm_row *row, struct vl_error *err);
int store_vm_config_count(struct store_tx *tx, int64_t vm_id, int64_t *ret, struct vl_error *err);
/* Newest first, at most `limit` (0: all) behind `offset`, or the one version that is not 0. */
int store_vm_config_each(struct store_tx *tx, int64_t vm_id, int64_t version, int64_t limit, int64_t offset,
                         int (*fn)(void *arg, struct vm_config_row *row), void *arg, struct vl_error *err);

/* --- check.c: what there cannot be ---------------------------------------------------------------------------------
 */
struct store_orphans {
    int64_t leases, ports, versions, configs; /* rows whose VM or deployment is not there */
};
int store_orphans_count(struct store_tx *tx, struct store_orphans *ret, struct vl_error *err);
int store_orphans_remove(struct store_tx *tx, struct vl_error *err);

/* --- leases.c: one address per VM ---------------------------------------------------------------------------- */
/* The lowest free address of [first, last] (host byte order) for a VM. All taken: VL_CONFLICT with the numbers. */
int store_lease_take(struct store_tx *tx, int64_t vm_id, uint32_t first, uint32_t last, uint32_t *ret,
                     struct vl_error *err);
/* That very one. VL_CONFLICT names the VM that has it. */
int store_lease_take_exact(struct store_tx *tx, int64_t vm_id, uint32_t address, struct vl_error *err);

/* --- ports.c: published ports, unique on the host from create to delete ---------------------------------------- */
struct port_row {
    int64_t vm_id;
    char *protocol, *host_ip, *name;
    int64_t host_port, port;
};
void port_row_done(struct port_row *r);
/* Taken by another VM: VL_CONFLICT naming port and VM. */
int store_port_insert(struct store_tx *tx, const struct port_row *row, struct vl_error *err);
/* All of that VM's; none is fine. */
int store_port_clear(struct store_tx *tx, int64_t vm_id, struct vl_error *err);
int store_port_each(struct store_tx *tx, int (*fn)(void *arg, struct port_row *row), void *arg, struct vl_error *err);

/* --- deployments.c: groups of equal VMs, and the versions of their configuration ------------------------------- */
struct deployment_row {
    int64_t id;
    char *name;
    char *desired; /* "present", "deleted" */
    int64_t replicas;
    int64_t version; /* that the replicas are to have */
    char *rollout;   /* "progressing", "complete", "failed" */
    char *reason;    /* of "failed" */
    int64_t created_ms, updated_ms;
};
void deployment_row_done(struct deployment_row *r);
struct deployment_version_row {
    int64_t version;
    char *config; /* vm_config JSON, with the manifest in it */
    int64_t created_ms;
};
void deployment_version_row_done(struct deployment_version_row *r);
/* All but id. Name taken: VL_CONFLICT. */
int store_deployment_insert(struct store_tx *tx, const struct deployment_row *row, int64_t *ret_id,
                            struct vl_error *err);
/* Writes desired, replicas, version, rollout, reason and updated_ms of row->id; VL_NOT_FOUND. */
int store_deployment_update(struct store_tx *tx, const struct deployment_row *row, struct vl_error *err);
/* With its versions; VL_NOT_FOUND. */
int store_deployment_delete(struct store_tx *tx, int64_t id, struct vl_error *err);
/* By name; as store_vm_each. */
int store_deployment_each(struct store_tx *tx, int (*fn)(void *arg, struct deployment_row *row), void *arg,
                          struct vl_error *err);
int store_deployment_version_add(struct store_tx *tx, int64_t deployment_id, const struct deployment_version_row *row,
                                 struct vl_error *err);
/* A version that is not there is fine. */
int store_deployment_version_drop(struct store_tx *tx, int64_t deployment_id, int64_t version, struct vl_error *err);
/* Newest first. */
int store_deployment_version_each(struct store_tx *tx, int64_t deployment_id,
                                  int (*fn)(void *arg, struct deployment_version_row *row), void *arg,
                                  struct vl_error *err);

/* --- plugins.c -------------------------------------------------------------------------------------------------- */
struct plugin_row {
    char *name, *version;
    bool enabled;
    char *manifest; /* as stored and returned, JSON */
    int64_t installed_ms, updated_ms;
};
void plugin_row_done(struct plugin_row *r);
int store_plugin_put(struct store_tx *tx, const struct plugin_row *row,
                     struct vl_error *err); /* insert or replace by name */
int store_plugin_enable(struct store_tx *tx, const char *name, bool enabled, struct vl_error *err); /* VL_NOT_FOUND */
int store_plugin_delete(struct store_tx *tx, const char *name, struct vl_error *err);               /* VL_NOT_FOUND */
int store_plugin_each(struct store_tx *tx, int (*fn)(void *arg, struct plugin_row *row), void *arg,
                      struct vl_error *err);

/* --- plugin_artifacts.c: what plugins are registered with, by plugin, version and name --------------------------- */
struct artifact_row {
    int64_t id;
    char *plugin, *version, *name, *kind, *source_url, *checksum, *format, *local_path;
    int64_t size_bytes, created_ms, updated_ms;
};
void artifact_row_done(struct artifact_row *r);
/* Inserts, or replaces all but created_ms. */
int store_artifact_put(struct store_tx *tx, const struct artifact_row *row, struct vl_error *err);
/* Of a version, or of all where it is NULL; none is fine. */
int store_artifact_delete(struct store_tx *tx, const char *plugin, const char *version, struct vl_error *err);
/*
 * The newest version first, then by name; plugin, version and name each narrow it where they are not NULL. fn takes the
 * row, a negative return ends and is returned.
 */
int store_artifact_each(struct store_tx *tx, const char *plugin, const char *version, const char *name,
                        int (*fn)(void *arg, struct artifact_row *row), void *arg, struct vl_error *err);

/* --- tokens.c: who may use the API over TCP ----------------------------------------------------------------------- */
struct token_row {
    char *name, *role; /* "read", "operate", "admin" */
    char *hash;        /* SHA-256 of the token, 64 hex digits: the token itself is nowhere */
    int64_t created_ms;
};
void token_row_done(struct token_row *r);
/* Name taken: VL_CONFLICT. */
int store_token_insert(struct store_tx *tx, const struct token_row *row, struct vl_error *err);
int store_token_delete(struct store_tx *tx, const char *name, struct vl_error *err); /* VL_NOT_FOUND */
/* By name; as store_vm_each. */
int store_token_each(struct store_tx *tx, int (*fn)(void *arg, struct token_row *row), void *arg, struct vl_error *err);
/* --- mentions.c: whatever of the registry may name an artifact: manifests, configurations and their histories, what is
 * registered; borrowed --- */
int store_mentions_each(struct store_tx *tx, int (*fn)(void *arg, const char *text), void *arg, struct vl_error *err);

/* --- events.c: what happened, in the same transaction that made it true ------------------------------------------ */
#define STORE_EVENTS_KEPT 10000
/* Appends, and drops the oldest above STORE_EVENTS_KEPT. */
int store_event_add(struct store_tx *tx, int64_t vm_id, const char *vm_name, const char *type, const char *status,
                    const char *message, int64_t at_ms, struct vl_error *err);
struct event_row {
    int64_t id, vm_id;
    char *vm_name, *type, *status, *message;
    char *ip_address, *mac_address; /* "" none, as after a delete */
    int64_t pid, at_ms;
};
void event_row_done(struct event_row *r);
/* The newest one's id; 0: there never was any. */
int store_event_last(struct store_tx *tx, int64_t *ret, struct vl_error *err);
/* In order of id, at most `limit` after the one with id `after`; as store_vm_each. */
int store_event_each(struct store_tx *tx, int64_t after, int64_t limit, int (*fn)(void *arg, struct event_row *row),
                     void *arg, struct vl_error *err);
/*
 * One watcher, before the first operation: told on the loop of every event, in order of id, after the `done` of the
 * operation that appended it. The row is borrowed; NULL: there was no memory for some, the table has them.
 */
void store_watch_events(struct store *s, void (*fn)(void *arg, const struct event_row *row /* NULL: lost */),
                        void *arg);
