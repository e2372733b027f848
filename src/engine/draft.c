/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/draft.h"

#include <string.h>

#include "base/clock.h"

/* --- what others ask of drafts ------------------------------------------------------------------------------------ */

bool drafts_use_plugin(const struct engine *e, const char *name)
{
    for (const struct draft *d = e->drafts; d; d = d->next)
        if (str_eq(d->row.plugin, name)) return true;
    return false;
}

bool drafts_use_artifact(const struct engine *e, const char *checksum)
{
    for (const struct draft *d = e->drafts; d; d = d->next)
        if (str_eq(manifest_checksum(&d->manifest), checksum)) return true;
    return false;
}

/* --- the manifest ------------------------------------------------------------------------------------------------- */

static int from_registry(struct draft *d, const struct plugin *p, struct vl_error *err)
{
    if (!(d->row.manifest = strdup(plugin_manifest_text(p))) ||
        schema_copy(&manifest_schema, plugin_manifest(p), &d->manifest) < 0)
        return vl_fail_errno(err, ENOMEM, "manifest");
    return 0;
}

/* What it boots from has to be here: nobody will send it any more. */
static int check_artifact(const struct draft *d, struct vl_error *err)
{
    const char *checksum = manifest_checksum(&d->manifest), *hex = checksum ? checksum_hex(checksum) : NULL;

    if (!hex || (artifact_present(d->engine->cfg.artifacts, hex, NULL) && !artifact_going(d->engine, checksum)))
        return 0;
    return vl_fail(err, VL_CONFLICT,
                   "the blob sha256:%s that the checksum names is not here: send it with PUT /api/v1/blobs/sha256:%s",
                   hex, hex);
}

/* The row keeps the manifest as it is: the configuration may take its medium back. */
static int lay_medium(struct draft *d, const struct vm_config *c, struct vl_error *err)
{
    json_auto_t *doc = NULL;
    struct manifest m = {0};
    int r;

    if (!c->initramfs && !c->rootfs) return 0;
    if ((r = json_parse(d->row.manifest, strlen(d->row.manifest), "manifest", &doc, err)) < 0 ||
        (r = vm_config_lay_medium(c, doc, err)) < 0 || (r = manifest_decode(doc, "config", &m, NULL, NULL, err)) < 0)
        return r;
    manifest_done(&d->manifest);
    d->manifest = m;
    return 0;
}

static int from_config(struct draft *d, const char *text, struct vl_error *err)
{
    json_auto_t *given = NULL, *settled = NULL;
    int r;

    if ((r = json_parse(text, strlen(text), "config.manifest", &given, err)) < 0 ||
        (r = manifest_decode(given, "config.manifest", &d->manifest, &settled, NULL, err)) < 0)
        return r;
    return (d->row.manifest = json_text(settled)) ? 0 : vl_fail_errno(err, ENOMEM, "config.manifest");
}

/* A configuration with a manifest of its own outlives the plugin's, but not that somebody disabled it. */
static int settle_manifest(struct draft *d, const struct vm_request *req, struct vl_error *err)
{
    const struct plugin *p = engine_plugin_find(d->engine, req->plugin);
    bool own = req->config.manifest && *req->config.manifest;
    int r;

    if (p && !engine_plugin_enabled(p))
        return vl_fail(err, VL_CONFLICT, "plugin '%s' is disabled: `volar plugins enable %s`", req->plugin,
                       req->plugin);
    if (!p && !own)
        return vl_fail(err, VL_NOT_FOUND,
                       "plugin '%s' is not installed: see `volar plugins list`, or install it with "
                       "`volar plugins install MANIFEST`",
                       req->plugin);
    if ((r = own ? from_config(d, req->config.manifest, err) : from_registry(d, p, err)) < 0) return r;
    if (!str_eq(d->manifest.name, req->plugin))
        return vl_fail(err, VL_INVALID,
                       "config.manifest.name is '%s', the plugin is '%s': send the manifest of that plugin",
                       d->manifest.name, req->plugin);
    if ((r = lay_medium(d, &req->config, err)) < 0 || (r = check_artifact(d, err)) < 0) return r;
    if (req->runtime && *req->runtime && !str_eq(req->runtime, d->manifest.runtime))
        return vl_fail(err, VL_INVALID, "runtime is '%s', plugin '%s' has '%s': leave it out", req->runtime,
                       req->plugin, d->manifest.runtime);
    return 0;
}

/*
 * The image lies in the guest's memory as it was loaded and as it was unpacked, in a file system that may fill half of
 * the memory; the kernel takes its part. As measured, less than three times the image and 22 MB does not boot, and says
 * so in ways that help nobody: a reset before there is a console, a panic, an agent without its configuration.
 */
static int check_memory(const struct draft *d, struct vl_error *err)
{
    const char *checksum = d->manifest.initramfs.checksum; /* a disk image stays on its disk */
    uint64_t image = checksum ? artifact_boot_size(d->engine->cfg.artifacts, checksum_hex(checksum)) : 0;
    int64_t need_mb = (int64_t)(image * 3 >> 20) + 22;

    if (d->row.memory_mb >= need_mb) return 0;
    return vl_fail(err, VL_INVALID,
                   "memory_mb is %lld, too small to boot the image of plugin '%s': give it %lld or more",
                   (long long)d->row.memory_mb, d->manifest.name, (long long)(need_mb + 15) / 16 * 16);
}

/* By bzImage-volant, whose bootloader lays what the VM writes over the image. */
static bool boots_disk_image(const struct draft *d)
{
    return manifest_has_rootfs(&d->manifest) && vm_has_bootloader(&d->manifest);
}

/* What is on it would be lost, so it only ever grows, and stays. */
static int check_disk(const struct draft *d, struct vl_error *err)
{
    int64_t mb = d->config.disk_mb, has = d->vm ? d->vm->config.disk_mb : 0;

    if (mb > 0 && !boots_disk_image(d))
        return vl_fail(err, VL_INVALID,
                       "config.disk_mb is %lld, and plugin '%s' boots from no disk image of ours: leave it out",
                       (long long)mb, d->manifest.name);
    if (!d->vm || mb >= has) return 0;
    return vl_fail(
        err, VL_INVALID,
        "config.disk_mb is %lld, and the disk of VM '%s' has %lld MB: it can grow, not shrink; create another "
        "VM for a smaller one",
        (long long)mb, d->vm->row.name, (long long)has);
}

/* Its launch looks again: what a path leads to may change. */
static int check_kernel(const struct draft *d, struct vl_error *err)
{
    const struct engine_config *cfg = &d->engine->cfg;
    const char *path = d->config.kernel_override;
    auto_close int fd = -1;

    if (!path && boots_disk_image(d) && !*cfg->host->rootfs_kernel_path)
        return vl_fail(err, VL_CONFLICT, NO_ROOTFS_KERNEL);
    if (!path && !manifest_checksum(&d->manifest))
        return vl_fail(err, VL_INVALID,
                       "config.kernel_override is missing: plugin '%s' has no image, so its VMs need a kernel that "
                       "does without",
                       d->manifest.name);
    if (!path || vmm_kernel_open(cfg->host, cfg->kernel_dirs, path, &fd, err) == 0) return 0;
    return vl_wrap(err, "config.kernel_override");
}

/* --- the row ------------------------------------------------------------------------------------------------------ */

static int64_t first_of(int64_t a, int64_t b, int64_t c)
{
    return a ? a : b ? b : c;
}

static int row_fill(struct draft *d, const struct vm_request *req)
{
    const struct manifest *m = &d->manifest;

    d->row.cpu_cores = first_of(req->cpu_cores, m->resources.cpu_cores, CPU_CORES_DEFAULT);
    d->row.memory_mb = first_of(req->memory_mb, m->resources.memory_mb, MEMORY_MB_DEFAULT);
    d->row.name = strdup(req->name);
    d->row.plugin = strdup(m->name);
    d->row.runtime = strdup(m->runtime);
    return d->row.name && d->row.plugin && d->row.runtime ? 0 : -ENOMEM;
}

static int config_fill(struct draft *d, const struct vm_request *req)
{
    struct vm_config *c = &d->config;

    if (schema_copy(&vm_config_schema, &req->config, c) < 0) return -ENOMEM;
    if (string_set(&c->plugin, d->manifest.name) < 0 || string_set(&c->runtime, d->manifest.runtime) < 0 ||
        string_set(&c->manifest, NULL) < 0)
        return -ENOMEM;
    c->resources.cpu_cores = d->row.cpu_cores;
    c->resources.memory_mb = d->row.memory_mb;
    return 0;
}

static int config_text(struct draft *d)
{
    json_auto_t *j = schema_encode(&vm_config_schema, &d->config);

    return j && (d->row.config = json_text(j)) ? 0 : -ENOMEM;
}

static int judge(struct draft *d, const struct vm_request *req, struct vl_error *err)
{
    int r;

    if ((r = engine_disk_check(d->engine, err)) < 0 || (r = settle_manifest(d, req, err)) < 0) return r;
    if ((r = row_fill(d, req)) < 0 || (r = config_fill(d, req)) < 0) return vl_fail_errno(err, r, "configure VM");
    if ((r = check_memory(d, err)) < 0 || (r = check_kernel(d, err)) < 0 || (r = check_disk(d, err)) < 0) return r;
    if (d->to_run && (r = admit(d->engine, d->row.name, d->vm, d->row.memory_mb, d->row.cpu_cores, err)) < 0) return r;
    if ((r = draft_settle_ports(d, err)) < 0) return r;
    return (r = config_text(d)) < 0 ? vl_fail_errno(err, r, "configure VM") : 0;
}

static void draft_clear(struct draft *d)
{
    manifest_done(&d->manifest);
    vm_config_done(&d->config);
    vm_row_done(&d->row);
    *d = (struct draft){0};
}

int draft_judge(struct draft *d, struct engine *e, const struct vm_request *req, struct vm *vm, bool to_run,
                struct vl_error *err)
{
    int r;

    d->engine = e;
    d->vm = vm;
    d->to_run = to_run;
    if (vm) d->row.id = vm->row.id;
    if ((r = judge(d, req, err)) < 0) {
        draft_clear(d);
        return r;
    }
    d->next = e->drafts;
    e->drafts = d;
    return 0;
}

void draft_done(struct draft *d)
{
    struct draft **at;

    if (!d->engine) return;
    for (at = &d->engine->drafts; *at != d;)
        at = &(*at)->next;
    *at = d->next;
    draft_clear(d);
}

/* --- what is made of it ------------------------------------------------------------------------------------------- */

int draft_insert_ports(const struct draft *d, struct store_tx *tx, struct vl_error *err)
{
    const struct port_map *ports = d->config.expose.items;
    int r;

    for (size_t i = 0; i < d->config.expose.len; i++) {
        const struct port_row row = {.vm_id = d->row.id,
                                     .protocol = ports[i].protocol,
                                     .host_ip = ports[i].host_ip,
                                     .name = ports[i].name,
                                     .host_port = ports[i].host_port,
                                     .port = ports[i].port};

        if ((r = store_port_insert(tx, &row, err)) < 0) return r;
    }
    return 0;
}

#define SWAP(a, b)                                                                                                     \
    do {                                                                                                               \
        __typeof__(a) was_ = (a);                                                                                      \
        (a) = (b);                                                                                                     \
        (b) = was_;                                                                                                    \
    } while (0)

void draft_swap(struct draft *d)
{
    struct vm *vm = d->vm;

    SWAP(vm->manifest, d->manifest);
    SWAP(vm->config, d->config);
    SWAP(vm->row.runtime, d->row.runtime);
    SWAP(vm->row.plugin, d->row.plugin);
    SWAP(vm->row.config, d->row.config);
    SWAP(vm->row.manifest, d->row.manifest);
    vm->row.cpu_cores = d->row.cpu_cores;
    vm->row.memory_mb = d->row.memory_mb;
    vm->row.revision = d->row.revision;
    vm->row.config_version = d->row.config_version;
    vm->row.config_ms = d->row.config_ms;
}
