/* SPDX-License-Identifier: Apache-2.0 */
/* Table events: appended in the transaction that made them true, and bounded. */
#include "store/sql_internal.h"
#include "store/store.h"

int store_event_add(struct store_tx *tx, int64_t vm_id, const char *vm_name, const char *type, const char *status,
                    const char *message, int64_t at_ms, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO events (vm_id, vm_name, type, status, message, at_ms)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    SQL_VALUES(sql_int(vm_id), sql_text(vm_name), sql_text(type), sql_text(status), sql_text(message),
                               sql_int(at_ms)),
                    err);

    if (r == 0)
        r = sql_run(tx, "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1",
                    SQL_VALUES(sql_int(STORE_EVENTS_KEPT)), err);
    return r < 0 ? vl_wrap(err, "record event %s", type) : 0;
}
