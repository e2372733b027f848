/* SPDX-License-Identifier: Apache-2.0 */
/* Every text of the registry that may name an artifact. */
#include "store/sql_internal.h"
#include "store/store.h"

int store_mentions_each(struct store_tx *tx, int (*fn)(void *arg, const char *text), void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r =
        sql_prepare(tx,
                    "SELECT manifest FROM plugins UNION ALL SELECT manifest FROM vms UNION ALL SELECT config FROM vms"
                    " UNION ALL SELECT manifest FROM vm_configs UNION ALL SELECT config FROM vm_configs"
                    " UNION ALL SELECT config FROM deployment_versions"
                    " UNION ALL SELECT checksum FROM plugin_artifacts",
                    NULL, 0, &stmt, err);

    if (r < 0) return vl_wrap(err, "read what names artifacts");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);

        if (text && (r = fn(arg, text)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read what names artifacts") : 0;
}
