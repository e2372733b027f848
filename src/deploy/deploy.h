/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deployments: groups of equal VMs, kept at their number and their configuration. They stand on the engine's public
 * calls alone. What is desired is committed first; then one function looks at the desired state and at the VMs, and
 * begins what is missing (plan.h decides, reconcile.c does). It is called after each commit, for each change of a VM,
 * at start and when a back-off is over, and asks for nothing that is not in the store or to be seen: kill -9 at any
 * instruction loses nothing. Loop thread only.
 */
#pragma once
#include "engine/engine.h"
#include "model/deployment.h"

struct deploy;
struct deployment;

struct deploy_config {
    struct loop *loop;
    struct store *store;
    struct engine *engine; /* all borrowed, outlive this */
    uint64_t addresses;    /* that VMs can get */
    int boot_ms;           /* how long a boot may take, with its retry */
};
/* Before engine_start: loads the deployments, and from then on keeps the artifacts that their versions boot. */
int deploy_new(const struct deploy_config *cfg, struct deploy **ret, struct vl_error *err);
/* After engine_start: becomes its observer, and goes on where the last volantd left off. */
void deploy_start(struct deploy *dp);
/* Before engine_free. Leaves every VM as it is; waits for transactions in flight. NULL is fine. */
void deploy_free(struct deploy *dp);
DEFINE_AUTO(struct deploy *, deploy_free)

/* As engine_vm_done; `d` is NULL once it is gone. */
typedef void (*deploy_done)(void *arg, int r, const struct vl_error *err, struct deployment *d);
enum deploy_want {
    DEPLOY_WANT_COMMITTED,
    DEPLOY_WANT_MEMBERS, /* each replica's VM is recorded, or was refused */
    DEPLOY_WANT_READY,   /* all are ready and of the desired version, or have ended; or the rollout failed */
};
struct deploy_wait {
    enum deploy_want want;
    int timeout_ms;
    int64_t as_of; /* of a change: updated_ms of what it is to change (VL_CHANGED if it is not that by then); 0: any */
    deploy_done done;
    void *arg;
};

/*
 * All return 0 and call `done` later, exactly once, or fail at once and never call it; with a want, done comes when it
 * is reached or after timeout_ms, with r = 0 in both cases. Requests for one deployment have their turn one after the
 * other. VL_NOT_FOUND, VL_CONFLICT (being deleted, a name or port that is taken, addresses) and VL_INVALID name the
 * object and the remedy; then nothing was changed.
 */
int deploy_create(struct deploy *dp, const struct deployment_request *req, const struct deploy_wait *wait,
                  struct vl_error *err);
/* Scales, or changes the configuration, or both: a changed one is a new version and rolls. */
int deploy_update(struct deploy *dp, const char *name, const struct deployment_patch *patch,
                  const struct deploy_wait *wait, struct vl_error *err);
/*
 * A new version with the configuration of an earlier one; version 0: of the one before the present. None, as with an
 * update, where that is what it has already, unless the rollout failed: then it is tried again.
 */
int deploy_rollback(struct deploy *dp, const char *name, int64_t version, const struct deploy_wait *wait,
                    struct vl_error *err);
/* With its VMs; `want` has no meaning: done comes when all are gone (d is NULL), or after timeout_ms. */
int deploy_delete(struct deploy *dp, const char *name, const struct deploy_wait *wait, struct vl_error *err);
/* Changes nothing: only waits. */
int deploy_await(struct deploy *dp, const char *name, const struct deploy_wait *wait, struct vl_error *err);
/* Nobody waits for `arg` any more; what was asked for goes on. */
void deploy_forget(struct deploy *dp, void *arg);

/* Valid until the loop's next round. NULL if there is none. */
struct deployment *deploy_find(struct deploy *dp, const char *name);
/* By name; returns the number, stops early if fn returns false. */
size_t deploy_each(struct deploy *dp, bool (*fn)(void *arg, struct deployment *d), void *arg);

struct replica_view {
    char name[64];
    const char *status; /* of its VM; "pending" where it has none yet */
    bool ready;
    int64_t version;  /* 0: it has no VM yet */
    char reason[512]; /* "" where all is well */
};
struct deployment_view {
    const char *name; /* borrowed, as `reason`, until the loop's next round */
    int64_t replicas, ready, updated, ended, version, created_ms, updated_ms;
    const char *status;           /* one of deployment_status_names */
    const char *reason;           /* why it is not ready; "" if it is */
    struct replica_view *members; /* the view's */
    size_t n_members;
};
extern const char *const deployment_status_names[];                 /* NULL-terminated, for tables */
int deploy_view(struct deployment *d, struct deployment_view *ret); /* -ENOMEM */
void deployment_view_done(struct deployment_view *v);

/* The configuration that is desired, with the manifest and all that its members get by default; NULL: out of memory. */
json_t *deploy_config_json(const struct deployment *d);
/* Every version that is kept, newest first; `config` is fn's to release. Stops early if fn returns false. -ENOMEM. */
int deploy_history(const struct deployment *d,
                   bool (*fn)(void *arg, int64_t version, int64_t created_ms, json_t *config), void *arg);
/* The deployment whose present version is of this plugin, or NULL. */
const char *deploy_plugin_user(struct deploy *dp, const char *plugin);
