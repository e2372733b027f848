/* SPDX-License-Identifier: Apache-2.0 */
/* Table vm_configs: every configuration a VM was given, so that it can have an earlier one again. */
#include <inttypes.h>

#include "store/sql_internal.h"
#include "store/store.h"

void vm_config_row_done(struct vm_config_row *r)
{
    free(r->config);
    free(r->manifest);
    *r = (struct vm_config_row){0};
}

int store_vm_config_add(struct store_tx *tx, const struct vm_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO vm_configs (vm_id, version, config, manifest, created_ms)"
                    " VALUES (?1, ?2, ?3, ?4, ?5)",
                    SQL_VALUES(sql_int(row->id), sql_int(row->config_version), sql_text(row->config),
                               sql_text(row->manifest), sql_int(row->config_ms)),
                    err);

    if (r == 0)
        r = sql_run(tx, "DELETE FROM vm_configs WHERE vm_id = ?1 AND version <= ?2",
                    SQL_VALUES(sql_int(row->id), sql_int(row->config_version - STORE_CONFIGS_KEPT)), err);
    if (r < 0) return vl_wrap(err, "record configuration %" PRId64 " of VM %" PRId64, row->config_version, row->id);
    return 0;
}

static int read_row(sqlite3_stmt *stmt, struct vm_config_row *ret)
{
    int r;

    ret->id = sqlite3_column_int64(stmt, 0);
    ret->version = sqlite3_column_int64(stmt, 1);
    ret->created_ms = sqlite3_column_int64(stmt, 2);
    if ((r = sql_column_copy(stmt, 3, &ret->config)) < 0) return r;
    return sql_column_copy(stmt, 4, &ret->manifest);
}

int store_vm_config_count(struct store_tx *tx, int64_t vm_id, int64_t *ret, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, "SELECT count(*) FROM vm_configs WHERE vm_id = ?1", SQL_VALUES(sql_int(vm_id)), &stmt, err);

    if (r < 0 || (r = sql_step(tx, stmt, err)) < 0) return vl_wrap(err, "count configurations of VM %" PRId64, vm_id);
    *ret = sqlite3_column_int64(stmt, 0);
    return 0;
}

int store_vm_config_each(struct store_tx *tx, int64_t vm_id, int64_t version, int64_t limit, int64_t offset,
                         int (*fn)(void *arg, struct vm_config_row *row), void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx,
                        "SELECT id, version, created_ms, config, manifest FROM vm_configs"
                        " WHERE vm_id = ?1 AND (?2 = 0 OR version = ?2) ORDER BY version DESC LIMIT ?3 OFFSET ?4",
                        SQL_VALUES(sql_int(vm_id), sql_int(version), sql_int(limit > 0 ? limit : -1), sql_int(offset)),
                        &stmt, err);

    if (r < 0) return vl_wrap(err, "read configurations of VM %" PRId64, vm_id);
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(vm_config_row_done) struct vm_config_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read configurations");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read configurations of VM %" PRId64, vm_id) : 0;
}
