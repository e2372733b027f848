/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin registry in memory, its changes, and the artifacts that nobody refers to any more. */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"

struct plugin {
    struct plugin *next; /* by name */
    struct plugin_row row;
    struct manifest manifest;
};

static void plugin_free(struct plugin *p)
{
    plugin_row_done(&p->row);
    manifest_done(&p->manifest);
    free(p);
}
DEFINE_AUTO(struct plugin *, plugin_free)

static void plugin_insert(struct engine *e, struct plugin *p)
{
    struct plugin **at = &e->plugins;

    while (*at && strcmp((*at)->row.name, p->row.name) < 0)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

static struct plugin *plugin_unlink(struct engine *e, const char *name)
{
    struct plugin **at = &e->plugins, *p;

    while (*at && !str_eq((*at)->row.name, name))
        at = &(*at)->next;
    if ((p = *at)) *at = p->next;
    return p;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

struct load {
    struct store_op op;
    struct engine *engine;
};

static int load_plugin(void *arg, struct plugin_row *row)
{
    struct load *l = arg;
    auto_(plugin_freep) struct plugin *p = calloc(1, sizeof(*p));
    json_auto_t *j = NULL;
    struct vl_error err = {0};

    if (!p) return -ENOMEM;
    p->row = *row;
    *row = (struct plugin_row){0};
    if (json_parse(p->row.manifest, strlen(p->row.manifest), "manifest", &j, &err) < 0 ||
        manifest_decode_stored(j, &p->manifest, &err) < 0) {
        log_err("plugin=%s: its stored manifest cannot be read, leaving it out: %s", p->row.name, err.msg);
        l->engine->unread = true;
    } else {
        plugin_insert(l->engine, take_ptr(p));
    }
    return 0;
}

static int load_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_plugin_each(tx, load_plugin, container_of(op, struct load, op), err);
}

int plugins_load(struct engine *e, struct vl_error *err)
{
    struct load l = {.op.run = load_run, .engine = e};
    int r = store_run(e->cfg.store, &l.op, err);

    return r < 0 ? vl_wrap(err, "load plugins") : 0;
}

void plugins_free(struct engine *e)
{
    while (e->plugins) {
        struct plugin *p = e->plugins;

        e->plugins = p->next;
        plugin_free(p);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct plugin *engine_plugin_find(struct engine *e, const char *name)
{
    struct plugin *p = e->plugins;

    while (p && !str_eq(p->row.name, name))
        p = p->next;
    return p;
}

size_t engine_plugin_each(struct engine *e, bool (*fn)(void *arg, struct plugin *p), void *arg)
{
    size_t n = 0;

    for (struct plugin *p = e->plugins; p; p = p->next, n++)
        if (fn && !fn(arg, p)) return n + 1;
    return n;
}

const char *engine_plugin_name(const struct plugin *p)
{
    return p->row.name;
}

const char *engine_plugin_version(const struct plugin *p)
{
    return p->row.version;
}

const char *engine_plugin_runtime(const struct plugin *p)
{
    return p->manifest.runtime;
}

bool engine_plugin_enabled(const struct plugin *p)
{
    return p->row.enabled;
}

char *engine_plugin_manifest(const struct plugin *p)
{
    json_auto_t *j = NULL;

    if (json_parse(p->row.manifest, strlen(p->row.manifest), "manifest", &j, NULL) < 0 ||
        json_object_set_new(j, "enabled", json_boolean(p->row.enabled)) < 0 || manifest_show(j) < 0)
        return NULL;
    return json_text(j);
}

const struct manifest *plugin_manifest(const struct plugin *p)
{
    return &p->manifest;
}

const char *plugin_manifest_text(const struct plugin *p)
{
    return p->row.manifest;
}

/* --- artifacts ---------------------------------------------------------------------------------------------------- */

const char *checksum_hex(const char *checksum)
{
    return str_starts(checksum, "sha256:") ? checksum + strlen("sha256:") : checksum;
}

struct release {
    struct store_op op;
    struct job job;
    struct release *next;
    struct engine *engine;
    char hex[SHA256_HEX + 1];
    int64_t age_s;
    bool named; /* by an earlier configuration, or by what is registered */
};

bool artifact_going(const struct engine *e, const char *checksum)
{
    for (const struct release *r = e->releases; r; r = r->next)
        if (str_eq(r->hex, checksum_hex(checksum))) return true;
    return false;
}

static void release_end(struct release *r)
{
    struct release **at = &r->engine->releases;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    free(r);
}

static void release_run(struct job *j)
{
    struct release *r = container_of(j, struct release, job);
    struct vl_error err = {0};

    CRASH_POINT("uninstall.releasing");
    if (r->age_s >= 0 && !artifact_untouched(r->engine->cfg.artifacts, r->hex, r->age_s)) return;
    if (artifact_remove(r->engine->cfg.artifacts, r->hex, &err) < 0)
        log_warn("artifact=%s: cannot remove: %s", r->hex, err.msg);
    else
        log_info("artifact=%s removed, nothing refers to it", r->hex);
}

static void release_done(struct job *j, bool cancelled)
{
    (void)cancelled; /* a file too many does no harm */
    release_end(container_of(j, struct release, job));
}

static void release_go(struct release *r)
{
    r->job = (struct job){.run = release_run, .done = release_done};
    if (pool_submit(r->engine->lane, &r->job) < 0) release_end(r);
}

static int note_mention(void *arg, const char *text)
{
    struct release *r = arg;

    r->named = r->named || strcasestr(text, r->hex);
    return 0;
}

static int release_look(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_mentions_each(tx, note_mention, container_of(op, struct release, op), err);
}

static void release_judged(struct store_op *op, int r, const struct vl_error *err)
{
    struct release *rel = container_of(op, struct release, op);
    char checksum[sizeof("sha256:") + SHA256_HEX];

    (void)strf(checksum, sizeof(checksum), "sha256:%s", rel->hex);
    if (r < 0) log_warn("artifact=%s: left, as nobody knows who refers to it: %s", rel->hex, err->msg);
    if (r < 0 || rel->named || rel->engine->closing || artifact_wanted(rel->engine, checksum))
        release_end(rel);
    else
        release_go(rel);
}

bool artifact_wanted(const struct engine *e, const char *checksum)
{
    for (const struct plugin *p = e->plugins; p; p = p->next)
        if (str_eq(manifest_checksum(&p->manifest), checksum)) return true;
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (str_eq(manifest_checksum(&vm->manifest), checksum)) return true;
    if (e->keeper.wanted && e->keeper.wanted(e->keeper.arg, checksum)) return true;
    return plugin_ops_want(e, checksum) || drafts_use_artifact(e, checksum);
}

static struct release *release_new(struct engine *e, const char *checksum, int64_t age_s)
{
    struct release *r;

    if (!checksum || e->closing || e->unread || artifact_wanted(e, checksum) || !(r = calloc(1, sizeof(*r))))
        return NULL;
    r->engine = e;
    r->age_s = age_s;
    (void)strf(r->hex, sizeof(r->hex), "%s", checksum_hex(checksum));
    r->next = e->releases;
    e->releases = r;
    return r;
}

void artifact_release_unnamed(struct engine *e, const char *checksum, int64_t age_s)
{
    struct release *r = release_new(e, checksum, age_s);

    if (r) release_go(r);
}

/* Histories are not in memory. */
void artifact_release(struct engine *e, const char *checksum)
{
    struct release *r = release_new(e, checksum, -1);

    if (!r) return;
    r->op = (struct store_op){.run = release_look, .done = release_judged};
    store_post(e->cfg.store, &r->op);
}

void engine_keep_artifacts(struct engine *e, bool (*wanted)(void *arg, const char *checksum), void *arg)
{
    e->keeper = (struct artifact_keeper){.wanted = wanted, .arg = arg};
}

void engine_release_artifact(struct engine *e, const char *checksum)
{
    artifact_release(e, checksum);
}

/*
 * What a crash between a blob and its plugin left, or between a removal and its files. Somebody may be about to install
 * what came a moment ago.
 */
void artifacts_sweep(struct engine *e)
{
    char checksum[sizeof("sha256:") + SHA256_HEX];
    struct vl_error err = {0};
    auto_strv old = {0};
    bool orphans = false;
    int r = e->cfg.former || e->unread ? 0 : artifacts_old(e->cfg.artifacts, ARTIFACT_ORPHAN_S, &old);

    if (r < 0) (void)vl_fail_errno(&err, r, "list them");
    for (size_t i = 0; i < old.len && !orphans; i++)
        orphans = strf(checksum, sizeof(checksum), "sha256:%s", old.items[i]) >= 0 && !artifact_wanted(e, checksum);
    if (orphans) r = engine_prune(e, PRUNE_OLD, false, NULL, NULL, &err);
    if (r < 0) log_warn("cannot look for artifacts of nobody: %s", err.msg);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

/* One install, enable or removal: the artifact's part on the lane (installs only), then a transaction, then memory. */
struct plugin_op {
    struct job job;
    struct store_op op;
    struct plugin_op *next;
    struct engine *engine;
    struct plugin *plugin; /* installs: the new one */
    struct medium_waiter medium;
    bool absent, brought; /* its blob is not here; was not, and has been brought */
    char name[64];
    bool enabled;
    int r;
    struct vl_error err;
    void (*apply)(struct plugin_op *o); /* after the commit */
    engine_done done;
    void *arg;
};

bool plugin_ops_want(const struct engine *e, const char *checksum)
{
    for (const struct plugin_op *o = e->plugin_ops; o; o = o->next)
        if (o->plugin && str_eq(manifest_checksum(&o->plugin->manifest), checksum)) return true;
    return false;
}

static void plugin_op_end(struct plugin_op *o, int r, const struct vl_error *err)
{
    struct plugin_op **at = &o->engine->plugin_ops;

    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    if (o->done && !o->engine->closing) o->done(o->arg, r, err);
    if (o->plugin) plugin_free(o->plugin);
    free(o);
}

static void committed(struct store_op *op, int r, const struct vl_error *err)
{
    struct plugin_op *o = container_of(op, struct plugin_op, op);

    if (r == 0) o->apply(o);
    plugin_op_end(o, r, err);
}

static struct plugin_op *plugin_op_new(struct engine *e, const char *name, void (*apply)(struct plugin_op *o),
                                       int (*run)(struct store_op *op, struct store_tx *tx, struct vl_error *err),
                                       engine_done done, void *arg)
{
    struct plugin_op *o = calloc(1, sizeof(*o));

    if (!o) return NULL;
    o->engine = e;
    (void)strf(o->name, sizeof(o->name), "%s", name);
    o->apply = apply;
    o->done = done;
    o->arg = arg;
    o->op = (struct store_op){.run = run, .done = committed};
    o->next = e->plugin_ops;
    e->plugin_ops = o;
    return o;
}

void plugin_ops_forget(struct engine *e, const void *arg)
{
    for (struct plugin_op *o = e->plugin_ops; o; o = o->next)
        if (o->arg == arg) o->done = NULL;
}

static void install_run(struct job *j)
{
    struct plugin_op *o = container_of(j, struct plugin_op, job);
    const char *checksum = manifest_checksum(&o->plugin->manifest), *hex = checksum ? checksum_hex(checksum) : NULL;
    auto_free char *path = NULL;

    if (!hex) return; /* its VMs bring a kernel, and that is all */
    o->absent = !artifact_present(o->engine->cfg.artifacts, hex, NULL);
    if (o->absent && o->brought)
        o->r = vl_fail(&o->err, VL_CONFLICT, "artifact sha256:%s was removed while it was installed: install it again",
                       hex);
    if (o->absent || manifest_has_rootfs(&o->plugin->manifest)) return;
    o->r = artifact_boot_form(o->engine->cfg.artifacts, hex, BOOT_FORM_MAX, &path, &o->err);
}

static void install_brought(struct medium_waiter *w, int r, const struct vl_error *err)
{
    struct plugin_op *o = container_of(w, struct plugin_op, medium);
    const char *key = "";
    int64_t size;

    o->brought = true;
    o->err = *err;
    (void)manifest_source(&o->plugin->manifest, &key, &size);
    if (r < 0)
        (void)vl_wrap(&o->err, "%s.url", key);
    else if ((r = pool_submit(o->engine->lane, &o->job)) < 0)
        (void)vl_fail_errno(&o->err, r, "start a worker");
    if (r < 0) plugin_op_end(o, r, &o->err);
}

/* After the lane, so that a removal that was under way is not mistaken for the blob. */
static void install_bring(struct plugin_op *o)
{
    const char *key;
    int r;

    o->medium.url = manifest_source(&o->plugin->manifest, &key, &o->medium.size);
    o->medium.done = install_brought;
    r = medium_bring(o->engine, checksum_hex(manifest_checksum(&o->plugin->manifest)), &o->medium, &o->err);
    if (r < 0) plugin_op_end(o, r, &o->err);
}

static void install_unpacked(struct job *j, bool cancelled)
{
    struct plugin_op *o = container_of(j, struct plugin_op, job);

    CRASH_POINT("install.boot_form_made");
    if (cancelled || o->r < 0)
        plugin_op_end(o, cancelled ? -ECANCELED : o->r, &o->err);
    else if (o->absent)
        install_bring(o);
    else
        store_post(o->engine->cfg.store, &o->op);
}

static int install_commit(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_plugin_put(tx, &container_of(op, struct plugin_op, op)->plugin->row, err);
}

static void install_apply(struct plugin_op *o)
{
    struct plugin *old = plugin_unlink(o->engine, o->name);

    CRASH_POINT("install.committed");
    log_info("plugin=%s version %s %s", o->name, o->plugin->row.version, old ? "replaced" : "installed");
    plugin_insert(o->engine, take_ptr(o->plugin));
    if (!old) return;
    CRASH_POINT("install.replaced");
    artifact_release(o->engine, manifest_checksum(&old->manifest));
    plugin_free(old);
}

static int plugin_from(const json_t *manifest, struct strv *warnings, struct plugin **ret, struct vl_error *err)
{
    auto_(plugin_freep) struct plugin *p = calloc(1, sizeof(*p));
    json_auto_t *stored = NULL;
    int r;

    if (!p) return vl_fail_errno(err, ENOMEM, "plugin");
    if ((r = manifest_decode(manifest, "manifest", &p->manifest, &stored, warnings, err)) < 0) return r;
    p->row.name = strdup(p->manifest.name);
    p->row.version = strdup(p->manifest.version);
    p->row.manifest = json_text(stored);
    p->row.enabled = true; /* installing means enabled */
    p->row.installed_ms = p->row.updated_ms = wall_ms();
    if (!p->row.name || !p->row.version || !p->row.manifest) return vl_fail_errno(err, ENOMEM, "plugin");
    *ret = take_ptr(p);
    return 0;
}

int engine_plugin_install(struct engine *e, const json_t *manifest, struct strv *warnings, engine_done done, void *arg,
                          struct vl_error *err)
{
    auto_(plugin_freep) struct plugin *p = NULL;
    struct plugin_op *o;
    int r;

    if ((r = engine_disk_check(e, err)) < 0) return r;
    if ((r = plugin_from(manifest, warnings, &p, err)) < 0 || !p) return r;
    if (!(o = plugin_op_new(e, p->row.name, install_apply, install_commit, done, arg)))
        return vl_fail_errno(err, ENOMEM, "plugin '%s'", p->row.name);
    o->plugin = take_ptr(p);
    o->job = (struct job){.run = install_run, .done = install_unpacked};
    if ((r = pool_submit(e->lane, &o->job)) < 0) {
        o->done = NULL;
        plugin_op_end(o, r, NULL);
        return vl_fail_errno(err, r, "start a worker");
    }
    return 0;
}

static int enable_commit(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct plugin_op *o = container_of(op, struct plugin_op, op);

    return store_plugin_enable(tx, o->name, o->enabled, err);
}

static void enable_apply(struct plugin_op *o)
{
    struct plugin *p = engine_plugin_find(o->engine, o->name);

    if (p) p->row.enabled = o->enabled;
}

int engine_plugin_enable(struct engine *e, const char *name, bool enabled, engine_done done, void *arg,
                         struct vl_error *err)
{
    struct plugin_op *o;

    if (!engine_plugin_find(e, name)) return vl_fail(err, VL_NOT_FOUND, "plugin '%s' not found", name);
    if (!(o = plugin_op_new(e, name, enable_apply, enable_commit, done, arg)))
        return vl_fail_errno(err, ENOMEM, "plugin '%s'", name);
    o->enabled = enabled;
    store_post(e->cfg.store, &o->op);
    return 0;
}

static int remove_commit(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_plugin_delete(tx, container_of(op, struct plugin_op, op)->name, err);
}

static void remove_apply(struct plugin_op *o)
{
    auto_(plugin_freep) struct plugin *p = plugin_unlink(o->engine, o->name);

    if (!p) return;
    CRASH_POINT("uninstall.committed");
    log_info("plugin=%s removed", o->name);
    artifact_release(o->engine, manifest_checksum(&p->manifest));
}

int engine_plugin_remove(struct engine *e, const char *name, engine_done done, void *arg, struct vl_error *err)
{
    struct plugin_op *o;

    if (!engine_plugin_find(e, name)) return vl_fail(err, VL_NOT_FOUND, "plugin '%s' not found", name);
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (str_eq(vm->row.plugin, name))
            return vl_fail(err, VL_CONFLICT, "plugin '%s' is used by VM '%s': delete that first", name, vm->row.name);
    if (drafts_use_plugin(e, name))
        return vl_fail(err, VL_CONFLICT, "plugin '%s' is used by a VM that is being created: delete that first", name);
    if (!(o = plugin_op_new(e, name, remove_apply, remove_commit, done, arg)))
        return vl_fail_errno(err, ENOMEM, "plugin '%s'", name);
    store_post(e->cfg.store, &o->op);
    return 0;
}
