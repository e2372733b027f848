/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that refer to nothing. Foreign keys make them impossible, unless another program wrote to the file. */
#include "store/sql_internal.h"
#include "store/store.h"

static const struct orphan_table {
    const char *count, *remove;
    size_t offset;
} tables[] = {
    {"SELECT count(*) FROM ip_allocations WHERE vm_id NOT IN (SELECT id FROM vms)",
     "DELETE FROM ip_allocations WHERE vm_id NOT IN (SELECT id FROM vms)", offsetof(struct store_orphans, leases)},
    {"SELECT count(*) FROM vm_ports WHERE vm_id NOT IN (SELECT id FROM vms)",
     "DELETE FROM vm_ports WHERE vm_id NOT IN (SELECT id FROM vms)", offsetof(struct store_orphans, ports)},
    {"SELECT count(*) FROM deployment_versions WHERE deployment_id NOT IN (SELECT id FROM deployments)",
     "DELETE FROM deployment_versions WHERE deployment_id NOT IN (SELECT id FROM deployments)",
     offsetof(struct store_orphans, versions)},
    {"SELECT count(*) FROM vm_configs WHERE vm_id NOT IN (SELECT id FROM vms)",
     "DELETE FROM vm_configs WHERE vm_id NOT IN (SELECT id FROM vms)", offsetof(struct store_orphans, configs)},
};

int store_orphans_count(struct store_tx *tx, struct store_orphans *ret, struct vl_error *err)
{
    struct store_orphans o = {0};
    int r;

    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if ((r = sql_number(tx, tables[i].count, (int64_t *)(void *)((char *)&o + tables[i].offset), err)) < 0)
            return vl_wrap(err, "look for rows of nothing");
    *ret = o;
    return 0;
}

int store_orphans_remove(struct store_tx *tx, struct vl_error *err)
{
    int r;

    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if ((r = sql_run(tx, tables[i].remove, SQL_NO_VALUES, err)) < 0) return vl_wrap(err, "remove rows of nothing");
    return 0;
}
