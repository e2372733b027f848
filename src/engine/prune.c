/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which artifacts nobody refers to, and their end. A worker lists the folder, the store thread reads every text that
 * may name one of them (histories too, which are not in memory), the loop adds what is on its way, and the lane removes
 * one after the other. Each step looks again at what the one before could not know; a kill in between leaves whole
 * files.
 */
#include <string.h>

#include "base/log.h"
#include "engine/vm.h"

struct prune {
    struct job job;
    struct store_op op;
    struct prune *next;
    struct engine *engine;
    enum prune_what what;
    bool dry;
    struct artifact_use *items; /* in order of their digests */
    size_t n;
    int r;
    struct vl_error err;
    engine_prune_done done; /* NULL: forgotten */
    void *arg;
};

static void prune_end(struct prune *p, int r, const struct vl_error *err)
{
    struct prune **at = &p->engine->prunes;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->done && !p->engine->closing) p->done(p->arg, r, err, p->items, p->n);
    free(p->items);
    free(p);
}

void prunes_forget(struct engine *e, const void *arg)
{
    for (struct prune *p = e->prunes; p; p = p->next)
        if (p->arg == arg) p->done = NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct artifact_use *)a)->hex, ((const struct artifact_use *)b)->hex);
}

/* The next job on the lane, where nothing else is installed or removed meanwhile. */
static void go_on(struct prune *p, void (*run)(struct job *j), void (*done)(struct job *j, bool cancelled))
{
    int r;

    p->job = (struct job){.run = run, .done = done};
    if ((r = pool_submit(p->engine->lane, &p->job)) == 0) return;
    (void)vl_fail_errno(&p->err, r, "start a worker");
    prune_end(p, r, &p->err);
}

/* --- what there is -------------------------------------------------------------------------------------------------
 */

static int list(struct prune *p)
{
    struct artifacts *a = p->engine->cfg.artifacts;
    auto_strv all = {0};
    int r = artifacts_old(a, -ARTIFACT_ORPHAN_S, &all); /* whatever its time, also with a clock that was set back */

    if (r < 0) return r;
    if (all.len > 0 && !(p->items = calloc(all.len, sizeof(*p->items)))) return -ENOMEM;
    for (size_t i = 0; i < all.len; i++)
        (void)strf(p->items[i].hex, sizeof(p->items[i].hex), "%s", all.items[i]);
    if (all.len > 0) qsort(p->items, all.len, sizeof(*p->items), compare);
    for (size_t i = 0; i < all.len; i++) {
        if (p->n > 0 && str_eq(p->items[p->n - 1].hex, p->items[i].hex)) continue; /* both its forms are here */
        p->items[p->n++] = p->items[i];
    }
    for (size_t i = 0; i < p->n; i++) {
        p->items[i].bytes = artifact_bytes(a, p->items[i].hex);
        p->items[i].fresh = !artifact_untouched(a, p->items[i].hex, ARTIFACT_ORPHAN_S);
    }
    return 0;
}

static void list_run(struct job *j)
{
    struct prune *p = container_of(j, struct prune, job);

    p->r = list(p);
    if (p->r < 0) (void)vl_fail_errno(&p->err, p->r, "list the artifacts");
}

/* --- who names it --------------------------------------------------------------------------------------------------
 */

static void mark(struct prune *p, const char *hex)
{
    struct artifact_use key = {0}, *found;

    (void)strf(key.hex, sizeof(key.hex), "%.*s", SHA256_HEX, hex);
    for (char *c = key.hex; *c; c++)
        if (*c >= 'A' && *c <= 'F') *c = (char)(*c - 'A' + 'a');
    found = p->n > 0 ? bsearch(&key, p->items, p->n, sizeof(*p->items), compare) : NULL;
    if (found) found->used = true;
}

/* Anything in it that looks like a digest counts, wherever it stands. */
static int take_mentions(void *arg, const char *text)
{
    static const char digits[] = "0123456789abcdefABCDEF";

    while (*text) {
        size_t n = strspn(text, digits);

        if (n == SHA256_HEX) mark(arg, text);
        text += n;
        text += strcspn(text, digits);
    }
    return 0;
}

static int mentions_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_mentions_each(tx, take_mentions, container_of(op, struct prune, op), err);
}

/* --- the end of what nobody does ------------------------------------------------------------------------------------
 */

static bool is_gone(struct artifacts *a, const char *hex)
{
    return !artifact_present(a, hex, NULL) && artifact_boot_size(a, hex) == 0;
}

static void removed_run(struct job *j)
{
    struct prune *p = container_of(j, struct prune, job);

    for (size_t i = 0; i < p->n; i++)
        p->items[i].removed = p->items[i].removable && is_gone(p->engine->cfg.artifacts, p->items[i].hex);
}

static void removed_done(struct job *j, bool cancelled)
{
    struct prune *p = container_of(j, struct prune, job);

    prune_end(p, cancelled ? -ECANCELED : 0, &p->err);
}

static void mentions_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct prune *p = container_of(op, struct prune, op);
    char checksum[sizeof("sha256:") + SHA256_HEX];

    if (r < 0) {
        prune_end(p, r, err);
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct artifact_use *u = &p->items[i];

        (void)strf(checksum, sizeof(checksum), "sha256:%s", u->hex);
        u->used = u->used || artifact_wanted(p->engine, checksum);
        u->removable = !u->used && p->what != PRUNE_LOOK && (!u->fresh || p->what == PRUNE_ALL);
        if (!u->removable || p->dry) continue;
        artifact_release_unnamed(p->engine, checksum, p->what == PRUNE_ALL ? -1 : ARTIFACT_ORPHAN_S);
    }
    if (p->dry || p->engine->closing) /* the lane has ended before the store */
        prune_end(p, 0, err);
    else
        go_on(p, removed_run, removed_done); /* behind the removals */
}

static void list_done(struct job *j, bool cancelled)
{
    struct prune *p = container_of(j, struct prune, job);

    if (cancelled || p->r < 0) {
        prune_end(p, cancelled ? -ECANCELED : p->r, &p->err);
        return;
    }
    p->op = (struct store_op){.run = mentions_run, .done = mentions_done};
    store_post(p->engine->cfg.store, &p->op);
}

/* Where the registry does not know all of whom artifacts belong to. */
static int check_complete(const struct engine *e, struct vl_error *err)
{
    if (e->unread)
        return vl_fail(err, VL_CONFLICT,
                       "a row of the registry cannot be read, so nobody knows which artifacts it names: see `volar "
                       "doctor`");
    if (e->strangers > 0)
        return vl_fail(
            err, VL_CONFLICT,
            "%zu VMs run that the registry does not know, and may need their artifacts: `volar doctor --fix` "
            "takes them in",
            e->strangers);
    if (e->cfg.former)
        return vl_fail(
            err, VL_CONFLICT,
            "a registry that was replaced is kept as %s.before-restore (or with .1, .2) and may be put back, "
            "with what it names: remove it first, and what is beside it with -wal and -shm, and start volantd "
            "again",
            e->cfg.db_path);
    return 0;
}

int engine_prune(struct engine *e, enum prune_what what, bool dry, engine_prune_done done, void *arg,
                 struct vl_error *err)
{
    struct prune *p;
    int r;

    if (what != PRUNE_LOOK && (r = check_complete(e, err)) < 0) return r;
    if (!(p = calloc(1, sizeof(*p)))) return vl_fail_errno(err, ENOMEM, "prune");
    *p = (struct prune){.job = {.run = list_run, .done = list_done},
                        .engine = e,
                        .what = what,
                        .dry = dry || what == PRUNE_LOOK,
                        .done = done,
                        .arg = arg};
    if ((r = pool_submit(e->lane, &p->job)) < 0) {
        free(p);
        return vl_fail_errno(err, r, "start a worker");
    }
    p->next = e->prunes;
    e->prunes = p;
    return 0;
}
