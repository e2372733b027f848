/* SPDX-License-Identifier: Apache-2.0 */
/* From a new boot token to an agent that answers: the launch on a worker, the VMM watched, the guest's events. */
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/vm.h"
#include "vmm/driver.h"

#define LAUNCH_MS       10000 /* from the job's start to the VMM process */
#define AFTER_EXIT_MS   10000 /* from the workload's end to the machine's */
#define SILENT_RETRY_MS 30000 /* how often a silent agent of a running VM is tried again */

void random_token(char token[static BOOT_TOKEN_LEN + 1])
{
    /* getrandom of so few bytes cannot fail once the pool is ready; a token is only a name. */
    if (random_hex(token, BOOT_TOKEN_LEN / 2) < 0) memset(token, '0', BOOT_TOKEN_LEN);
    token[BOOT_TOKEN_LEN] = '\0';
}

static void boot_begun(struct vm *vm)
{
    CRASH_POINT("start.token_recorded");
    vm->token_fresh = true;
}

void vm_begin_boot(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);
    char token[BOOT_TOKEN_LEN + 1];

    random_token(token);
    c.status = VM_STARTING;
    c.boot = token;
    c.pid = 0;
    c.reason = "";
    c.clear_exit_code = true;
    c.not_before_ms = 0;
    c.event = "VM_STARTING";
    vm_commit(vm, &c, boot_begun, NULL);
}

/* --- launch ------------------------------------------------------------------------------------------------------- */

struct launch {
    struct job job;
    struct vm *vm; /* busy, so its row and configuration stay as they are */
    struct guest_config guest;
    char token[BOOT_TOKEN_LEN + 1];
    char *record;
    int r;
    struct vmm_run run;
    char *cmdline;
    struct vl_error err;
};

static void launch_free(struct launch *l)
{
    guest_config_done(&l->guest);
    free(l->record);
    free(l->cmdline);
    free(l);
}

/* What it boots from; the path is the caller's, and b's as long as that has it. */
static int find_image(const struct vm *vm, struct vmm_boot *b, char **ret_path, struct vl_error *err)
{
    struct artifacts *artifacts = vm->engine->cfg.artifacts;
    const char *checksum = manifest_checksum(&vm->manifest);
    int r;

    if (!checksum) return 0;
    if (!manifest_has_rootfs(&vm->manifest)) {
        r = artifact_boot_form(artifacts, checksum_hex(checksum), BOOT_FORM_MAX, ret_path, err);
        b->initrd_source = *ret_path;
        return r;
    }
    r = artifact_path(artifacts, checksum_hex(checksum), ret_path, err);
    b->root_disk = *ret_path;
    b->root_fstype = vm->manifest.rootfs.fstype;
    b->data_disk_mb = vm->config.disk_mb;
    return r;
}

static void launch_run(struct job *j)
{
    struct launch *l = container_of(j, struct launch, job);
    struct vm *vm = l->vm;
    const struct engine_config *cfg = &vm->engine->cfg;
    auto_free char *image = NULL;
    struct vmm_boot b = {
        .host = cfg->host,
        .vm_id = vm->row.id,
        .name = vm->row.name,
        .boot = vm->row.boot,
        .record = l->record,
        .runtime = vm->row.runtime,
        .plugin = vm->row.plugin,
        .dir = vm->dir,
        .cpu_cores = vm->row.cpu_cores,
        .memory_mb = vm->row.memory_mb,
        .ip_address = vm->row.ip_address,
        .gateway = cfg->subnet.gateway_text,
        .subnet = cfg->subnet.cidr,
        .mac_address = vm->row.mac_address,
        .ports = vm->config.expose.items,
        .n_ports = vm->config.expose.len,
        .cmdline_extra = vm->config.kernel_cmdline,
        .kernel = vm->config.kernel_override,
        .kernel_dirs = cfg->kernel_dirs,
        .guest = vm_has_bootloader(&vm->manifest) ? &l->guest : NULL,
    };

    if ((l->r = find_image(vm, &b, &image, &l->err)) < 0) return;
    CRASH_POINT("start.launching");
    l->r = vmm_launch(&b, mono_ms() + LAUNCH_MS, &l->run, &l->cmdline, &l->err);
    CRASH_POINT("start.launched");
}

static void launch_done(struct job *j, bool cancelled)
{
    struct launch *l = container_of(j, struct launch, job);
    struct vm *vm = l->vm;
    struct vm_change c;

    vm->busy = false;
    if (cancelled || vm->engine->closing) {
        launch_free(l); /* what runs is found again by its run.json */
        return;
    }
    if (l->r < 0) {
        log_warn("vm=%s: launch %d failed: %s", vm->row.name, vm->attempts, l->err.msg);
        (void)strf(vm->reason_now, sizeof(vm->reason_now), "%.*s", utf8_cut(l->err.msg, 150), l->err.msg);
        launch_free(l);
        vm_step(vm);
        return;
    }
    CRASH_POINT("start.launch_known");
    vm_attach(vm, &l->run, vm->engine->cfg.boot_deadline_ms);
    CRASH_POINT("start.attached");
    c = vm_change_of(vm);
    c.kernel_cmdline = l->cmdline;
    vm_commit(vm, &c, NULL, NULL);
    launch_free(l);
}

/* The first published TCP port decides over `ready`. */
static int64_t ready_port(const struct vm *vm)
{
    const struct port_map *ports = vm->config.expose.items;

    for (size_t i = 0; i < vm->config.expose.len; i++)
        if (str_eq(ports[i].protocol, "tcp")) return ports[i].port;
    return 0;
}

/* The manifest's workload with what the configuration changes of it. */
static int fill_workload(const struct vm *vm, struct workload *w)
{
    const struct vm_config *c = &vm->config;
    int r = schema_copy(&workload_schema, &vm->manifest.workload, w);

    for (size_t i = 0; r == 0 && i < c->env.len; i++)
        r = strmap_set(&w->env, c->env.items[i].key, c->env.items[i].value);
    if (c->command.len == 0) return r;
    strv_cut(&w->entrypoint, (size_t)w->command_index);
    w->command_index = 0;
    for (size_t i = 0; r == 0 && i < c->command.len; i++)
        r = strv_add(&w->entrypoint, c->command.items[i]);
    return r;
}

/* An init of the image's own is the workload, as far as the guest's configuration goes. */
static int fill_root(const struct vm *vm, struct guest_config *g)
{
    const struct rootfs_medium *rootfs = &vm->manifest.rootfs;

    if (!manifest_has_rootfs(&vm->manifest)) return 0;
    g->root.persistent = vm->config.disk_mb > 0;
    if (!(g->root.fstype = strdup(rootfs->fstype ? rootfs->fstype : GUEST_FSTYPE_AUTO))) return -ENOMEM;
    if (!rootfs->init) return 0;
    if (!(g->root.init = strdup(rootfs->init))) return -ENOMEM;
    return g->workload.entrypoint.len > 0 ? 0 : strv_add(&g->workload.entrypoint, rootfs->init);
}

static int guest_config_fill(const struct vm *vm, struct guest_config *g)
{
    const struct subnet *net = &vm->engine->cfg.subnet;
    char host[64];

    vm_hostname(vm->row.name, host);
    g->api = AGENT_API;
    g->vm_id = vm->row.id;
    g->ready_port = ready_port(vm);
    g->hostname = strdup(host);
    g->shutdown = strdup(qemu_driver.shutdown);
    g->network.address = strf_new("%s/%u", vm->row.ip_address, net->prefix);
    g->network.gateway = strdup(net->gateway_text);
    g->network.mac = strdup(vm->row.mac_address);
    if (!g->hostname || !g->shutdown || !g->network.address || !g->network.gateway || !g->network.mac) return -ENOMEM;
    if (schema_copy(&health_check_schema, &vm->manifest.health_check, &g->health_check) < 0) return -ENOMEM;
    return fill_workload(vm, &g->workload) < 0 ? -ENOMEM : fill_root(vm, g);
}

void vm_launch(struct vm *vm)
{
    struct launch *l = calloc(1, sizeof(*l));
    int r = -ENOMEM;

    vm->token_fresh = false;
    vm->attempts++;
    vm->ready = vm->agent_up = vm->late = vm->agent_awaited = vm->stop_asked = vm->workload_ended = false;
    vm->agent_refused = false;
    vm->end_step = VMM_END_NOTHING;
    vm->health = HEALTH_NONE;
    *vm->reason_now = '\0';
    if (l && (l->record = vm_record_text(vm)) && (r = guest_config_fill(vm, &l->guest)) == 0) {
        l->vm = vm;
        l->job = (struct job){.run = launch_run, .done = launch_done};
        r = pool_submit(vm->engine->pool, &l->job);
    }
    if (r == 0) {
        vm->busy = true;
        return;
    }
    if (l) launch_free(l);
    (void)strf(vm->reason_now, sizeof(vm->reason_now), "cannot launch: %s", vl_strerror(-r));
    vm_step(vm);
}

/* --- a VMM that runs ---------------------------------------------------------------------------------------------- */

static void vmm_ended(struct watch *w, uint32_t events)
{
    struct vm *vm = container_of(w, struct vm, vmm_watch);

    (void)events;
    loop_unwatch(w);
    vm->vmm_gone = true;
    vm_step(vm);
}

static void boot_late(struct timer *t)
{
    struct vm *vm = container_of(t, struct vm, deadline);

    vm->late = true;
    if (vm->status == VM_STARTING)
        (void)strf(vm->reason_now, sizeof(vm->reason_now), "the guest agent did not answer within %d s",
                   vm->engine->cfg.boot_deadline_ms / 1000);
    vm_settle(vm);
    vm_step(vm);
}

static void guest_up(void *arg, const struct guest_health *health)
{
    struct vm *vm = arg;
    int64_t port = ready_port(vm);

    vm->agent_up = true;
    vm->ready = health->ready;
    *vm->reason_now = *vm->unready = '\0';
    if (port > 0)
        (void)strf(vm->unready, sizeof(vm->unready), "nothing in it accepts connections on port %lld yet",
                   (long long)port);
    vm_heard(vm);
    vm_take_health(vm, health->health, health->reason);
    if (vm->status == VM_RUNNING) vm_begin_budget(vm); /* adopted before it was healthy */
    log_debug("vm=%s agent up, version %s, state %s", vm->row.name, health->version, health->state);
    vm_settle(vm);
    vm_step(vm);
}

static void workload_exited(struct vm *vm, int64_t code)
{
    vm->workload_ended = true;
    vm->workload_code = code;
    if (vm->status != VM_STOPPING)
        (void)loop_timer(vm->engine->cfg.loop, &vm->deadline, mono_ms() + AFTER_EXIT_MS, boot_late);
}

static void guest_event(void *arg, const struct guest_event *ev)
{
    struct vm *vm = arg;

    vm_heard(vm);
    if (str_eq(ev->type, "ready")) {
        vm->ready = true;
    } else if (str_eq(ev->type, "state") || str_eq(ev->type, "health")) {
        vm->ready = ev->ready;
        vm_take_health(vm, ev->health, ev->reason);
    }
    if (str_eq(ev->type, "workload_exited")) workload_exited(vm, ev->code);
    vm_settle(vm);
    vm_step(vm);
}

void vm_try_agent(struct vm *vm)
{
    if (vm->guest && (vm->status == VM_RUNNING || vm->status == VM_STOPPING))
        (void)guest_connect(vm->guest, mono_ms() + SILENT_RETRY_MS);
}

static void guest_down(void *arg, const char *why, bool final)
{
    struct vm *vm = arg;

    log_debug("vm=%s agent down%s: %s", vm->row.name, final ? " for good" : "", why);
    vm->pinged = false;                             /* its answer will not come */
    if (!final || vm->status != VM_RUNNING) return; /* the boot's or the stop's deadline decides */
    (void)strf(vm->reason_now, sizeof(vm->reason_now), "the guest agent does not answer: %.80s", why);
    log_warn("vm=%s: %s", vm->row.name, vm->reason_now);
    vm_step_later(vm, SILENT_RETRY_MS);
    vm_settle(vm);
}

static const struct guest_ops guest_ops = {.up = guest_up, .event = guest_event, .down = guest_down};

/* Over already; or it runs, but nobody would see its end. */
static void attach_failed(struct vm *vm, int r)
{
    if (r == -ESRCH) {
        vm->vmm_gone = true;
        return;
    }
    (void)strf(vm->reason_now, sizeof(vm->reason_now), "its VMM cannot be watched: %s", vl_strerror(-r));
    log_err("vm=%s: %s; ending it", vm->row.name, vm->reason_now);
    vm->agent_up = false;
    vm->late = true;
}

void vm_attach(struct vm *vm, const struct vmm_run *run, int64_t agent_deadline_ms)
{
    struct loop *loop = vm->engine->cfg.loop;
    int64_t until = mono_ms() + agent_deadline_ms;
    int fd = -1, r;

    vm->run = *run;
    vm->live = true;
    vm->heard_ms = mono_ms();
    vm->agent_up = vm->status != VM_STARTING; /* an adopted VM's has answered before */
    if ((r = proc_open(&run->vmm, &fd)) < 0 || (r = loop_watch(loop, &vm->vmm_watch, fd, EPOLLIN, vmm_ended)) < 0) {
        if (fd >= 0) (void)close(fd);
        vm->vmm_watch.fd = -1;
        attach_failed(vm, r);
        return;
    }
    if (!manifest_has_agent(&vm->manifest)) { /* nobody to wait for: it runs */
        vm->agent_up = vm->ready = true;
        return;
    }
    if ((r = guest_new(loop, vm->dir, &guest_ops, vm, &vm->guest)) < 0 || (r = guest_connect(vm->guest, until)) < 0)
        log_err("vm=%s: no channel to the agent: %s", vm->row.name, vl_strerror(-r));
    if (vm->status == VM_STARTING) (void)loop_timer(loop, &vm->deadline, until, boot_late);
}

void vm_detach(struct vm *vm)
{
    loop_untimer(&vm->deadline);
    vm_stop_budget(vm);
    loop_untimer(&vm->retry);
    vm->retry_ms = 0;
    if (vm->vmm_watch.fd >= 0) {
        loop_unwatch(&vm->vmm_watch);
        (void)close(vm->vmm_watch.fd);
        vm->vmm_watch.fd = -1;
    }
    guest_free(take_ptr(vm->guest));
    vm->live = vm->ready = vm->agent_up = vm->late = vm->vmm_gone = vm->agent_awaited = vm->stop_asked = false;
    vm->paused = vm->hung = vm->pinged = vm->health_news = vm->hang_news = false;
    vm->health = HEALTH_NONE;
    (void)string_set(&vm->health_reason, NULL);
}

static void running_done(struct vm *vm)
{
    CRASH_POINT("start.running_recorded");
    if (!vm->workload_ended) loop_untimer(&vm->deadline);
    vm->late = vm->late && vm->workload_ended;
    hang_watch(vm->engine);
    vm_begin_budget(vm);
}

void vm_commit_running(struct vm *vm)
{
    struct vm_change c = vm_change_of(vm);

    c.status = VM_RUNNING;
    c.reason = "";
    c.started_ms = wall_ms();
    c.event = "VM_RUNNING";
    vm_commit(vm, &c, running_done, NULL);
}

void vm_boot_failed(struct vm *vm)
{
    struct verdict v = {.status = VM_FAILED, .event = "VM_FAILED"};

    (void)strf(v.reason, sizeof(v.reason), "%s", *vm->reason_now ? vm->reason_now : "the VM could not be booted");
    vm_end_commit(vm, &v);
}
