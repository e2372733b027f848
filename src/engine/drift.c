/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where registry and host disagree: the store thread counts rows, a worker goes through folders, cgroups, processes and
 * artifacts with a copy of what the registry knew when it began, and the loop judges what they found.
 */
#include "engine/drift.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

#define STATE_MS 2000

static void drift_free(struct drift *d)
{
    for (size_t i = 0; i < d->n_items; i++)
        vm_row_done(&d->items[i].row);
    free(d->items);
    free(d->seen);
    free(d->needs);
    strv_done(&d->old);
    free(d);
}
DEFINE_AUTO(struct drift *, drift_free)

static void answer(struct drift *d, int r, const struct vl_error *err)
{
    struct finding *findings = d->n_items ? calloc(d->n_items, sizeof(*findings)) : NULL;
    struct vl_error own = {0};

    if (r == 0 && d->n_items && !findings) r = vl_fail_errno(&own, ENOMEM, "findings");
    for (size_t i = 0; findings && i < d->n_items; i++)
        findings[i] = d->items[i].finding;
    d->done(d->arg, r, err ? err : &own, r < 0 ? NULL : findings, r < 0 ? 0 : d->n_items);
    free(findings);
}

void drift_end(struct drift *d, int r, const struct vl_error *err)
{
    struct drift **at = &d->engine->drifts;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    if (d->done && !d->engine->closing) answer(d, r, err);
    drift_free(d);
}

void drifts_forget(struct engine *e, const void *arg)
{
    for (struct drift *d = e->drifts; d; d = d->next)
        if (d->arg == arg) d->done = NULL;
}

void drifts_close(struct engine *e)
{
    for (struct drift *d = e->drifts, *next; d; d = next) {
        next = d->next;
        if (d->evict) evict_abort(d->evict);
    }
}

const char *const engine_finding_kinds[] = {"stranger", "running",          "ended", "folder_gone", "configuration",
                                            "folder",   "cgroup",           "rows",  "row",         "stuck",
                                            "artifact", "artifact_missing", NULL};

/* A kind that nobody outside is told of is our own mistake. */
static void check_kind(const char *kind)
{
    size_t i = 0;

    while (engine_finding_kinds[i] && !str_eq(engine_finding_kinds[i], kind))
        i++;
    assert(engine_finding_kinds[i]);
}

struct item *drift_add(struct drift *d, const char *kind, bool serious, void (*fix)(struct drift *, struct item *))
{
    struct item *more = reallocarray(d->items, d->n_items + 1, sizeof(*more));

    check_kind(kind);
    if (!more) {
        d->r = vl_fail_errno(&d->err, ENOMEM, "findings");
        return NULL;
    }
    d->items = more;
    more += d->n_items++;
    *more = (struct item){.fix = fix};
    more->finding.kind = kind;
    more->finding.serious = serious;
    more->finding.fixable = fix != NULL;
    return more;
}

/* --- on a worker -------------------------------------------------------------------------------------------------- */

static const struct seen *seen_by_id(const struct drift *d, int64_t id)
{
    for (size_t i = 0; i < d->n_seen; i++)
        if (d->seen[i].id == id) return &d->seen[i];
    return NULL;
}

/* When a process began, by the wall clock as it is now. */
static int64_t began_ms(const struct proc_id *id)
{
    struct timespec up;
    long ticks = sysconf(_SC_CLK_TCK);

    if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &up) < 0) return 0;
    return wall_ms() - (up.tv_sec * 1000 + up.tv_nsec / 1000000) + (int64_t)(id->start * 1000 / (uint64_t)ticks);
}

/* One that has been given away again is harmless: ids are not. */
static void look_at_stranger(struct drift *d, int64_t id, const char *dir, const struct vmm_run *run)
{
    struct item *item = drift_add(d, "stranger", true, fix_stranger);
    auto_(vmm_note_done) struct vmm_note note = {0};
    struct vl_error err = {0};
    enum vmm_state state;
    int r;

    if (!item) return;
    item->run = *run;
    item->finding.id = id;
    item->finding.pid = run->vmm.pid;
    item->finding.since_ms = began_ms(&run->vmm);
    if ((r = vmm_note_read(dir, &note, &err)) == -ENOENT) (void)vl_fail(&err, VL_INVALID, "its folder has no vm.json");
    if (r == 0) SET(item->finding.name, "%.63s", note.name);
    if (r == 0 && (note.id != id || !str_eq(note.boot, run->boot)))
        r = vl_fail(&err, VL_INVALID, "vm.json in its folder is of another VM or boot");
    if (r == 0) r = vm_record_row(&note, &item->row, &err);
    item->has_row = r == 0;
    SET(item->finding.detail, "%s", err.msg); /* completed on the loop */
    item->paused = vmm_state_read(dir, mono_ms() + STATE_MS, &state, NULL) == 0 && state == VMM_PAUSED;
}

/* What a VM wrote to its disk is somebody's, also where a registry was put back that does not know the VM. */
static void keep_data(struct item *item, const char *dir)
{
    int64_t mb = vmm_data_disk_mb(dir);

    if (mb == 0) return;
    item->fix = NULL;
    item->finding.fixable = false;
    SET(item->finding.detail, "it belongs to no VM, but holds the disk of one (data.ext4, %lld MB)", (long long)mb);
    SET(item->finding.remedy, "put back the registry that knows its VM, or remove %.200s by hand", dir);
}

static void look_at_folder(struct drift *d, int64_t id)
{
    struct vmm_run run;
    struct item *item;
    char dir[512];
    int r;

    if (seen_by_id(d, id) || strf(dir, sizeof(dir), "%s/%lld", d->engine->cfg.vms_dir, (long long)id) < 0) return;
    r = vmm_run_read(dir, &run, NULL);
    if (r == 0 && vmm_run_lives(&run)) {
        look_at_stranger(d, id, dir, &run);
    } else if (!d->unread && (r == 0 || r == -ENOENT) && (item = drift_add(d, "folder", false, fix_folder))) {
        item->finding.id = id;
        SET(item->finding.object, "folder vms/%lld", (long long)id);
        SET(item->finding.detail, "it belongs to no VM, and nothing runs there");
        SET(item->finding.remedy, "`volar doctor --fix` removes it");
        keep_data(item, dir);
    }
}

static bool is_stranger(const struct drift *d, int64_t id)
{
    for (size_t i = 0; i < d->n_items; i++)
        if (str_eq(d->items[i].finding.kind, "stranger") && d->items[i].finding.id == id) return true;
    return false;
}

static void look_at_cgroup(struct drift *d, int64_t id)
{
    struct item *item;

    if (seen_by_id(d, id) || is_stranger(d, id) || d->unread || !(item = drift_add(d, "cgroup", false, fix_cgroup)))
        return;
    item->finding.id = id;
    SET(item->finding.object, "cgroup vm-%lld", (long long)id);
    SET(item->finding.detail, "it belongs to no VM");
    SET(item->finding.remedy, "`volar doctor --fix` removes it; one with processes: see %.80s/vm-%lld/cgroup.procs",
        d->engine->cfg.host->cgroup, (long long)id);
}

/* What it was booted with: the loop compares. */
static void look_at_record(struct drift *d, const struct seen *s, const char *dir)
{
    auto_(vmm_note_done) struct vmm_note note = {0};
    auto_(vm_row_done) struct vm_row row = {0};
    struct item *item;

    if (vmm_note_read(dir, &note, NULL) < 0 || !str_eq(note.boot, s->run.boot)) return;
    if (vm_record_row(&note, &row, NULL) < 0 || !(item = drift_add(d, "configuration", false, NULL))) return;
    item->finding.id = s->id;
    item->row = row;
    row = (struct vm_row){0};
}

static void look_at_running(struct drift *d, const struct seen *s, const char *dir)
{
    struct item *item;

    look_at_record(d, s, dir);

    if (access(dir, F_OK) < 0 && errno == ENOENT && (item = drift_add(d, "folder_gone", true, NULL))) {
        item->finding.id = s->id;
        SET(item->finding.detail, "it runs, but its folder is gone: no console, no agent, no reason when it ends");
        SET(item->finding.remedy, "`volar vms restart %s`", s->name);
    }
    if (!vmm_run_lives(&s->run) && (item = drift_add(d, "ended", true, fix_vm))) {
        item->finding.id = s->id;
        SET(item->finding.detail, "its VMM, process %d, has ended unseen", (int)s->run.vmm.pid);
        SET(item->finding.remedy, "`volar doctor --fix` looks at it anew");
    }
}

static void look_at_vm(struct drift *d, const struct seen *s)
{
    struct vmm_run run;
    struct item *item;
    char dir[512];

    if (strf(dir, sizeof(dir), "%s/%lld", d->engine->cfg.vms_dir, (long long)s->id) < 0) return;
    if (s->live) {
        look_at_running(d, s, dir);
    } else if (vmm_run_read(dir, &run, NULL) == 0 && vmm_run_lives(&run) &&
               (item = drift_add(d, "running", true, fix_vm))) {
        item->finding.id = s->id;
        item->finding.pid = run.vmm.pid;
        SET(item->finding.detail, "it runs as process %d, which the registry does not know", (int)run.vmm.pid);
        SET(item->finding.remedy, "`volar doctor --fix` adopts it");
    }
}

static void look_at_needs(struct drift *d)
{
    for (size_t i = 0; i < d->n_needs; i++) {
        const struct need *n = &d->needs[i];
        struct item *item;

        if (artifact_present(d->engine->cfg.artifacts, n->hex, NULL) ||
            !(item = drift_add(d, "artifact_missing", true, NULL)))
            continue;
        SET(item->finding.object, "%s", n->who);
        SET(item->finding.detail, "the artifact sha256:%s that it boots from is not there", n->hex);
        SET(item->finding.remedy, "`volar plugins install MANIFEST` sends it again");
        SET(item->hex, "%s", n->hex);
    }
}

static void look_run(struct job *j)
{
    struct drift *d = container_of(j, struct drift, job);
    const struct engine_config *cfg = &d->engine->cfg;
    auto_free int64_t *folders = NULL, *cgroups = NULL;
    size_t n = 0;

    if ((d->r = folders_list(cfg->vms_dir, &folders, &n)) < 0) {
        (void)vl_fail_errno(&d->err, d->r, "read %s", cfg->vms_dir);
        return;
    }
    for (size_t i = 0; i < n; i++)
        look_at_folder(d, folders[i]);
    if (vmm_cgroups_list(cfg->host, &cgroups, &n) < 0) n = 0;
    for (size_t i = 0; i < n; i++)
        look_at_cgroup(d, cgroups[i]);
    for (size_t i = 0; i < d->n_seen; i++)
        look_at_vm(d, &d->seen[i]);
    look_at_needs(d);
    if ((n = 0, artifacts_old(cfg->artifacts, ARTIFACT_ORPHAN_S, &d->old)) < 0) strv_done(&d->old);
}

/* --- on the loop ---------------------------------------------------------------------------------------------------
 */

static int drop_named(void *arg, const char *text)
{
    struct drift *d = arg;

    for (size_t i = 0; i < d->old.len; i++)
        if (*d->old.items[i] && strcasestr(text, d->old.items[i])) d->old.items[i][0] = '\0';
    return 0;
}

static int mentions_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_mentions_each(tx, drop_named, container_of(op, struct drift, op), err);
}

static void mentions_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct drift *d = container_of(op, struct drift, op);

    if (r < 0 || d->engine->closing) return drift_end(d, r < 0 ? r : -ECANCELED, err);
    drift_judge(d);
    if (d->r < 0)
        drift_end(d, d->r, &d->err);
    else if (d->repair)
        drift_repair(d);
    else
        drift_end(d, 0, NULL);
}

static void look_done(struct job *j, bool cancelled)
{
    struct drift *d = container_of(j, struct drift, job);

    if (cancelled || d->engine->closing) return drift_end(d, -ECANCELED, NULL);
    d->op = (struct store_op){.run = mentions_run, .done = mentions_done};
    store_post(d->engine->cfg.store, &d->op);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static int count_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_orphans_count(tx, &container_of(op, struct drift, op)->orphans, err);
}

static void count_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct drift *d = container_of(op, struct drift, op);
    struct vl_error own = {0};

    if (r < 0 || d->engine->closing) return drift_end(d, r < 0 ? r : -ECANCELED, err);
    d->job = (struct job){.run = look_run, .done = look_done};
    if ((r = pool_submit(d->engine->pool, &d->job)) < 0) {
        (void)vl_fail_errno(&own, r, "start a worker");
        drift_end(d, r, &own);
    }
}

static void need(struct drift *d, const char *what, const char *name, const char *checksum)
{
    struct need *n = &d->needs[d->n_needs];

    if (!checksum) return;
    d->n_needs++;
    SET(n->who, "%s '%s'", what, name);
    SET(n->hex, "%s", checksum_hex(checksum));
}

static bool need_of_plugin(void *arg, struct plugin *p)
{
    need(arg, "plugin", engine_plugin_name(p), manifest_checksum(plugin_manifest(p)));
    return true;
}

/* Of a VM that is busy nothing certain can be said: it is known, and that is all. */
static int copy_registry(struct drift *d)
{
    struct engine *e = d->engine;
    size_t n_vms = engine_vm_each(e, NULL, NULL), n_plugins = engine_plugin_each(e, NULL, NULL);

    d->seen = calloc(n_vms + 1, sizeof(*d->seen));
    d->needs = calloc(n_vms + n_plugins + 1, sizeof(*d->needs));
    if (!d->seen || !d->needs) return -ENOMEM;
    for (const struct vm *vm = e->vms; vm; vm = vm->next) {
        struct seen *s = &d->seen[d->n_seen++];

        *s = (struct seen){.id = vm->row.id, .live = vm->live, .run = vm->run};
        SET(s->name, "%s", vm->row.name);
        need(d, "VM", vm->row.name, manifest_checksum(&vm->manifest));
    }
    (void)engine_plugin_each(e, need_of_plugin, d);
    d->unread = e->unread;
    return 0;
}

static int begin(struct engine *e, bool repair, bool end_strangers, engine_drift_done done, void *arg,
                 struct vl_error *err)
{
    auto_(drift_freep) struct drift *d = calloc(1, sizeof(*d));
    int r = -ENOMEM;

    if (d) d->engine = e;
    if (!d || (r = copy_registry(d)) < 0) return vl_fail_errno(err, r, "look at the host");
    d->repair = repair;
    d->end_strangers = end_strangers;
    d->done = done;
    d->arg = arg;
    d->op = (struct store_op){.run = count_run, .done = count_done};
    d->next = e->drifts;
    e->drifts = d;
    store_post(e->cfg.store, &take_ptr(d)->op);
    return 0;
}

int engine_check(struct engine *e, engine_drift_done done, void *arg, struct vl_error *err)
{
    return begin(e, false, false, done, arg, err);
}

int engine_repair(struct engine *e, bool end_strangers, engine_drift_done done, void *arg, struct vl_error *err)
{
    for (const struct drift *d = e->drifts; d; d = d->next)
        if (d->repair) return vl_fail(err, VL_CONFLICT, "another repair is under way: try again when it has ended");
    return begin(e, true, end_strangers, done, arg, err);
}
