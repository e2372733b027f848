/* SPDX-License-Identifier: Apache-2.0 */
/* Table plugin_artifacts: what plugins are registered with (contract 1.7). */
#include "store/sql_internal.h"
#include "store/store.h"

void artifact_row_done(struct artifact_row *r)
{
    char *texts[] = {r->plugin, r->version, r->name, r->kind, r->source_url, r->checksum, r->format, r->local_path};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    *r = (struct artifact_row){0};
}

int store_artifact_put(struct store_tx *tx, const struct artifact_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO plugin_artifacts (plugin, version, name, kind, source_url, checksum, format,"
                    " local_path, size_bytes, created_ms, updated_ms)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
                    " ON CONFLICT (plugin, version, name) DO UPDATE SET kind = ?4, source_url = ?5, checksum = ?6,"
                    " format = ?7, local_path = ?8, size_bytes = ?9, updated_ms = ?11",
                    SQL_VALUES(sql_text(row->plugin), sql_text(row->version), sql_text(row->name), sql_text(row->kind),
                               sql_text(row->source_url), sql_text(row->checksum), sql_text(row->format),
                               sql_text(row->local_path), sql_int(row->size_bytes), sql_int(row->created_ms),
                               sql_int(row->updated_ms)),
                    err);

    return r < 0 ? vl_wrap(err, "record artifact '%s' of plugin '%s'", row->name, row->plugin) : 0;
}

int store_artifact_delete(struct store_tx *tx, const char *plugin, const char *version, struct vl_error *err)
{
    int r = sql_run(tx, "DELETE FROM plugin_artifacts WHERE plugin = ?1 AND (?2 IS NULL OR version = ?2)",
                    SQL_VALUES(sql_text(plugin), sql_text_if(version)), err);

    return r < 0 ? vl_wrap(err, "remove artifacts of plugin '%s'", plugin) : 0;
}

static int read_row(sqlite3_stmt *stmt, struct artifact_row *ret)
{
    char **texts[] = {&ret->plugin,     &ret->version,  &ret->name,   &ret->kind,
                      &ret->source_url, &ret->checksum, &ret->format, &ret->local_path};
    int64_t *numbers[] = {&ret->id, &ret->size_bytes, &ret->created_ms, &ret->updated_ms};
    int r;

    for (int i = 0; i < (int)ARRAY_LEN(texts); i++)
        if ((r = sql_column_copy(stmt, i, texts[i])) < 0) return r;
    for (int i = 0; i < (int)ARRAY_LEN(numbers); i++)
        *numbers[i] = sqlite3_column_int64(stmt, (int)ARRAY_LEN(texts) + i);
    return 0;
}

int store_artifact_each(struct store_tx *tx, const char *plugin, const char *version, const char *name,
                        int (*fn)(void *arg, struct artifact_row *row), void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx,
                        "SELECT plugin, version, name, kind, source_url, checksum, format, local_path, id, size_bytes,"
                        " created_ms, updated_ms FROM plugin_artifacts WHERE (?1 IS NULL OR plugin = ?1)"
                        " AND (?2 IS NULL OR version = ?2) AND (?3 IS NULL OR name = ?3)"
                        " ORDER BY version DESC, name",
                        SQL_VALUES(sql_text_if(plugin), sql_text_if(version), sql_text_if(name)), &stmt, err);

    if (r < 0) return vl_wrap(err, "read artifacts");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(artifact_row_done) struct artifact_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read artifacts");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read artifacts") : 0;
}
