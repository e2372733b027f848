/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table events: appended in the transaction that made them true, and bounded. Where somebody watches, what was appended
 * travels with the operation to the loop.
 */
#include "store/events.h"

#include "store/sql_internal.h"
#include "store/store.h"

#define EVENT_COLUMNS "id, vm_id, pid, at_ms, vm_name, type, status, message, ip_address, mac_address"

void event_row_done(struct event_row *r)
{
    char *texts[] = {r->vm_name, r->type, r->status, r->message, r->ip_address, r->mac_address};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    *r = (struct event_row){0};
}

static int read_row(sqlite3_stmt *stmt, struct event_row *ret)
{
    int64_t *numbers[] = {&ret->id, &ret->vm_id, &ret->pid, &ret->at_ms};
    char **texts[] = {&ret->vm_name, &ret->type, &ret->status, &ret->message, &ret->ip_address, &ret->mac_address};
    int r;

    for (int i = 0; i < (int)ARRAY_LEN(numbers); i++)
        *numbers[i] = sqlite3_column_int64(stmt, i);
    for (int i = 0; i < (int)ARRAY_LEN(texts); i++)
        if ((r = sql_column_copy(stmt, (int)ARRAY_LEN(numbers) + i, texts[i])) < 0) return r;
    return 0;
}

int store_event_each(struct store_tx *tx, int64_t after, int64_t limit, int (*fn)(void *arg, struct event_row *row),
                     void *arg, struct vl_error *err)
{
    auto_stmt *stmt = NULL;
    int r = sql_prepare(tx, "SELECT " EVENT_COLUMNS " FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
                        SQL_VALUES(sql_int(after), sql_int(limit)), &stmt, err);

    if (r < 0) return vl_wrap(err, "read events");
    while ((r = sql_step(tx, stmt, err)) == 1) {
        auto_(event_row_done) struct event_row row = {0};

        if ((r = read_row(stmt, &row)) < 0) return vl_fail_errno(err, r, "read events");
        if ((r = fn(arg, &row)) < 0) return r;
    }
    return r < 0 ? vl_wrap(err, "read events") : 0;
}

int store_event_last(struct store_tx *tx, int64_t *ret, struct vl_error *err)
{
    return sql_number(tx, "SELECT coalesce(max(id), 0) FROM events", ret, err);
}

static int keep_row(void *arg, struct event_row *row)
{
    struct store_op *op = arg;
    struct event_row *more = reallocarray(op->events, op->n_events + 1, sizeof(*more));

    if (!more) return -ENOMEM;
    op->events = more;
    op->events[op->n_events++] = *row;
    *row = (struct event_row){0}; /* moved */
    return 0;
}

/* What the watcher is told must not make the operation fail. */
static void keep_last(struct store_tx *tx)
{
    struct vl_error err = {0};

    if (tx->watched && store_event_each(tx, sqlite3_last_insert_rowid(tx->db) - 1, 1, keep_row, tx->watched, &err) < 0)
        tx->watched->events_lost = true;
}

int store_event_add(struct store_tx *tx, int64_t vm_id, const char *vm_name, const char *type, const char *status,
                    const char *message, int64_t at_ms, struct vl_error *err)
{
    int r = sql_run(tx,
                    "INSERT INTO events (vm_id, vm_name, type, status, message, at_ms, ip_address, mac_address, pid)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
                    " coalesce((SELECT ip_address FROM vms WHERE id = ?1), ''),"
                    " coalesce((SELECT mac_address FROM vms WHERE id = ?1), ''),"
                    " coalesce((SELECT pid FROM vms WHERE id = ?1), 0))",
                    SQL_VALUES(sql_int(vm_id), sql_text(vm_name), sql_text(type), sql_text(status), sql_text(message),
                               sql_int(at_ms)),
                    err);

    if (r < 0) return vl_wrap(err, "record event %s", type);
    keep_last(tx);
    r = sql_run(tx, "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1",
                SQL_VALUES(sql_int(STORE_EVENTS_KEPT)), err);
    return r < 0 ? vl_wrap(err, "record event %s", type) : 0;
}

void events_take(struct store_op *op, struct told_events *ret)
{
    *ret = (struct told_events){.rows = op->events, .n = op->n_events, .lost = op->events_lost};
    op->events = NULL;
    op->n_events = 0;
    op->events_lost = false;
}

void told_events_done(struct told_events *t)
{
    for (size_t i = 0; i < t->n; i++)
        event_row_done(&t->rows[i]);
    free(t->rows);
    *t = (struct told_events){0};
}
