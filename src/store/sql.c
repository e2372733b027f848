/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and errors. Statements are not kept: preparing one costs some 20 us, keeping all of them 100 KB. */
#include "store/sql_internal.h"

#include <string.h>

static bool is_duplicate(int code)
{
    return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID;
}

bool sql_is_duplicate(const struct store_tx *tx, const char *column)
{
    return is_duplicate(sqlite3_extended_errcode(tx->db)) && strstr(sqlite3_errmsg(tx->db), column);
}

/* The errno behind an error of SQLite, 0 if none is known. */
static int errno_of(sqlite3 *db, int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return sqlite3_system_errno(db);
    default:
        return 0;
    }
}

int sql_fail_damaged(const struct store_tx *tx, const char *why, struct vl_error *err)
{
    return vl_fail(
        err, VL_INTERNAL,
        "the database '%.100s' is damaged (%.60s): keep a copy, then put back a backup (`cp BACKUP '%.100s'.restore`, "
        "and start volantd), or rebuild it with `sqlite3 DAMAGED .recover | sqlite3 NEW`",
        tx->path, why, tx->path);
}

static int fail_full(const struct store_tx *tx, struct vl_error *err)
{
    return vl_fail(err, VL_UNAVAILABLE, "there is no room for the database '%s': make room on its disk, or try again",
                   tx->path);
}

int sql_fail(const struct store_tx *tx, struct vl_error *err)
{
    int code = sqlite3_extended_errcode(tx->db);
    int errnum = errno_of(tx->db, code);

    if (is_duplicate(code)) return vl_fail(err, VL_CONFLICT, "%s", sqlite3_errmsg(tx->db));
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return vl_fail(err, VL_UNAVAILABLE, "another program holds the database '%s' locked: end it, or try again",
                       tx->path);
    case SQLITE_FULL:
        return fail_full(tx, err);
    case SQLITE_CORRUPT:
        return sql_fail_damaged(tx, sqlite3_errmsg(tx->db), err);
    case SQLITE_NOTADB:
        return vl_fail(err, VL_INTERNAL,
                       "'%s' is not an SQLite database: put back a backup, or name another file with VOLANT_DB_PATH",
                       tx->path);
    default:
        break;
    }
    if (errnum == ENOSPC || errnum == EDQUOT) return fail_full(tx, err);
    if (errnum) return vl_fail_errno(err, errnum, "database '%s'", tx->path);
    return vl_fail(err, VL_INTERNAL, "database '%s': %s", tx->path, sqlite3_errmsg(tx->db));
}

static int bind_value(sqlite3_stmt *stmt, int at, const struct sql_value *v)
{
    switch (v->type) {
    case SQL_VALUE_INT:
        return sqlite3_bind_int64(stmt, at, v->number);
    case SQL_VALUE_TEXT:
        return sqlite3_bind_text(stmt, at, v->text, -1, SQLITE_STATIC);
    case SQL_VALUE_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, at);
}

int sql_prepare(const struct store_tx *tx, const char *sql, const struct sql_value *values, size_t n,
                sqlite3_stmt **ret, struct vl_error *err)
{
    auto_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(tx->db, sql, -1, &stmt, NULL) != SQLITE_OK) return sql_fail(tx, err);
    for (size_t i = 0; i < n; i++)
        if (bind_value(stmt, (int)i + 1, &values[i]) != SQLITE_OK) return sql_fail(tx, err);
    *ret = take_ptr(stmt);
    return 0;
}

int sql_step(const struct store_tx *tx, sqlite3_stmt *stmt, struct vl_error *err)
{
    int code = sqlite3_step(stmt);

    if (code == SQLITE_ROW) return 1;
    return code == SQLITE_DONE ? 0 : sql_fail(tx, err);
}

int sql_run(const struct store_tx *tx, const char *sql, const struct sql_value *values, size_t n, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, sql, values, n, &stmt, err);

    if (r < 0) return r;
    while ((r = sql_step(tx, stmt, err)) == 1)
        ;
    return r;
}

int sql_script(const struct store_tx *tx, const char *sql, struct vl_error *err)
{
    return sqlite3_exec(tx->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sql_fail(tx, err);
}

int sql_number(const struct store_tx *tx, const char *sql, int64_t *ret, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, sql, SQL_NO_VALUES, &stmt, err);

    if (r < 0 || (r = sql_step(tx, stmt, err)) < 0) return r;
    if (r == 0) return vl_fail(err, VL_INTERNAL, "database '%s': '%s' gave no row", tx->path, sql);
    *ret = sqlite3_column_int64(stmt, 0);
    return 0;
}

int sql_column_copy(sqlite3_stmt *stmt, int column, char **ret)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    char *copy;

    if (!text && sqlite3_column_type(stmt, column) != SQLITE_NULL) return -ENOMEM;
    if (!(copy = strdup(text ? (const char *)text : ""))) return -ENOMEM;
    *ret = copy;
    return 0;
}
