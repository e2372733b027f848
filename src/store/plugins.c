/* SPDX-License-Identifier: Apache-2.0 */
/* Table plugins: the manifests VMs are created from. */
#include "store/sql_internal.h"
#include "store/store.h"

void plugin_row_done(struct plugin_row *r)
{
    free(r->name);
    free(r->version);
    free(r->manifest);
    *r = (struct plugin_row){0};
}

int store_plugin_put(struct store_tx *tx, const struct plugin_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO plugins (name, version, enabled, manifest, installed_ms, updated_ms)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                    " ON CONFLICT (name) DO UPDATE SET version = ?2, enabled = ?3, manifest = ?4, installed_ms = ?5,"
                    " updated_ms = ?6",
                    SQL_VALUES(sql_text(row->name), sql_text(row->version), sql_int(row->enabled),
                               sql_text(row->manifest), sql_int(row->installed_ms), sql_int(row->updated_ms)),
                    err);

    return r < 0 ? vl_wrap(err, "record plugin '%s'", row->name) : 0;
}

/* After a statement that should have found the plugin. */
static int check_found(const struct store_tx *tx, int r, const char *name, struct vl_error *err)
{
    if (r < 0) return vl_wrap(err, "plugin '%s'", name);
    if (sqlite3_changes(tx->db) == 0) return vl_fail(err, VL_NOT_FOUND, "plugin '%s' not found", name);
    return 0;
}

int store_plugin_enable(struct store_tx *tx, const char *name, bool enabled, struct vl_error *err)
{
    int r = sql_run(tx, "UPDATE plugins SET enabled = ?2 WHERE name = ?1", SQL_VALUES(sql_text(name), sql_int(enabled)),
                    err);

    return check_found(tx, r, name, err);
}

int store_plugin_delete(struct store_tx *tx, const char *name, struct vl_error *err)
{
    int r = sql_run(tx, "DELETE FROM plugins WHERE name = ?1", SQL_VALUES(sql_text(name)), err);

    return check_found(tx, r, name, err);
}

static int read_row(sqlite3_stmt *stmt, struct plugin_row *ret)
{
    int r;

    ret->enabled = sqlite3_column_int64(stmt, 0) != 0;
    ret->installed_ms = sqlite3_column_int64(stmt, 1);
    ret->updated_ms = sqlite3_column_int64(stmt, 2);
    if ((r = sql_column_copy(stmt, 3, &ret->name)) < 0 || (r = sql_column_copy(stmt, 4, &ret->version)) < 0) return r;
    return sql_column_copy(stmt, 5, &ret->manifest);
}

int store_plugin_each(struct store_tx *tx, int (*fn)(void *arg, struct plugin_row *row), void *arg,
                      struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r =
        sql_prepare(tx, "SELECT enabled, installed_ms, updated_ms, name, version, manifest FROM plugins ORDER BY name",
                    SQL_NO_VALUES, &stmt, err);

    if (r < 0) return vl_wrap(err, "read plugins");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(plugin_row_done) struct plugin_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read plugins");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read plugins") : 0;
}
