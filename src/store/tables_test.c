/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/str.h"
#include "store/testdb.h"

static struct testdb db;

static int make(void **state)
{
    (void)state;
    testdb_make(&db);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdb_remove(&db);
    return 0;
}

#define fails_with(call, wanted_kind, part)                                                                            \
    do {                                                                                                               \
        assert_true((call) < 0);                                                                                       \
        assert_int_equal(db.err.kind, (wanted_kind));                                                                  \
        if (!strstr(db.err.msg, (part))) fail_msg("'%s' is not in: %s", (part), db.err.msg);                           \
    } while (0)
#define works(call)                                                                                                    \
    do {                                                                                                               \
        if ((call) < 0) fail_msg("%s", db.err.msg);                                                                    \
    } while (0)

/* --- vms -----------------------------------------------------------------------------------------------------------
 */

static struct vm_row vm_named(const char *name)
{
    return (struct vm_row){
        .name = (char *)name,
        .plugin = "nginx",
        .runtime = "nginx",
        .desired = "running",
        .status = "starting",
        .reason = "",
        .cpu_cores = 2,
        .memory_mb = 64,
        .config = "{\"plugin\":\"nginx\"}",
        .manifest = "{\"name\":\"nginx; DROP TABLE vms; --'\"}",
        .boot = "0123",
        .kernel_cmdline = "",
        .created_ms = 1700000000123,
        .updated_ms = 1700000000124,
    };
}

static int insert(struct store_tx *tx, void *arg, struct vl_error *err)
{
    struct vm_row *row = arg;

    return store_vm_insert(tx, row, &row->id, err);
}

static int64_t insert_named(const char *name)
{
    struct vm_row row = vm_named(name);

    works(testdb_run(&db, insert, &row));
    return row.id;
}

static int update(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_vm_update(tx, arg, err);
}

static int delete (struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_vm_delete(tx, *(int64_t *)arg, err);
}

static int reserve(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_vm_reserve(tx, *(int64_t *)arg, err);
}

struct vms {
    struct vm_row rows[8];
    size_t n, stop_after;
};

static int keep_vm(void *arg, struct vm_row *row)
{
    struct vms *vms = arg;

    if (vms->stop_after && vms->n == vms->stop_after) return -ECANCELED;
    vms->rows[vms->n++] = *row;
    *row = (struct vm_row){0};
    return 0;
}

static int read_vms(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_vm_each(tx, keep_vm, arg, err);
}

static void vms_done(struct vms *vms)
{
    for (size_t i = 0; i < vms->n; i++)
        vm_row_done(&vms->rows[i]);
    *vms = (struct vms){0};
}

static int set_address(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_vm_set_address(tx, *(int64_t *)arg, "192.168.127.10", "02:00:00:00:00:01", err);
}

static void same_vm(const struct vm_row *a, const struct vm_row *b)
{
    assert_int_equal(a->id, b->id);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->plugin, b->plugin);
    assert_string_equal(a->runtime, b->runtime);
    assert_string_equal(a->desired, b->desired);
    assert_string_equal(a->status, b->status);
    assert_string_equal(a->reason, b->reason);
    assert_int_equal(a->cpu_cores, b->cpu_cores);
    assert_int_equal(a->memory_mb, b->memory_mb);
    assert_string_equal(a->ip_address, b->ip_address);
    assert_string_equal(a->mac_address, b->mac_address);
    assert_string_equal(a->config, b->config);
    assert_string_equal(a->manifest, b->manifest);
    assert_string_equal(a->boot, b->boot);
    assert_string_equal(a->kernel_cmdline, b->kernel_cmdline);
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->has_exit_code, b->has_exit_code);
    assert_int_equal(a->exit_code, b->exit_code);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->updated_ms, b->updated_ms);
}

static void a_vm_comes_back_as_it_was(void **state)
{
    struct vm_row row = vm_named("web");
    struct vms vms = {0};

    (void)state;
    works(testdb_run(&db, insert, &row));
    assert_int_equal(row.id, 1);
    works(testdb_run(&db, set_address, &row.id));
    row.ip_address = "192.168.127.10";
    row.mac_address = "02:00:00:00:00:01";
    works(testdb_run(&db, read_vms, &vms));
    assert_int_equal(vms.n, 1);
    same_vm(&vms.rows[0], &row);
    vms_done(&vms);

    row.desired = "stopped";
    row.status = "crashed";
    row.reason = "killed by signal 9 \xe2\x80\x94 'quoted'";
    row.boot = "4567";
    row.kernel_cmdline = "console=ttyS0";
    row.pid = 4242;
    row.has_exit_code = true;
    row.exit_code = 0;
    row.updated_ms++;
    works(testdb_run(&db, update, &row));
    testdb_close(&db);
    testdb_open(&db);
    works(testdb_run(&db, read_vms, &vms));
    same_vm(&vms.rows[0], &row);
    vms_done(&vms);
}

static void vms_come_in_order_of_id(void **state)
{
    struct vms vms = {0};

    (void)state;
    (void)insert_named("z");
    (void)insert_named("a");
    (void)insert_named("m");
    works(testdb_run(&db, read_vms, &vms));
    assert_int_equal(vms.n, 3);
    assert_string_equal(vms.rows[0].name, "z");
    assert_string_equal(vms.rows[0].ip_address, ""); /* two without an address are no conflict */
    assert_string_equal(vms.rows[2].name, "m");
    vms_done(&vms);
    vms.stop_after = 2;
    assert_int_equal(testdb_run(&db, read_vms, &vms), -ECANCELED);
    assert_int_equal(vms.n, 2);
    vms_done(&vms);
}

static void ids_are_never_used_again(void **state)
{
    int64_t id, reserved = 41, lower = 7;

    (void)state;
    id = insert_named("a");
    id = insert_named("b");
    assert_int_equal(id, 2);
    works(testdb_run(&db, delete, &id));
    assert_int_equal(insert_named("b"), 3);
    works(testdb_run(&db, reserve, &reserved));
    works(testdb_run(&db, reserve, &lower));
    id = insert_named("c");
    assert_int_equal(id, 42);
    works(testdb_run(&db, delete, &id));
    testdb_close(&db);
    testdb_open(&db);
    assert_int_equal(insert_named("c"), 43);
}

static void reserving_works_before_the_first_vm(void **state)
{
    int64_t reserved = 9;

    (void)state;
    works(testdb_run(&db, reserve, &reserved));
    assert_int_equal(insert_named("a"), 10);
}

static void a_name_belongs_to_one_vm(void **state)
{
    struct vm_row row = vm_named("web");

    (void)state;
    (void)insert_named("web");
    row.id = -5;
    fails_with(testdb_run(&db, insert, &row), VL_CONFLICT, "a VM named 'web' exists already");
    assert_int_equal(row.id, -5);
}

static void bad_rows_are_refused(void **state)
{
    static const struct {
        const char *field, *text;
        size_t at;
        bool number;
    } cases[] = {
        {"name", "", offsetof(struct vm_row, name), false},
        {"plugin", "", offsetof(struct vm_row, plugin), false},
        {"desired", "dancing", offsetof(struct vm_row, desired), false},
        {"status", "confused", offsetof(struct vm_row, status), false},
        {"cpu_cores", NULL, offsetof(struct vm_row, cpu_cores), true},
        {"memory_mb", NULL, offsetof(struct vm_row, memory_mb), true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct vm_row row = vm_named("web");

        if (cases[i].number)
            *(int64_t *)(void *)((char *)&row + cases[i].at) = 0;
        else
            *(const char **)(void *)((char *)&row + cases[i].at) = cases[i].text;
        fails_with(testdb_run(&db, insert, &row), VL_INTERNAL, cases[i].field);
    }
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM vms"), 0);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct vm_row row = vm_named("web");
    int64_t id = 77;

    (void)state;
    row.id = id;
    fails_with(testdb_run(&db, update, &row), VL_NOT_FOUND, "77");
    fails_with(testdb_run(&db, delete, &id), VL_NOT_FOUND, "77");
    fails_with(testdb_run(&db, set_address, &id), VL_NOT_FOUND, "77");
}

/* --- leases --------------------------------------------------------------------------------------------------------
 */

struct lease {
    int64_t vm_id;
    uint32_t first, last, address;
};

static int lease(struct store_tx *tx, void *arg, struct vl_error *err)
{
    struct lease *l = arg;

    return store_lease_take(tx, l->vm_id, l->first, l->last, &l->address, err);
}

/* The last byte of the address it got from 192.168.127.10 to .14. */
static unsigned lease_for(int64_t vm_id)
{
    struct lease l = {.vm_id = vm_id, .first = 0xc0a87f0a, .last = 0xc0a87f0e};

    works(testdb_run(&db, lease, &l));
    return l.address & 0xff;
}

static void leases_are_the_lowest_free_address(void **state)
{
    int64_t ids[6];
    struct lease full = {.first = 0xc0a87f0a, .last = 0xc0a87f0e, .address = 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "vm%zu", i);
        ids[i] = insert_named(name);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(lease_for(ids[i]), 10 + i);
    works(testdb_run(&db, delete, &ids[2]));
    works(testdb_run(&db, delete, &ids[0])); /* the lease goes with the VM */
    assert_int_equal(lease_for(ids[4]), 10);
    assert_int_equal(lease_for(ids[5]), 12);
    assert_int_equal(lease_for(insert_named("x")), 14);
    full.vm_id = insert_named("y");
    fails_with(testdb_run(&db, lease, &full), VL_CONFLICT, "all 5 addresses from 192.168.127.10 to 192.168.127.14");
    assert_int_equal(full.address, 1);
}

static void a_vm_has_one_lease(void **state)
{
    struct lease again = {.vm_id = insert_named("a"), .first = 1, .last = 9};
    struct lease nobody = {.vm_id = 99, .first = 1, .last = 9};

    (void)state;
    works(testdb_run(&db, lease, &again));
    fails_with(testdb_run(&db, lease, &again), VL_CONFLICT, "vm_id");
    fails_with(testdb_run(&db, lease, &nobody), VL_INTERNAL, "FOREIGN KEY");
}

static void leases_of_another_subnet_do_not_count(void **state)
{
    struct lease other = {.vm_id = insert_named("a"), .first = 0x0a000001, .last = 0x0a0000fe};

    (void)state;
    works(testdb_run(&db, lease, &other));
    assert_int_equal(other.address, 0x0a000001);
    assert_int_equal(lease_for(insert_named("b")), 10);
}

/* --- ports ---------------------------------------------------------------------------------------------------------
 */

static int insert_port(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_port_insert(tx, arg, err);
}

struct ports {
    struct port_row rows[4];
    size_t n;
};

static int keep_port(void *arg, struct port_row *row)
{
    struct ports *ports = arg;

    ports->rows[ports->n++] = *row;
    *row = (struct port_row){0};
    return 0;
}

static int read_ports(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_port_each(tx, keep_port, arg, err);
}

static void ports_are_unique_until_their_vm_is_deleted(void **state)
{
    int64_t web = insert_named("web"), other = insert_named("other");
    struct port_row row = {.vm_id = web, .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 8080, .port = 80};
    struct ports ports = {0};

    (void)state;
    works(testdb_run(&db, insert_port, &row));
    row.protocol = "udp";
    row.name = "dns";
    works(testdb_run(&db, insert_port, &row));
    row.host_ip = "127.0.0.2";
    row.vm_id = other;
    works(testdb_run(&db, insert_port, &row));
    row.host_ip = "127.0.0.1";
    fails_with(testdb_run(&db, insert_port, &row), VL_CONFLICT, "127.0.0.1:8080/udp belongs to VM 'web'");
    works(testdb_run(&db, read_ports, &ports));
    assert_int_equal(ports.n, 3);
    assert_int_equal(ports.rows[0].vm_id, web);
    assert_string_equal(ports.rows[0].protocol, "tcp");
    assert_string_equal(ports.rows[0].host_ip, "127.0.0.1");
    assert_string_equal(ports.rows[0].name, "");
    assert_int_equal(ports.rows[0].host_port, 8080);
    assert_int_equal(ports.rows[0].port, 80);
    assert_string_equal(ports.rows[1].name, "dns");
    for (size_t i = 0; i < ports.n; i++)
        port_row_done(&ports.rows[i]);
    works(testdb_run(&db, delete, &web));
    works(testdb_run(&db, insert_port, &row));
}

static int clear_ports(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_port_clear(tx, *(int64_t *)arg, err);
}

static void ports_of_one_vm_are_cleared(void **state)
{
    int64_t web = insert_named("web"), other = insert_named("other");
    struct port_row row = {.vm_id = web, .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 8080, .port = 80};
    struct ports ports = {0};

    (void)state;
    works(testdb_run(&db, insert_port, &row));
    row.vm_id = other;
    row.host_port = 8081;
    works(testdb_run(&db, insert_port, &row));
    works(testdb_run(&db, clear_ports, &web));
    works(testdb_run(&db, clear_ports, &web));
    works(testdb_run(&db, read_ports, &ports));
    assert_int_equal(ports.n, 1);
    assert_int_equal(ports.rows[0].vm_id, other);
    port_row_done(&ports.rows[0]);
}

static void bad_ports_are_refused(void **state)
{
    int64_t web = insert_named("web");
    struct port_row bad[] = {
        {.vm_id = web, .protocol = "sctp", .host_ip = "127.0.0.1", .host_port = 1, .port = 1},
        {.vm_id = web, .protocol = "tcp", .host_ip = "", .host_port = 1, .port = 1},
        {.vm_id = web, .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 0, .port = 1},
        {.vm_id = web, .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 1, .port = 65536},
        {.vm_id = 99, .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 1, .port = 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        fails_with(testdb_run(&db, insert_port, &bad[i]), VL_INTERNAL, "constraint failed");
}

/* --- plugins -------------------------------------------------------------------------------------------------------
 */

static int put_plugin(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_plugin_put(tx, arg, err);
}

static int disable_plugin(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_plugin_enable(tx, arg, false, err);
}

static int delete_plugin(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_plugin_delete(tx, arg, err);
}

struct plugins {
    struct plugin_row rows[4];
    size_t n;
};

static int keep_plugin(void *arg, struct plugin_row *row)
{
    struct plugins *plugins = arg;

    plugins->rows[plugins->n++] = *row;
    *row = (struct plugin_row){0};
    return 0;
}

static int read_plugins(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_plugin_each(tx, keep_plugin, arg, err);
}

static void plugins_are_replaced_by_name(void **state)
{
    struct plugin_row nginx = {.name = "nginx", .version = "1", .enabled = true, .manifest = "{}", .installed_ms = 5};
    struct plugin_row caddy = {.name = "caddy", .version = "2", .enabled = true, .manifest = "{}", .updated_ms = 6};
    struct plugins plugins = {0};

    (void)state;
    works(testdb_run(&db, put_plugin, &nginx));
    works(testdb_run(&db, put_plugin, &caddy));
    works(testdb_run(&db, disable_plugin, "caddy"));
    nginx.version = "3";
    nginx.manifest = "{\"a\":1}";
    nginx.updated_ms = 9;
    works(testdb_run(&db, put_plugin, &nginx));
    works(testdb_run(&db, read_plugins, &plugins));
    assert_int_equal(plugins.n, 2);
    assert_string_equal(plugins.rows[0].name, "caddy");
    assert_false(plugins.rows[0].enabled);
    assert_int_equal(plugins.rows[0].updated_ms, 6);
    assert_string_equal(plugins.rows[1].version, "3");
    assert_string_equal(plugins.rows[1].manifest, "{\"a\":1}");
    assert_true(plugins.rows[1].enabled);
    assert_int_equal(plugins.rows[1].installed_ms, 5);
    assert_int_equal(plugins.rows[1].updated_ms, 9);
    for (size_t i = 0; i < plugins.n; i++)
        plugin_row_done(&plugins.rows[i]);
    works(testdb_run(&db, delete_plugin, "nginx"));
    fails_with(testdb_run(&db, delete_plugin, "nginx"), VL_NOT_FOUND, "nginx");
    fails_with(testdb_run(&db, disable_plugin, "nginx"), VL_NOT_FOUND, "nginx");
}

/* --- events --------------------------------------------------------------------------------------------------------
 */

static int add_events(struct store_tx *tx, void *arg, struct vl_error *err)
{
    int r = 0;

    for (int i = 0; i < *(int *)arg && r == 0; i++)
        r = store_event_add(tx, 1, "web", "VM_RUNNING", "running", "", i, err);
    return r;
}

static void the_newest_events_are_kept(void **state)
{
    int n = STORE_EVENTS_KEPT + 25, one = 1;

    (void)state;
    works(testdb_run(&db, add_events, &n));
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), STORE_EVENTS_KEPT);
    assert_int_equal(testdb_number(&db, "SELECT min(id) FROM events"), 26);
    works(testdb_run(&db, add_events, &one));
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), STORE_EVENTS_KEPT);
    assert_int_equal(testdb_number(&db, "SELECT max(id) FROM events"), n + 1);
}

static void events_outlive_their_vm(void **state)
{
    int64_t id = insert_named("web");
    int one = 1;

    (void)state;
    works(testdb_run(&db, add_events, &one));
    works(testdb_run(&db, delete, &id));
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 1);
}

/* --- deployments -------------------------------------------------------------------------------------------------- */

struct deployments_seen {
    char text[512];
    int64_t id;
};

static int add_version_text(void *arg, struct deployment_version_row *row)
{
    struct deployments_seen *seen = arg;
    size_t n = strlen(seen->text);

    (void)snprintf(seen->text + n, sizeof(seen->text) - n, " v%d=%s@%d", (int)row->version, row->config,
                   (int)row->created_ms);
    return 0;
}

static int add_deployment_text(void *arg, struct deployment_row *row)
{
    struct deployments_seen *seen = arg;
    size_t n = strlen(seen->text);

    (void)snprintf(seen->text + n, sizeof(seen->text) - n, "%s %s %d v%d %s '%s' %d %d;", row->name, row->desired,
                   (int)row->replicas, (int)row->version, row->rollout, row->reason, (int)row->created_ms,
                   (int)row->updated_ms);
    return 0;
}

static int read_deployments(struct store_tx *tx, void *arg, struct vl_error *err)
{
    struct deployments_seen *seen = arg;
    int r;

    seen->text[0] = '\0';
    if ((r = store_deployment_each(tx, add_deployment_text, seen, err)) < 0) return r;
    return store_deployment_version_each(tx, seen->id, add_version_text, seen, err);
}

static void assert_deployments(int64_t id, const char *expected)
{
    struct deployments_seen seen = {.id = id};

    works(testdb_run(&db, read_deployments, &seen));
    assert_string_equal(seen.text, expected);
}

static int insert_deployment(struct store_tx *tx, void *arg, struct vl_error *err)
{
    struct deployment_row *row = arg;
    const struct deployment_version_row one = {.version = 1, .config = "{}", .created_ms = 5},
                                        two = {.version = 2, .config = "[]", .created_ms = 6};
    int r = store_deployment_insert(tx, row, &row->id, err);

    if (r == 0) r = store_deployment_version_add(tx, row->id, &one, err);
    return r < 0 ? r : store_deployment_version_add(tx, row->id, &two, err);
}

static int update_deployment(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_deployment_update(tx, arg, err);
}

static int drop_first_version(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_deployment_version_drop(tx, *(int64_t *)arg, 1, err);
}

static int delete_deployment(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_deployment_delete(tx, *(int64_t *)arg, err);
}

static void deployments_have_versions(void **state)
{
    char name[] = "web", present[] = "present", progressing[] = "progressing", failed[] = "failed", none[] = "",
         why[] = "why";
    struct deployment_row row = {.name = name,
                                 .desired = present,
                                 .replicas = 3,
                                 .version = 1,
                                 .rollout = progressing,
                                 .reason = none,
                                 .created_ms = 7,
                                 .updated_ms = 8},
                          again = row;

    (void)state;
    works(testdb_run(&db, insert_deployment, &row));
    assert_true(row.id > 0);
    assert_deployments(row.id, "web present 3 v1 progressing '' 7 8; v2=[]@6 v1={}@5");
    assert_true(testdb_run(&db, insert_deployment, &again) < 0);
    assert_int_equal(db.err.kind, VL_CONFLICT);
    row.replicas = 0;
    row.version = 2;
    row.rollout = failed;
    row.reason = why;
    row.updated_ms = 9;
    works(testdb_run(&db, update_deployment, &row));
    works(testdb_run(&db, drop_first_version, &row.id));
    works(testdb_run(&db, drop_first_version, &row.id));
    assert_deployments(row.id, "web present 0 v2 failed 'why' 7 9; v2=[]@6");
    works(testdb_run(&db, delete_deployment, &row.id));
    assert_deployments(row.id, "");
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM deployment_versions"), 0);
    assert_true(testdb_run(&db, update_deployment, &row) < 0);
    assert_int_equal(db.err.kind, VL_NOT_FOUND);
    assert_true(testdb_run(&db, delete_deployment, &row.id) < 0);
    assert_int_equal(db.err.kind, VL_NOT_FOUND);
}

#define with_db(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_db(a_vm_comes_back_as_it_was),
        with_db(vms_come_in_order_of_id),
        with_db(ids_are_never_used_again),
        with_db(reserving_works_before_the_first_vm),
        with_db(a_name_belongs_to_one_vm),
        with_db(bad_rows_are_refused),
        with_db(what_is_not_there_is_not_found),
        with_db(leases_are_the_lowest_free_address),
        with_db(a_vm_has_one_lease),
        with_db(leases_of_another_subnet_do_not_count),
        with_db(ports_are_unique_until_their_vm_is_deleted),
        with_db(ports_of_one_vm_are_cleared),
        with_db(bad_ports_are_refused),
        with_db(plugins_are_replaced_by_name),
        with_db(the_newest_events_are_kept),
        with_db(events_outlive_their_vm),
        with_db(deployments_have_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
