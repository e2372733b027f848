/* SPDX-License-Identifier: Apache-2.0 */
/* A registry and a host that disagree: adoption, what is found, and what is mended. The guests have no agent. */
#include "engine/testhost.h"

#include "engine/vm.h"

#define OTHER_BOOT "00112233445566778899aabbccddeeff"

static struct answer create_plain(struct host *h, const char *name, int64_t host_port)
{
    auto_vm_request req = {0};
    json_auto_t *j = json_pack("{s:s, s:s, s:{s:[{s:i, s:I}]}}", "name", name, "plugin", "q", "config", "expose",
                               "port", 80, "host_port", (json_int_t)host_port);
    struct answer a = {0};

    assert_int_equal(vm_request_decode(j, &req, NULL, NULL), 0);
    assert_int_equal(engine_vm_create(h->engine, &req, NULL, VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL), 0);
    until(h, &a.done);
    assert_int_equal(a.status, VM_RUNNING);
    return a;
}

/* --- what another registry says ----------------------------------------------------------------------------------- */

struct rewrite {
    struct store_op op;
    struct store_tx *tx;
    const char *status, *desired, *boot; /* boot NULL: stays */
    int64_t forget;                      /* id of the row to remove; 0: rewrite all */
    int64_t memory_mb, revision;         /* 0: stay */
};

static int rewrite_row(void *arg, struct vm_row *row)
{
    const struct rewrite *w = arg;
    struct vm_row changed = *row;

    changed.status = (char *)w->status;
    changed.desired = (char *)w->desired;
    if (w->boot) changed.boot = (char *)w->boot;
    changed.pid = 0;
    changed.has_exit_code = true;
    changed.exit_code = 3;
    if (w->memory_mb) {
        changed.memory_mb = w->memory_mb;
        changed.config_version++;
    }
    if (w->revision) changed.revision = w->revision;
    return w->memory_mb && store_vm_configure(w->tx, &changed, NULL) < 0 ? -EIO
                                                                         : store_vm_update(w->tx, &changed, NULL);
}

static int rewrite_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct rewrite *w = container_of(op, struct rewrite, op);

    w->tx = tx;
    return w->forget ? store_vm_delete(tx, w->forget, err) : store_vm_each(tx, rewrite_row, w, err);
}

/* The engine is away, its registry becomes another, and it comes back. */
static void begin_on(struct host *h, struct rewrite *w)
{
    char db[96];

    w->op.run = rewrite_run;
    engine_end(h);
    path_of(h, "db", db, sizeof(db));
    assert_int_equal(store_open(h->loop, db, &h->store, NULL), 0);
    assert_int_equal(store_run(h->store, &w->op, NULL), 0);
    store_close(take_ptr(h->store));
    engine_begin(h);
}

static struct vm *vm_in(struct host *h, const char *name, enum vm_status status)
{
    int64_t deadline = mono_ms() + WAIT_MS;
    struct vm *vm;

    while (!(vm = engine_vm_find(h->engine, name)) || vm->busy || vm->found || vm->status != status) {
        assert_true(mono_ms() < deadline);
        assert_int_equal(loop_step(h->loop, 100), 0);
    }
    return vm;
}

static void what_runs_is_adopted_whatever_the_row_says(void **state)
{
    static const struct {
        const char *status, *desired, *boot;
        enum vm_status becomes;
    } table[] = {
        {"stopped", "stopped", NULL, VM_RUNNING},        {"stopped", "stopped", OTHER_BOOT, VM_RUNNING},
        {"crashed", "stopped", OTHER_BOOT, VM_RUNNING},  {"failed", "stopped", OTHER_BOOT, VM_RUNNING},
        {"pending", "running", OTHER_BOOT, VM_RUNNING},  {"pending", "running", "", VM_RUNNING},
        {"starting", "running", OTHER_BOOT, VM_RUNNING}, {"running", "running", OTHER_BOOT, VM_RUNNING},
        {"paused", "running", OTHER_BOOT, VM_RUNNING},   {"stopping", "stopped", OTHER_BOOT, VM_RUNNING},
        {"running", "running", NULL, VM_RUNNING},        {"starting", "running", NULL, VM_RUNNING},
    };
    struct host *h = *state;
    char boot[BOOT_TOKEN_LEN + 1];
    struct vm *vm;
    int64_t pid;

    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    vm = engine_vm_find(h->engine, "silent");
    pid = vm->row.pid;
    memcpy(boot, vm->row.boot, sizeof(boot));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct rewrite w = {.status = table[i].status, .desired = table[i].desired, .boot = table[i].boot};

        begin_on(h, &w);
        vm = vm_in(h, "silent", table[i].becomes);
        if (vm->row.pid != pid || !str_eq(vm->row.boot, boot) || vm->desire != DESIRE_RUNNING || !vm->live)
            fail_msg("row %zu: pid %d, boot %s", i, (int)vm->row.pid, vm->row.boot);
        if (table[i].boot) assert_false(vm->row.has_exit_code);
        assert_non_null(strstr(vm->row.kernel_cmdline, "console="));
    }
}

/* A client's own word about this very boot, and that a VM is to be deleted, still count. */
static void what_was_asked_for_is_done(void **state)
{
    struct rewrite stopping = {.status = "stopping", .desired = "stopped"};
    struct rewrite deleted = {.status = "running", .desired = "deleted", .boot = OTHER_BOOT};
    struct host *h = *state;
    int64_t deadline = mono_ms() + WAIT_MS;
    pid_t pid;

    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    begin_on(h, &stopping);
    (void)vm_in(h, "silent", VM_STOPPED);
    engine_vm_delete(h->engine, "silent", on_vm, &(struct answer){0}, NULL);
    while (engine_vm_find(h->engine, "silent"))
        assert_int_equal(loop_step(h->loop, 100), 0);

    (void)create_plain(h, "silent", 0);
    pid = engine_vm_find(h->engine, "silent")->run.vmm.pid;
    begin_on(h, &deleted);
    while (engine_vm_find(h->engine, "silent") && mono_ms() < deadline)
        assert_int_equal(loop_step(h->loop, 100), 0);
    while (kill(pid, 0) == 0 && mono_ms() < deadline) /* its shim reaps it a moment later */
        assert_int_equal(loop_step(h->loop, 10), 0);
    assert_int_equal(kill(pid, 0), -1);
}

static void a_vm_of_another_name_is_not_taken_for_this_one(void **state)
{
    struct rewrite w = {.status = "running", .desired = "running", .boot = OTHER_BOOT};
    struct host *h = *state;
    char note[96];
    auto_free char *text = NULL;
    struct proc_id vmm;
    struct vm *vm;

    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    vm = engine_vm_find(h->engine, "silent");
    vmm = vm->run.vmm;
    assert_true(strf(note, sizeof(note), "vms/%lld", (long long)vm->row.id) > 0);
    engine_end(h);
    {
        char dir[160];
        auto_close int fd = -1;
        char *at;

        path_of(h, note, dir, sizeof(dir));
        assert_true((fd = open_dir(dir)) >= 0);
        assert_int_equal(read_file_at(fd, "vm.json", 1 << 20, &text, NULL), 0);
        assert_non_null(at = strstr(text, "\"silent\""));
        at[1] = 'S';
        assert_int_equal(write_file_atomic_at(fd, "vm.json", text, strlen(text), 0600), 0);
    }
    engine_begin(h);
    begin_on(h, &w);
    vm = vm_in(h, "silent", VM_CRASHED);
    assert_true(proc_alive(&vmm));
}

/* --- findings ----------------------------------------------------------------------------------------------------- */

struct look {
    bool done;
    int r;
    struct finding f[16];
    size_t n;
};

static void on_drift(void *arg, int r, const struct vl_error *err, const struct finding *findings, size_t n)
{
    struct look *l = arg;

    (void)err;
    l->done = true;
    l->r = r;
    l->n = n;
    assert_true(n <= ARRAY_LEN(l->f));
    if (n) memcpy(l->f, findings, n * sizeof(*findings));
}

static struct look check(struct host *h)
{
    struct look l = {0};

    assert_int_equal(engine_check(h->engine, on_drift, &l, NULL), 0);
    until(h, &l.done);
    assert_int_equal(l.r, 0);
    return l;
}

static struct look repair(struct host *h, bool end_strangers)
{
    struct look l = {0};
    struct vl_error err = {0};

    assert_int_equal(engine_repair(h->engine, end_strangers, on_drift, &l, NULL), 0);
    assert_true(engine_repair(h->engine, false, on_drift, &l, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    until(h, &l.done);
    assert_int_equal(l.r, 0);
    return l;
}

/* The only one of its kind; NULL: there is none. */
static const struct finding *of_kind(const struct look *l, const char *kind)
{
    const struct finding *found = NULL;

    for (size_t i = 0; i < l->n; i++) {
        if (!str_eq(l->f[i].kind, kind)) continue;
        assert_null(found);
        found = &l->f[i];
        assert_true(*found->object && *found->detail && *found->remedy);
    }
    return found;
}

static void nothing_is_found_where_nothing_is(void **state)
{
    struct host *h = *state;

    assert_int_equal(check(h).n, 0);
    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    assert_int_equal(check(h).n, 0);
    assert_int_equal(repair(h, true).n, 0);
    assert_int_equal(ask(h, "silent", engine_vm_stop).status, VM_STOPPED);
    assert_int_equal(check(h).n, 0);
}

/* The registry is told which version runs, as its deployment goes by that; the configuration is what it has. */
static void what_runs_with_another_configuration(void **state)
{
    struct rewrite w = {.status = "running", .desired = "running", .boot = OTHER_BOOT, .memory_mb = 80, .revision = 7};
    struct host *h = *state;
    const struct finding *f;
    struct answer a = {0};
    struct look l;
    struct vm *vm;

    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    begin_on(h, &w);
    vm = vm_in(h, "silent", VM_RUNNING);
    assert_int_equal(vm->row.revision, 0);
    assert_int_equal(vm->row.memory_mb, 80);
    l = check(h);
    assert_int_equal(l.n, 1);
    assert_non_null(f = of_kind(&l, "configuration"));
    assert_false(f->fixable || f->serious);
    assert_non_null(strstr(f->detail, "1 vCPUs, 256 MB; now 1 vCPUs, 80 MB"));
    begin_on(h, &(struct rewrite){.status = "running", .desired = "running"}); /* for good */
    assert_int_equal(vm_in(h, "silent", VM_RUNNING)->row.revision, 0);
    assert_int_equal(engine_vm_restart(h->engine, "silent", VM_WANT_RUNNING, WAIT_MS, on_vm, &a, NULL), 0);
    until(h, &a.done);
    assert_int_equal(a.status, VM_RUNNING);
    assert_int_equal(check(h).n, 0);
}

static int64_t make_stranger(struct host *h, const char *name, struct proc_id *ret_vmm)
{
    struct vm *vm;
    struct rewrite w = {0};

    (void)create_plain(h, name, 0);
    vm = engine_vm_find(h->engine, name);
    w.forget = vm->row.id;
    *ret_vmm = vm->run.vmm;
    begin_on(h, &w);
    assert_null(engine_vm_find(h->engine, name));
    return w.forget;
}

static void a_stranger_is_taken_in(void **state)
{
    struct host *h = *state;
    const struct finding *f;
    struct engine_summary s;
    struct proc_id vmm;
    struct look l;
    struct vm *vm;
    int64_t id;

    (void)install_agentless(h);
    id = make_stranger(h, "silent", &vmm);
    l = check(h);
    assert_int_equal(l.n, 1);
    assert_non_null(f = of_kind(&l, "stranger"));
    assert_true(f->fixable && f->serious && f->id == id && f->pid == vmm.pid);
    assert_string_equal(f->name, "silent");
    assert_true(f->since_ms > wall_ms() - 120000 && f->since_ms <= wall_ms() + 1000);
    engine_summary(h->engine, &s);
    assert_int_equal(s.strangers, 1);
    l = repair(h, true); /* also when told to end those that cannot be taken in */
    assert_non_null(strstr(of_kind(&l, "stranger")->done, "taken into the registry"));
    vm = vm_in(h, "silent", VM_RUNNING);
    assert_true(vm->row.id == id && vm->row.pid == vmm.pid && vm->live && vm->config.expose.len == 1);
    assert_true(*vm->row.ip_address != '\0');
    assert_int_equal(check(h).n, 0);
    begin_on(h, &(struct rewrite){.status = "running", .desired = "running"}); /* it is in the registry for good */
    assert_int_equal(vm_in(h, "silent", VM_RUNNING)->row.pid, vmm.pid);
    assert_int_equal(ask(h, "silent", engine_vm_stop).status, VM_STOPPED);
}

static void a_stranger_that_cannot_be_taken_in_is_left_alone(void **state)
{
    struct host *h = *state;
    const struct finding *f;
    struct proc_id vmm;
    struct look l;
    char folder[96];
    int64_t id;

    (void)install_agentless(h);
    id = make_stranger(h, "silent", &vmm);
    (void)create_plain(h, "silent", 0); /* the name is somebody else's now, and the address too */
    l = repair(h, false);
    assert_non_null(f = of_kind(&l, "stranger"));
    assert_false(f->fixable);
    assert_non_null(strstr(f->detail, "another VM is called 'silent'"));
    assert_string_equal(f->done, "");
    assert_true(proc_alive(&vmm));
    l = repair(h, true);
    assert_non_null(strstr(of_kind(&l, "stranger")->done, "ended"));
    assert_false(proc_alive(&vmm));
    assert_true(strf(folder, sizeof(folder), "%s/vms/%lld", h->base, (long long)id) > 0);
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(check(h).n, 0);
}

static void put_in_folder(const struct host *h, int64_t id, const char *name, const char *text)
{
    char dir[96];
    auto_close int fd = -1;

    assert_true(strf(dir, sizeof(dir), "%s/vms/%lld", h->base, (long long)id) > 0);
    assert_true((fd = open_dir(dir)) >= 0);
    assert_int_equal(write_file_atomic_at(fd, name, text, strlen(text), 0600), 0);
}

/* Of an older volantd, of another boot, damaged, or with values that no VM has. */
static void bad_records(void **state)
{
    static const struct {
        const char *note, *says;
    } table[] = {
        {"", "no vm.json"},
        {"{", "vm.json"},
        {"{\"id\":%lld,\"name\":\"silent\",\"boot\":\"%s\",\"kernel_cmdline\":\"\"}", "older volantd"},
        {"{\"id\":%lld,\"name\":\"silent\",\"boot\":\"" OTHER_BOOT "\",\"kernel_cmdline\":\"\"}", "another VM or boot"},
        {"{\"id\":%lld,\"name\":\"../x\",\"boot\":\"%s\",\"kernel_cmdline\":\"\",\"record\":{}}", "name"},
        {"{\"id\":%lld,\"name\":\"silent\",\"boot\":\"%s\",\"kernel_cmdline\":\"\",\"record\":{}}", "plugin"},
        {"{\"id\":%lld,\"name\":\"silent\",\"boot\":\"%s\",\"kernel_cmdline\":\"\",\"record\":{\"plugin\":\"q\","
         "\"cpu_cores\":1,\"memory_mb\":64,\"ip_address\":\"10.0.0.77\",\"mac_address\":\"02:00:00:00:00:01\","
         "\"created_ms\":1,\"config\":{},\"manifest\":{}}}",
         "VOLANT_SUBNET"},
        {"{\"id\":%lld,\"name\":\"silent\",\"boot\":\"%s\",\"kernel_cmdline\":\"\",\"record\":{\"plugin\":\"q\","
         "\"cpu_cores\":1,\"memory_mb\":64,\"ip_address\":\"192.168.127.77\",\"mac_address\":\"02:00:00:00:00:01\","
         "\"created_ms\":1,\"config\":{},\"manifest\":{}}}",
         "record.manifest"},
    };
    struct host *h = *state;
    char boot[BOOT_TOKEN_LEN + 1], text[1024];
    struct proc_id vmm;
    struct look l;
    int64_t id;

    (void)install_agentless(h);
    (void)create_plain(h, "other", 0);
    id = make_stranger(h, "silent", &vmm);
    {
        char dir[96];
        struct vmm_run run;

        assert_true(strf(dir, sizeof(dir), "%s/vms/%lld", h->base, (long long)id) > 0);
        assert_int_equal(vmm_run_read(dir, &run, NULL), 0);
        memcpy(boot, run.boot, sizeof(boot));
    }
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct finding *f;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof(text), table[i].note, (long long)id, boot);
#pragma GCC diagnostic pop
        put_in_folder(h, id, "vm.json", text);
        l = check(h);
        assert_non_null(f = of_kind(&l, "stranger"));
        if (f->fixable || !strstr(f->detail, table[i].says)) fail_msg("%zu: '%s'", i, f->detail);
    }
    (void)repair(h, true);
    assert_false(proc_alive(&vmm));
}

static void what_belongs_to_nobody_is_removed(void **state)
{
    struct host *h = *state;
    const struct timespec long_ago[] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[200], hex[SHA256_HEX + 1];
    struct look l;

    put_artifact(h, "070701 nobody's", hex);
    assert_true(strf(path, sizeof(path), "%s/artifacts/sha256/%s", h->base, hex) > 0);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    assert_true(strf(path, sizeof(path), "%s/vms/77", h->base) > 0);
    assert_int_equal(mkdir(path, 0700), 0);
    l = check(h);
    assert_int_equal(l.n, 2);
    assert_true(of_kind(&l, "folder")->fixable && of_kind(&l, "artifact")->fixable);
    assert_false(of_kind(&l, "folder")->serious);
    l = repair(h, false);
    assert_string_equal(of_kind(&l, "folder")->done, "removed");
    assert_true(*of_kind(&l, "artifact")->done != '\0');
    assert_int_equal(access(path, F_OK), -1);
    for (int i = 0; i < 100 && artifact_present(h->artifacts, hex, NULL); i++)
        assert_int_equal(loop_step(h->loop, 50), 0);
    assert_int_equal(check(h).n, 0);
}

/* Whoever puts the registry back that a restore replaced finds what it names. */
static void what_a_former_registry_may_name_is_left(void **state)
{
    struct host *h = *state;
    const struct timespec long_ago[] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char path[200], hex[SHA256_HEX + 1];
    struct look l;

    put_artifact(h, "070701 a former one's", hex);
    assert_true(strf(path, sizeof(path), "%s/artifacts/sha256/%s", h->base, hex) > 0);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    engine_end(h);
    h->former = true;
    engine_begin(h);
    l = check(h);
    assert_non_null(strstr(of_kind(&l, "artifact")->detail, "the registry that a restore replaced"));
    assert_true(artifact_present(h->artifacts, hex, NULL));
    engine_end(h);
    h->former = false;
    engine_begin(h);
    for (int i = 0; i < 100 && artifact_present(h->artifacts, hex, NULL); i++)
        assert_int_equal(loop_step(h->loop, 50), 0);
    assert_false(artifact_present(h->artifacts, hex, NULL));
}

/* A registry that was put back, or lost, costs nobody what a VM wrote. */
static void what_a_vm_wrote_is_left(void **state)
{
    struct host *h = *state;
    const struct finding *f;
    char path[200];
    struct look l;

    assert_true(strf(path, sizeof(path), "%s/vms/77", h->base) > 0);
    assert_int_equal(mkdir(path, 0700), 0);
    put_in_folder(h, 77, "data.ext4", "x");
    assert_true(strf(path, sizeof(path), "%s/vms/77/data.ext4", h->base) > 0);
    assert_int_equal(truncate(path, 2 << 20), 0);
    engine_end(h);
    engine_begin(h);
    l = repair(h, true);
    assert_non_null(f = of_kind(&l, "folder"));
    assert_false(f->fixable);
    assert_non_null(strstr(f->detail, "data.ext4, 2 MB"));
    assert_int_equal(access(path, F_OK), 0);
}

static void what_is_missing_is_told(void **state)
{
    struct host *h = *state;
    char dir[96], away[96];
    struct look l;
    struct vm *vm;

    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    vm = engine_vm_find(h->engine, "silent");
    assert_int_equal(artifact_remove(h->artifacts, h->hex, NULL), 0);
    assert_true(strf(dir, sizeof(dir), "%s/vms/%lld", h->base, (long long)vm->row.id) > 0);
    assert_true(strf(away, sizeof(away), "%s/away", h->base) > 0);
    assert_int_equal(rename(dir, away), 0);
    l = repair(h, true);
    assert_int_equal(l.n, 3); /* the artifact's plugin and VM, and the folder */
    assert_false(of_kind(&l, "folder_gone")->fixable);
    assert_non_null(strstr(of_kind(&l, "folder_gone")->remedy, "volar vms restart silent"));
    assert_true(vm->live);
    assert_int_equal(rename(away, dir), 0);
}

/* What no path of the engine leads to; a repair makes it look. */
static void what_the_engine_overlooked(void **state)
{
    struct host *h = *state;
    const struct finding *f;
    struct look l;
    struct vm *vm;
    int64_t pid;

    (void)install_agentless(h);
    (void)create_plain(h, "silent", 0);
    vm = engine_vm_find(h->engine, "silent");
    pid = vm->row.pid;
    vm_detach(vm);
    vm->status = VM_STOPPED;
    vm->desire = DESIRE_STOPPED;
    l = repair(h, false);
    assert_int_equal(l.n, 1);
    assert_non_null(f = of_kind(&l, "running"));
    assert_true(f->fixable && *f->done && f->pid == pid);
    assert_int_equal(vm_in(h, "silent", VM_RUNNING)->row.pid, pid);

    vm->run.vmm.start++; /* another process has its pid */
    l = repair(h, false);
    assert_true(of_kind(&l, "ended")->fixable);
    (void)vm_in(h, "silent", VM_CRASHED);
    l = repair(h, false); /* and it runs all the same */
    assert_non_null(of_kind(&l, "running"));
    (void)vm_in(h, "silent", VM_RUNNING);

    vm->status = VM_STOPPING;
    vm->since_ms = mono_ms() - 3600000;
    l = check(h);
    assert_non_null(f = of_kind(&l, "stuck"));
    assert_true(f->fixable && strstr(f->detail, "stopping since 3600 s"));
    vm->desire = DESIRE_STOPPED;
    (void)repair(h, false);
    (void)vm_in(h, "silent", VM_STOPPED);
}

static void forgotten_and_closed(void **state)
{
    struct host *h = *state;
    struct look l = {0}, more = {0};

    (void)install_agentless(h);
    assert_int_equal(engine_check(h->engine, on_drift, &l, NULL), 0);
    engine_forget(h->engine, &l);
    assert_int_equal(engine_repair(h->engine, true, on_drift, &more, NULL), 0);
    until(h, &more.done);
    assert_false(l.done);
    more.done = false;
    assert_int_equal(engine_repair(h->engine, true, on_drift, &more, NULL), 0);
    engine_end(h); /* with the look under way */
    assert_false(more.done);
    engine_begin(h);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(what_runs_is_adopted_whatever_the_row_says),
        ENGINE_TEST(what_was_asked_for_is_done),
        ENGINE_TEST(a_vm_of_another_name_is_not_taken_for_this_one),
        ENGINE_TEST(nothing_is_found_where_nothing_is),
        ENGINE_TEST(what_runs_with_another_configuration),
        ENGINE_TEST(a_stranger_is_taken_in),
        ENGINE_TEST(a_stranger_that_cannot_be_taken_in_is_left_alone),
        ENGINE_TEST(bad_records),
        ENGINE_TEST(what_belongs_to_nobody_is_removed),
        ENGINE_TEST(what_a_former_registry_may_name_is_left),
        ENGINE_TEST(what_a_vm_wrote_is_left),
        ENGINE_TEST(what_is_missing_is_told),
        ENGINE_TEST(what_the_engine_overlooked),
        ENGINE_TEST(forgotten_and_closed),
    };
    int code;

    if (is_vmm(argc, argv, &code)) return code;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
