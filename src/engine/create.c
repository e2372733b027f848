/* SPDX-License-Identifier: Apache-2.0 */
/* A new VM: judged against the registry, recorded with its address and ports in one transaction, then booted. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/vm.h"

/* A VM on its way into the registry. */
struct create {
    struct store_op op;
    struct create *next;
    struct engine *engine;
    struct vm_row row;
    struct vm_config config; /* as stored: every port has its host_port */
    struct waiter *waiter;
    char checksum[sizeof("sha256:") + SHA256_HEX]; /* of what it boots */
};

static void create_free(struct create *c)
{
    vm_row_done(&c->row);
    schema_done(&vm_config_schema, &c->config);
    waiter_free(c->waiter);
    free(c);
}
DEFINE_AUTO(struct create *, create_free)

/* --- ports -------------------------------------------------------------------------------------------------------- */

static bool holds_port(const struct vm_config *config, const char *protocol, const char *host_ip, int64_t port)
{
    const struct port_map *p = config->expose.items;

    for (size_t i = 0; i < config->expose.len; i++)
        if (p[i].host_port == port && str_eq(p[i].protocol, protocol) && str_eq(p[i].host_ip, host_ip)) return true;
    return false;
}

static bool creates_hold_port(const struct engine *e, const char *protocol, const char *host_ip, int64_t port)
{
    for (const struct create *c = e->creating; c; c = c->next)
        if (holds_port(&c->config, protocol, host_ip, port)) return true;
    return false;
}

bool creates_use_plugin(const struct engine *e, const char *name)
{
    for (const struct create *c = e->creating; c; c = c->next)
        if (str_eq(c->row.plugin, name)) return true;
    return false;
}

bool creates_use_artifact(const struct engine *e, const char *checksum)
{
    for (const struct create *c = e->creating; c; c = c->next)
        if (str_eq(c->checksum, checksum)) return true;
    return false;
}

void creates_forget(struct engine *e, const void *arg)
{
    for (struct create *c = e->creating; c; c = c->next)
        if (c->waiter && c->waiter->arg == arg) c->waiter->done = NULL;
}

static const struct vm *port_owner(const struct engine *e, const char *protocol, const char *host_ip, int64_t port)
{
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (holds_port(&vm->config, protocol, host_ip, port)) return vm;
    return NULL;
}

struct port_question {
    const struct create *create;
    const struct port_map *port;
};

static bool port_taken(void *arg, unsigned port)
{
    const struct port_question *q = arg;
    const struct engine *e = q->create->engine;

    return holds_port(&q->create->config, q->port->protocol, q->port->host_ip, port) ||
           port_owner(e, q->port->protocol, q->port->host_ip, port) ||
           creates_hold_port(e, q->port->protocol, q->port->host_ip, port);
}

static int settle_port(struct create *c, struct port_map *p, struct vl_error *err)
{
    struct port_question q = {.create = c, .port = p};
    const struct vm *owner;
    unsigned picked;
    int r;

    if (!p->host_port) {
        if ((r = host_port_pick(p->protocol, p->host_ip, port_taken, &q, &picked, err)) < 0) return r;
        p->host_port = picked;
        return 0;
    }
    if ((owner = port_owner(c->engine, p->protocol, p->host_ip, p->host_port)))
        return vl_fail(err, VL_CONFLICT,
                       "host port %s:%lld/%s belongs to VM '%s' until that is deleted: choose another", p->host_ip,
                       (long long)p->host_port, p->protocol, owner->row.name);
    if (creates_hold_port(c->engine, p->protocol, p->host_ip, p->host_port))
        return vl_fail(err, VL_CONFLICT, "host port %s:%lld/%s is being taken by another VM: choose another",
                       p->host_ip, (long long)p->host_port, p->protocol);
    return host_port_check(p->protocol, p->host_ip, (unsigned)p->host_port, err);
}

static int settle_ports(struct create *c, struct vl_error *err)
{
    struct port_map *ports = c->config.expose.items;
    int r;

    for (size_t i = 0; i < c->config.expose.len; i++)
        if ((r = settle_port(c, &ports[i], err)) < 0) return vl_wrap(err, "expose[%zu]", i);
    return 0;
}

/* --- the row ------------------------------------------------------------------------------------------------------ */

static int64_t first_of(int64_t a, int64_t b, int64_t c)
{
    return a ? a : b ? b : c;
}

static int plugin_for(struct engine *e, const struct vm_request *req, struct plugin **ret, struct vl_error *err)
{
    struct plugin *p = engine_plugin_find(e, req->plugin);

    if (!p)
        return vl_fail(err, VL_NOT_FOUND,
                       "plugin '%s' is not installed: see `volar plugins list`, or install it with "
                       "`volar plugins install MANIFEST`",
                       req->plugin);
    if (!engine_plugin_enabled(p))
        return vl_fail(err, VL_CONFLICT, "plugin '%s' is disabled: `volar plugins enable %s`", req->plugin,
                       req->plugin);
    if (req->runtime && !str_eq(req->runtime, plugin_manifest(p)->runtime))
        return vl_fail(err, VL_INVALID, "runtime is '%s', plugin '%s' has '%s': leave it out", req->runtime,
                       req->plugin, plugin_manifest(p)->runtime);
    *ret = p;
    return 0;
}

/*
 * The image lies in the guest's memory as it was loaded and as it was unpacked, in a file system that may fill half of
 * the memory; the kernel takes its part. As measured, less than three times the image and 22 MB does not boot, and says
 * so in ways that help nobody: a reset before there is a console, a panic, an agent without its configuration.
 */
static int check_memory(const struct create *c, const struct manifest *m, struct vl_error *err)
{
    const char *checksum = m->initramfs.checksum;
    uint64_t image = checksum ? artifact_boot_size(c->engine->cfg.artifacts, checksum_hex(checksum)) : 0;
    int64_t need_mb = (int64_t)(image * 3 >> 20) + 22;

    if (c->row.memory_mb >= need_mb) return 0;
    return vl_fail(err, VL_INVALID,
                   "memory_mb is %lld, too small to boot the image of plugin '%s': give it %lld or more",
                   (long long)c->row.memory_mb, m->name, (long long)(need_mb + 15) / 16 * 16);
}

/* Its launch looks again: what a path leads to may change. */
static int check_kernel(const struct create *c, const struct manifest *m, struct vl_error *err)
{
    const struct engine_config *cfg = &c->engine->cfg;
    const char *path = c->config.kernel_override;
    auto_close int fd = -1;

    if (!path && !m->initramfs.checksum)
        return vl_fail(err, VL_INVALID,
                       "config.kernel_override is missing: plugin '%s' has no initramfs, so its VMs need a kernel that "
                       "does without",
                       m->name);
    if (!path || vmm_kernel_open(cfg->host, cfg->kernel_dirs, path, &fd, err) == 0) return 0;
    return vl_wrap(err, "config.kernel_override");
}

static int config_fill(struct create *c, const struct vm_request *req, const struct manifest *m)
{
    int r;

    if ((r = schema_copy(&vm_config_schema, &req->config, &c->config)) < 0) return r;
    free(c->config.plugin);
    free(c->config.runtime);
    c->config.plugin = strdup(m->name);
    c->config.runtime = strdup(m->runtime);
    c->config.resources.cpu_cores = c->row.cpu_cores;
    c->config.resources.memory_mb = c->row.memory_mb;
    return c->config.plugin && c->config.runtime ? 0 : -ENOMEM;
}

static int row_fill(struct create *c, const struct vm_request *req, const struct plugin *p)
{
    const struct manifest *m = plugin_manifest(p);
    char token[BOOT_TOKEN_LEN + 1];
    int r;

    random_token(token);
    c->row.cpu_cores = first_of(req->cpu_cores, m->resources.cpu_cores, CPU_CORES_DEFAULT);
    c->row.memory_mb = first_of(req->memory_mb, m->resources.memory_mb, MEMORY_MB_DEFAULT);
    if ((r = config_fill(c, req, m)) < 0) return r;
    c->row.name = strdup(req->name);
    c->row.plugin = strdup(m->name);
    c->row.runtime = strdup(m->runtime);
    c->row.desired = strdup(vm_desire_name(DESIRE_RUNNING));
    c->row.status = strdup(vm_status_name(VM_STARTING));
    c->row.reason = strdup("");
    c->row.boot = strdup(token);
    c->row.kernel_cmdline = strdup("");
    c->row.manifest = strdup(plugin_manifest_text(p));
    if (m->initramfs.checksum && (r = strf(c->checksum, sizeof(c->checksum), "%s", m->initramfs.checksum)) < 0)
        return r;
    c->row.created_ms = c->row.updated_ms = wall_ms();
    if (!c->row.name || !c->row.plugin || !c->row.runtime || !c->row.desired || !c->row.status || !c->row.reason ||
        !c->row.boot || !c->row.kernel_cmdline || !c->row.manifest)
        return -ENOMEM;
    return 0;
}

static int config_text(struct create *c)
{
    json_auto_t *j = schema_encode(&vm_config_schema, &c->config);

    return j && (c->row.config = json_text(j)) ? 0 : -ENOMEM;
}

/* --- the transaction ---------------------------------------------------------------------------------------------- */

static int take_address(struct create *c, struct store_tx *tx, struct vl_error *err)
{
    const struct subnet *net = &c->engine->cfg.subnet;
    char ip[16], mac[18];
    uint32_t addr;
    int r;

    if ((r = store_lease_take(tx, c->row.id, net->first, net->last, &addr, err)) < 0) return r;
    format_ipv4(addr, ip);
    if ((r = vm_mac(c->row.name, ip, mac)) < 0) return vl_fail_errno(err, r, "MAC address");
    if (!(c->row.ip_address = strdup(ip)) || !(c->row.mac_address = strdup(mac)))
        return vl_fail_errno(err, ENOMEM, "address");
    return store_vm_set_address(tx, c->row.id, ip, mac, err);
}

static int create_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct create *c = container_of(op, struct create, op);
    const struct port_map *ports = c->config.expose.items;
    int r;

    if ((r = store_vm_insert(tx, &c->row, &c->row.id, err)) < 0) return r;
    if ((r = take_address(c, tx, err)) < 0) return r;
    for (size_t i = 0; i < c->config.expose.len; i++) {
        const struct port_row row = {.vm_id = c->row.id,
                                     .protocol = ports[i].protocol,
                                     .host_ip = ports[i].host_ip,
                                     .name = ports[i].name,
                                     .host_port = ports[i].host_port,
                                     .port = ports[i].port};

        if ((r = store_port_insert(tx, &row, err)) < 0) return r;
    }
    return store_event_add(tx, c->row.id, c->row.name, "VM_CREATED", "starting", "vm record created", c->row.created_ms,
                           err);
}

static void create_unlink(struct create *c)
{
    struct create **at = &c->engine->creating;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

static void create_done(struct store_op *op, int r, const struct vl_error *err)
{
    auto_(create_freep) struct create *c = container_of(op, struct create, op);
    struct engine *e = c->engine;
    struct vl_error own = {0};
    struct vm *vm;

    create_unlink(c);
    if (e->closing) return;
    if (r < 0) {
        waiter_end(take_ptr(c->waiter), r, err, NULL);
        return;
    }
    if (!(vm = vm_new(e, &c->row, &own))) {
        log_err("a VM was recorded but cannot be read back; it starts with volantd's next start: %s", own.msg);
        waiter_end(take_ptr(c->waiter), -EIO, &own, NULL);
        return;
    }
    vm_insert(e, vm);
    vm->token_fresh = true;
    log_info("vm=%s created, id %lld, address %s", vm->row.name, (long long)vm->row.id, vm->row.ip_address);
    vm_add_waiter(vm, take_ptr(c->waiter));
    vm_step(vm);
}

int engine_vm_create(struct engine *e, const struct vm_request *req, const struct vm_owner *owner, enum vm_want want,
                     int timeout_ms, engine_vm_done done, void *arg, struct vl_error *err)
{
    auto_(create_freep) struct create *c = NULL;
    struct plugin *p = NULL;
    int r;

    if (engine_vm_find(e, req->name))
        return vl_fail(err, VL_CONFLICT, "a VM named '%s' exists already: choose another name, or delete it first",
                       req->name);
    if ((r = plugin_for(e, req, &p, err)) < 0) return r;
    if (!(c = calloc(1, sizeof(*c))) || !(c->waiter = calloc(1, sizeof(*c->waiter))))
        return vl_fail_errno(err, ENOMEM, "create VM");
    c->engine = e;
    if (owner && owner->deployment && !(c->row.deployment = strdup(owner->deployment)))
        return vl_fail_errno(err, ENOMEM, "create VM");
    if (owner) c->row.revision = owner->revision;
    if ((r = row_fill(c, req, p)) < 0) return vl_fail_errno(err, r, "create VM");
    if ((r = check_memory(c, plugin_manifest(p), err)) < 0 || (r = check_kernel(c, plugin_manifest(p), err)) < 0 ||
        (r = settle_ports(c, err)) < 0)
        return r;
    if ((r = config_text(c)) < 0) return vl_fail_errno(err, r, "create VM");
    *c->waiter =
        (struct waiter){.what = (enum wait_for)want, .until_ms = mono_ms() + timeout_ms, .done = done, .arg = arg};
    c->op = (struct store_op){.run = create_run, .done = create_done};
    c->next = e->creating;
    e->creating = c;
    store_post(e->cfg.store, &take_ptr(c)->op);
    return 0;
}
