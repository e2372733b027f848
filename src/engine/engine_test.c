/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine with a real store, real artifacts and the real shim. The VMM is this test program, which plays its part by
 * the VM's name; no agent ever answers, so these are the ways in which a boot goes wrong. What goes right is tested end
 * to end with QEMU.
 */
#include "base/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "engine/engine.h"
#include "vmm/fake_monitor.h"

#define WAIT_MS 20000
#define BOOT_MS 400 /* the deadline of a boot here */

/* --- the VMM ------------------------------------------------------------------------------------------------------ */

static int be_vmm(const char *name)
{
    struct pollfd p = {.fd = VMM_FD_QMP, .events = POLLIN};

    if (str_starts(name, "guest=broken")) {
        (void)dprintf(2, "qemu: something is missing\n");
        return 3;
    }
    if (str_starts(name, "guest=exit")) {
        (void)dprintf(VMM_FD_CONSOLE, "hello\r\nvolant: workload exited code=%d\r\n",
                      str_starts(name, "guest=exit5") ? 5 : 0);
        return 0;
    }
    if (str_starts(name, "guest=panic")) {
        (void)dprintf(VMM_FD_CONSOLE, "Kernel panic - not syncing: Attempted to kill init!\r\n");
        return 0;
    }
    if (str_starts(name, "guest=stubborn")) {
        (void)signal(SIGTERM, SIG_IGN);
        p.fd = -1;
    }
    while (poll(&p, 1, 60000) > 0)
        if (serve_monitor()) return 0;
    return 9; /* the test has failed long ago */
}

/* --- one host ----------------------------------------------------------------------------------------------------- */

struct host {
    char base[64];
    struct loop *loop;
    struct store *store;
    struct artifacts *artifacts;
    struct vmm_host vmm;
    struct engine *engine;
    char hex[SHA256_HEX + 1];
};

struct answer {
    bool done;
    int r;
    struct vl_error err;
    enum vm_status status;
    char reason[256];
    bool has_vm, has_code;
    int64_t code, id;
};

static void path_of(const struct host *h, const char *name, char *buf, size_t size)
{
    assert_true(strf(buf, size, "%s/%s", h->base, name) > 0);
}

static void put(const struct host *h, const char *name, const void *data, size_t n)
{
    auto_close int dir = open_dir(h->base);

    assert_int_equal(write_file_atomic_at(dir, name, data, n, 0644), 0);
}

static void engine_begin(struct host *h)
{
    struct engine_config cfg = {
        .loop = h->loop, .host = &h->vmm, .boot_deadline_ms = BOOT_MS, .stop_grace_ms = 100, .workers = 4};
    char db[96];
    static char vms[96];

    path_of(h, "db", db, sizeof(db));
    path_of(h, "vms", vms, sizeof(vms));
    assert_int_equal(store_open(h->loop, db, &h->store, NULL), 0);
    cfg.store = h->store;
    cfg.artifacts = h->artifacts;
    cfg.vms_dir = vms;
    assert_int_equal(subnet_parse("192.168.127.0/24", "subnet", &cfg.subnet, NULL), 0);
    assert_int_equal(engine_new(&cfg, &h->engine, NULL), 0);
    assert_int_equal(engine_start(h->engine, NULL), 0);
}

static void engine_end(struct host *h)
{
    engine_free(h->engine);
    h->engine = NULL;
    store_close(h->store);
    h->store = NULL;
}

static void put_artifact(struct host *h)
{
    static const char archive[] = "070701 is how an archive begins";
    char path[96];
    auto_close int fd = -1;

    path_of(h, "archive", path, sizeof(path));
    put(h, "archive", archive, sizeof(archive));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(sha256_fd(fd, h->hex, NULL, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(artifact_put_fd(h->artifacts, h->hex, fd, NULL), 0);
}

static void put_vmm(struct host *h)
{
    const char *build = secure_getenv("VOLANT_BUILD_DIR");
    auto_close int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), out = -1;

    assert_non_null(build);
    assert_true(strf(h->vmm.shim_path, sizeof(h->vmm.shim_path), "%s/volant-shim", build) > 0);
    path_of(h, "vmm", h->vmm.qemu_path, sizeof(h->vmm.qemu_path));
    path_of(h, "kernel", h->vmm.kernel_path, sizeof(h->vmm.kernel_path));
    put(h, "kernel", "kernel", 6);
    out = open(h->vmm.qemu_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_int_equal(copy_fd(out, in), 0);
}

static int setup(void **state)
{
    struct host *h = calloc(1, sizeof(*h));
    char path[96];

    assert_non_null(h);
    assert_true(strf(h->base, sizeof(h->base), "/tmp/volant-engine-XXXXXX") > 0);
    assert_non_null(mkdtemp(h->base));
    path_of(h, "vms", path, sizeof(path));
    assert_int_equal(mkdir(path, 0711), 0);
    path_of(h, "artifacts", path, sizeof(path));
    assert_int_equal(loop_new(&h->loop), 0);
    assert_int_equal(artifacts_open(path, &h->artifacts, NULL), 0);
    put_artifact(h);
    put_vmm(h);
    engine_begin(h);
    *state = h;
    return 0;
}

static void until(struct host *h, const bool *done)
{
    int64_t deadline = mono_ms() + WAIT_MS;

    while (!*done) {
        assert_true(mono_ms() < deadline);
        assert_int_equal(loop_step(h->loop, 100), 0);
    }
}

static void on_vm(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct answer *a = arg;
    struct vm_view v;

    assert_false(a->done);
    a->done = true;
    a->r = r;
    if (err) a->err = *err;
    if (!(a->has_vm = vm != NULL)) return;
    engine_vm_view(vm, &v);
    assert_int_equal(vm_status_parse(v.status, &a->status), 0);
    (void)strf(a->reason, sizeof(a->reason), "%s", v.reason ? v.reason : "");
    a->has_code = v.has_exit_code;
    a->code = v.exit_code;
    a->id = v.id;
}

static void on_plugin(void *arg, int r, const struct vl_error *err)
{
    struct answer *a = arg;

    a->done = true;
    a->r = r;
    if (err) a->err = *err;
}

static struct answer install(struct host *h, const char *hex)
{
    json_auto_t *m = json_pack("{s:s, s:s, s:{s:s, s:s+}, s:{s:[s]}}", "name", "p", "version", "1", "initramfs", "url",
                               "/x", "checksum", "sha256:", hex, "workload", "entrypoint", "/bin/x");
    struct answer a = {0};

    assert_non_null(m);
    assert_int_equal(engine_plugin_install(h->engine, m, NULL, on_plugin, &a, NULL), 0);
    until(h, &a.done);
    return a;
}

static int create_begin(struct host *h, const char *name, int64_t host_port, enum vm_want want, struct answer *a,
                        struct vl_error *err)
{
    auto_vm_request req = {0};
    json_auto_t *j = json_pack("{s:s, s:s, s:{s:[{s:i, s:I}]}}", "name", name, "plugin", "p", "config", "expose",
                               "port", 80, "host_port", (json_int_t)host_port);

    assert_int_equal(vm_request_decode(j, &req, NULL, NULL), 0);
    *a = (struct answer){0};
    return engine_vm_create(h->engine, &req, NULL, want, WAIT_MS, on_vm, a, err);
}

static struct answer create(struct host *h, const char *name, enum vm_want want)
{
    struct answer a;

    assert_int_equal(create_begin(h, name, 0, want, &a, NULL), 0);
    until(h, &a.done);
    return a;
}

static struct answer ask(struct host *h, const char *name,
                         int (*op)(struct engine *e, const char *name, engine_vm_done done, void *arg,
                                   struct vl_error *err))
{
    struct answer a = {0};

    assert_int_equal(op(h->engine, name, on_vm, &a, NULL), 0);
    assert_false(a.done); /* never before the question has returned */
    until(h, &a.done);
    return a;
}

static bool delete_one(void *arg, struct vm *vm)
{
    struct vm_view v;

    engine_vm_view(vm, &v);
    (void)strf(arg, 64, "%s", v.name);
    return false;
}

static int teardown(void **state)
{
    struct host *h = *state;
    char name[64];

    while (engine_vm_each(h->engine, delete_one, name) > 0)
        assert_int_equal(ask(h, name, engine_vm_delete).r, 0);
    engine_end(h);
    artifacts_close(h->artifacts);
    loop_free(h->loop);
    assert_int_equal(remove_tree_at(AT_FDCWD, h->base), 0);
    free(h);
    return 0;
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void ends_of_a_boot(void **state)
{
    static const struct {
        const char *name;
        enum vm_status status;
        int64_t code; /* -1: none */
        const char *reason;
    } table[] = {
        {"broken", VM_FAILED, -1, "something is missing"}, {"exit0", VM_STOPPED, 0, ""},
        {"exit5", VM_CRASHED, 5, "exit code 5"},           {"panic", VM_FAILED, -1, "Attempted to kill init"},
        {"silent", VM_FAILED, -1, "did not answer"},
    };
    struct host *h = *state;

    assert_int_equal(install(h, h->hex).r, 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct answer a = create(h, table[i].name, VM_WANT_RUNNING);

        assert_int_equal(a.r, 0);
        assert_string_equal(vm_status_name(a.status), vm_status_name(table[i].status));
        if (!strstr(a.reason, table[i].reason))
            fail_msg("%s: '%s' lacks '%s'", table[i].name, a.reason, table[i].reason);
        assert_int_equal(a.has_code, table[i].code >= 0);
        if (a.has_code) assert_int_equal(a.code, table[i].code);
        assert_int_equal(ask(h, table[i].name, engine_vm_stop).status, VM_STOPPED);
    }
}

static void deleting_leaves_nothing(void **state)
{
    struct host *h = *state;
    struct answer a;
    char folder[96];

    assert_int_equal(install(h, h->hex).r, 0);
    a = create(h, "silent", VM_WANT_PROCESS);
    assert_int_equal(a.status, VM_STARTING);
    assert_true(strf(folder, sizeof(folder), "%s/vms/%lld", h->base, (long long)a.id) > 0);
    assert_int_equal(access(folder, F_OK), 0);
    a = ask(h, "silent", engine_vm_delete);
    assert_int_equal(a.r, 0);
    assert_false(a.has_vm);
    assert_null(engine_vm_find(h->engine, "silent"));
    assert_int_equal(access(folder, F_OK), -1);
}

static void stop_while_starting(void **state)
{
    struct host *h = *state;
    struct answer created, stopped = {0};

    assert_int_equal(install(h, h->hex).r, 0);
    assert_int_equal(create_begin(h, "silent", 0, VM_WANT_RUNNING, &created, NULL), 0);
    while (!engine_vm_find(h->engine, "silent"))
        assert_int_equal(loop_step(h->loop, 100), 0);
    assert_int_equal(engine_vm_stop(h->engine, "silent", on_vm, &stopped, NULL), 0);
    until(h, &stopped.done);
    until(h, &created.done);
    assert_int_equal(stopped.status, VM_STOPPED);
    assert_int_equal(created.status, VM_STOPPED);
}

static void conflicts(void **state)
{
    struct host *h = *state;
    struct vl_error err = {0};
    struct answer a, b;
    const struct port_map *port;
    struct vm_view v;

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create(h, "silent", VM_WANT_PROCESS);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    port = v.ports->items;
    assert_true(port->host_port > 0);
    assert_true(create_begin(h, "silent", 0, VM_WANT_PROCESS, &a, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_true(create_begin(h, "other", port->host_port, VM_WANT_PROCESS, &a, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_non_null(strstr(err.msg, "silent"));
    /* Two at once for one name: the registry decides. */
    assert_int_equal(create_begin(h, "twin", 0, VM_WANT_PROCESS, &a, NULL), 0);
    assert_int_equal(create_begin(h, "twin", 0, VM_WANT_PROCESS, &b, NULL), 0);
    until(h, &a.done);
    until(h, &b.done);
    assert_int_equal(a.r, 0);
    assert_true(b.r < 0);
    assert_int_equal(b.err.kind, VL_CONFLICT);
    assert_true(engine_vm_start(h->engine, "nobody", VM_WANT_PROCESS, 0, on_vm, &a, &err) < 0);
    assert_int_equal(err.kind, VL_NOT_FOUND);
}

static void plugins(void **state)
{
    static const char absent[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct host *h = *state;
    struct vl_error err = {0};
    struct answer a = install(h, absent);

    assert_true(a.r < 0);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    assert_null(engine_plugin_find(h->engine, "p"));
    assert_int_equal(install(h, h->hex).r, 0);
    a = (struct answer){0};
    assert_int_equal(engine_plugin_enable(h->engine, "p", false, on_plugin, &a, NULL), 0);
    until(h, &a.done);
    assert_true(create_begin(h, "silent", 0, VM_WANT_PROCESS, &a, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_int_equal(install(h, h->hex).r, 0); /* installing means enabled */
    (void)create(h, "silent", VM_WANT_PROCESS);
    assert_true(engine_plugin_remove(h->engine, "p", on_plugin, &a, &err) < 0);
    assert_non_null(strstr(err.msg, "silent"));
    (void)ask(h, "silent", engine_vm_delete);
    assert_true(artifact_present(h->artifacts, h->hex, NULL));
    a = (struct answer){0};
    assert_int_equal(engine_plugin_remove(h->engine, "p", on_plugin, &a, NULL), 0);
    until(h, &a.done);
    assert_int_equal(a.r, 0);
    for (int i = 0; i < 100 && artifact_present(h->artifacts, h->hex, NULL); i++)
        assert_int_equal(loop_step(h->loop, 50), 0);
    assert_false(artifact_present(h->artifacts, h->hex, NULL));
}

/* The engine goes and comes back while a VMM runs, and once more when it has ended meanwhile. */
static void comes_back(void **state)
{
    struct host *h = *state;
    struct vm_view v;
    int64_t pid;

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create(h, "silent", VM_WANT_PROCESS);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    pid = v.pid;
    assert_true(pid > 0);
    engine_end(h);
    assert_int_equal(kill((pid_t)pid, 0), 0);
    engine_begin(h);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    assert_int_equal(v.pid, pid);
    assert_int_equal(ask(h, "silent", engine_vm_stop).status, VM_STOPPED);
    engine_end(h);
    engine_begin(h);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    assert_string_equal(v.status, "stopped");
    assert_int_equal(v.pid, 0);
}

/* What a kill between a launch and its commit leaves: the registry does not know of the process. */
struct lost_pid {
    struct store_op op;
    struct store_tx *tx;
};

static int lose_pid(void *arg, struct vm_row *row)
{
    const struct lost_pid *l = arg;

    row->pid = 0;
    row->kernel_cmdline[0] = '\0';
    return store_vm_update(l->tx, row, NULL);
}

static int lose_pids(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct lost_pid *l = container_of(op, struct lost_pid, op);

    l->tx = tx;
    return store_vm_each(tx, lose_pid, l, err);
}

static void with_store(struct host *h, struct store_op *op)
{
    char db[96];

    path_of(h, "db", db, sizeof(db));
    assert_int_equal(store_open(h->loop, db, &h->store, NULL), 0);
    assert_int_equal(store_run(h->store, op, NULL), 0);
    store_close(take_ptr(h->store));
}

static void process_is_recorded_late(void **state)
{
    struct host *h = *state;
    struct lost_pid lost = {.op.run = lose_pids};
    int64_t pid, deadline = mono_ms() + WAIT_MS;
    struct vm_view v;

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create(h, "silent", VM_WANT_PROCESS);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    pid = v.pid;
    engine_end(h);
    with_store(h, &lost.op);
    engine_begin(h);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    assert_int_equal(v.pid, 0);
    assert_string_equal(v.kernel_cmdline, "");
    while (v.pid == 0 && mono_ms() < deadline) {
        assert_int_equal(loop_step(h->loop, 100), 0);
        engine_vm_view(engine_vm_find(h->engine, "silent"), &v);
    }
    assert_int_equal(v.pid, pid);
    assert_non_null(strstr(v.kernel_cmdline, "console="));
}

static int insert_unreadable(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    const struct vm_row row = {.name = "later",
                               .plugin = "p",
                               .runtime = "p",
                               .desired = "stopped",
                               .status = "stopped",
                               .reason = "",
                               .cpu_cores = 1,
                               .memory_mb = 64,
                               .config = "{\"expose\":7}",
                               .manifest = "{}",
                               .boot = "",
                               .kernel_cmdline = ""};
    int64_t id;

    (void)op;
    return store_vm_insert(tx, &row, &id, err);
}

/* What a newer volantd wrote is not taken for what nobody owns. */
static void unreadable_row_keeps_its_folder(void **state)
{
    struct host *h = *state;
    struct store_op op = {.run = insert_unreadable};
    char folder[96];

    engine_end(h);
    with_store(h, &op);
    path_of(h, "vms/1", folder, sizeof(folder));
    assert_int_equal(mkdir(folder, 0711), 0);
    engine_begin(h);
    assert_null(engine_vm_find(h->engine, "later"));
    engine_end(h); /* with all that it began */
    assert_int_equal(access(folder, F_OK), 0);
    engine_begin(h);
}

/* A request that does not get its turn is taken back and says so. */
static void busy_for_too_long(void **state)
{
    struct host *h = *state;
    struct answer stopped = {0}, started = {0};
    struct vm_view v;

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create(h, "stubborn", VM_WANT_PROCESS);
    assert_int_equal(engine_vm_stop(h->engine, "stubborn", on_vm, &stopped, NULL), 0);
    do {
        assert_int_equal(loop_step(h->loop, 100), 0);
        engine_vm_view(engine_vm_find(h->engine, "stubborn"), &v);
    } while (!str_eq(v.status, "stopping")); /* its VMM is being ended, which takes seconds */
    assert_int_equal(engine_vm_start(h->engine, "stubborn", VM_WANT_PROCESS, 100, on_vm, &started, NULL), 0);
    until(h, &started.done);
    assert_true(started.r < 0);
    assert_int_equal(started.err.kind, VL_UNAVAILABLE);
    assert_false(stopped.done);
    until(h, &stopped.done);
    assert_int_equal(stopped.status, VM_STOPPED);
}

/* A plugin goes while a VM is made from it: the VM keeps what it boots from, and takes it along in the end. */
static void plugin_goes_while_creating(void **state)
{
    struct host *h = *state;
    struct answer removed = {0}, created;
    struct vl_error err = {0};

    assert_int_equal(install(h, h->hex).r, 0);
    assert_int_equal(engine_plugin_remove(h->engine, "p", on_plugin, &removed, NULL), 0);
    assert_int_equal(create_begin(h, "silent", 0, VM_WANT_PROCESS, &created, NULL), 0);
    assert_true(engine_plugin_remove(h->engine, "p", on_plugin, &removed, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    until(h, &removed.done);
    until(h, &created.done);
    assert_int_equal(created.status, VM_STARTING);
    assert_true(artifact_present(h->artifacts, h->hex, NULL));
    assert_int_equal(ask(h, "silent", engine_vm_delete).r, 0);
    for (int i = 0; i < 100 && artifact_present(h->artifacts, h->hex, NULL); i++)
        assert_int_equal(loop_step(h->loop, 50), 0);
    assert_false(artifact_present(h->artifacts, h->hex, NULL));
}

static void forgotten_requests_are_not_answered(void **state)
{
    struct host *h = *state;
    struct answer a;

    assert_int_equal(install(h, h->hex).r, 0);
    assert_int_equal(create_begin(h, "silent", 0, VM_WANT_RUNNING, &a, NULL), 0);
    engine_forget(h->engine, &a);
    while (!engine_vm_find(h->engine, "silent"))
        assert_int_equal(loop_step(h->loop, 100), 0);
    assert_int_equal(ask(h, "silent", engine_vm_delete).r, 0);
    assert_false(a.done);
}

int main(int argc, char **argv)
{
#define ENGINE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(ends_of_a_boot),
        ENGINE_TEST(deleting_leaves_nothing),
        ENGINE_TEST(stop_while_starting),
        ENGINE_TEST(conflicts),
        ENGINE_TEST(plugins),
        ENGINE_TEST(comes_back),
        ENGINE_TEST(process_is_recorded_late),
        ENGINE_TEST(unreadable_row_keeps_its_folder),
        ENGINE_TEST(busy_for_too_long),
        ENGINE_TEST(plugin_goes_while_creating),
        ENGINE_TEST(forgotten_requests_are_not_answered),
    };

    for (int i = 1; i + 1 < argc; i++)
        if (str_eq(argv[i], "-name")) return be_vmm(argv[i + 1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
