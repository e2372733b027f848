/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "store/testdb.h"

#define WAIT_MS 20000

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

/* An operation that adds an event whose time is its number; posts the next of its kind when it is done. */
struct numbered {
    struct store_op op;
    int number, fails_with, chain;
};
static int n_done, n_failed, last_done;

static int numbered_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    const struct numbered *n = container_of(op, struct numbered, op);
    int r = store_event_add(tx, 1, "vm", "VM_RUNNING", "", "", n->number, err);

    return r < 0 || n->fails_with == 0 ? r : vl_fail(err, VL_CONFLICT, "number %d is refused", n->number);
}

static void post_number(int number, bool fails, int chain);

static void numbered_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct numbered *n = container_of(op, struct numbered, op);
    int number = n->number, chain = n->chain;

    n_done++;
    assert_true(number > last_done);
    last_done = number;
    free(n);
    if (r < 0) {
        char text[32];

        n_failed++;
        (void)snprintf(text, sizeof(text), "number %d is refused", number);
        assert_string_equal(err->msg, text); /* good although the operation is gone */
        assert_int_equal(err->kind, VL_CONFLICT);
    }
    if (chain > 0) post_number(number + 1, false, chain - 1);
}

static void post_number(int number, bool fails, int chain)
{
    struct numbered *n = calloc(1, sizeof(*n));

    assert_non_null(n);
    *n = (struct numbered){.number = number, .fails_with = fails, .chain = chain};
    n->op.run = numbered_run;
    n->op.done = numbered_done;
    store_post(db.store, &n->op);
}

static void reset_counts(void)
{
    n_done = n_failed = last_done = 0;
}

static void run_until_done(int n)
{
    int64_t until = mono_ms() + WAIT_MS;

    while (n_done < n && mono_ms() < until)
        assert_int_equal(loop_step(db.loop, 100), 0);
    assert_int_equal(n_done, n);
}

static void operations_run_in_order_of_posting(void **state)
{
    (void)state;
    reset_counts();
    for (int i = 1; i <= 200; i++)
        post_number(i, i % 10 == 0, 0);
    run_until_done(200);
    assert_int_equal(n_failed, 20);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 180);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events AS e JOIN events AS l ON l.id = e.id - 1 "
                                        "WHERE l.at_ms >= e.at_ms"),
                     0);
}

static int relax(struct store_tx *tx, void *arg, struct vl_error *err)
{
    (void)arg;
    (void)err; /* between transactions, as it must be: thousands of fsyncs would test the disk */
    return sqlite3_exec(tx->db, "COMMIT; PRAGMA synchronous = OFF; BEGIN", NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static void thousands_of_operations_are_finished_by_close(void **state)
{
    (void)state;
    reset_counts();
    assert_int_equal(testdb_run(&db, relax, NULL), 0);
    for (int i = 1; i <= 3000; i++)
        post_number(i, false, i == 3000 ? 50 : 0); /* the last one's `done` posts more, which are finished too */
    testdb_close(&db);
    assert_int_equal(n_done, 3050);
    testdb_open(&db);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 3050);
}

static void run_waits_for_what_was_posted(void **state)
{
    (void)state;
    reset_counts();
    for (int i = 1; i <= 20; i++)
        post_number(i, false, 0);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 20);
    assert_int_equal(n_done, 0); /* `done` is for the loop */
    run_until_done(20);
}

static int fail_without_text(struct store_tx *tx, void *arg, struct vl_error *err)
{
    (void)tx;
    (void)arg;
    (void)err;
    return -ENOMEM;
}

static int insert_then_fail(struct store_tx *tx, void *arg, struct vl_error *err)
{
    int r = store_event_add(tx, 1, "vm", "VM_RUNNING", "", "", 1, err);

    (void)arg;
    return r < 0 ? r : vl_fail(err, VL_INVALID, "no");
}

static int positive(struct store_tx *tx, void *arg, struct vl_error *err)
{
    int r = store_event_add(tx, 1, "vm", "VM_RUNNING", "", "", 1, err);

    (void)arg;
    return r < 0 ? r : 3;
}

static void a_rollback_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(testdb_run(&db, insert_then_fail, NULL), -EINVAL);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 0);
    assert_int_equal(testdb_run(&db, positive, NULL), 0);
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 1);
    assert_int_equal(testdb_run(&db, fail_without_text, NULL), -ENOMEM);
    assert_non_null(strstr(db.err.msg, "memory"));
}

/* --- other programs ------------------------------------------------------------------------------------------------
 */

static void the_file_is_for_its_owner(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct stat st;

    (void)state;
    assert_int_equal(testdb_run(&db, test_script, "PRAGMA user_version"), 0);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char path[128];

        (void)snprintf(path, sizeof(path), "%s%s", db.path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    testdb_close(&db);
    for (size_t i = 1; i < ARRAY_LEN(suffixes); i++) { /* nothing is left in the WAL */
        char path[128];

        (void)snprintf(path, sizeof(path), "%s%s", db.path, suffixes[i]);
        assert_int_equal(stat(path, &st), -1);
    }
}

/* Ends with the number of events it sees, from another process. */
static int count_events(const char *path)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *reader = NULL;
    int n = 255;

    if (sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(reader, "SELECT count(*) FROM events", -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(reader);
    return n;
}

static int exit_status(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void another_process_can_read(void **state)
{
    pid_t pid;
    int p[2], status;
    char go = 1;

    (void)state;
    testdb_close(&db); /* SQLite is not for use across a fork */
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    if ((pid = fork()) == 0) _exit(read(p[0], &go, 1) == 1 ? count_events(db.path) : 254);
    testdb_open(&db);
    assert_int_equal(testdb_run(&db, positive, NULL), 0);
    assert_int_equal(testdb_run(&db, positive, NULL), 0);
    assert_int_equal(write(p[1], &go, 1), 1);
    status = exit_status(pid);
    assert_int_equal(close(p[0]), 0);
    assert_int_equal(close(p[1]), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

static int be_impatient(struct store_tx *tx, void *arg, struct vl_error *err)
{
    (void)arg;
    (void)err;
    return sqlite3_busy_timeout(tx->db, 20) == SQLITE_OK ? 0 : -EIO;
}

static void a_locked_database_is_unavailable(void **state)
{
    sqlite3 *other = NULL;

    (void)state;
    assert_int_equal(testdb_run(&db, be_impatient, NULL), 0);
    assert_int_equal(sqlite3_open(db.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_true(testdb_run(&db, positive, NULL) < 0);
    assert_int_equal(db.err.kind, VL_UNAVAILABLE);
    assert_non_null(strstr(db.err.msg, db.path));
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(testdb_run(&db, positive, NULL), 0);
}

static int add_much(struct store_tx *tx, void *arg, struct vl_error *err)
{
    return sql_run(tx,
                   "INSERT INTO events (vm_id, vm_name, type, status, message, at_ms) VALUES (1, '', 'x', '', ?1, 1)",
                   SQL_VALUES(sql_text(arg)), err);
}

static void a_full_disk_is_for_now(void **state)
{
    auto_free char *text = calloc(1, 1 << 20);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', (1 << 20) - 1);
    /* SQLite answers as it does for ENOSPC. */
    assert_int_equal(testdb_run(&db, test_script, "PRAGMA max_page_count = 40"), 0);
    assert_true(testdb_run(&db, add_much, text) < 0);
    assert_int_equal(db.err.kind, VL_UNAVAILABLE);
    assert_non_null(strstr(db.err.msg, db.path));
    assert_int_equal(testdb_number(&db, "SELECT count(*) FROM events"), 0);
    assert_int_equal(testdb_run(&db, positive, NULL), 0);
}

/* --- a crash -------------------------------------------------------------------------------------------------------
 */

/* Two rows that belong together, for ever; the counter is the parent's proof that something was committed. */
static int add_pair(struct store_tx *tx, void *arg, struct vl_error *err)
{
    int r;

    (void)arg;
    if ((r = store_event_add(tx, 1, "vm", "VM_RUNNING", "", "", 1, err)) < 0) return r;
    return store_event_add(tx, 1, "vm", "VM_STOPPED", "", "", 1, err);
}

static void write_until_killed(int fd)
{
    char one = 1;

    if (store_open(db.loop, db.path, &db.store, &db.err) < 0) _exit(1);
    while (testdb_run(&db, add_pair, NULL) == 0)
        if (write(fd, &one, 1) != 1) break;
    _exit(2);
}

static void after_sigkill_what_was_committed_is_there(void **state)
{
    int64_t acknowledged = 0;

    (void)state;
    testdb_close(&db); /* a fork takes no thread along */
    for (int round = 0; round < 5; round++) {
        char buf[4096];
        int p[2], status;
        ssize_t n;
        pid_t pid;

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        if ((pid = fork()) == 0) write_until_killed(p[1]);
        assert_int_equal(close(p[1]), 0);
        for (int got = 0; got < 10 + 7 * round; got += (int)n) {
            n = read(p[0], buf, 1);
            assert_int_equal(n, 1);
            acknowledged++;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        status = exit_status(pid);
        assert_true(WIFSIGNALED(status));
        while ((n = read(p[0], buf, sizeof(buf))) > 0)
            acknowledged += n;
        assert_int_equal(close(p[0]), 0);
        testdb_open(&db);
        assert_true(testdb_number(&db, "SELECT count(*) FROM events") >= 2 * acknowledged);
        assert_int_equal(testdb_number(&db, "SELECT count(*) % 2 FROM events"), 0);
        assert_int_equal(
            testdb_number(&db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
        testdb_close(&db);
    }
}

/* --- at rest -------------------------------------------------------------------------------------------------------
 */

static int64_t cpu_us(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void an_idle_store_sleeps(void **state)
{
    struct timespec nap = {.tv_nsec = 200 * 1000000L};
    int64_t before;

    (void)state;
    assert_int_equal(testdb_run(&db, positive, NULL), 0);
    before = cpu_us();
    assert_int_equal(nanosleep(&nap, NULL), 0);
    assert_true(cpu_us() - before < 20000);
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    store_close(NULL);
}

#define with_db(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_db(operations_run_in_order_of_posting),
        with_db(thousands_of_operations_are_finished_by_close),
        with_db(run_waits_for_what_was_posted),
        with_db(a_rollback_leaves_nothing),
        with_db(the_file_is_for_its_owner),
        with_db(another_process_can_read),
        with_db(a_locked_database_is_unavailable),
        with_db(a_full_disk_is_for_now),
        with_db(after_sigkill_what_was_committed_is_there),
        with_db(an_idle_store_sleeps),
        cmocka_unit_test(closing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
