/* SPDX-License-Identifier: Apache-2.0 */
/* Ways in which a boot goes wrong, and what clients and a restart of the engine find. */
#include "engine/testhost.h"

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

/* What is to be removed as it was has been started before its turn came. */
static void deletes_only_what_has_not_changed(void **state)
{
    struct host *h = *state;
    struct answer started = {0}, deleted = {0};
    struct vm_view view;

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create(h, "silent", VM_WANT_PROCESS);
    assert_int_equal(ask(h, "silent", engine_vm_stop).status, VM_STOPPED);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &view);
    assert_int_equal(engine_vm_start(h->engine, "silent", VM_WANT_PROCESS, 10000, on_vm, &started, NULL), 0);
    assert_int_equal(engine_vm_delete_as_of(h->engine, "silent", view.updated_ms, on_vm, &deleted, NULL), 0);
    until(h, &deleted.done);
    assert_true(deleted.r < 0);
    assert_int_equal(deleted.err.kind, VL_CONFLICT);
    until(h, &started.done);
    assert_int_equal(started.status, VM_STARTING);
    assert_int_equal(ask(h, "silent", engine_vm_stop).status, VM_STOPPED);
    engine_vm_view(engine_vm_find(h->engine, "silent"), &view);
    deleted = (struct answer){0};
    assert_int_equal(engine_vm_delete_as_of(h->engine, "silent", view.updated_ms, on_vm, &deleted, NULL), 0);
    until(h, &deleted.done);
    assert_int_equal(deleted.r, 0);
}

/* The loop was to look at what was asked for in this round: it does, while there is an engine to look at. */
static void what_is_asked_last(void **state)
{
    struct host *h = *state;
    struct answer a = {0};

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create(h, "silent", VM_WANT_PROCESS);
    assert_int_equal(engine_vm_stop(h->engine, "silent", on_vm, &a, NULL), 0);
    engine_end(h);
    assert_int_equal(loop_step(h->loop, 0), 0);
    assert_false(a.done);
    engine_begin(h);
    assert_int_equal(ask(h, "silent", engine_vm_delete).r, 0);
}

static void on_prune(void *arg, int r, const struct vl_error *err, const struct artifact_use *items, size_t n)
{
    (void)r;
    (void)err;
    (void)items;
    (void)n;
    *(bool *)arg = true;
}

static int run_slowly(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    (void)op;
    (void)tx;
    (void)err;
    pause_ms(300);
    return 0;
}

static void slow_done(struct store_op *op, int r, const struct vl_error *err)
{
    (void)op;
    (void)r;
    (void)err;
}

/* What is read of the registry comes back when there are no workers any more. */
static void ends_while_pruning(void **state)
{
    struct host *h = *state;
    struct store_op slow = {.run = run_slowly, .done = slow_done};
    bool answered = false;

    store_post(h->store, &slow);
    assert_int_equal(engine_prune(h->engine, PRUNE_ALL, false, on_prune, &answered, NULL), 0);
    assert_int_equal(loop_step(h->loop, 200), 0); /* the worker has listed the folder */
    engine_end(h);
    assert_int_equal(loop_step(h->loop, 0), 0);
    assert_false(answered);
    assert_true(artifact_present(h->artifacts, h->hex, NULL));
    engine_begin(h);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(ends_of_a_boot),
        ENGINE_TEST(deleting_leaves_nothing),
        ENGINE_TEST(deletes_only_what_has_not_changed),
        ENGINE_TEST(stop_while_starting),
        ENGINE_TEST(conflicts),
        ENGINE_TEST(plugins),
        ENGINE_TEST(comes_back),
        ENGINE_TEST(process_is_recorded_late),
        ENGINE_TEST(unreadable_row_keeps_its_folder),
        ENGINE_TEST(busy_for_too_long),
        ENGINE_TEST(plugin_goes_while_creating),
        ENGINE_TEST(forgotten_requests_are_not_answered),
        ENGINE_TEST(what_is_asked_last),
        ENGINE_TEST(ends_while_pruning),
    };

    int code;

    return is_vmm(argc, argv, &code) ? code : cmocka_run_group_tests(tests, NULL, NULL);
}
