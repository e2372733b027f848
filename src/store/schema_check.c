/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a file that somebody sent has the tables and indices that our steps make, and nothing else: a trigger or view
 * would run with what volantd may do, and a table that is another one fails only when it is too late.
 */
#include <string.h>

#include "base/str.h"
#include "store/migrate.h"

static const char *text_of(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return text ? text : "";
}

/* Both are in order of names: the lesser one is what the other side does not have. */
static int fail_at(const struct store_tx *tx, const char *name, const char *wanted, struct vl_error *err)
{
    return vl_fail(
        err, VL_INVALID,
        "the tables of '%s' are not those that volantd makes ('%.60s' is another, missing, or one too many): "
        "take a backup that nobody changed",
        tx->path, *name && (!*wanted || strcmp(name, wanted) < 0) ? name : wanted);
}

/* 1 with the next row of both, which are equal; 0 after the last. */
static int step_both(const struct store_tx *tx, sqlite3_stmt *stmt, const struct store_tx *wanted, sqlite3_stmt *other,
                     struct vl_error *err)
{
    int r, w;

    if ((r = sql_step(tx, stmt, err)) < 0) return r;
    if ((w = sql_step(wanted, other, err)) < 0) return w;
    if (r == 0 && w == 0) return 0;
    for (int i = 0; i < sqlite3_column_count(stmt); i++)
        if (r != w || !str_eq(text_of(stmt, i), text_of(other, i)))
            return fail_at(tx, r ? text_of(stmt, 0) : "", w ? text_of(other, 0) : "", err);
    return 1;
}

static int compare(const struct store_tx *tx, const struct store_tx *wanted, struct vl_error *err)
{
    static const char schema[] = "SELECT name, type, tbl_name, sql FROM sqlite_schema"
                                 " WHERE substr(name, 1, 7) <> 'sqlite_' ORDER BY name, type";
    auto_stmt *stmt = NULL, *other = NULL;
    int r;

    if ((r = sql_prepare(tx, schema, SQL_NO_VALUES, &stmt, err)) < 0 ||
        (r = sql_prepare(wanted, schema, SQL_NO_VALUES, &other, err)) < 0)
        return r;
    while ((r = step_both(tx, stmt, wanted, other, err)) == 1)
        ;
    return r;
}

int schema_check(const struct store_tx *tx, size_t version, struct vl_error *err)
{
    struct store_tx wanted = {.path = "the schema of this volantd"};
    int r;

    if (sqlite3_open(":memory:", &wanted.db) != SQLITE_OK)
        r = vl_fail_errno(err, ENOMEM, "make the schema in memory");
    else if ((r = migrate(&wanted, schema_steps, version, err)) == 0)
        r = compare(tx, &wanted, err);
    (void)sqlite3_close(wanted.db);
    return r;
}
