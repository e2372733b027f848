/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store thread: a queue, one connection, one transaction for each operation. After store_open the connection is the
 * thread's alone until that is joined.
 *
 * Durability: WAL with synchronous=FULL, one fdatasync for each commit. The design lets memory change only after the
 * commit and promises that what was committed is the truth; with NORMAL a power cut would take back the last
 * commits, and a VM's id, its uid and its address could be given out twice. A commit is a small part of a boot, and the
 * loop goes on meanwhile.
 */
#include "store/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "store/events.h"
#include "store/migrate.h"
#include "store/sql_internal.h"

#define BUSY_TIMEOUT_MS 5000
#define CHECK_MAX                                                                                                      \
    (4 << 20) /* bytes that are checked at start, 1 to 2 ms for each MiB: volantd serves 20 ms after it began */

struct store {
    struct loop *loop;
    struct store_tx tx;
    char *path;
    size_t n_posted;                                         /* not delivered yet; the loop thread's */
    void (*watcher)(void *arg, const struct event_row *row); /* as this; NULL: nobody */
    void *watcher_arg;
    pthread_t thread; /* if `started` */
    bool started;
    pthread_mutex_t lock;    /* guards what follows, and `ended` of operations */
    pthread_cond_t changed;  /* an operation was queued or `stopping`: the thread waits for it */
    pthread_cond_t finished; /* an operation has ended: the loop thread waits for it */
    struct store_op *first, **end;
    bool busy, stopping;
};

/* --- the thread ----------------------------------------------------------------------------------------------------
 */

static int run_in_transaction(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    int r;

    if ((r = sql_script(tx, "BEGIN IMMEDIATE", err)) < 0) return r;
    if ((r = op->run(op, tx, err)) >= 0) {
        CRASH_POINT("store.before_commit");
        r = sql_script(tx, "COMMIT", err);
        CRASH_POINT("store.after_commit");
    }
    if (r < 0) (void)sqlite3_exec(tx->db, "ROLLBACK", NULL, NULL, NULL); /* an error if SQLite did it already */
    return r;
}

static void forget_events(struct store_op *op)
{
    auto_(told_events_done) struct told_events none = {0};

    events_take(op, &none);
}

static void run_op(struct store_op *op, struct store_tx *tx, bool watched)
{
    op->err = (struct vl_error){0};
    tx->watched = watched ? op : NULL;
    op->r = run_in_transaction(op, tx, &op->err);
    if (op->r < 0) forget_events(op);
    if (op->r < 0 && !*op->err.msg) op->r = vl_fail_errno(&op->err, op->r, "database operation");
}

/* With the lock held: the next operation, or NULL when nothing is left and the thread shall end. */
static struct store_op *next_op(struct store *s)
{
    struct store_op *op;

    while (!s->first && !s->stopping)
        (void)pthread_cond_wait(&s->changed, &s->lock);
    if (!(op = s->first)) return NULL;
    s->first = op->next;
    if (!s->first) s->end = &s->first;
    return op;
}

static void *store_main(void *arg)
{
    struct store *s = arg;
    struct store_op *op;

    (void)pthread_setname_np(pthread_self(), "store");
    (void)pthread_mutex_lock(&s->lock);
    while ((op = next_op(s))) {
        bool waited_for = op->waited_for;

        s->busy = true;
        (void)pthread_mutex_unlock(&s->lock);
        run_op(op, &s->tx, s->watcher != NULL);
        if (!waited_for) loop_post_node(s->loop, &op->post); /* op may be gone from here */
        (void)pthread_mutex_lock(&s->lock);
        s->busy = false;
        if (waited_for) op->ended = true;
        (void)pthread_cond_signal(&s->finished);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Signals are for the loop's signalfd: the thread is born with all of them blocked. */
static int start_thread(struct store *s)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&s->thread, NULL, store_main, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) s->started = true;
    return -r;
}

/* --- the loop's side -----------------------------------------------------------------------------------------------
 */

static void enqueue(struct store *s, struct store_op *op)
{
    op->store = s;
    op->next = NULL;
    op->ended = op->events_lost = false;
    op->events = NULL;
    op->n_events = 0;
    (void)pthread_mutex_lock(&s->lock);
    *s->end = op;
    s->end = &op->next;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

void store_watch_events(struct store *s, void (*fn)(void *arg, const struct event_row *row), void *arg)
{
    s->watcher = fn;
    s->watcher_arg = arg;
}

static void tell(const struct store *s, const struct told_events *events)
{
    if (!s->watcher) return;
    for (size_t i = 0; i < events->n; i++)
        s->watcher(s->watcher_arg, &events->rows[i]);
    if (events->lost) s->watcher(s->watcher_arg, NULL);
}

static void deliver(void *arg)
{
    auto_(told_events_done) struct told_events events = {0};
    struct store_op *op = arg;
    struct store *s = op->store;
    struct vl_error err = op->err; /* `done` may free op and go on to report */

    s->n_posted--;
    events_take(op, &events);
    op->done(op, op->r, &err);
    tell(s, &events);
}

void store_post(struct store *s, struct store_op *op)
{
    op->post = (struct post){.fn = deliver, .arg = op};
    op->waited_for = false;
    s->n_posted++;
    enqueue(s, op);
}

int store_run(struct store *s, struct store_op *op, struct vl_error *err)
{
    auto_(told_events_done) struct told_events events = {0};

    op->waited_for = true;
    enqueue(s, op);
    (void)pthread_mutex_lock(&s->lock);
    while (!op->ended)
        (void)pthread_cond_wait(&s->finished, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    if (op->r < 0 && err) *err = op->err;
    events_take(op, &events);
    tell(s, &events);
    return op->r;
}

static void finish_posted(struct store *s)
{
    while (s->n_posted > 0) {
        (void)pthread_mutex_lock(&s->lock);
        while (s->first || s->busy)
            (void)pthread_cond_wait(&s->finished, &s->lock);
        (void)pthread_mutex_unlock(&s->lock);
        loop_flush_posts(s->loop);
    }
}

void store_close(struct store *s)
{
    if (!s) return;
    if (s->started) {
        finish_posted(s);
        (void)pthread_mutex_lock(&s->lock);
        s->stopping = true;
        (void)pthread_cond_signal(&s->changed);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    (void)sqlite3_close(s->tx.db); /* nothing is prepared now; NULL is fine */
    (void)pthread_cond_destroy(&s->finished);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

/* --- opening -------------------------------------------------------------------------------------------------------
 */

static int sync_with_folder(int fd, const char *path)
{
    const char *slash = strrchr(path, '/');
    auto_free char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    auto_close int folder_fd = -1;

    if (!folder) return -ENOMEM;
    if (fsync(fd) < 0 || (folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(folder_fd) < 0)
        return -errno;
    return 0;
}

/*
 * An empty file becomes an empty database in WAL mode, with one sync of it and one of its folder: the way SQLite goes
 * by itself takes eight until the schema is there, the better part of a first start on a busy disk.
 */
static int begin_file(int fd, const char *path, struct vl_error *err)
{
    struct store_tx tx = {.path = path};
    int r;

    if (sqlite3_open_v2(path, &tx.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        r = tx.db ? sql_fail(&tx, err) : vl_fail_errno(err, ENOMEM, "open the database '%s'", path);
    else
        r = sql_script(&tx, "PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL", err);
    (void)sqlite3_close(tx.db);
    if (r == 0 && (r = sync_with_folder(fd, path)) < 0) r = vl_fail_errno(err, r, "create the database '%s'", path);
    return r;
}

/*
 * SQLite itself would create the file for everybody to read; its WAL gets the mode that the database has. The
 * descriptor is closed before the store's connection is made: closing it later would drop the locks of that.
 */
static int create_file(const char *path, struct vl_error *err)
{
    auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return vl_fail_errno(err, errno, "open the database '%s' (VOLANT_DB_PATH names another)", path);
    return S_ISREG(st.st_mode) && st.st_size == 0 ? begin_file(fd, path, err) : 0;
}

static int connect_file(struct store *s, struct vl_error *err)
{
    struct store_tx *tx = &s->tx;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE;

    if (sqlite3_open_v2(tx->path, &tx->db, flags, NULL) != SQLITE_OK)
        return tx->db ? sql_fail(tx, err) : vl_fail_errno(err, ENOMEM, "open the database '%s'", tx->path);
    (void)sqlite3_busy_timeout(tx->db, BUSY_TIMEOUT_MS);
    /* Until the file is known to be ours: closing it must not fold a newer volantd's WAL into it. */
    (void)sqlite3_db_config(tx->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return 0;
}

/*
 * What a failing disk did to the tree, before VMs are adopted or swept by it. A larger file is left to what SQLite
 * finds out as it reads.
 */
static int check_file(const struct store_tx *tx, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    struct stat st;
    int r;

    if (stat(tx->path, &st) < 0) return vl_fail_errno(err, errno, "read the database '%s'", tx->path);
    if (st.st_size > CHECK_MAX) return 0;
    if ((r = sql_prepare(tx, "PRAGMA quick_check(1)", SQL_NO_VALUES, &stmt, err)) < 0) return r;
    if ((r = sql_step(tx, stmt, err)) < 0) return r;
    if (r == 1 && sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0) return 0;
    return sql_fail_damaged(tx, r == 1 ? (const char *)sqlite3_column_text(stmt, 0) : "no answer", err);
}

/*
 * After the migration, whose steps may need foreign keys off. The cache is small as the registry is read once; a
 * checkpoint every 1 MiB keeps the WAL about as large.
 */
static int configure(const struct store_tx *tx, struct vl_error *err)
{
    static const char pragmas[] = "PRAGMA synchronous = FULL;"
                                  "PRAGMA foreign_keys = ON;"
                                  "PRAGMA trusted_schema = OFF;"
                                  "PRAGMA temp_store = MEMORY;"
                                  "PRAGMA cache_size = -256;" /* KiB */
                                  "PRAGMA wal_autocheckpoint = 256;"
                                  "PRAGMA journal_size_limit = 1048576;";
    auto_stmt *stmt = NULL;
    int r;

    if ((r = sql_prepare(tx, "PRAGMA journal_mode = WAL", SQL_NO_VALUES, &stmt, err)) < 0) return r;
    if ((r = sql_step(tx, stmt, err)) < 0) return r;
    if (r == 0 || sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") != 0)
        return vl_fail(err, VL_INTERNAL,
                       "the file system of '%s' cannot share memory, which SQLite's WAL needs: name "
                       "a file on a local disk with VOLANT_DB_PATH",
                       tx->path);
    if ((r = sql_script(tx, pragmas, err)) < 0) return r;
    (void)sqlite3_db_config(tx->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return 0;
}

int store_open(struct loop *l, const char *path, struct store **ret, struct vl_error *err)
{
    auto_(store_closep) struct store *s = calloc(1, sizeof(*s));
    int r;

    if (!s) return vl_fail_errno(err, ENOMEM, "open the database");
    s->loop = l;
    s->end = &s->first;
    (void)pthread_mutex_init(&s->lock, NULL); /* this and the next two cannot fail in glibc */
    (void)pthread_cond_init(&s->changed, NULL);
    (void)pthread_cond_init(&s->finished, NULL);
    if (!(s->path = strdup(path))) return vl_fail_errno(err, ENOMEM, "open the database");
    s->tx.path = s->path;
    if ((r = create_file(path, err)) < 0 || (r = connect_file(s, err)) < 0 ||
        (r = migrate(&s->tx, schema_steps, n_schema_steps, err)) < 0 || (r = check_file(&s->tx, err)) < 0 ||
        (r = configure(&s->tx, err)) < 0)
        return r;
    if ((r = start_thread(s)) < 0) return vl_fail_errno(err, r, "start the store thread");
    *ret = take_ptr(s);
    return 0;
}
