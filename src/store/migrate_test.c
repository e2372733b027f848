/* SPDX-License-Identifier: Apache-2.0 */
#include "store/migrate.h"

#include "store/testdb.h"

static struct testdb db;

static int make(void **state)
{
    (void)state;
    testdb_make_dir(&db);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdb_remove(&db);
    return 0;
}

static void opens(struct store_tx *tx)
{
    *tx = (struct store_tx){.path = db.path};
    assert_int_equal(sqlite3_open(db.path, &tx->db), SQLITE_OK);
}

static void closes(struct store_tx *tx)
{
    assert_int_equal(sqlite3_close(tx->db), SQLITE_OK);
}

static void runs(const char *sql)
{
    struct store_tx tx;
    struct vl_error err = {0};

    opens(&tx);
    if (sql_script(&tx, sql, &err) < 0) fail_msg("%s", err.msg);
    closes(&tx);
}

static int64_t number(const char *sql)
{
    struct store_tx tx;
    struct vl_error err = {0};
    int64_t n = -1;

    opens(&tx);
    if (sql_number(&tx, sql, &n, &err) < 0) fail_msg("%s", err.msg);
    closes(&tx);
    return n;
}

/* The steps up to `n` of those that were released, then one more of the test's. */
static int migrates(size_t n, const char *more, struct vl_error *err)
{
    const char *steps[16];
    struct store_tx tx;
    int r;

    assert_true(n < ARRAY_LEN(steps));
    for (size_t i = 0; i < n; i++)
        steps[i] = schema_steps[i];
    if (more) steps[n++] = more;
    opens(&tx);
    r = migrate(&tx, steps, n, err);
    closes(&tx);
    return r;
}

static void every_earlier_schema_is_taken_forward(void **state)
{
    (void)state;
    for (size_t from = 0; from <= n_schema_steps; from++) {
        struct vl_error err = {0};

        if (from > 0) assert_int_equal(migrates(from, NULL, &err), 0);
        testdb_open(&db);
        testdb_close(&db);
        assert_int_equal(number("PRAGMA user_version"), n_schema_steps);
        assert_int_equal(number("PRAGMA application_id"), STORE_APPLICATION_ID);
        assert_int_equal(number("SELECT count(*) FROM volant"), 1);
        assert_int_equal(unlink(db.path), 0);
    }
}

static void a_later_step_keeps_the_rows(void **state)
{
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(migrates(n_schema_steps, NULL, &err), 0);
    runs("INSERT INTO plugins (name, version, enabled, manifest, installed_ms, updated_ms)"
         " VALUES ('a', '1', 1, '{}', 1, 1)");
    assert_int_equal(migrates(n_schema_steps, "ALTER TABLE plugins ADD COLUMN more INTEGER NOT NULL DEFAULT 7", &err),
                     0);
    assert_int_equal(number("PRAGMA user_version"), n_schema_steps + 1);
    assert_int_equal(number("SELECT more FROM plugins WHERE name = 'a'"), 7);
}

static void a_failing_step_leaves_nothing(void **state)
{
    struct vl_error err = {0};

    (void)state;
    assert_true(migrates(0, "CREATE TABLE a (b); CREATE TABLE a (b)", &err) < 0);
    assert_non_null(strstr(err.msg, "schema step 1"));
    assert_int_equal(number("SELECT count(*) FROM sqlite_schema"), 0);
    assert_int_equal(migrates(n_schema_steps, NULL, &err), 0);
    assert_true(migrates(n_schema_steps, "CREATE TABLE more (b); INSERT INTO nowhere VALUES (1)", &err) < 0);
    assert_int_equal(number("PRAGMA user_version"), n_schema_steps);
    assert_int_equal(number("SELECT count(*) FROM sqlite_schema WHERE name = 'more'"), 0);
}

static char *content(const char *path, size_t *ret_len)
{
    char *data = NULL;

    assert_int_equal(read_file_at(AT_FDCWD, path, 64 << 20, &data, ret_len), 0);
    return data;
}

/* Is refused with `kind` and a text that has `part`, and not one byte of the file is another one afterwards. */
static void refused(const char *path, enum vl_kind kind, const char *part)
{
    struct store *store = NULL;
    struct vl_error err = {0};
    size_t before_len, after_len;
    auto_free char *before = content(path, &before_len);
    auto_free char *after = NULL;

    assert_true(store_open(db.loop, path, &store, &err) < 0);
    assert_null(store);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.msg, part) || !strstr(err.msg, path)) fail_msg("'%s' or the path is not in: %s", part, err.msg);
    after = content(path, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, before_len);
}

static void a_newer_schema_is_refused_untouched(void **state)
{
    (void)state;
    testdb_open(&db);
    testdb_close(&db);
    runs("PRAGMA user_version = 40; UPDATE volant SET version = '7.8.9'; PRAGMA wal_checkpoint(TRUNCATE)");
    refused(db.path, VL_INVALID, "schema 40");
    refused(db.path, VL_INVALID, "volantd 7.8.9 or newer");
}

/* As a newer volantd leaves it when it is killed: what is new is in the WAL alone, and must stay there. */
static void a_newer_schema_in_the_wal_is_refused_untouched(void **state)
{
    struct store_tx tx;
    struct vl_error err = {0};
    char copy[128], wal[136], cmd[256];
    size_t before_len, after_len;
    auto_free char *before = NULL, *after = NULL;
    int fd;

    (void)state;
    testdb_open(&db);
    testdb_close(&db);
    opens(&tx);
    assert_int_equal(sql_script(&tx, "PRAGMA user_version = 41", &err), 0);
    for (int i = 0; i < 2; i++) { /* the database, then its WAL */
        auto_close int from = -1;

        (void)snprintf(cmd, sizeof(cmd), "%s%s", db.path, i ? "-wal" : "");
        (void)snprintf(copy, sizeof(copy), "%s/copy%s", db.dir, i ? "-wal" : "");
        from = open(cmd, O_RDONLY | O_CLOEXEC);
        fd = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_int_equal(copy_fd(fd, from), 0);
        assert_int_equal(close(fd), 0);
    }
    closes(&tx);
    (void)snprintf(copy, sizeof(copy), "%s/copy", db.dir);
    (void)snprintf(wal, sizeof(wal), "%s-wal", copy);
    before = content(wal, &before_len);
    assert_true(before_len > 0);
    refused(copy, VL_INVALID, "schema 41");
    after = content(wal, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, before_len);
}

static void another_programs_database_is_refused_untouched(void **state)
{
    (void)state;
    runs("CREATE TABLE bookmarks (a); INSERT INTO bookmarks VALUES (1)");
    refused(db.path, VL_INVALID, "another program");
    runs("PRAGMA application_id = 77; PRAGMA user_version = 1; PRAGMA journal_mode = WAL; DELETE FROM bookmarks");
    refused(db.path, VL_INVALID, "another program");
}

static void what_is_no_database_is_refused_untouched(void **state)
{
    auto_free char *noise = malloc(20000);
    int dir;

    (void)state;
    assert_non_null(noise);
    memset(noise, 'x', 20000);
    dir = open_dir(db.dir);
    assert_true(dir >= 0);
    assert_int_equal(write_file_atomic_at(dir, "volant.db", noise, 20000, 0600), 0);
    refused(db.path, VL_INTERNAL, "not an SQLite database");
    assert_int_equal(close(dir), 0);
}

static void a_damaged_database_is_refused_with_the_remedy(void **state)
{
    char noise[2048];
    struct vl_error err = {0};
    int fd;

    (void)state;
    testdb_open(&db);
    testdb_close(&db);
    memset(noise, 0x5a, sizeof(noise));
    fd = open(db.path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t page = 1; page < 8; page++)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), page * 4096), sizeof(noise));
    assert_int_equal(close(fd), 0);
    assert_true(store_open(db.loop, db.path, &db.store, &err) < 0);
    assert_int_equal(err.kind, VL_INTERNAL);
    if (!strstr(err.msg, ".recover") || !strstr(err.msg, db.path)) fail_msg("no remedy: %s", err.msg);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *path, *part;
    } cases[] = {
        {"/nonexistent/volant.db", "No such file"},
        {"/proc/volant.db", "VOLANT_DB_PATH"},
        {"/tmp", "Is a directory"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct vl_error err = {0};
        struct store *store = NULL;

        assert_true(store_open(db.loop, cases[i].path, &store, &err) < 0);
        assert_null(store);
        if (!strstr(err.msg, cases[i].part) || !strstr(err.msg, cases[i].path)) fail_msg("%s", err.msg);
    }
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_dir(every_earlier_schema_is_taken_forward),
        with_dir(a_later_step_keeps_the_rows),
        with_dir(a_failing_step_leaves_nothing),
        with_dir(a_newer_schema_is_refused_untouched),
        with_dir(a_newer_schema_in_the_wal_is_refused_untouched),
        with_dir(another_programs_database_is_refused_untouched),
        with_dir(what_is_no_database_is_refused_untouched),
        with_dir(a_damaged_database_is_refused_with_the_remedy),
        with_dir(a_path_that_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
