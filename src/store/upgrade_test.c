/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry as the first release left it, with something in every table and a VM in every status, under today's code:
 * nothing is lost, and what is new has the value that means "as before".
 */
#include "base/str.h"
#include "store/migrate.h"
#include "store/schema_1.h"
#include "store/testdb.h"

static const char first_release[] =
    "INSERT INTO volant (one, version) VALUES (1, '0.1.0');"
    "INSERT INTO vms (id, name, plugin, runtime, desired, status, reason, cpu_cores, memory_mb, ip_address, "
    "mac_address,"
    "  config, manifest, boot, kernel_cmdline, pid, exit_code, created_ms, updated_ms) VALUES"
    " (1, 'pending', 'p', 'p', 'running', 'pending', '', 1, 64, '192.168.127.10', '02:00:00:00:00:01', '{}', '{}', '',"
    "  '', NULL, NULL, 1, 2),"
    " (2, 'starting', 'p', 'p', 'running', 'starting', '', 1, 64, '192.168.127.11', '02:00:00:00:00:02', '{}', '{}',"
    "  'b2', 'c', 12, NULL, 1, 2),"
    " (3, 'running', 'p', 'p', 'running', 'running', '', 2, 96, '192.168.127.12', '02:00:00:00:00:03',"
    "  '{\"plugin\":\"p\"}', '{\"name\":\"p\"}', 'b3', 'console=ttyS0', 13, NULL, 1, 2),"
    " (4, 'stopping', 'p', 'p', 'stopped', 'stopping', '', 1, 64, '192.168.127.13', '02:00:00:00:00:04', '{}', '{}',"
    "  'b4', 'c', 14, NULL, 1, 2),"
    " (5, 'stopped', 'p', 'p', 'stopped', 'stopped', '', 1, 64, '192.168.127.14', '02:00:00:00:00:05', '{}', '{}',"
    "  'b5', 'c', NULL, 0, 1, 2),"
    " (6, 'crashed', 'p', 'p', 'stopped', 'crashed', 'exit code 5', 1, 64, '192.168.127.15', '02:00:00:00:00:06', '{}',"
    "  '{}', 'b6', 'c', NULL, 5, 1, 2),"
    " (7, 'failed', 'p', 'p', 'stopped', 'failed', 'no agent', 1, 64, '192.168.127.16', '02:00:00:00:00:07', '{}', "
    "'{}',"
    "  'b7', 'c', NULL, NULL, 1, 2),"
    " (9, 'going', 'p', 'p', 'deleted', 'stopping', '', 1, 64, NULL, NULL, '{}', '{}', 'b9', 'c', 19, NULL, 1, 2);"
    "UPDATE sqlite_sequence SET seq = 11 WHERE name = 'vms';"
    "INSERT INTO ip_allocations VALUES (3232268042, 1), (3232268044, 3);"
    "INSERT INTO vm_ports VALUES (3, 'tcp', '127.0.0.1', 8080, 80, 'web');"
    "INSERT INTO plugins VALUES (1, 'p', '1.0', 1, '{\"name\":\"p\"}', 1, 2), (2, 'q', '2.0', 0, '{}', 1, 2);"
    "INSERT INTO events VALUES (41, 3, 'running', 'VM_RUNNING', 'running', 'vm running', 2);"
    "PRAGMA application_id = 1448037460; PRAGMA user_version = 1;";

static struct testdb db;

static int make(void **state)
{
    struct vl_error err = {0};
    struct store_tx tx;

    (void)state;
    testdb_make_dir(&db);
    tx = (struct store_tx){.path = db.path};
    assert_int_equal(sqlite3_open(db.path, &tx.db), SQLITE_OK);
    if (sql_script(&tx, schema_1, &err) < 0 || sql_script(&tx, first_release, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(sqlite3_close(tx.db), SQLITE_OK);
    testdb_open(&db);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdb_remove(&db);
    return 0;
}

/* Each is called by its status, but for the one that goes. */
static int see_vm(void *arg, struct vm_row *row)
{
    int *n = arg;

    if (row->id != 9) assert_string_equal(row->name, row->status);
    assert_string_equal(row->deployment, "");
    assert_int_equal(row->revision + row->restarts + row->not_before_ms + row->started_ms, 0);
    assert_int_equal(row->created_ms, 1);
    if (row->id == 3) {
        assert_string_equal(row->config, "{\"plugin\":\"p\"}");
        assert_string_equal(row->manifest, "{\"name\":\"p\"}");
        assert_string_equal(row->boot, "b3");
        assert_int_equal(row->pid, 13);
        assert_int_equal(row->memory_mb, 96);
    }
    if (row->id == 6) assert_true(row->has_exit_code && row->exit_code == 5);
    if (row->id == 7) assert_false(row->has_exit_code);
    (*n)++;
    return 0;
}

static int see_vms(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return store_vm_each(tx, see_vm, arg, err);
}

static void every_row_is_there(void **state)
{
    int n = 0;

    (void)state;
    if (testdb_run(&db, see_vms, &n) < 0) fail_msg("%s", db.err.msg);
    assert_int_equal(n, 8);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM ip_allocations"), 2);
    assert_int_equal(testdb_number(&db, "SELECT host_port FROM vm_ports WHERE vm_id = 3"), 8080);
    assert_int_equal(testdb_number(&db, "SELECT enabled FROM plugins WHERE name = 'q'"), 0);
    assert_int_equal(testdb_number(&db, "SELECT vm_id FROM events WHERE id = 41"), 3);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM deployments"), 0);
    assert_int_equal(testdb_number(&db, "PRAGMA user_version"), n_schema_steps);
}

static int add_vm(struct store_tx *tx, void *arg, struct vl_error *err)
{
    const struct vm_row row = {.name = "new",
                               .plugin = "p",
                               .runtime = "p",
                               .desired = "running",
                               .status = "pending",
                               .cpu_cores = 1,
                               .memory_mb = 64,
                               .deployment = "web",
                               .revision = 3};

    return store_vm_insert(tx, &row, arg, err);
}

static void it_goes_on_from_there(void **state)
{
    int64_t id = 0;

    (void)state;
    if (testdb_run(&db, add_vm, &id) < 0) fail_msg("%s", db.err.msg);
    assert_int_equal(id, 12); /* numbers that were given out are not given again */
    assert_int_equal(testdb_number(&db, "SELECT revision FROM vms WHERE deployment = 'web'"), 3);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

/* --- what was released is never edited ---------------------------------------------------------------------------- */

static char *schema_of(const char *script)
{
    static const char schema[] =
        "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema ORDER BY name)";
    auto_stmt *stmt = NULL;
    struct store_tx tx = {.path = "memory"};
    struct vl_error err = {0};
    char *text = NULL;

    assert_int_equal(sqlite3_open(":memory:", &tx.db), SQLITE_OK);
    if (sql_script(&tx, script, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(sql_prepare(&tx, schema, SQL_NO_VALUES, &stmt, &err), 0);
    assert_int_equal(sql_step(&tx, stmt, &err), 1);
    assert_int_equal(sql_column_copy(stmt, 0, &text), 0);
    (void)sqlite3_finalize(take_ptr(stmt));
    assert_int_equal(sqlite3_close(tx.db), SQLITE_OK);
    return text;
}

static void the_first_step_is_what_was_released(void **state)
{
    auto_free char *was = schema_of(schema_1), *is = schema_of(schema_steps[0]);

    (void)state;
    assert_string_equal(was, is);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row_is_there, make, drop),
        cmocka_unit_test_setup_teardown(it_goes_on_from_there, make, drop),
        cmocka_unit_test(the_first_step_is_what_was_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
