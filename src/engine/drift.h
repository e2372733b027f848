/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the engine: one look at everything (drift.c, drift_judge.c), and what is done about what was found (repair.c,
 * import.c, evict.c). What blocks runs on workers and on the store thread; what they bring is judged again on the loop,
 * as VMs have moved meanwhile.
 */
#pragma once
#include "engine/vm.h"

struct drift;

/* A finding and what mends it. */
struct item {
    struct finding finding;
    /* Begins it, on the loop; drift_fixed follows, also from within. NULL: nothing does. */
    void (*fix)(struct drift *d, struct item *item);
    struct vmm_run run; /* of strangers */
    bool paused;
    bool has_row;      /* its record is complete */
    struct vm_row row; /* of strangers: what would be recorded; of "configuration": what runs */
    char hex[SHA256_HEX + 1];
};

/* A VM as it was when the look began; workers read no struct vm. */
struct seen {
    int64_t id;
    char name[64];
    bool live;
    struct vmm_run run;
};

/* Who needs an artifact. */
struct need {
    char who[96];
    char hex[SHA256_HEX + 1];
};

struct drift {
    struct drift *next;
    struct engine *engine;
    struct store_op op;
    struct job job;
    int r;
    struct vl_error err;
    struct store_orphans orphans;
    struct seen *seen;
    size_t n_seen;
    struct need *needs;
    size_t n_needs;
    struct strv old; /* artifacts that nobody has touched for a while; "": the registry names it */
    bool unread;     /* then what no VM has may still be somebody's */

    struct item *items;
    size_t n_items;

    bool repair, end_strangers;
    size_t at; /* the item that is being mended */
    struct evict *evict;
    engine_drift_done done; /* NULL: forgotten */
    void *arg;
};

#define SET(buf, ...) ((void)strf((buf), sizeof(buf), __VA_ARGS__))

/* A new finding, to be filled in; NULL: no memory, which is told at the end. */
struct item *drift_add(struct drift *d, const char *kind, bool serious, void (*fix)(struct drift *, struct item *));
/* Answers and frees. */
void drift_end(struct drift *d, int r, const struct vl_error *err);

/* --- drift_judge.c ------------------------------------------------------------------------------------------------ */
/* Drops what is no longer so, completes what is, and adds what the registry alone tells. */
void drift_judge(struct drift *d);

/* --- repair.c ----------------------------------------------------------------------------------------------------- */
void drift_repair(struct drift *d);
/* The item at d->at is mended (r = 0, `done` says how), or was not to be. */
void drift_fixed(struct drift *d, int r, const struct vl_error *err, const char *done);
void fix_stranger(struct drift *d, struct item *item);
void fix_folder(struct drift *d, struct item *item);
void fix_cgroup(struct drift *d, struct item *item);
void fix_rows(struct drift *d, struct item *item);
void fix_artifact(struct drift *d, struct item *item);
void fix_vm(struct drift *d, struct item *item); /* looks at it anew */

/* --- import.c ----------------------------------------------------------------------------------------------------- */
/* Whether a VM with this row can be taken in: VL_CONFLICT or VL_INVALID says why not. */
int import_judge(const struct engine *e, const struct vm_row *row, struct vl_error *err);
/* Records it, with lease and ports, and adopts it; takes the row of the item. Ends in drift_fixed. */
void import_begin(struct drift *d, struct item *item);

/* --- evict.c ------------------------------------------------------------------------------------------------------ */
/* Ends a stranger as a stop would, and removes its folder. Ends in drift_fixed. */
void evict_begin(struct drift *d, struct item *item);
/* volantd stops: it is not waited for any more. */
void evict_abort(struct evict *v);
