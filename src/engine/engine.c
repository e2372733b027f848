/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's life: loading the registry, reading it for clients, and leaving without touching a VM. */
#include "engine/engine.h"

#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/vm.h"

#define WORKER_IDLE_MS 10000

int engine_new(const struct engine_config *cfg, struct engine **ret, struct vl_error *err)
{
    auto_(engine_freep) struct engine *e = calloc(1, sizeof(*e));
    int r;

    if (!e) return vl_fail_errno(err, ENOMEM, "engine");
    e->cfg = *cfg;
    e->stop_fd = -1;
    if ((r = pool_new(cfg->loop, cfg->workers, WORKER_IDLE_MS, &e->pool)) < 0) return vl_fail_errno(err, r, "workers");
    if ((r = pool_new(cfg->loop, 1, WORKER_IDLE_MS, &e->lane)) < 0) return vl_fail_errno(err, r, "artifact worker");
    if ((r = media_open(e, err)) < 0) return r;
    *ret = take_ptr(e);
    return 0;
}

struct load {
    struct store_op op;
    struct engine *engine;
    int64_t highest; /* id that has a folder: no new VM gets it, whatever backup the database came from */
};

static int load_vm(void *arg, struct vm_row *row)
{
    struct load *l = arg;
    struct vl_error err = {0};
    int64_t id = row->id;
    struct vm *vm = vm_new(l->engine, row, &err);

    if (!vm) {
        log_err("vm id %lld: its row cannot be read, leaving it and its folder alone: %s", (long long)id, err.msg);
        l->engine->unread = true;
        return 0;
    }
    vm_insert(l->engine, vm);
    return 0;
}

static int load_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct load *l = container_of(op, struct load, op);
    int r;

    if ((r = store_vm_reserve(tx, l->highest, err)) < 0) return r;
    return store_vm_each(tx, load_vm, l, err);
}

int engine_start(struct engine *e, struct vl_error *err)
{
    struct load l = {.op.run = load_run, .engine = e};
    int64_t *folders = NULL;
    size_t n_folders = 0;
    int r;

    if ((r = plugins_load(e, err)) < 0) return r;
    if ((r = folders_list(e->cfg.vms_dir, &folders, &n_folders)) < 0)
        return vl_fail_errno(err, r, "read %s", e->cfg.vms_dir);
    for (size_t i = 0; i < n_folders; i++)
        if (folders[i] > l.highest) l.highest = folders[i];
    if ((r = store_run(e->cfg.store, &l.op, err)) < 0) {
        free(folders);
        return vl_wrap(err, "load VMs");
    }
    for (struct vm *vm = e->vms, *next; vm; vm = next) {
        next = vm->next;
        vm_adopt(vm);
    }
    engine_sweep(e, folders, n_folders);
    return 0;
}

static bool engine_in_flight(const struct engine *e)
{
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (vm->busy) return true;
    return e->drafts || e->plugin_ops || e->drifts || e->histories || e->prunes || e->releases || e->step_scheduled ||
           e->slots_scheduled;
}

void engine_free(struct engine *e)
{
    if (!e) return;
    e->closing = true; /* what is in flight ends, nothing new begins */
    drifts_close(e);
    media_stop(e);
    pool_free(e->pool);
    pool_free(e->lane);
    loop_untimer(&e->hang_timer);
    while (engine_in_flight(e)) /* transactions, which have their own deadline */
        (void)loop_step(e->cfg.loop, 50);
    while (e->vms) {
        struct vm *vm = e->vms;

        vm_remove(vm);
        vm_free(vm);
    }
    plugins_free(e);
    free(e);
}

struct vm *engine_vm_find(struct engine *e, const char *name)
{
    for (struct vm *vm = e->vms; vm; vm = vm->next)
        if (str_eq(vm->row.name, name)) return vm;
    return NULL;
}

struct vm *engine_vm_by_id(const struct engine *e, int64_t id)
{
    struct vm *vm = e->vms;

    while (vm && vm->row.id != id)
        vm = vm->next;
    return vm;
}

size_t engine_vm_each(struct engine *e, bool (*fn)(void *arg, struct vm *vm), void *arg)
{
    size_t n = 0;

    for (struct vm *vm = e->vms; vm; vm = vm->next, n++)
        if (fn && !fn(arg, vm)) return n + 1;
    return n;
}

static const char *health_name(enum health h)
{
    static const char *const names[] = {
        [HEALTH_NONE] = "", [HEALTH_STARTING] = "starting", [HEALTHY] = "healthy", [UNHEALTHY] = "unhealthy"};

    return names[h];
}

/* A moment without being ready is part of every boot. */
#define UNREADY_MS 2000

static const char *reason_of(const struct vm *vm)
{
    bool waits = vm->status == VM_RUNNING && vm->agent_up && !vm->ready && !vm->paused && vm->health == HEALTH_NONE;

    if (*vm->reason_now) return vm->reason_now;
    return waits && *vm->unready && mono_ms() - vm->since_ms > UNREADY_MS ? vm->unready : vm->row.reason;
}

void engine_vm_view(const struct vm *vm, struct vm_view *ret)
{
    *ret = (struct vm_view){
        .id = vm->row.id,
        .name = vm->row.name,
        .status = (char *)vm_status_name(vm->status),
        .runtime = vm->row.runtime,
        .plugin = vm->row.plugin,
        .reason = (char *)reason_of(vm),
        .ip_address = vm->row.ip_address,
        .mac_address = vm->row.mac_address,
        .kernel_cmdline = vm->row.kernel_cmdline,
        .serial_socket = *vm->row.boot ? (char *)vm->console : "",
        .health = (char *)health_name(vm->health),
        .ready = vm_is_ready(vm),
        .ended_well = vm_ended_well(vm),
        .pid = vm->row.pid,
        .cpu_cores = vm->row.cpu_cores,
        .memory_mb = vm->row.memory_mb,
        .disk_mb = vm->config.disk_mb,
        .exit_code = vm->row.exit_code,
        .has_exit_code = vm->row.has_exit_code,
        .created_ms = vm->row.created_ms,
        .updated_ms = vm->row.updated_ms,
        .started_ms = vm->row.started_ms,
        .deployment = vm->row.deployment,
        .revision = vm->row.revision,
        .restarts = vm->row.restarts,
        .ports = &vm->config.expose,
    };
}

const char *engine_vm_text(struct vm *vm, size_t *ret_len)
{
    struct vm_view view;
    const char *text;

    engine_vm_view(vm, &view);
    if (!(text = vm_text_of(&vm->text, &view))) return NULL;
    *ret_len = vm->text.len;
    return text;
}

void engine_observe(struct engine *e, void (*changed)(void *arg, const struct vm_view *view, bool gone), void *arg)
{
    struct observer *at = NULL;

    for (size_t i = 0; i < ENGINE_OBSERVERS_MAX; i++) {
        struct observer *o = &e->observers[i];

        if (o->changed && o->arg == arg) at = o;
        if (!o->changed && !at) at = o;
    }
    if (at) *at = (struct observer){changed, arg};
}

struct guest *engine_vm_guest(struct vm *vm)
{
    return vm->guest && guest_is_up(vm->guest) ? vm->guest : NULL;
}

const char *engine_vm_folder(const struct vm *vm)
{
    return vm->dir;
}

int engine_check_idle(struct engine *e, struct vl_error *err)
{
    for (const struct vm *vm = e->vms; vm; vm = vm->next) {
        if (!vm_status_ended(vm->status))
            return vl_fail(err, VL_CONFLICT, "VM '%s' is %s: stop all VMs first (`volar vms stop NAME`)", vm->row.name,
                           vm_status_name(vm->status));
        if (vm->live || vm->busy) /* being looked at after a start, cleared away, deleted */
            return vl_fail(err, VL_UNAVAILABLE, "VM '%s' is %s, but not done with yet: try again in a moment",
                           vm->row.name, vm_status_name(vm->status));
    }
    if (e->strangers > 0)
        return vl_fail(err, VL_CONFLICT, "%zu VMs run that the registry does not know: see `volar doctor`",
                       e->strangers);
    if (e->drafts || e->plugin_ops)
        return vl_fail(err, VL_CONFLICT, "a VM or plugin is being added: try again when that is done");
    return 0;
}

void engine_child_ended(struct engine *e)
{
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (vm->live && !vm->busy && vm->run.shim.pid > 0)
            (void)waitpid(vm->run.shim.pid, NULL, WNOHANG); /* ECHILD: another volantd's */
}

static bool count_plugin(void *arg, struct plugin *p)
{
    struct engine_summary *s = arg;

    s->plugins++;
    s->plugins_enabled += engine_plugin_enabled(p);
    return true;
}

void engine_summary(struct engine *e, struct engine_summary *ret)
{
    *ret = (struct engine_summary){.strangers = e->strangers};
    for (struct vm *vm = e->vms; vm; vm = vm->next) {
        ret->vms++;
        ret->by_status[vm->status]++;
    }
    (void)engine_plugin_each(e, count_plugin, ret);
}
