/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of the database: taken while it is in use, and put back at the next opening. A worker takes one through a
 * connection of its own, which in WAL mode holds up nobody. Putting back is a rename to PATH.restore by whoever has a
 * good copy; what is in the way is set aside as PATH.before-restore, step by step, each of which may be the last one
 * before a crash.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "store/migrate.h"
#include "store/sql_internal.h"
#include "store/store.h"

#define STEP_OPS       10000 /* instructions of SQLite between two looks at the clock */
#define PATH_MAX_BYTES 512
#define ROOM_EXTRA     (1ull << 20) /* for what is written to the database meanwhile */
#define KEPT_MAX       1000
#define KEPT_MARK      ".before-restore"

static int is_late(void *deadline_ms)
{
    return mono_ms() >= *(const int64_t *)deadline_ms;
}

/*
 * mode: SQLITE_OPEN_READONLY, or READWRITE, with which a WAL that came along becomes a part of the file at the end.
 * `deadline_ms` is looked at for as long as the connection is there.
 */
static int open_reader(const char *path, int mode, int64_t *deadline_ms, struct store_tx *ret, struct vl_error *err)
{
    int flags = mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE;

    *ret = (struct store_tx){.path = path};
    if (sqlite3_open_v2(path, &ret->db, flags, NULL) != SQLITE_OK)
        return ret->db ? sql_fail(ret, err) : vl_fail_errno(err, ENOMEM, "open '%s'", path);
    (void)sqlite3_busy_timeout(ret->db, deadline_left(*deadline_ms));
    sqlite3_progress_handler(ret->db, STEP_OPS, is_late, deadline_ms);
    return 0;
}

static void reader_done(struct store_tx *tx)
{
    (void)sqlite3_close(tx->db);
}

/* What SQLite calls an interruption is our deadline. */
static int late_or(const struct store_tx *tx, int r, const char *what, struct vl_error *err)
{
    if (r < 0 && sqlite3_errcode(tx->db) == SQLITE_INTERRUPT)
        return vl_fail(err, VL_UNAVAILABLE, "%s '%s' takes too long: try again when the disk is less busy", what,
                       tx->path);
    return r;
}

static uint64_t size_of(const char *path, const char *suffix)
{
    char name[PATH_MAX_BYTES];
    struct stat st;

    return strf(name, sizeof(name), "%s%s", path, suffix) < 0 || stat(name, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/* What the copy may take, and as much again: a backup is not to be what stops the database from being written. */
static int check_room(const char *path, struct vl_error *err)
{
    uint64_t size = size_of(path, "") + size_of(path, "-wal"), need = 2 * size + ROOM_EXTRA, room;

    if (disk_free(path, &room) < 0 || room >= need) return 0;
    return vl_fail(err, VL_NO_SPACE,
                   "a copy of the registry is made beside '%.200s' first and takes up to %llu bytes; with what the "
                   "registry itself needs that is %llu, and %llu are free: make room there",
                   path, (unsigned long long)size, (unsigned long long)need, (unsigned long long)room);
}

int store_copy(const char *path, const char *target, int64_t deadline_ms, struct vl_error *err)
{
    auto_(reader_done) struct store_tx tx = {0};
    int r = check_room(path, err);

    if (r == 0) r = open_reader(path, SQLITE_OPEN_READONLY, &deadline_ms, &tx, err);
    if (r == 0)
        r = late_or(&tx, sql_run(&tx, "VACUUM INTO ?1", SQL_VALUES(sql_text(target)), err), "copying the database",
                    err);
    CRASH_POINT("backup.copied");
    return r;
}

/* The files beside `path` whose names are its own and `mark`, and what may follow: how many `fn` says yes to. */
static int count_beside(const char *path, const char *mark, bool (*fn)(int folder_fd, const char *name))
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    auto_free char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("."), *begin = NULL;
    DIR *d = folder && (begin = strf_new("%s%s", name, mark)) ? opendir(folder) : NULL;
    const struct dirent *ent;
    int n = 0;

    while (d && (ent = readdir(d))) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        if (str_starts(ent->d_name, begin) && fn(dirfd(d), ent->d_name)) n++;
    if (d) (void)closedir(d);
    return n;
}

static bool remove_file(int folder_fd, const char *name)
{
    return unlinkat(folder_fd, name, 0) == 0;
}

int store_copies_sweep(const char *path)
{
    return count_beside(path, STORE_TEMP_MARK, remove_file);
}

/* Not what is left of one whose main file somebody removed. */
static bool is_database(int folder_fd, const char *name)
{
    (void)folder_fd;
    return !str_ends(name, "-wal") && !str_ends(name, "-shm");
}

bool store_former_is_there(const char *path)
{
    return count_beside(path, KEPT_MARK, is_database) > 0;
}

/* --- is it one of ours, and whole? -------------------------------------------------------------------------------- */

/* No row, or the text that says what is wrong. */
static int expect_nothing(const struct store_tx *tx, const char *sql, const char *what, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, sql, SQL_NO_VALUES, &stmt, err);

    if (r == 0) r = sql_step(tx, stmt, err);
    if (r == 1) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);

        return vl_fail(err, VL_INVALID, "'%s' is damaged: %s: %.100s", tx->path, what, text ? text : "");
    }
    return late_or(tx, r, "checking", err);
}

/* SQLite fills up a last page that is not whole, with bytes that nobody wrote. */
static int check_size(const struct store_tx *tx, struct vl_error *err)
{
    int64_t page;
    struct stat st;
    int r;

    if ((r = sql_number(tx, "PRAGMA page_size", &page, err)) < 0) return r;
    if (stat(tx->path, &st) < 0) return vl_fail_errno(err, errno, "read '%s'", tx->path);
    if (page > 0 && st.st_size % page == 0) return 0;
    return vl_fail(err, VL_INVALID, "'%s' is damaged: it was cut off in the middle of a page, at byte %lld", tx->path,
                   (long long)st.st_size);
}

static int check_content(const struct store_tx *tx, struct vl_error *err)
{
    size_t version = 0;
    int r = schema_version(tx, n_schema_steps, &version, err);

    if (r < 0) return r;
    if (version == 0) return vl_fail(err, VL_INVALID, "'%s' is an empty database, not a backup", tx->path);
    if ((r = check_size(tx, err)) < 0 || (r = schema_check(tx, version, err)) < 0) return r;
    if ((r = expect_nothing(tx, "SELECT integrity_check FROM pragma_integrity_check(1) WHERE integrity_check <> 'ok'",
                            "integrity_check", err)) < 0)
        return r;
    return expect_nothing(tx, "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1", "foreign_key_check", err);
}

/*
 * Foreign tables are looked at before they are run with; then the schema is taken forward, so that what would fail in
 * that fails now and not when the copy has taken the database's place.
 */
static int check_and_settle(const struct store_tx *tx, struct vl_error *err)
{
    int r;

    (void)sqlite3_db_config(tx->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if ((r = sql_script(tx, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", err)) < 0 ||
        (r = check_content(tx, err)) < 0 || (r = migrate(tx, schema_steps, n_schema_steps, err)) < 0)
        return r;
    return sql_script(tx, "PRAGMA journal_mode = DELETE", err); /* all of it in the one file that is renamed */
}

int store_check_copy(const char *path, int64_t deadline_ms, struct vl_error *err)
{
    auto_(reader_done) struct store_tx tx = {0};
    struct vl_error own = {0};
    int r = open_reader(path, SQLITE_OPEN_READWRITE, &deadline_ms, &tx, &own);

    if (r == 0) r = check_and_settle(&tx, &own);
    if (r == 0) return 0;
    if (err) *err = own;
    if (own.kind != VL_INTERNAL || own.errnum != 0) return r; /* said already, or the host's fault */
    /* SQLite could not make head or tail of it. */
    return vl_fail(err, VL_INVALID, "'%s' is no backup of volantd: %s", path, sqlite3_errmsg(tx.db));
}

/* --- putting back ------------------------------------------------------------------------------------------------- */

static int beside(const char *path, const char *suffix, char ret[static PATH_MAX_BYTES], struct vl_error *err)
{
    int r = strf(ret, PATH_MAX_BYTES, "%s%s", path, suffix);

    return r < 0 ? vl_fail_errno(err, r, "%s%s", path, suffix) : 0;
}

static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    auto_free char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    auto_close int fd = -1;

    if (!folder) return -ENOMEM;
    return (fd = open_dir(folder)) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int store_restore_at_next_open(const char *path, const char *copy, struct vl_error *err)
{
    char pending[PATH_MAX_BYTES];
    int r;

    if ((r = beside(path, ".restore", pending, err)) < 0) return r;
    if (rename(copy, pending) < 0) return vl_fail_errno(err, errno, "rename %s to %s", copy, pending);
    CRASH_POINT("restore.pending");
    return (r = sync_folder_of(path)) < 0 ? vl_fail_errno(err, r, "sync the folder of %s", path) : 0;
}

static bool there(const char *path, const char *suffix)
{
    char name[PATH_MAX_BYTES];
    struct stat st;

    return beside(path, suffix, name, NULL) == 0 && lstat(name, &st) == 0;
}

/* Absent is fine. */
static int set_aside(const char *path, const char *kept, const char *suffix, struct vl_error *err)
{
    char from[PATH_MAX_BYTES], to[PATH_MAX_BYTES];
    int r;

    if ((r = beside(path, suffix, from, err)) < 0 || (r = beside(kept, suffix, to, err)) < 0) return r;
    if (rename(from, to) < 0 && errno != ENOENT) return vl_fail_errno(err, errno, "rename %s to %s", from, to);
    return 0;
}

/*
 * What the database is called once it is set aside: .before-restore, or .before-restore.1 and so on, as no earlier one
 * is written over. If it has no longer its own name, an earlier attempt gave it the last of those that are there.
 */
static int kept_name(const char *path, char ret[static PATH_MAX_BYTES], struct vl_error *err)
{
    char name[PATH_MAX_BYTES];
    bool begun = false;
    int r = beside(path, KEPT_MARK, ret, err);

    memcpy(name, ret, sizeof(name));
    for (int i = 1; r == 0 && there(name, ""); i++) {
        begun = !there(path, "") && !(there(path, "-wal") && there(name, "-wal"));
        memcpy(ret, name, sizeof(name));
        if (i > KEPT_MAX || strf(name, sizeof(name), "%s" KEPT_MARK ".%d", path, i) < 0)
            return vl_fail_errno(err, EEXIST, "%s: remove copies of former databases", name);
    }
    if (!begun) memcpy(ret, name, sizeof(name));
    return r;
}

/*
 * The main file goes first: SQLite finds the WAL of a database by its name, so the old set is whole again once all are
 * renamed, and a new main file never meets an old WAL, as it comes last.
 */
static int replace(const char *path, const char *pending, const char *kept, struct vl_error *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char stray[PATH_MAX_BYTES];
    int r;

    for (size_t i = 1; there(path, "") && i < ARRAY_LEN(suffixes); i++) /* of one that somebody removed */
        if (beside(kept, suffixes[i], stray, NULL) == 0) (void)unlink(stray);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if ((r = set_aside(path, kept, suffixes[i], err)) < 0) return r;
        CRASH_POINT("restore.set_aside");
    }
    if (rename(pending, path) < 0) return vl_fail_errno(err, errno, "rename %s to %s", pending, path);
    CRASH_POINT("restore.in_place");
    return (r = sync_folder_of(path)) < 0 ? vl_fail_errno(err, r, "sync the folder of %s", path) : 0;
}

/* It may be somebody's who only copied it there. */
static int take_over(const char *pending, struct vl_error *err)
{
    auto_close int fd = open(pending, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fchmod(fd, 0600) < 0 || fsync(fd) < 0) return vl_fail_errno(err, errno, "take over %s", pending);
    return 0;
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

struct keeping {
    struct store_tx *to;
    struct vl_error *err;
    bool begun;
};

static int keep_token(void *arg, struct token_row *row)
{
    struct keeping *k = arg;
    int r = k->begun ? 0 : sql_script(k->to, "DELETE FROM tokens", k->err);

    k->begun = true;
    return r < 0 ? r : store_token_insert(k->to, row, k->err);
}

static int keep_tokens_of(struct store_tx *from, struct store_tx *to, struct vl_error *err)
{
    struct keeping keeping = {.to = to, .err = err};
    struct vl_error unread = {0};
    int r = sql_script(to, "BEGIN", err);

    if (r < 0) return r;
    if (store_token_each(from, keep_token, &keeping, &unread) < 0 && *err->msg) return -EIO; /* closing rolls back */
    if (*unread.msg) log_warn("the tokens of the registry there is cannot be read: those that come back go on");
    return sql_script(to, *unread.msg ? "ROLLBACK" : "COMMIT", err);
}

/*
 * Who may use the API is not what a copy is for: one that was revoked since it was taken stays so, and one that was
 * made since goes on. Only where there are none do those of the copy come back, and where nobody can read them.
 */
static int keep_tokens(const char *path, const char *pending, int64_t deadline_ms, struct vl_error *err)
{
    auto_(reader_done) struct store_tx from = {0}, to = {0};
    struct vl_error own = {0};
    int r;

    if (!there(path, "") || open_reader(path, SQLITE_OPEN_READONLY, &deadline_ms, &from, &own) < 0) return 0;
    if ((r = open_reader(pending, SQLITE_OPEN_READWRITE, &deadline_ms, &to, err)) < 0) return r;
    own = (struct vl_error){0};
    if ((r = keep_tokens_of(&from, &to, &own)) < 0 && err) *err = own;
    return r;
}

int store_restore_pending(const char *path, int64_t deadline_ms, char **ret_kept, struct vl_error *err)
{
    char pending[PATH_MAX_BYTES], kept[PATH_MAX_BYTES];
    struct stat st;
    int r;

    if ((r = beside(path, ".restore", pending, err)) < 0) return r;
    if (lstat(pending, &st) < 0) return errno == ENOENT ? 0 : vl_fail_errno(err, errno, "%s", pending);
    if ((r = store_check_copy(pending, deadline_ms, err)) < 0) {
        (void)vl_wrap(err, "it cannot be put back; remove it to go on with the database there is");
        return r;
    }
    if ((r = keep_tokens(path, pending, deadline_ms, err)) < 0 || (r = take_over(pending, err)) < 0 ||
        (r = kept_name(path, kept, err)) < 0 || (r = replace(path, pending, kept, err)) < 0)
        return r;
    if (!(*ret_kept = strdup(there(kept, "") ? kept : ""))) return vl_fail_errno(err, ENOMEM, "restore");
    return 1;
}
