/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done for a deployment, given what is desired and what is seen: decided here, done elsewhere. Nothing in
 * here looks at a clock, an engine or a database.
 *
 * - A place without a VM gets one, at once; VMs beyond the number of replicas go, all at once.
 * - Replicas of another version than the desired one get it one after the other: first those that serve nobody anyway,
 *   then in order of their index, each only once every replica of the new version is ready. One that is not in time, or
 *   cannot be, stops the rollout for good. One that is paused has its turn when it goes on.
 * - A replica that crashed or failed, and that no restart policy brings back, is replaced after its back-off; one with
 *   a disk of its own is started again instead, as that would go with it. One that was stopped or paused by hand, or
 *   that crashes again and again, is left alone and told of; and so is one whose workload ended by itself with 0 where
 *   its policy leaves it so, but that a new version starts again.
 */
#pragma once
#include "model/vm.h"

enum rollout { ROLLOUT_PROGRESSING, ROLLOUT_COMPLETE, ROLLOUT_FAILED };

/* One place: replica <name>-<index + 1>. */
struct plan_slot {
    /* Seen: */
    int64_t revision, restarts;
    enum vm_status status;
    bool exists, ready, unhealthy;
    bool crash_loop; /* `failed`, because of that */
    bool ended_well; /* `stopped`, as its work is done */
    bool has_disk;   /* which is not to be lost */
    /* Remembered: */
    bool creating, configuring, deleting; /* begun, and not answered yet */
    bool failing;                         /* what was tried last was refused */
    bool refused;                         /* and it is no use to try again before something changes */
    int64_t not_before_ms;                /* when something may be tried; 0: at once */
    int64_t awaited_ms;                   /* since when plan_is_awaited; 0: it is not */
};

struct plan_in {
    int64_t replicas, version;
    bool deleted;
    enum rollout rollout;
    int64_t now_ms, ready_ms; /* the time a replica has to become ready */
    const struct plan_slot *slots;
    size_t n_slots; /* at least `replicas` */
};

enum plan_what { PLAN_CREATE, PLAN_CONFIGURE, PLAN_DELETE };
struct plan_action {
    size_t slot;
    int64_t version; /* to create or configure with */
    enum plan_what what;
    bool restart; /* PLAN_CONFIGURE: now, not at its next start */
};

enum plan_status { PLAN_READY, PLAN_PROGRESSING, PLAN_DEGRADED, PLAN_FAILED, PLAN_ENDED, PLAN_DELETING };
const char *plan_status_name(enum plan_status s);

#define PLAN_NO_SLOT SIZE_MAX

struct plan {
    struct plan_action *actions; /* the caller's array with room for n_slots */
    size_t n_actions;
    bool gone;            /* deleted, and nothing is left */
    enum rollout rollout; /* as it is to be recorded */
    size_t blamed;        /* what made it ROLLOUT_FAILED just now, or PLAN_NO_SLOT */
    enum plan_status status;
    size_t worst;                    /* whose fault it is that not all is well, or PLAN_NO_SLOT */
    int64_t ready, updated, missing; /* missing: places without a VM */
    int64_t ended;                   /* plan_is_done */
    int64_t look_again_ms;           /* 0: when something happens */
};
void plan_make(const struct plan_in *in, struct plan *ret);

/* It is of this version and on its way to be ready. One that waits for its first boot has not begun. */
bool plan_is_awaited(const struct plan_slot *s, int64_t version);
/* It has ended and stays so: nothing but a replacement, or a start by hand, brings it back. */
bool plan_has_ended(const struct plan_slot *s);
/* Somebody wanted it so. */
bool plan_is_by_hand(const struct plan_slot *s);
/* Its workload has ended by itself, well, and nothing but a new version or a start by hand brings it back. */
bool plan_is_done(const struct plan_slot *s);

/* The back-off before the n-th try in a row, n from 1: 1 s, doubling, at most 5 minutes. */
int64_t plan_backoff_ms(unsigned n);
