/* SPDX-License-Identifier: Apache-2.0 */
/* Table tokens: who may use the API over TCP, and as what. */
#include "store/sql_internal.h"
#include "store/store.h"

void token_row_done(struct token_row *r)
{
    free(r->name);
    free(r->role);
    free(r->hash);
    *r = (struct token_row){0};
}

int store_token_insert(struct store_tx *tx, const struct token_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO tokens (name, role, hash, created_ms) VALUES (?1, ?2, ?3, ?4)"
                    " ON CONFLICT (name) DO NOTHING",
                    SQL_VALUES(sql_text(row->name), sql_text(row->role), sql_text(row->hash), sql_int(row->created_ms)),
                    err);

    if (r < 0) return vl_wrap(err, "record token '%s'", row->name);
    if (sqlite3_changes(tx->db) == 0) return vl_fail(err, VL_CONFLICT, "token '%s' already exists", row->name);
    return 0;
}

int store_token_delete(struct store_tx *tx, const char *name, struct vl_error *err)
{
    int r = sql_run(tx, "DELETE FROM tokens WHERE name = ?1", SQL_VALUES(sql_text(name)), err);

    if (r < 0) return vl_wrap(err, "token '%s'", name);
    if (sqlite3_changes(tx->db) == 0) return vl_fail(err, VL_NOT_FOUND, "token '%s' not found", name);
    return 0;
}

static int read_row(sqlite3_stmt *stmt, struct token_row *ret)
{
    int r;

    ret->created_ms = sqlite3_column_int64(stmt, 0);
    if ((r = sql_column_copy(stmt, 1, &ret->name)) < 0 || (r = sql_column_copy(stmt, 2, &ret->role)) < 0) return r;
    return sql_column_copy(stmt, 3, &ret->hash);
}

int store_token_each(struct store_tx *tx, int (*fn)(void *arg, struct token_row *row), void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, "SELECT created_ms, name, role, hash FROM tokens ORDER BY name", SQL_NO_VALUES, &stmt, err);

    if (r < 0) return vl_wrap(err, "read tokens");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(token_row_done) struct token_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read tokens");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read tokens") : 0;
}
