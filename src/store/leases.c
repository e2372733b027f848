/* SPDX-License-Identifier: Apache-2.0 */
/* Table ip_allocations: a VM has one address from its creation to its deletion, which takes the row along. */
#include "base/str.h"
#include "store/sql_internal.h"
#include "store/store.h"

/* The first address if it is free, else the lowest one after a leased one that is free itself: no pool to fill. */
static const char take_lowest[] =
    "INSERT INTO ip_allocations (address, vm_id)"
    " SELECT address, ?1 FROM"
    "  (SELECT ?2 AS address"
    "   UNION ALL SELECT address + 1 FROM ip_allocations WHERE address >= ?2 AND address < ?3) AS candidates"
    " WHERE NOT EXISTS (SELECT 1 FROM ip_allocations AS leased WHERE leased.address = candidates.address)"
    " ORDER BY address LIMIT 1"
    " RETURNING address";

static int all_taken(uint32_t first, uint32_t last, struct vl_error *err)
{
    char from[16], to[16];

    format_ipv4(first, from);
    format_ipv4(last, to);
    return vl_fail(err, VL_CONFLICT,
                   "all %u addresses from %s to %s are leased: delete a VM, or give volantd a larger VOLANT_SUBNET",
                   last - first + 1, from, to);
}

int store_lease_take(struct store_tx *tx, int64_t vm_id, uint32_t first, uint32_t last, uint32_t *ret,
                     struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    uint32_t address;
    int r = sql_prepare(tx, take_lowest, SQL_VALUES(sql_int(vm_id), sql_int(first), sql_int(last)), &stmt, err);

    if (r < 0 || (r = sql_step(tx, stmt, err)) < 0) return vl_wrap(err, "lease an address");
    if (r == 0) return all_taken(first, last, err);
    address = (uint32_t)sqlite3_column_int64(stmt, 0);
    if ((r = sql_step(tx, stmt, err)) < 0) return vl_wrap(err, "lease an address");
    *ret = address;
    return 0;
}

static int lease_taken(const struct store_tx *tx, uint32_t address, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    auto_free char *owner = NULL;
    char text[16];
    int r = sql_prepare(tx,
                        "SELECT vms.name FROM ip_allocations JOIN vms ON vms.id = ip_allocations.vm_id"
                        " WHERE address = ?1",
                        SQL_VALUES(sql_int(address)), &stmt, err);

    if (r < 0 || (r = sql_step(tx, stmt, err)) < 0) return r;
    if (r == 1 && (r = sql_column_copy(stmt, 0, &owner)) < 0) return vl_fail_errno(err, r, "lease an address");
    format_ipv4(address, text);
    return vl_fail(err, VL_CONFLICT, "address %s belongs to VM '%s' until that is deleted", text, owner ? owner : "");
}

int store_lease_take_exact(struct store_tx *tx, int64_t vm_id, uint32_t address, struct vl_error *err)
{
    int r = sql_run(tx, "INSERT INTO ip_allocations (address, vm_id) VALUES (?1, ?2)",
                    SQL_VALUES(sql_int(address), sql_int(vm_id)), err);

    if (r < 0 && sql_is_duplicate(tx, "ip_allocations.address")) return lease_taken(tx, address, err);
    return r < 0 ? vl_wrap(err, "lease an address") : 0;
}
