/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine with a real store, real artifacts and the real shim, for this folder's tests only. The VMM is the test
 * program itself, which plays its part by the VM's name: ways in which a boot goes wrong, and with names that begin
 * with "agent" a guest that answers (testguest.h).
 */
#pragma once
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
#include "engine/testguest.h"

#define WAIT_MS 20000
#define BOOT_MS 400 /* the deadline of a boot here */

/* --- the VMM ------------------------------------------------------------------------------------------------------ */

static inline int be_vmm(const char *name)
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
    if (strstr(name, "stubborn")) {
        (void)signal(SIGTERM, SIG_IGN);
        p.fd = -1;
    }
    if (str_starts(name, "guest=agent")) return be_machine(name);
    while (poll(&p, 1, 60000) > 0)
        if (serve_monitor(NULL)) return 0;
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
    struct admission admission; /* this and `former`: of the next engine_begin */
    bool former;
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

static inline void path_of(const struct host *h, const char *name, char *buf, size_t size)
{
    assert_true(strf(buf, size, "%s/%s", h->base, name) > 0);
}

static inline void put(const struct host *h, const char *name, const void *data, size_t n)
{
    auto_close int dir = open_dir(h->base);

    assert_int_equal(write_file_atomic_at(dir, name, data, n, 0644), 0);
}

static inline void engine_begin(struct host *h)
{
    struct engine_config cfg = {.loop = h->loop,
                                .host = &h->vmm,
                                .boot_deadline_ms = BOOT_MS,
                                .stop_grace_ms = 100,
                                .agent_ms = 900, /* with the grace a second, which reasons tell */
                                .monitor_ms = 500,
                                .shim_ms = 1000,
                                .quit_ms = 1000,
                                .term_ms = 500,
                                .restart = {.first_ms = 20, .max_ms = 100, .stable_ms = 60000, .limit = 3},
                                .workers = 4};
    char db[96];
    static char vms[96];

    path_of(h, "db", db, sizeof(db));
    path_of(h, "vms", vms, sizeof(vms));
    assert_int_equal(store_open(h->loop, db, &h->store, NULL), 0);
    cfg.store = h->store;
    cfg.artifacts = h->artifacts;
    cfg.admission = h->admission;
    cfg.former = h->former;
    cfg.db_path = "/nowhere/state.db";
    cfg.vms_dir = vms;
    assert_int_equal(subnet_parse("192.168.127.0/24", "subnet", &cfg.subnet, NULL), 0);
    assert_int_equal(engine_new(&cfg, &h->engine, NULL), 0);
    assert_int_equal(engine_start(h->engine, NULL), 0);
}

static inline void engine_end(struct host *h)
{
    engine_free(h->engine);
    h->engine = NULL;
    store_close(h->store);
    h->store = NULL;
}

static inline void put_artifact(struct host *h, const char *archive, char hex[static SHA256_HEX + 1])
{
    char path[96];
    auto_close int fd = -1;

    path_of(h, "archive", path, sizeof(path));
    put(h, "archive", archive, strlen(archive));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(sha256_fd(fd, hex, NULL, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(artifact_put_fd(h->artifacts, hex, fd, -1, NULL), 0);
}

static inline void put_vmm(struct host *h)
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

static inline int setup(void **state)
{
    struct host *h = calloc(1, sizeof(*h));
    char path[96];

    assert_non_null(h);
    (void)signal(SIGPIPE, SIG_IGN); /* as in volantd: a guest may go while it is written to */
    assert_true(strf(h->base, sizeof(h->base), "/tmp/volant-engine-XXXXXX") > 0);
    assert_non_null(mkdtemp(h->base));
    path_of(h, "vms", path, sizeof(path));
    assert_int_equal(mkdir(path, 0711), 0);
    path_of(h, "artifacts", path, sizeof(path));
    assert_int_equal(loop_new(&h->loop), 0);
    assert_int_equal(artifacts_open(path, &h->artifacts, NULL), 0);
    put_artifact(h, "070701 is how an archive begins", h->hex);
    put_vmm(h);
    engine_begin(h);
    *state = h;
    return 0;
}

static inline void until(struct host *h, const bool *done)
{
    int64_t deadline = mono_ms() + WAIT_MS;

    while (!*done) {
        assert_true(mono_ms() < deadline);
        assert_int_equal(loop_step(h->loop, 100), 0);
    }
}

/* What is kept as text is what there is to be seen. */
static inline void text_is_fresh(struct vm *vm, const struct vm_view *v)
{
    json_auto_t *j = vm_view_encode(v);
    auto_free char *wanted = json_text(j);
    size_t len = 0;

    assert_string_equal(engine_vm_text(vm, &len), wanted);
    assert_int_equal(len, strlen(wanted));
}

static inline void on_vm(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct answer *a = arg;
    struct vm_view v;

    assert_false(a->done);
    a->done = true;
    a->r = r;
    if (err) a->err = *err;
    if (!(a->has_vm = vm != NULL)) return;
    engine_vm_view(vm, &v);
    text_is_fresh(vm, &v);
    assert_int_equal(vm_status_parse(v.status, &a->status), 0);
    (void)strf(a->reason, sizeof(a->reason), "%s", v.reason ? v.reason : "");
    a->has_code = v.has_exit_code;
    a->code = v.exit_code;
    a->id = v.id;
}

static inline void on_plugin(void *arg, int r, const struct vl_error *err)
{
    struct answer *a = arg;

    a->done = true;
    a->r = r;
    if (err) a->err = *err;
}

static inline struct answer install_as(struct host *h, const char *name, const char *agent, const char *hex)
{
    json_auto_t *m =
        json_pack("{s:s, s:s, s:s, s:{s:s, s:s+}, s:{s:[s]}}", "name", name, "version", "1", "agent", agent,
                  "initramfs", "url", "/x", "checksum", "sha256:", hex, "workload", "entrypoint", "/bin/x");
    struct answer a = {0};

    assert_non_null(m);
    assert_int_equal(engine_plugin_install(h->engine, m, NULL, on_plugin, &a, NULL), 0);
    until(h, &a.done);
    return a;
}

static inline struct answer install(struct host *h, const char *hex)
{
    return install_as(h, "p", "kestrel", hex);
}

/* Plugin "q": nobody answers, and its VMs are running all the same. */
static inline struct answer install_agentless(struct host *h)
{
    return install_as(h, "q", "none", h->hex);
}

static inline void install_disabled(struct host *h, const char *name)
{
    struct answer a = {0};

    assert_int_equal(install_as(h, name, "none", h->hex).r, 0);
    assert_int_equal(engine_plugin_enable(h->engine, name, false, on_plugin, &a, NULL), 0);
    until(h, &a.done);
    assert_int_equal(a.r, 0);
}

static inline void request_of(const char *text, struct vm_request *ret)
{
    json_auto_t *j = NULL;
    struct vl_error err = {0};

    assert_int_equal(json_parse(text, strlen(text), "request", &j, NULL), 0);
    if (vm_request_decode(j, ret, NULL, &err) < 0) fail_msg("%s: %s", text, err.msg);
}

static inline struct answer configure(struct host *h, const char *text, bool restart)
{
    auto_vm_request req = {0};
    struct answer a = {0};

    request_of(text, &req);
    assert_int_equal(engine_vm_configure(h->engine, &req, NULL, 0, restart, VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL),
                     0);
    until(h, &a.done);
    return a;
}

static inline int create_begin(struct host *h, const char *name, int64_t host_port, enum vm_want want, struct answer *a,
                               struct vl_error *err)
{
    auto_vm_request req = {0};
    json_auto_t *j = json_pack("{s:s, s:s, s:{s:[{s:i, s:I}]}}", "name", name, "plugin", "p", "config", "expose",
                               "port", 80, "host_port", (json_int_t)host_port);

    assert_int_equal(vm_request_decode(j, &req, NULL, NULL), 0);
    *a = (struct answer){0};
    return engine_vm_create(h->engine, &req, NULL, want, WAIT_MS, on_vm, a, err);
}

static inline struct answer create(struct host *h, const char *name, enum vm_want want)
{
    struct answer a;

    assert_int_equal(create_begin(h, name, 0, want, &a, NULL), 0);
    until(h, &a.done);
    return a;
}

static inline struct answer create_with(struct host *h, const char *name, const char *restart, enum vm_want want)
{
    auto_vm_request req = {0};
    json_auto_t *j = json_pack("{s:s, s:s, s:{s:s}}", "name", name, "plugin", "p", "config", "restart", restart);
    struct answer a = {0};

    assert_int_equal(vm_request_decode(j, &req, NULL, NULL), 0);
    assert_int_equal(engine_vm_create(h->engine, &req, NULL, want, WAIT_MS, on_vm, &a, NULL), 0);
    until(h, &a.done);
    return a;
}

static inline struct answer ask(struct host *h, const char *name,
                                int (*op)(struct engine *e, const char *name, engine_vm_done done, void *arg,
                                          struct vl_error *err))
{
    struct answer a = {0};

    assert_int_equal(op(h->engine, name, on_vm, &a, NULL), 0);
    assert_false(a.done); /* never before the question has returned */
    until(h, &a.done);
    return a;
}

static inline bool delete_one(void *arg, struct vm *vm)
{
    struct vm_view v;

    engine_vm_view(vm, &v);
    (void)strf(arg, 64, "%s", v.name);
    return false;
}

static inline int teardown(void **state)
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

/* Tests as a main() of its own: the program is its own VMM. */
#define ENGINE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static inline bool is_vmm(int argc, char **argv, int *ret)
{
    for (int i = 1; i + 1 < argc; i++)
        if (str_eq(argv[i], "-name")) {
            *ret = be_vmm(argv[i + 1]);
            return true;
        }
    return false;
}
