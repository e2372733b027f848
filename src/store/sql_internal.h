/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store share: statements are prepared, bound and stepped here alone, so that every failure of
 * SQLite becomes an error of the same kind and wording everywhere. Store thread, or the opening thread before it runs.
 */
#pragma once
#include <sqlite3.h>

#include "base/error.h"

struct store_tx {
    sqlite3 *db;
    const char *path;         /* of the database, for texts */
    struct store_op *watched; /* gets the events that are appended; NULL: nobody wants them */
};

DEFINE_AUTO(sqlite3_stmt *, sqlite3_finalize)
#define auto_stmt auto_(sqlite3_finalizep) sqlite3_stmt

/* A value to bind. Texts are borrowed until the statement is gone. */
struct sql_value {
    enum { SQL_VALUE_NULL, SQL_VALUE_INT, SQL_VALUE_TEXT } type;
    int64_t number;
    const char *text;
};
static inline struct sql_value sql_int(int64_t n)
{
    return (struct sql_value){.type = SQL_VALUE_INT, .number = n};
}
static inline struct sql_value sql_int_if(bool known, int64_t n)
{
    return known ? sql_int(n) : (struct sql_value){.type = SQL_VALUE_NULL};
}
/* NULL is "" here: the columns of texts are NOT NULL. */
static inline struct sql_value sql_text(const char *s)
{
    return (struct sql_value){.type = SQL_VALUE_TEXT, .text = s ? s : ""};
}
/* NULL and "" are no value: for UNIQUE columns, where several rows may have none. */
static inline struct sql_value sql_text_if(const char *s)
{
    return s && *s ? sql_text(s) : (struct sql_value){.type = SQL_VALUE_NULL};
}
#define SQL_VALUES(...)                                                                                                \
    ((const struct sql_value[]){__VA_ARGS__}),                                                                         \
        (sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value))
#define SQL_NO_VALUES NULL, 0

/* Prepares one statement and binds values to ?1, ?2, ... */
int sql_prepare(const struct store_tx *tx, const char *sql, const struct sql_value *values, size_t n,
                sqlite3_stmt **ret, struct vl_error *err);
/* 1 with the next row, 0 after the last one. */
int sql_step(const struct store_tx *tx, sqlite3_stmt *stmt, struct vl_error *err);
/* Prepares, binds and runs to the end; the number of rows changed is sqlite3_changes. */
int sql_run(const struct store_tx *tx, const char *sql, const struct sql_value *values, size_t n, struct vl_error *err);
/* Any number of statements without values. */
int sql_script(const struct store_tx *tx, const char *sql, struct vl_error *err);
/* The first column of the first row, a number; no row is VL_INTERNAL. */
int sql_number(const struct store_tx *tx, const char *sql, int64_t *ret, struct vl_error *err);

/* A copy, "" for NULL; *ret is untouched when out of memory (-ENOMEM). */
int sql_column_copy(sqlite3_stmt *stmt, int column, char **ret);

/*
 * The error of the connection's last call: UNIQUE is VL_CONFLICT, busy and a full disk VL_UNAVAILABLE, all else
 * VL_INTERNAL, for a damaged file with the remedy. Callers put in front what they were doing (vl_wrap).
 */
int sql_fail(const struct store_tx *tx, struct vl_error *err);
/* VL_INTERNAL: what is wrong with the file, and what to do. */
int sql_fail_damaged(const struct store_tx *tx, const char *why, struct vl_error *err);
/* The last call failed as a UNIQUE or primary key over `column` ("vms.name"). */
bool sql_is_duplicate(const struct store_tx *tx, const char *column);
