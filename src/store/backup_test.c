/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/str.h"
#include "store/migrate.h"
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

static int64_t soon(void)
{
    return mono_ms() + 10000;
}

static void add_plugin(const char *name)
{
    char sql[160];

    assert_true(strf(sql, sizeof(sql),
                     "INSERT INTO plugins (name, version, enabled, manifest, installed_ms, updated_ms)"
                     " VALUES ('%s', '1', 1, '{}', 1, 1)",
                     name) > 0);
    if (testdb_run(&db, test_script, sql) < 0) fail_msg("%s", db.err.msg);
}

static int64_t plugins(void)
{
    return testdb_number(&db, "SELECT count(*) FROM plugins");
}

static void beside(char buf[static 128], const char *suffix)
{
    assert_true(strf(buf, 128, "%s%s", db.path, suffix) > 0);
}

static bool there(const char *suffix)
{
    char path[128];

    beside(path, suffix);
    return access(path, F_OK) == 0;
}

static void moves(const char *from, const char *to)
{
    char a[128], b[128];

    beside(a, from);
    beside(b, to);
    assert_int_equal(rename(a, b), 0);
}

/* A copy with one plugin; the database has two then, the second in its WAL alone, as a killed volantd leaves it. */
static void copy_then_more(void)
{
    struct vl_error err = {0};
    char copy[128];

    add_plugin("one");
    beside(copy, ".new");
    if (store_copy(db.path, copy, soon(), &err) < 0) fail_msg("%s", err.msg);
    if (store_check_copy(copy, soon(), &err) < 0) fail_msg("%s", err.msg);
    add_plugin("two");
}

static bool restores(void)
{
    struct vl_error err = {0};
    auto_free char *kept = NULL;
    int r = store_restore_pending(db.path, soon(), &kept, &err);

    if (r < 0) fail_msg("%s", err.msg);
    assert_int_equal(r == 1, kept != NULL);
    if (kept && *kept) assert_int_equal(access(kept, F_OK), 0);
    return r == 1;
}

static void a_copy_is_put_back(void **state)
{
    char copy[128];

    (void)state;
    copy_then_more();
    testdb_close(&db);
    assert_false(restores());
    beside(copy, ".new");
    assert_int_equal(store_restore_at_next_open(db.path, copy, NULL), 0);
    assert_true(restores());
    assert_false(restores());
    testdb_open(&db);
    assert_int_equal(plugins(), 1);
    assert_true(there(".before-restore"));
    assert_true(store_former_is_there(db.path));
    assert_false(there(".restore"));
}

static void add_token(const char *name)
{
    char sql[200];

    assert_true(strf(sql, sizeof(sql),
                     "INSERT INTO tokens (name, role, hash, created_ms) VALUES ('%s', 'admin', hex(randomblob(32)), 1)",
                     name) > 0);
    if (testdb_run(&db, test_script, sql) < 0) fail_msg("%s", db.err.msg);
}

static int64_t tokens(const char *like)
{
    char sql[120];

    assert_true(strf(sql, sizeof(sql), "SELECT count(*) FROM tokens WHERE name LIKE '%s'", like) > 0);
    return testdb_number(&db, sql);
}

/* One that was revoked since the copy was taken would open the door again. */
static void tokens_are_those_of_now(void **state)
{
    (void)state;
    add_token("revoked");
    add_token("stays");
    copy_then_more();
    assert_int_equal(testdb_run(&db, test_script, "DELETE FROM tokens WHERE name = 'revoked'"), 0);
    add_token("later");
    testdb_close(&db);
    moves(".new", ".restore");
    assert_true(restores());
    testdb_open(&db);
    assert_int_equal(plugins(), 1);
    assert_int_equal(tokens("revoked"), 0);
    assert_int_equal(tokens("stays"), 1);
    assert_int_equal(tokens("later"), 1);
}

static void tokens_come_back_where_there_are_none(void **state)
{
    (void)state;
    add_token("one");
    copy_then_more();
    assert_int_equal(testdb_run(&db, test_script, "DELETE FROM tokens"), 0);
    testdb_close(&db);
    moves(".new", ".restore");
    assert_true(restores());
    testdb_open(&db);
    assert_int_equal(tokens("one"), 1);
}

static void tokens_come_back_where_the_database_is_damaged(void **state)
{
    auto_close int fd = -1;

    (void)state;
    add_token("one");
    copy_then_more();
    testdb_close(&db);
    assert_true((fd = open(db.path, O_WRONLY | O_CLOEXEC)) >= 0);
    assert_int_equal(ftruncate(fd, 5000), 0);
    moves(".new", ".restore");
    assert_true(restores());
    testdb_open(&db);
    assert_int_equal(tokens("one"), 1);
}

/* Wherever it was cut off, the next one comes to the same end, and the old database is whole beside the new one. */
static void goes_on_where_it_was_cut_off(void **state)
{
    static const char *const steps[][2] = {
        {"", ".before-restore"}, {"-wal", ".before-restore-wal"}, {"-shm", ".before-restore-shm"}};

    (void)state;
    for (size_t done = 0; done <= ARRAY_LEN(steps); done++) {
        struct vl_error err = {0};
        char old[128];

        copy_then_more();
        testdb_close(&db);
        moves(".new", ".restore");
        for (size_t i = 0; i < done; i++)
            if (there(steps[i][0])) moves(steps[i][0], steps[i][1]);
        assert_true(restores());
        beside(old, ".before-restore");
        if (store_check_copy(old, soon(), &err) < 0) fail_msg("after step %zu: %s", done, err.msg);
        testdb_open(&db);
        assert_int_equal(plugins(), 1);
        if (testdb_run(&db, test_script, "DELETE FROM plugins") < 0) fail_msg("%s", db.err.msg);
        assert_false(there(".before-restore.1"));
        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
            beside(old, steps[i][1]);
            (void)unlink(old);
        }
    }
}

static void no_former_database_is_written_over(void **state)
{
    static const char *const names[] = {".before-restore", ".before-restore.1", ".before-restore.2"};
    struct vl_error err = {0};
    char path[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "p%zu", i);
        add_plugin(name);
        testdb_close(&db);
        beside(path, ".restore");
        assert_int_equal(store_copy(db.path, path, soon(), NULL), 0);
        assert_true(restores());
        testdb_open(&db);
    }
    testdb_close(&db);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct store_tx tx = {.path = path};
        int64_t n = 0;

        beside(path, names[i]);
        assert_int_equal(sqlite3_open(path, &tx.db), SQLITE_OK);
        assert_int_equal(sql_number(&tx, "SELECT count(*) FROM plugins", &n, &err), 0);
        assert_int_equal(sqlite3_close(tx.db), SQLITE_OK);
        assert_int_equal(n, i + 1);
    }
    testdb_open(&db);
}

static void bad_copies_change_nothing(void **state)
{
    static const struct {
        const char *sql, *part;
    } spoilers[] = {
        {"PRAGMA application_id = 7", "another program"},
        {"PRAGMA user_version = 99", "schema 99"},
        {"PRAGMA user_version = 1", "'deployment"}, /* its tables are those of a later one */
        {"INSERT INTO ip_allocations VALUES (1, 4711)", "foreign_key_check"},
        {"DROP TABLE vm_ports", "'vm_ports'"},
        {"DROP INDEX vm_ports_vm", "'vm_ports_vm'"},
        {"CREATE TABLE more (a)", "'more'"},
        {"CREATE VIEW v AS SELECT 1", "'v'"},
        {"CREATE TRIGGER t AFTER UPDATE ON volant BEGIN DELETE FROM vms; END", "'t'"},
        {"ALTER TABLE vms ADD COLUMN x TEXT", "'vms'"},
        {"PRAGMA ignore_check_constraints = ON; UPDATE plugins SET enabled = 7", "CHECK constraint"},
    };

    (void)state;
    copy_then_more();
    for (size_t i = 0; i < ARRAY_LEN(spoilers); i++) {
        struct vl_error err = {0};
        char pending[128], *kept = NULL;
        sqlite3 *copy;

        beside(pending, ".restore");
        (void)unlink(pending);
        assert_int_equal(store_copy(db.path, pending, soon(), NULL), 0);
        assert_int_equal(sqlite3_open(pending, &copy), SQLITE_OK);
        assert_int_equal(sqlite3_exec(copy, spoilers[i].sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(copy), SQLITE_OK);
        assert_true(store_restore_pending(db.path, soon(), &kept, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        if (!strstr(err.msg, "remove it") || !strstr(err.msg, spoilers[i].part))
            fail_msg("'%s' is not in: %s", spoilers[i].part, err.msg);
        assert_null(kept);
        assert_true(there(".restore"));
        assert_false(there(".before-restore"));
    }
    assert_int_equal(plugins(), 2);
}

/* Whose last page SQLite would fill up by itself. */
static void a_copy_that_lacks_a_byte_is_cut_off(void **state)
{
    struct vl_error err = {0};
    char copy[128];
    struct stat st;

    (void)state;
    copy_then_more();
    beside(copy, ".new");
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(truncate(copy, st.st_size - 1), 0);
    assert_true(store_check_copy(copy, soon(), &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
    assert_non_null(strstr(err.msg, "cut off"));
}

/* As a registry of the first release: what is put in place has today's schema, and is one file. */
static void an_earlier_copy_is_taken_forward(void **state)
{
    struct vl_error err = {0};
    char copy[128], wal[132];
    struct store_tx tx;
    int64_t version = 0;

    (void)state;
    beside(copy, ".new");
    tx = (struct store_tx){.path = copy};
    assert_int_equal(sqlite3_open(copy, &tx.db), SQLITE_OK);
    assert_int_equal(sql_script(&tx, "PRAGMA journal_mode = WAL", &err), 0);
    assert_int_equal(migrate(&tx, schema_steps, 1, &err), 0);
    assert_int_equal(sqlite3_close(tx.db), SQLITE_OK);
    if (store_check_copy(copy, soon(), &err) < 0) fail_msg("%s", err.msg);
    (void)snprintf(wal, sizeof(wal), "%s-wal", copy);
    assert_int_equal(access(wal, F_OK), -1);
    assert_int_equal(sqlite3_open(copy, &tx.db), SQLITE_OK);
    assert_int_equal(sql_number(&tx, "PRAGMA user_version", &version, &err), 0);
    assert_int_equal(sqlite3_close(tx.db), SQLITE_OK);
    assert_int_equal(version, n_schema_steps);
}

static void a_copy_has_a_deadline(void **state)
{
    struct vl_error err = {0};
    char copy[128];

    (void)state;
    assert_int_equal(testdb_run(&db, test_script,
                                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
                                " INSERT INTO events (vm_id, vm_name, type, status, message, at_ms)"
                                " SELECT i, 'v', 'T', '', 'm', 0 FROM n"),
                     0);
    beside(copy, ".new");
    assert_true(store_copy(db.path, copy, mono_ms(), &err) < 0);
    assert_int_equal(err.kind, VL_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "takes too long"));
}

static void leftovers_are_swept(void **state)
{
    char path[128];

    (void)state;
    beside(path, STORE_TEMP_MARK "0011");
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(store_copies_sweep(db.path), 1);
    assert_int_equal(store_copies_sweep(db.path), 0);
    assert_true(there(""));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_is_put_back, make, drop),
        cmocka_unit_test_setup_teardown(tokens_are_those_of_now, make, drop),
        cmocka_unit_test_setup_teardown(tokens_come_back_where_there_are_none, make, drop),
        cmocka_unit_test_setup_teardown(tokens_come_back_where_the_database_is_damaged, make, drop),
        cmocka_unit_test_setup_teardown(goes_on_where_it_was_cut_off, make, drop),
        cmocka_unit_test_setup_teardown(bad_copies_change_nothing, make, drop),
        cmocka_unit_test_setup_teardown(no_former_database_is_written_over, make, drop),
        cmocka_unit_test_setup_teardown(a_copy_that_lacks_a_byte_is_cut_off, make, drop),
        cmocka_unit_test_setup_teardown(an_earlier_copy_is_taken_forward, make, drop),
        cmocka_unit_test_setup_teardown(a_copy_has_a_deadline, make, drop),
        cmocka_unit_test_setup_teardown(leftovers_are_swept, make, drop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
