/* SPDX-License-Identifier: Apache-2.0 */
/* Tables deployments and deployment_versions: groups of equal VMs, and every configuration they were given. */
#include <inttypes.h>

#include "store/sql_internal.h"
#include "store/store.h"

void deployment_row_done(struct deployment_row *r)
{
    free(r->name);
    free(r->desired);
    free(r->rollout);
    free(r->reason);
    *r = (struct deployment_row){0};
}

void deployment_version_row_done(struct deployment_version_row *r)
{
    free(r->config);
    *r = (struct deployment_version_row){0};
}

int store_deployment_insert(struct store_tx *tx, const struct deployment_row *row, int64_t *ret_id,
                            struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO deployments (name, desired, replicas, version, rollout, reason, created_ms,"
                    " updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    SQL_VALUES(sql_text(row->name), sql_text(row->desired), sql_int(row->replicas),
                               sql_int(row->version), sql_text(row->rollout), sql_text(row->reason),
                               sql_int(row->created_ms), sql_int(row->updated_ms)),
                    err);

    if (r < 0 && sql_is_duplicate(tx, "deployments.name"))
        return vl_fail(err, VL_CONFLICT,
                       "a deployment named '%s' exists already: choose another name, or delete it first", row->name);
    if (r < 0) return vl_wrap(err, "record deployment '%s'", row->name);
    *ret_id = sqlite3_last_insert_rowid(tx->db);
    return 0;
}

static int check_found(const struct store_tx *tx, int r, int64_t id, struct vl_error *err)
{
    if (r < 0) return vl_wrap(err, "deployment %" PRId64, id);
    if (sqlite3_changes(tx->db) == 0) return vl_fail(err, VL_NOT_FOUND, "no deployment with id %" PRId64, id);
    return 0;
}

int store_deployment_update(struct store_tx *tx, const struct deployment_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "UPDATE deployments SET desired = ?2, replicas = ?3, version = ?4, rollout = ?5, reason = ?6,"
                    " updated_ms = ?7 WHERE id = ?1",
                    SQL_VALUES(sql_int(row->id), sql_text(row->desired), sql_int(row->replicas), sql_int(row->version),
                               sql_text(row->rollout), sql_text(row->reason), sql_int(row->updated_ms)),
                    err);

    return check_found(tx, r, row->id, err);
}

int store_deployment_delete(struct store_tx *tx, int64_t id, struct vl_error *err)
{
    return check_found(tx, sql_run(tx, "DELETE FROM deployments WHERE id = ?1", SQL_VALUES(sql_int(id)), err), id, err);
}

static int read_row(sqlite3_stmt *stmt, struct deployment_row *ret)
{
    char **texts[] = {&ret->name, &ret->desired, &ret->rollout, &ret->reason};
    int64_t *numbers[] = {&ret->id, &ret->replicas, &ret->version, &ret->created_ms, &ret->updated_ms};
    int r;

    for (int i = 0; i < (int)ARRAY_LEN(texts); i++)
        if ((r = sql_column_copy(stmt, i, texts[i])) < 0) return r;
    for (int i = 0; i < (int)ARRAY_LEN(numbers); i++)
        *numbers[i] = sqlite3_column_int64(stmt, (int)ARRAY_LEN(texts) + i);
    return 0;
}

int store_deployment_each(struct store_tx *tx, int (*fn)(void *arg, struct deployment_row *row), void *arg,
                          struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx,
                        "SELECT name, desired, rollout, reason, id, replicas, version, created_ms, updated_ms"
                        " FROM deployments ORDER BY name",
                        SQL_NO_VALUES, &stmt, err);

    if (r < 0) return vl_wrap(err, "read deployments");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(deployment_row_done) struct deployment_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read deployments");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read deployments") : 0;
}

int store_deployment_version_add(struct store_tx *tx, int64_t deployment_id, const struct deployment_version_row *row,
                                 struct vl_error *err)
{
    int r = sql_run(
        tx,
        "INSERT INTO deployment_versions (deployment_id, version, config, created_ms)"
        " VALUES (?1, ?2, ?3, ?4)",
        SQL_VALUES(sql_int(deployment_id), sql_int(row->version), sql_text(row->config), sql_int(row->created_ms)),
        err);

    return r < 0 ? vl_wrap(err, "record version %" PRId64 " of deployment %" PRId64, row->version, deployment_id) : 0;
}

int store_deployment_version_drop(struct store_tx *tx, int64_t deployment_id, int64_t version, struct vl_error *err)
{
    int r = sql_run(tx, "DELETE FROM deployment_versions WHERE deployment_id = ?1 AND version = ?2",
                    SQL_VALUES(sql_int(deployment_id), sql_int(version)), err);

    return r < 0 ? vl_wrap(err, "forget version %" PRId64 " of deployment %" PRId64, version, deployment_id) : 0;
}

int store_deployment_version_each(struct store_tx *tx, int64_t deployment_id,
                                  int (*fn)(void *arg, struct deployment_version_row *row), void *arg,
                                  struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx,
                        "SELECT config, version, created_ms FROM deployment_versions WHERE deployment_id = ?1"
                        " ORDER BY version DESC",
                        SQL_VALUES(sql_int(deployment_id)), &stmt, err);

    if (r < 0) return vl_wrap(err, "read versions of deployment %" PRId64, deployment_id);
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(deployment_version_row_done) struct deployment_version_row row = {0};

        if ((r = sql_column_copy(stmt, 0, &row.config)) < 0) return vl_fail_errno(err, r, "read deployment versions");
        row.version = sqlite3_column_int64(stmt, 1);
        row.created_ms = sqlite3_column_int64(stmt, 2);
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read versions of deployment %" PRId64, deployment_id) : 0;
}
