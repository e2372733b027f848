/* SPDX-License-Identifier: Apache-2.0 */
/* Table vms: what was asked of each VM, and what was last known of it. */
#include <inttypes.h>
#include <string.h>

#include "store/sql_internal.h"
#include "store/store.h"

void vm_row_done(struct vm_row *r)
{
    char *texts[] = {r->name,        r->plugin, r->runtime,  r->desired, r->status,         r->reason,    r->ip_address,
                     r->mac_address, r->config, r->manifest, r->boot,    r->kernel_cmdline, r->deployment};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    *r = (struct vm_row){0};
}

int store_vm_insert(struct store_tx *tx, const struct vm_row *row, int64_t *ret_id, struct vl_error *err)
{
    struct vm_row first = *row; /* borrows */
    int r;

    first.config_version = 1;
    first.config_ms = row->created_ms;
    r = sql_run(tx,
                "INSERT INTO vms (name, plugin, runtime, desired, status, reason, cpu_cores, memory_mb, ip_address,"
                " mac_address, config, manifest, boot, kernel_cmdline, pid, exit_code, created_ms, updated_ms,"
                " deployment, revision, started_ms, id, config_version, config_ms)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
                " ?20, ?21, ?22, ?23, ?24)",
                SQL_VALUES(sql_text(row->name), sql_text(row->plugin), sql_text(row->runtime), sql_text(row->desired),
                           sql_text(row->status), sql_text(row->reason), sql_int(row->cpu_cores),
                           sql_int(row->memory_mb), sql_text_if(row->ip_address), sql_text_if(row->mac_address),
                           sql_text(row->config), sql_text(row->manifest), sql_text(row->boot),
                           sql_text(row->kernel_cmdline), sql_int_if(row->pid != 0, row->pid),
                           sql_int_if(row->has_exit_code, row->exit_code), sql_int(row->created_ms),
                           sql_int(row->updated_ms), sql_text(row->deployment), sql_int(row->revision),
                           sql_int(row->started_ms), sql_int_if(row->id != 0, row->id), sql_int(first.config_version),
                           sql_int(first.config_ms)),
                err);

    if (r < 0 && sql_is_duplicate(tx, "vms.name"))
        return vl_fail(err, VL_CONFLICT, "a VM named '%s' exists already: choose another name, or delete it first",
                       row->name);
    if (r < 0) return vl_wrap(err, "record VM '%s'", row->name);
    first.id = sqlite3_last_insert_rowid(tx->db);
    if ((r = store_vm_config_add(tx, &first, err)) < 0) return r;
    *ret_id = first.id;
    return 0;
}

/* After a statement that should have found the VM. */
static int check_found(const struct store_tx *tx, int r, int64_t id, struct vl_error *err)
{
    if (r < 0) return vl_wrap(err, "VM %" PRId64, id);
    if (sqlite3_changes(tx->db) == 0) return vl_fail(err, VL_NOT_FOUND, "no VM with id %" PRId64, id);
    return 0;
}

int store_vm_update(struct store_tx *tx, const struct vm_row *row, struct vl_error *err)
{
    int r = sql_run(
        tx,
        "UPDATE vms SET desired = ?2, status = ?3, reason = ?4, boot = ?5, kernel_cmdline = ?6, pid = ?7,"
        " exit_code = ?8, updated_ms = ?9, restarts = ?10, not_before_ms = ?11, started_ms = ?12, revision = ?13"
        " WHERE id = ?1",
        SQL_VALUES(sql_int(row->id), sql_text(row->desired), sql_text(row->status), sql_text(row->reason),
                   sql_text(row->boot), sql_text(row->kernel_cmdline), sql_int_if(row->pid != 0, row->pid),
                   sql_int_if(row->has_exit_code, row->exit_code), sql_int(row->updated_ms), sql_int(row->restarts),
                   sql_int(row->not_before_ms), sql_int(row->started_ms), sql_int(row->revision)),
        err);

    return check_found(tx, r, row->id, err);
}

int store_vm_configure(struct store_tx *tx, const struct vm_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "UPDATE vms SET runtime = ?2, plugin = ?3, cpu_cores = ?4, memory_mb = ?5, config = ?6,"
                    " manifest = ?7, revision = ?8, config_version = ?9, config_ms = ?10 WHERE id = ?1",
                    SQL_VALUES(sql_int(row->id), sql_text(row->runtime), sql_text(row->plugin), sql_int(row->cpu_cores),
                               sql_int(row->memory_mb), sql_text(row->config), sql_text(row->manifest),
                               sql_int(row->revision), sql_int(row->config_version), sql_int(row->config_ms)),
                    err);

    return (r = check_found(tx, r, row->id, err)) < 0 ? r : store_vm_config_add(tx, row, err);
}

int store_vm_delete(struct store_tx *tx, int64_t id, struct vl_error *err)
{
    return check_found(tx, sql_run(tx, "DELETE FROM vms WHERE id = ?1", SQL_VALUES(sql_int(id)), err), id, err);
}

int store_vm_set_address(struct store_tx *tx, int64_t id, const char *ip_address, const char *mac_address,
                         struct vl_error *err)
{
    int r = sql_run(tx, "UPDATE vms SET ip_address = ?2, mac_address = ?3 WHERE id = ?1",
                    SQL_VALUES(sql_int(id), sql_text_if(ip_address), sql_text_if(mac_address)), err);

    return check_found(tx, r, id, err);
}

int store_vm_reserve(struct store_tx *tx, int64_t id, struct vl_error *err)
{
    int r = sql_run(tx, "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'vms' AND seq < ?1", SQL_VALUES(sql_int(id)),
                    err);

    return r < 0 ? vl_wrap(err, "reserve VM ids up to %" PRId64, id) : 0;
}

#define VM_COLUMNS                                                                                                     \
    "name, plugin, runtime, desired, status, reason, ip_address, mac_address, config, manifest, boot, kernel_cmdline," \
    " deployment, id, cpu_cores, memory_mb, pid, exit_code, created_ms, updated_ms, revision, restarts,"               \
    " not_before_ms, started_ms, config_version, config_ms"

/* What was read before it failed is in *ret as well. */
static int read_row(sqlite3_stmt *stmt, struct vm_row *ret)
{
    char **texts[] = {&ret->name,   &ret->plugin,         &ret->runtime,     &ret->desired, &ret->status,
                      &ret->reason, &ret->ip_address,     &ret->mac_address, &ret->config,  &ret->manifest,
                      &ret->boot,   &ret->kernel_cmdline, &ret->deployment};
    int64_t *numbers[] = {&ret->id,         &ret->cpu_cores,      &ret->memory_mb, &ret->pid,      &ret->exit_code,
                          &ret->created_ms, &ret->updated_ms,     &ret->revision,  &ret->restarts, &ret->not_before_ms,
                          &ret->started_ms, &ret->config_version, &ret->config_ms};
    const int first_number = (int)ARRAY_LEN(texts), exit_code = first_number + 4;
    int r;

    for (int i = 0; i < first_number; i++)
        if ((r = sql_column_copy(stmt, i, texts[i])) < 0) return r;
    for (int i = 0; i < (int)ARRAY_LEN(numbers); i++)
        *numbers[i] = sqlite3_column_int64(stmt, first_number + i);
    ret->has_exit_code = sqlite3_column_type(stmt, exit_code) != SQLITE_NULL;
    return 0;
}

int store_vm_each(struct store_tx *tx, int (*fn)(void *arg, struct vm_row *row), void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, "SELECT " VM_COLUMNS " FROM vms ORDER BY id", SQL_NO_VALUES, &stmt, err);

    if (r < 0) return vl_wrap(err, "read VMs");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(vm_row_done) struct vm_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read VMs");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read VMs") : 0;
}
