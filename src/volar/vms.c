/* SPDX-License-Identifier: Apache-2.0 */
/* Listing and showing VMs, and the operations that take names. */
#include "volar/vms.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "volar/api.h"
#include "volar/output.h"

#define CALL_S    30
#define STOP_S    60 /* volantd answers within 30 */
#define SERVER_S  25 /* how long one request lets volantd wait */
#define POLL_MS   100
#define NAMES_MAX 256

struct wait_options vms_wait = {.want = "running", .timeout_s = 90};
const struct opt vms_wait_opts[] = {WAIT_OPTS, VOLAR_GLOBAL, {0}};

int vms_check_wait(const struct volar *v)
{
    struct vl_error err = {0};

    if (str_eq(vms_wait.want, "process") || str_eq(vms_wait.want, "running") || str_eq(vms_wait.want, "ready"))
        return EXIT_DONE;
    (void)vl_fail(&err, VL_INVALID, "--wait is '%s', allowed: process, running, ready", vms_wait.want);
    return volar_misuse(v, &err);
}

int vm_fetch(struct volar *v, const char *name, struct vm_view *ret, json_t **ret_json, struct vl_error *err)
{
    json_auto_t *j = NULL;
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s", name);
    if ((r = api_json(v, "GET", path, NULL, CALL_S, &j, err)) < 0) return r;
    if ((r = vm_view_decode(j, ret, err)) < 0) return r;
    if (ret_json) *ret_json = json_incref(j);
    return 0;
}

/* --- waiting -------------------------------------------------------------------------------------------------------
 */

static bool reached(const struct vm_view *vm)
{
    bool running = str_eq(vm->status, "running");

    if (str_eq(vms_wait.want, "process")) return vm->pid > 0 || running;
    return str_eq(vms_wait.want, "ready") ? running && vm->ready : running;
}

bool vm_has_ended(const struct vm_view *vm)
{
    enum vm_status s;

    return vm_status_parse(vm->status, &s) == 0 && vm_status_ended(s);
}

static int late(const struct vm_view *vm, struct vl_error *err)
{
    const char *reason = vm->reason ? vm->reason : "";

    return vl_fail(err, VL_UNAVAILABLE,
                   "VM '%s' is %s after %llu s, not %s%s%s: see `volar vms logs %s`, or wait longer "
                   "with --timeout",
                   vm->name, vm->status, (unsigned long long)vms_wait.timeout_s, vms_wait.want, *reason ? ": " : "",
                   reason, vm->name);
}

/* A workload that has done its work is no failure. Some reasons name `volar vms logs` themselves. */
static int ended_early(const struct vm_view *vm, struct vl_error *err)
{
    const char *reason = vm->reason && *vm->reason ? vm->reason : "no reason is known";
    bool named = strstr(reason, "volar vms logs");

    if (vm->has_exit_code && vm->exit_code == 0) return 0;
    return vl_fail(err, VL_INTERNAL, "VM '%s' %s: %s%s%s%s", vm->name,
                   str_eq(vm->status, "stopped") ? "ended" : vm->status, reason, named ? "" : ": see `volar vms logs ",
                   named ? "" : vm->name, named ? "" : "`");
}

int vm_post_and_wait(struct volar *v, const char *path, const char *body, struct vm_view *ret, struct vl_error *err)
{
    int64_t until = mono_ms() + (int64_t)vms_wait.timeout_s * 1000;
    uint64_t server_s = vms_wait.timeout_s < SERVER_S ? vms_wait.timeout_s : SERVER_S;
    struct vm_view vm = {0};
    json_auto_t *j = NULL;
    char full[256], name[64];
    int r;

    if (str_eq(vms_wait.want, "process"))
        (void)strf(full, sizeof(full), "%s", path);
    else
        (void)strf(full, sizeof(full), "%s?wait=%s&timeout=%llu", path, vms_wait.want, (unsigned long long)server_s);
    if ((r = api_json(v, "POST", full, body, SERVER_S + CALL_S, &j, err)) < 0) return r;
    if ((r = vm_view_decode(j, &vm, err)) < 0) return r;
    (void)strf(name, sizeof(name), "%s", vm.name);
    while (!reached(&vm) && !vm_has_ended(&vm) && mono_ms() < until) {
        pause_ms(POLL_MS);
        vm_view_done(&vm);
        vm = (struct vm_view){0};
        if ((r = vm_fetch(v, name, &vm, NULL, err)) < 0) return r;
    }
    r = reached(&vm) || vms_wait.none ? 0 : vm_has_ended(&vm) ? ended_early(&vm, err) : late(&vm, err);
    if (r < 0)
        vm_view_done(&vm);
    else
        *ret = vm;
    return r;
}

/* --- list and get ----------------------------------------------------------------------------------------------------
 */

static int list_row(struct table *t, const json_t *j, struct vl_error *err)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    auto_free char *ports = NULL;
    int r;

    if ((r = vm_view_decode(j, &vm, err)) < 0) return r;
    ports = ports_text(vm.ports);
    table_add(t, vm.name);
    table_add(t, vm.status);
    table_add(t, vm.runtime);
    table_add(t, vm.ip_address);
    table_add(t, vm.mac_address);
    table_addf(t, "%lld", (long long)vm.cpu_cores);
    table_addf(t, "%lld", (long long)vm.memory_mb);
    table_add(t, vm.ready ? "yes" : "no");
    table_add(t, ports);
    return 0;
}

int vms_list(void *ctx, int argc, char *const *argv)
{
    static const char *const header[] = {"NAME", "STATUS", "RUNTIME", "IP", "MAC", "CPU", "MEM", "READY", "PORTS"};
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *vms = NULL;
    auto_table t = {0};
    size_t n, i;
    const json_t *vm;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_json(v, "GET", "/api/v1/vms", NULL, CALL_S, &vms, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(vms) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (json_array_size(vms) == 0) return puts("No VMs found") < 0 ? EXIT_FAILED : EXIT_DONE;
    table_begin(&t, header, ARRAY_LEN(header));
    json_array_foreach(vms, i, vm) if (list_row(&t, vm, &err) < 0) return volar_fail(&err);
    return table_print(&t, stdout) < 0 ? EXIT_FAILED : EXIT_DONE;
}

static void print_vm(const struct vm_view *vm)
{
    auto_free char *ports = ports_text(vm->ports);
    char time[32];

    print_field("Name", vm->name);
    print_field("Status", vm->status);
    if (vm->reason && *vm->reason) print_field("Reason", vm->reason);
    print_field("Ready", vm->ready ? "yes" : "no");
    if (vm->health && *vm->health) print_field("Health", vm->health);
    if (vm->restarts) printf("Restarts: %lld\n", (long long)vm->restarts);
    if (vm->deployment && *vm->deployment)
        printf("Deployment: %s, version %lld\n", vm->deployment, (long long)vm->revision);
    print_field("Plugin", vm->plugin ? vm->plugin : "");
    print_field("Runtime", vm->runtime);
    print_field("IP", vm->ip_address);
    print_field("MAC", vm->mac_address);
    printf("CPU: %lld\nMemory: %lld MB\n", (long long)vm->cpu_cores, (long long)vm->memory_mb);
    if (vm->disk_mb) printf("Disk: %lld MB\n", (long long)vm->disk_mb);
    if (ports && *ports) print_field("Ports", ports);
    if (vm->pid) printf("PID: %lld\n", (long long)vm->pid);
    if (vm->has_exit_code) printf("Exit Code: %lld\n", (long long)vm->exit_code);
    if (vm->kernel_cmdline && *vm->kernel_cmdline) print_field("Kernel Cmdline", vm->kernel_cmdline);
    if (vm->serial_socket && *vm->serial_socket) print_field("Serial Socket", vm->serial_socket);
    if (vm->created_ms) {
        format_time(vm->created_ms, time);
        print_field("Created", time);
    }
    if (!vm->started_ms) return;
    format_time(vm->started_ms, time);
    print_field("Running Since", time);
}

int vms_get(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    auto_(vm_view_done) struct vm_view vm = {0};
    json_auto_t *j = NULL;
    struct vl_error err = {0};
    const char *name;
    size_t n;
    int r = volar_begin(v, argc, argv, &name, 1, 1, &n);

    if (r >= 0 || (r = volar_check_name(v, "VM", name)) != EXIT_DONE) return r;
    if (vm_fetch(v, name, &vm, &j, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(j) < 0 ? EXIT_FAILED : EXIT_DONE;
    print_vm(&vm);
    return EXIT_DONE;
}

/* --- start, stop, restart, delete ------------------------------------------------------------------------------------
 */

int vms_each(struct volar *v, const char *const *names, size_t n,
             int (*fn)(struct volar *v, const char *name, struct vl_error *err))
{
    int code = EXIT_DONE, r;

    for (size_t i = 0; i < n; i++)
        if ((r = volar_check_name(v, "VM", names[i])) != EXIT_DONE) return r;
    for (size_t i = 0; i < n; i++) {
        struct vl_error err = {0};

        if (fn(v, names[i], &err) < 0) code = volar_fail(&err);
    }
    return code;
}

int vm_print_json(const struct vm_view *vm, struct vl_error *err)
{
    json_auto_t *j = vm_view_encode(vm);
    int r = j ? print_json(j) : -ENOMEM;

    return r < 0 ? vl_fail_errno(err, r, "print VM '%s'", vm->name) : 0;
}

static int boot_one(struct volar *v, const char *name, const char *verb, const char *said, struct vl_error *err)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s/%s", name, verb);
    if ((r = vm_post_and_wait(v, path, NULL, &vm, err)) < 0) return r;
    if (volar_json(v)) return vm_print_json(&vm, err);
    printf("VM %s %s (PID %lld)\n", name, said, (long long)vm.pid);
    return 0;
}

static int start_one(struct volar *v, const char *name, struct vl_error *err)
{
    return boot_one(v, name, "start", "started", err);
}

static int restart_one(struct volar *v, const char *name, struct vl_error *err)
{
    return boot_one(v, name, "restart", "restarted", err);
}

static int stop_one(struct volar *v, const char *name, struct vl_error *err)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    json_auto_t *j = NULL;
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s/stop", name);
    if ((r = api_json(v, "POST", path, NULL, STOP_S, &j, err)) < 0 || (r = vm_view_decode(j, &vm, err)) < 0) return r;
    if (!vm_has_ended(&vm))
        return vl_fail(err, VL_UNAVAILABLE, "VM '%s' is still %s: see `volar vms get %s`", name, vm.status, name);
    if (volar_json(v)) return vm_print_json(&vm, err);
    printf("VM %s stopped\n", name);
    return 0;
}

static int told_one(struct volar *v, const char *name, const char *verb, const char *said, struct vl_error *err)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    json_auto_t *j = NULL;
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s/%s", name, verb);
    if ((r = api_json(v, "POST", path, NULL, STOP_S, &j, err)) < 0 || (r = vm_view_decode(j, &vm, err)) < 0) return r;
    if (volar_json(v)) return vm_print_json(&vm, err);
    printf("VM %s %s\n", name, said);
    return 0;
}

static int pause_one(struct volar *v, const char *name, struct vl_error *err)
{
    return told_one(v, name, "pause", "paused", err);
}

static int unpause_one(struct volar *v, const char *name, struct vl_error *err)
{
    return told_one(v, name, "resume", "resumed", err);
}

static int delete_one(struct volar *v, const char *name, struct vl_error *err)
{
    auto_answer a = {0};
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s", name);
    if ((r = api_call(v, "DELETE", path, NULL, STOP_S, &a, err)) < 0) return r;
    if (a.status != 204)
        return vl_fail(err, VL_UNAVAILABLE, "VM '%s' is still being deleted: see `volar vms list`", name);
    if (!volar_json(v)) printf("VM %s deleted\n", name); /* nothing is left to be described */
    return 0;
}

static int names_command(struct volar *v, int argc, char *const *argv,
                         int (*fn)(struct volar *v, const char *name, struct vl_error *err))
{
    const char *names[NAMES_MAX];
    size_t n;
    int r = volar_begin(v, argc, argv, names, 1, NAMES_MAX, &n);

    if (r >= 0 || (r = vms_check_wait(v)) != EXIT_DONE) return r;
    return vms_each(v, names, n, fn);
}

int vms_start(void *ctx, int argc, char *const *argv)
{
    return names_command(ctx, argc, argv, start_one);
}

int vms_stop(void *ctx, int argc, char *const *argv)
{
    return names_command(ctx, argc, argv, stop_one);
}

int vms_restart(void *ctx, int argc, char *const *argv)
{
    return names_command(ctx, argc, argv, restart_one);
}

int vms_pause(void *ctx, int argc, char *const *argv)
{
    return names_command(ctx, argc, argv, pause_one);
}

int vms_unpause(void *ctx, int argc, char *const *argv)
{
    return names_command(ctx, argc, argv, unpause_one);
}

int vms_delete(void *ctx, int argc, char *const *argv)
{
    return names_command(ctx, argc, argv, delete_one);
}
