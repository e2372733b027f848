/* SPDX-License-Identifier: Apache-2.0 */
/* Inside deployments: what is remembered of one, and which file does what with it. */
#pragma once
#include "deploy/deploy.h"
#include "deploy/plan.h"

#define DEPLOY_VERSIONS_KEPT 100
#define DEPLOY_REASON_MAX    400

/* A configuration that the deployment has, or had. */
struct version {
    struct version *next; /* newest first */
    int64_t number, created_ms;
    json_t *stored;          /* as the client gave it, with the manifest; as in the row */
    struct vm_config config; /* what members get: the manifest's defaults filled in */
    char checksum[80];       /* of what they boot, "" if nothing */
    int64_t ready_ms;        /* how long one may take until it is ready */
};

/* A call of the engine's that has not been answered; its address is the call's `arg`. */
struct slot_call {
    struct slot *slot;
    bool *flag; /* of seen: what it is that goes on */
};

/* One place, replica <name>-<index + 1>. At its address as long as it lives. */
struct slot {
    struct deployment *d;
    size_t index;
    struct plan_slot seen;
    struct slot_call create, configure, remove;
    unsigned failures;   /* in a row, of whatever kind */
    bool ended_noted;    /* its present end was counted */
    int64_t ready_since; /* mono_ms; 0: it is not */
    char *error;         /* why the last call was refused; NULL: it was not */
};

/* What is committed. */
struct desire {
    int64_t replicas, version;
    bool deleted;
    enum rollout rollout;
    char reason[DEPLOY_REASON_MAX]; /* of ROLLOUT_FAILED */
    int64_t updated_ms;
};

struct deployment {
    struct deploy *deploy;
    struct deployment *next; /* by name */
    int64_t id, created_ms;
    char name[64];
    struct desire want;
    struct version *versions;
    struct slot **slots;
    size_t n_slots;
    struct plan plan; /* the last one, without its actions */
    bool busy;        /* a transaction is in flight */
    bool dirty;       /* to be looked at again */
    struct ask *asks; /* waiting for their turn, in order */
    struct deploy_waiter *waiters;
    struct timer again;
};

struct deploy {
    struct deploy_config cfg;
    struct deployment *list;
    struct change *changes; /* transactions in flight */
    bool scheduled;         /* to look at what is dirty */
    bool asks_scheduled;    /* to begin what was asked for */
    bool closing;
    bool unread; /* a version could not be read: what it boots is kept */
};

/* --- deploy.c ----------------------------------------------------------------------------------------------------- */
struct deployment *deployment_new(struct deploy *dp, const char *name);
void deployment_free(struct deployment *d);
DEFINE_AUTO(struct deployment *, deployment_free)
void deployment_insert(struct deployment *d);
void deployment_remove(struct deployment *d);
const char *rollout_name(enum rollout r);

/* --- version.c ---------------------------------------------------------------------------------------------------- */
/* From a configuration as it is stored (takes it): all that members get. */
int version_new(struct deploy *dp, json_t *stored, struct version **ret, struct vl_error *err);
void version_free(struct version *v);
DEFINE_AUTO(struct version *, version_free)
struct version *version_find(const struct deployment *d, int64_t number);
/*
 * Settles a configuration against the registry: its plugin must be there and enabled, and where it brings no manifest,
 * that plugin's is put into it.
 */
int config_settle(struct deploy *dp, json_t *config, struct vl_error *err);
/* What the engine is asked for; borrows from v, name has room for 64 bytes. */
void version_request(const struct version *v, const char *name, struct vm_request *ret);
/* What a version must fulfil to be that of `replicas` VMs of this name. */
int version_check(struct deploy *dp, const struct version *v, const char *name, int64_t replicas, struct vl_error *err);
/* The part of it that depends on their number. */
int ports_check(const struct version *v, int64_t replicas, struct vl_error *err);
json_t *version_json(const struct version *v);

/* --- change.c: what is asked for, one transaction each ------------------------------------------------------------ */
/* Begins the next of `asks` if nothing is in flight. */
void deployment_next_ask(struct deployment *d);
/* Records how the rollout stands. */
void deployment_commit_rollout(struct deployment *d, enum rollout rollout, const char *reason);
/* Nothing is left of it: the row goes, then the memory. */
void deployment_commit_gone(struct deployment *d);
void changes_forget(struct deploy *dp, const void *arg);
/* One in flight brings a version that boots this. */
bool changes_want(const struct deploy *dp, const char *checksum);
void asks_free(struct deployment *d);
/* The deployment is gone: each is told. */
void asks_gone(struct deployment *d);

/* --- reconcile.c -------------------------------------------------------------------------------------------------- */
/* Looks again before this round of the loop is over. */
void deployment_touch(struct deployment *d);
/* Something has changed that lets all be tried again at once. */
void deployment_forgive(struct deployment *d);
void deploy_observe(void *arg, const struct vm_view *view, bool gone);
/* What is there now, into slots and plan; begins nothing. -ENOMEM. */
int deployment_refresh(struct deployment *d);
void slots_free(struct deployment *d);
/* "<name>-<index + 1>" */
void replica_name(const struct deployment *d, size_t index, char buf[static 64]);

/* --- view.c ------------------------------------------------------------------------------------------------------- */
/* As much of a text as fits, whole characters. */
void text_cut(char *buf, size_t size, const char *text);

/* --- wait.c ------------------------------------------------------------------------------------------------------- */
struct deploy_waiter {
    struct deploy_waiter *next;
    struct deployment *d;
    struct deploy_wait wait;
    bool for_end; /* until it is gone */
    struct timer timer;
};
/* Not joined to a deployment yet. */
struct deploy_waiter *waiter_make(const struct deploy_wait *wait);
/* From now on its time runs. */
void waiter_join(struct deployment *d, struct deploy_waiter *w);
/* Answers and frees. */
void waiter_answer(struct deploy_waiter *w, int r, const struct vl_error *err, struct deployment *d);
/* Answers those whose wait is over. */
void waiters_settle(struct deployment *d);
void waiters_gone(struct deployment *d);
void waiters_free(struct deployment *d);
