/* SPDX-License-Identifier: Apache-2.0 */
/* Table vm_ports: a port of the host belongs to one VM from its creation to its deletion, running or not. */
#include <inttypes.h>

#include "store/sql_internal.h"
#include "store/store.h"

void port_row_done(struct port_row *r)
{
    free(r->protocol);
    free(r->host_ip);
    free(r->name);
    *r = (struct port_row){0};
}

static int port_taken(const struct store_tx *tx, const struct port_row *row, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    auto_free char *owner = NULL;
    int r =
        sql_prepare(tx,
                    "SELECT vms.name FROM vm_ports JOIN vms ON vms.id = vm_ports.vm_id"
                    " WHERE host_port = ?1 AND protocol = ?2 AND host_ip = ?3",
                    SQL_VALUES(sql_int(row->host_port), sql_text(row->protocol), sql_text(row->host_ip)), &stmt, err);

    if (r < 0 || (r = sql_step(tx, stmt, err)) < 0) return r;
    if (r == 1 && (r = sql_column_copy(stmt, 0, &owner)) < 0) return vl_fail_errno(err, r, "record port");
    return vl_fail(err, VL_CONFLICT,
                   "host port %s:%" PRId64 "/%s belongs to VM '%s' until that is deleted: choose another", row->host_ip,
                   row->host_port, row->protocol, owner ? owner : "");
}

int store_port_insert(struct store_tx *tx, const struct port_row *row, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO vm_ports (vm_id, protocol, host_ip, host_port, port, name)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    SQL_VALUES(sql_int(row->vm_id), sql_text(row->protocol), sql_text(row->host_ip),
                               sql_int(row->host_port), sql_int(row->port), sql_text(row->name)),
                    err);

    if (r < 0 && sql_is_duplicate(tx, "vm_ports.host_port")) return port_taken(tx, row, err);
    return r < 0 ? vl_wrap(err, "record port %" PRId64, row->host_port) : 0;
}

int store_port_clear(struct store_tx *tx, int64_t vm_id, struct vl_error *err)
{
    int r = sql_run(tx, "DELETE FROM vm_ports WHERE vm_id = ?1", SQL_VALUES(sql_int(vm_id)), err);

    return r < 0 ? vl_wrap(err, "forget ports of VM %" PRId64, vm_id) : 0;
}

static int read_row(sqlite3_stmt *stmt, struct port_row *ret)
{
    int r;

    ret->vm_id = sqlite3_column_int64(stmt, 0);
    ret->host_port = sqlite3_column_int64(stmt, 1);
    ret->port = sqlite3_column_int64(stmt, 2);
    if ((r = sql_column_copy(stmt, 3, &ret->protocol)) < 0 || (r = sql_column_copy(stmt, 4, &ret->host_ip)) < 0)
        return r;
    return sql_column_copy(stmt, 5, &ret->name);
}

int store_port_each(struct store_tx *tx, int (*fn)(void *arg, struct port_row *row), void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r =
        sql_prepare(tx, "SELECT vm_id, host_port, port, protocol, host_ip, name FROM vm_ports ORDER BY vm_id, rowid",
                    SQL_NO_VALUES, &stmt, err);

    if (r < 0) return vl_wrap(err, "read ports");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(port_row_done) struct port_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read ports");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read ports") : 0;
}
