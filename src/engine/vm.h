/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the engine: one VM and what happens to it. All fields belong to the loop thread; a job or transaction in
 * flight (`busy`) may read `row`, `run`, `manifest` and `config`, which therefore change only when nothing is in
 * flight.
 *
 * How it works: callbacks set facts (vmm_gone, agent_up, late, an intent in the queue), then vm_step looks at the
 * desired state, the committed status and the facts and begins at most one transaction or job. When that has finished
 * it looks again. There is no other place where a VM moves.
 */
#pragma once
#include "engine/engine.h"
#include "engine/transition.h"

#define BOOT_FORM_MAX (1024ull << 20) /* bytes of an unpacked initramfs */

enum vm_desire { DESIRE_RUNNING, DESIRE_STOPPED, DESIRE_DELETED };

/* Somebody who waits for a VM to get somewhere. */
enum wait_for {
    WAIT_PROCESS,
    WAIT_RUNNING,
    WAIT_READY,
    WAIT_AGENT,
    WAIT_ENDED,
    WAIT_GONE,
    WAIT_COMMIT,
    WAIT_PAUSED,
    WAIT_DOWN
};
struct waiter {
    struct waiter *next;
    struct vm *vm;
    enum wait_for what;
    int64_t until_ms; /* mono_ms, whether the request still waits for its turn or for the VM */
    struct timer timer;
    engine_vm_done done; /* NULL: forgotten */
    void *arg;
};

enum intent_kind {
    INTENT_START,
    INTENT_STOP,
    INTENT_RESTART,
    INTENT_DELETE,
    INTENT_CONFIGURE,
    INTENT_PAUSE,
    INTENT_RESUME
};
struct configure;
struct intent {
    struct intent *next;
    enum intent_kind kind;
    bool taken;                  /* being committed: nobody takes it back */
    int64_t updated_ms;          /* of INTENT_DELETE: only of the VM as it was then; 0: as it is */
    struct waiter *waiter;       /* joins the VM's when the intent is committed */
    struct configure *configure; /* of INTENT_CONFIGURE */
};
void intent_free(struct intent *i); /* but for its waiter */

/* kestrel reads the guest's configuration: as its agent, or to get to a disk image and hand over to the init there. */
static inline bool vm_has_bootloader(const struct manifest *m)
{
    return manifest_has_agent(m) || (manifest_has_rootfs(m) && m->rootfs.init);
}

enum health { HEALTH_NONE, HEALTH_STARTING, HEALTHY, UNHEALTHY };

struct vm {
    struct engine *engine;
    struct vm *next; /* in order of id */
    struct vm_row row;
    enum vm_status status;
    enum vm_desire desire;
    struct manifest manifest;
    struct vm_config config;
    char dir[256], console[272]; /* the socket of its console, in there */
    struct vm_text text;         /* for engine_vm_text */

    struct intent *intents;
    struct waiter *waiters;
    bool busy;
    bool admitted; /* to run, by an intent that is being committed: its share of the host is taken */

    /* Waiting to boot (turns.c, restart.c). */
    bool slot;             /* one of the boot slots is this VM's */
    int64_t turn;          /* pending: its place in the queue */
    int64_t wait_until_ms; /* pending: mono_ms, not before; 0: at once */

    /* The present boot. */
    bool token_fresh;       /* row.boot was committed for a launch that has not been tried */
    int attempts;           /* launches since the VM was last asked to start */
    bool live;              /* its VMM runs, as far as we know */
    bool found;             /* it runs although the row tells of another boot, or of none: the row is to be corrected */
    char *found_cmdline;    /* of that boot */
    int64_t found_revision; /* whose configuration that has; -1: not known */
    int64_t since_ms;       /* mono_ms: it has its status since, as far as we know */
    struct vmm_run run;
    struct watch vmm_watch;
    struct guest *guest;
    bool workload_ended;
    bool paused; /* its vCPUs stand still, as far as we know */
    bool ready;  /* the guest's last word; vm_is_ready is what counts */
    enum health health;
    char *health_reason; /* of the last failed check; NULL: none */
    int64_t heard_ms;    /* mono_ms of the guest's last sign of life */
    int silent_looks;    /* since then (hang.c) */
    bool hung, pinged;
    char reason_now[160]; /* what is wrong at this moment and not worth a row: "the agent does not answer" */
    char unready[64];     /* what it waits for while nothing is wrong and it is not ready; "" unknown */
    int64_t workload_code;

    /* Facts that wait for vm_step. */
    bool vmm_gone, agent_up, late, agent_awaited, stop_asked, agent_refused;
    bool health_news, hang_news, over_budget, budget_runs;
    enum vmm_end_step end_step; /* what it took to end it */
    struct timer deadline;      /* of the boot, of the stop, of the machine's end after its workload's */
    struct timer budget;        /* of the first success of the health check, while budget_runs */
    struct timer retry;         /* of what failed, or of a silent agent: one step for all */
    int64_t retry_ms;           /* when; 0: not */
};

/* Who else refers to artifacts. */
struct artifact_keeper {
    bool (*wanted)(void *arg, const char *checksum); /* NULL: nobody */
    void *arg;
};

struct engine {
    struct engine_config cfg;
    struct pool *pool;     /* jobs of VMs */
    struct pool *lane;     /* artifact work, one job at a time and in order */
    struct pool *bringers; /* media from elsewhere, which takes long */
    struct bring *brings;  /* on their way in */
    int stop_fd;           /* readable: they give up */
    struct vm *vms;
    struct plugin *plugins;
    struct draft *drafts;     /* judged, and in a transaction */
    struct release *releases; /* artifacts on their way out, or being judged */
    struct artifact_keeper keeper;
    unsigned booting; /* slots taken */
    int64_t turns;
    struct timer hang_timer;
    bool hang_armed;
    struct observer {
        void (*changed)(void *arg, const struct vm_view *view, bool gone); /* NULL: none */
        void *arg;
    } observers[ENGINE_OBSERVERS_MAX];
    size_t strangers;
    struct drift *drifts;         /* checks and repairs in progress */
    struct history *histories;    /* being read */
    bool unread;                  /* a row could not be read: nothing is removed because the registry lacks it */
    struct plugin_op *plugin_ops; /* in flight */
    struct prune *prunes;
    bool step_scheduled, slots_scheduled; /* the loop will call: the engine is not freed before */
    bool closing;
};

/* --- vm.c: steps, commits, waiters ------------------------------------------------------------------------------- */
struct vm *vm_new(struct engine *e, struct vm_row *row, struct vl_error *err); /* takes the row's content */
/* The same in two steps, for a row on its way into the store: all that can fail before the commit, the rest after it.
 */
struct vm *vm_prepare(struct engine *e, const struct vm_row *row, struct vl_error *err);
void vm_take_row(struct vm *vm, struct vm_row *row);
void vm_free(struct vm *vm); /* not while busy; waiters must be gone */
void vm_insert(struct engine *e, struct vm *vm);
struct vm *engine_vm_by_id(const struct engine *e, int64_t id); /* NULL: there is none */
void vm_remove(struct vm *vm);
/* Looks and begins at most one thing (step.c). */
void vm_step(struct vm *vm);
/* Tells the observers, and answers the waiters whose wait is over: after every change of what is to be seen. */
void vm_settle(struct vm *vm);
void vm_add_waiter(struct vm *vm, struct waiter *w);
/* The observers hear that it is forgotten. */
void vm_gone(struct vm *vm);
/* Those who wait for this hear that it will not come. */
void vm_fail_waiters(struct vm *vm, enum wait_for what, const struct vl_error *err);
bool vm_is_ready(const struct vm *vm);
/* From now on its time runs: -ENOMEM. */
int waiter_begin(struct waiter *w);
/* Answers and frees. */
void waiter_end(struct waiter *w, int r, const struct vl_error *err, struct vm *vm);
/* Drops a waiter that nobody waits for any more. */
void waiter_free(struct waiter *w);

/* What belongs into a change's transaction as well: `run` is called on the store thread, after the row's update. */
struct vm_also {
    int (*run)(struct vm_also *also, struct store_tx *tx, const char *status, struct vl_error *err);
};

/* A change of the row and the event that tells of it; unset members keep the row's value. */
struct vm_change {
    enum vm_desire desire;
    enum vm_status status;
    const char *reason, *boot, *kernel_cmdline; /* NULL: keep */
    bool new_exit_code, clear_exit_code;
    int64_t exit_code;
    int64_t pid;                                 /* -1: keep */
    int64_t restarts, not_before_ms, started_ms; /* -1: keep */
    int64_t revision;                            /* -1: keep */
    const char *event;                           /* one of those that lead there (transition.c); NULL: the first */
    const char *message;                         /* NULL: the reason that is given, or what the transition says */
    struct vm_also *also;                        /* NULL: nothing; borrowed until the commit has ended */
};
/* None, but for the pid of a VMM that runs: a commit that failed or was cut off may not have recorded it. */
struct vm_change vm_change_of(const struct vm *vm);
/*
 * Commits; then, on the loop, `then` (may be NULL) with the row already changed, waiters and the next step. Where the
 * commit fails: `failed` if given (an intent: its requester is told), else the same step is tried again in a second.
 */
void vm_commit(struct vm *vm, const struct vm_change *c, void (*then)(struct vm *vm),
               void (*failed)(struct vm *vm, int r, const struct vl_error *err));
const char *vm_desire_name(enum vm_desire d);
/* What cannot be done now is tried again then, or sooner. */
void vm_step_later(struct vm *vm, int ms);

/* --- intent.c -------------------------------------------------------------------------------------------------------
 */
/*
 * Queues what a client wants of this VM, a copy of `what`; its waiter (may be NULL) is answered by it. Takes that and
 * the configuration of an INTENT_CONFIGURE. -ENOMEM: nothing was queued.
 */
int vm_intend(struct vm *vm, const struct intent *what);

void vm_intent_apply(struct vm *vm); /* the first of the queue */

/* --- request.c ---------------------------------------------------------------------------------------------------- */
/* vm_intend for the VM of that name, with a waiter for `done`. `c` is taken on success only. */
int vm_ask(struct engine *e, const char *name, enum intent_kind kind, struct configure *c, enum wait_for what,
           int timeout_ms, engine_vm_done done, void *arg, struct vl_error *err);

/* --- configure.c -------------------------------------------------------------------------------------------------- */
void configure_free(struct configure *c); /* NULL is fine */
bool configure_restarts(const struct configure *c);
/* Its turn has come: what is to be committed with the change of the VM's state. */
int configure_judge(struct vm *vm, struct configure *c, struct vm_also **ret, struct vl_error *err);
/* It is committed. */
void configure_apply(struct vm *vm, struct configure *c);

/* --- history.c ---------------------------------------------------------------------------------------------------- */
/* Nobody waits for `arg` any more. */
void histories_forget(struct engine *e, const void *arg);

/* --- admit.c ------------------------------------------------------------------------------------------------------ */
/* VL_CONFLICT with the numbers unless the host has that much left for a VM; what `vm` (NULL: none) has counts as left.
 */
int admit(const struct engine *e, const char *name, const struct vm *vm, int64_t memory_mb, int64_t vcpus,
          struct vl_error *err);
/* For an intent that makes the VM run: its share is taken from here on, until the intent has ended. */
int vm_admit(struct vm *vm, struct vl_error *err);

/* --- boot.c ------------------------------------------------------------------------------------------------------- */
void vm_begin_boot(struct vm *vm); /* a new token, then the launch */
void vm_launch(struct vm *vm);
/* A VMM of this VM runs (launched or adopted): watch it and talk to its agent. */
void vm_attach(struct vm *vm, const struct vmm_run *run, int64_t agent_deadline_ms);
void vm_detach(struct vm *vm);    /* forget process and channel; touches neither */
void vm_try_agent(struct vm *vm); /* a running VM's that was given up */
void vm_commit_running(struct vm *vm);
/* Its attempts are used up. */
void vm_boot_failed(struct vm *vm);

/* --- end.c -------------------------------------------------------------------------------------------------------- */
void vm_ask_stop(struct vm *vm); /* the agent, with its time */
void vm_await_agent(struct vm *vm);
void vm_end_vmm(struct vm *vm); /* the VMM itself, now */
void vm_collect(struct vm *vm); /* why it ended, and what follows */
/* It is stopped because it has done its work, not because somebody wanted it so: its reason tells. */
bool vm_ended_well(const struct vm *vm);
/* How a VM has ended. */
struct verdict {
    enum vm_status status; /* stopped, crashed or failed */
    const char *event;
    bool has_code;
    int64_t code;
    char reason[400];
};
/* How the reason begins of a VM that is stopped because it did not become healthy: it has failed, not crashed. */
#define NOT_HEALTHY_IN_TIME "the workload did not become healthy"
/* Records it: with the next boot, where there is to be one. */
void vm_end_commit(struct vm *vm, const struct verdict *v);
void vm_erase(struct vm *vm); /* folder, row, memory */

/* --- health.c ----------------------------------------------------------------------------------------------------- */
/* What the guest tells of its health check. */
void vm_take_health(struct vm *vm, const char *health, const char *reason);
void vm_say_health(struct vm *vm); /* nothing else is wrong with it any more: reason_now */
/* It runs: from now on it has the manifest's time to become healthy, unless that runs already. */
void vm_begin_budget(struct vm *vm);
void vm_stop_budget(struct vm *vm); /* its vCPUs stand still */
/* A guest that is ill or silent: recorded, and where the restart policy has it again, ended. */
void vm_judge_guest(struct vm *vm);

/* --- hang.c ------------------------------------------------------------------------------------------------------- */
void vm_heard(struct vm *vm); /* it lives */
/* It never will again, says its VMM: as if it had been silent for long enough. */
void vm_is_broken(struct vm *vm);
/* There is a running guest to be watched. */
void hang_watch(struct engine *e);

/* --- pause.c ------------------------------------------------------------------------------------------------------ */
void vm_apply_pause(struct vm *vm, bool paused);

/* --- restart.c ---------------------------------------------------------------------------------------------------- */
enum restart_policy vm_restart_policy(const struct vm *vm);
/* What follows the end of a VM that was to run: status, desire, event, restarts, and the reason in `reason`. */
void vm_restart_decide(const struct vm *vm, const struct verdict *v, struct vm_change *c, char *reason, size_t size);

/* --- turns.c ------------------------------------------------------------------------------------------------------ */
bool slot_take(struct engine *e); /* for a VM that is not there yet, which then has `slot` */
void slot_give_back(struct engine *e);
bool vm_slot_take(struct vm *vm); /* idempotent */
void vm_slot_keep(struct vm *vm); /* it boots already: one more than there are, if need be */
void vm_slot_release(struct vm *vm);
void vm_queue(struct vm *vm); /* it has become pending, or was found so */
/* A pending VM may boot; it holds a slot then. */
bool vm_turn_has_come(struct vm *vm);

/* --- adopt.c ------------------------------------------------------------------------------------------------------ */
void vm_adopt(struct vm *vm);
/* It runs, whatever the row says: the row learns of it. */
void vm_commit_found(struct vm *vm);
/* The ids that have a folder; the caller's. */
int folders_list(const char *vms_dir, int64_t **ret, size_t *ret_n);
/* Removes those of them that belong to no VM, unless a VMM runs there, and such cgroups. Takes ids. At start, when no
 * VM can have been made meanwhile. */
void engine_sweep(struct engine *e, int64_t *ids, size_t n);

/* --- record.c ----------------------------------------------------------------------------------------------------- */
/* All of a VM that its folder keeps for a registry that does not know it, as JSON text; the caller's, NULL: no memory.
 */
char *vm_record_text(const struct vm *vm);
/* The row of the VM that `note` tells of, but for its status. VL_INVALID: the record lacks something, or is none. */
int vm_record_row(const struct vmm_note *note, struct vm_row *ret, struct vl_error *err);

/* --- drift.c ------------------------------------------------------------------------------------------------------ */
/* Nobody waits for `arg` any more. */
void drifts_forget(struct engine *e, const void *arg);
/* What they wait for will not come. */
void drifts_close(struct engine *e);

/* --- plugins.c ---------------------------------------------------------------------------------------------------- */
int plugins_load(struct engine *e, struct vl_error *err);
void plugins_free(struct engine *e);
const struct manifest *plugin_manifest(const struct plugin *p);
const char *plugin_manifest_text(const struct plugin *p);
/* An install in flight wants this artifact. */
bool plugin_ops_want(const struct engine *e, const char *checksum);
void plugin_ops_forget(struct engine *e, const void *arg);
/* Deletes the artifact of a manifest that nothing refers to any more, as prune means it; NULL is fine. */
void artifact_release(struct engine *e, const char *checksum);
/*
 * The same of one that no text of the registry names, unless it was touched within age_s seconds when its turn comes;
 * -1: whenever.
 */
void artifact_release_unnamed(struct engine *e, const char *checksum, int64_t age_s);
/* By what is in memory: a plugin, a VM, a deployment, or one of them on its way. */
bool artifact_wanted(const struct engine *e, const char *checksum);
/* It is being deleted. */
bool artifact_going(const struct engine *e, const char *checksum);
/*
 * At start: the artifacts that nobody has referred to for an hour; not while there are strangers, who may become VMs
 * again and need theirs, or a former registry, which may be put back.
 */
#define ARTIFACT_ORPHAN_S 3600
void artifacts_sweep(struct engine *e);
/* Bare hex of "sha256:<hex>". */
const char *checksum_hex(const char *checksum);

/* --- media.c ------------------------------------------------------------------------------------------------------ */
/* Somebody who waits for a medium; the strings are borrowed until `done`, which comes on the loop, once. */
struct medium_waiter {
    const char *url;
    int64_t size; /* that it must have; 0: any */
    void (*done)(struct medium_waiter *w, int r, const struct vl_error *err);
    struct medium_waiter *next; /* private */
};
int media_open(struct engine *e, struct vl_error *err);
/* All give up, and who waits is told. */
void media_stop(struct engine *e);
/*
 * Brings the blob that is not here from w->url. Fails at once (VL_CONFLICT) where nothing may be brought from there, or
 * calls w->done later.
 */
int medium_bring(struct engine *e, const char *hex, struct medium_waiter *w, struct vl_error *err);

/* --- prune.c ------------------------------------------------------------------------------------------------------ */
/* Nobody waits for `arg` any more. */
void prunes_forget(struct engine *e, const void *arg);

/* --- draft.c ------------------------------------------------------------------------------------------------------ */
/* A VM on its way into the registry is (or becomes) one of this plugin, boots this artifact. */
bool drafts_use_plugin(const struct engine *e, const char *name);
bool drafts_use_artifact(const struct engine *e, const char *checksum);

/* --- create.c ----------------------------------------------------------------------------------------------------- */
/* Nobody waits for `arg` any more. */
void creates_forget(struct engine *e, const void *arg);
/* A fresh name for a boot. */
void random_token(char token[static BOOT_TOKEN_LEN + 1]);
