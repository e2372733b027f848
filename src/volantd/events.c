/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/events.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define READERS_MAX  1100
#define HEARTBEAT_MS 15000

struct events {
    struct loop *loop;
    struct event *kept[EVENTS_KEPT]; /* event number n is at n % EVENTS_KEPT */
    uint64_t first, next;            /* numbers of those kept */
    size_t bytes;
    int64_t last_id;
    struct events_reader *readers;
    size_t n_readers;
    struct timer heartbeat;
    uint64_t beats;
};

#define TYPES                                                                                                          \
    "VM_CREATED", "VM_STARTING", "VM_RUNNING", "VM_STOPPING", "VM_STOPPED", "VM_CRASHED", "VM_FAILED", "VM_DELETED",   \
        "VM_UPDATED", "VM_PAUSED", "VM_RESUMED", "VM_HEALTHY", "VM_UNHEALTHY", "VM_UNRESPONSIVE", "VM_ADOPTED",        \
        "VM_IMPORTED", "VM_LOG"
const char *const event_types[] = {TYPES, NULL};

/* What event_make writes, for schemas; and its last words to whoever reads too slowly. */
static const char *const told_types[] = {TYPES, "STREAM_DROPPED", NULL};
static const struct field told_fields[] = {
    {"type", FIELD_STRING, .flags = FIELD_EMIT, .choices = told_types},
    {"name", FIELD_STRING, .flags = FIELD_EMIT, .about = "Of the VM."},
    {"status", FIELD_STRING, .flags = FIELD_EMIT, .about = "Of the VM, from then on."},
    {"ip_address", FIELD_STRING, .flags = 0},
    {"mac_address", FIELD_STRING, .flags = 0},
    {"pid", FIELD_INT, .flags = 0},
    {"message", FIELD_STRING, .about = "What happened, in words."},
    {"stream", FIELD_STRING, .about = "Of VM_LOG: stdout or stderr."},
    {"line", FIELD_STRING, .about = "Of VM_LOG."},
    {"timestamp", FIELD_STRING, .format = "date-time"},
};
const struct schema event_schema = {"event", 0, told_fields, ARRAY_LEN(told_fields)};

/* --- one event ---------------------------------------------------------------------------------------------------- */

void event_unref(struct event *e)
{
    if (--e->refs == 0) free(e);
}

static void add_member(struct strbuf *b, const char *key, const char *value)
{
    if (!value) return;
    strbuf_adds(b, key);
    strbuf_add_json(b, value, strlen(value));
}

static const char *some(const char *text)
{
    return text && *text ? text : NULL;
}

struct event_log_part {
    const char *stream, *line, *timestamp;
};

/* The order of contract 1.9; what is empty is left out there, but for name and status. */
static struct event *event_make(const struct event_row *row, const struct event_log_part *log)
{
    auto_strbuf b = {0};
    struct event *e;
    char time[32];

    format_time(row->at_ms, time);
    strbuf_addf(&b, "id: %lld\nevent: %s\n", (long long)row->id, row->type);
    add_member(&b, "data: {\"type\":", row->type);
    add_member(&b, ",\"name\":", row->vm_name);
    add_member(&b, ",\"status\":", row->status);
    add_member(&b, ",\"ip_address\":", some(row->ip_address));
    add_member(&b, ",\"mac_address\":", some(row->mac_address));
    if (row->pid) strbuf_addf(&b, ",\"pid\":%lld", (long long)row->pid);
    add_member(&b, ",\"message\":", some(row->message));
    add_member(&b, ",\"stream\":", log ? log->stream : NULL);
    add_member(&b, ",\"line\":", log ? log->line : NULL);
    add_member(&b, ",\"timestamp\":", log && *log->timestamp ? log->timestamp : time);
    strbuf_adds(&b, "}\n\n");
    if (b.failed || !(e = malloc(sizeof(*e) + b.len + 1))) return NULL;
    *e = (struct event){.refs = 1, .id = row->id, .log_line = log != NULL, .len = b.len};
    (void)strf(e->vm, sizeof(e->vm), "%s", row->vm_name);
    (void)strf(e->type, sizeof(e->type), "%s", row->type);
    memcpy(e->text, b.data, b.len + 1);
    return e;
}

struct event *event_of_row(const struct event_row *row)
{
    return event_make(row, NULL);
}

/* --- readers ------------------------------------------------------------------------------------------------------ */

void events_filter_done(struct events_filter *f)
{
    strv_done(&f->vms);
    strv_done(&f->types);
}

static bool among(const struct strv *list, const char *text)
{
    for (size_t i = 0; i < list->len; i++)
        if (str_eq(list->items[i], text)) return true;
    return list->len == 0;
}

bool events_match(const struct events_filter *f, const char *vm, const char *type)
{
    return among(&f->vms, vm) && among(&f->types, type);
}

static void wake(struct events_reader *r)
{
    if (!r->idle) return;
    r->idle = false;
    r->wake(r);
}

int events_join(struct events *e, struct events_reader *r, int64_t after, struct vl_error *err)
{
    if (e->n_readers == READERS_MAX)
        return vl_fail(err, VL_UNAVAILABLE, "volantd has all the readers of events it can serve (%d): try again later",
                       READERS_MAX);
    r->events = e;
    r->beats = e->beats;
    if ((r->next = e->readers)) r->next->prev = &r->next;
    r->prev = &e->readers;
    e->readers = r;
    e->n_readers++;
    events_rejoin(r, after);
    return 0;
}

void events_rejoin(struct events_reader *r, int64_t after)
{
    r->at = r->events->next;
    r->after = after;
}

void events_leave(struct events_reader *r)
{
    if (r->events) {
        if (r->next) r->next->prev = r->prev;
        *r->prev = r->next;
        r->events->n_readers--;
        r->events = NULL;
    }
    events_filter_done(&r->filter);
}

/* Not for this reader, or read from the store already. */
static bool passes_by(const struct events_reader *r, const struct event *e)
{
    return (!e->log_line && e->id <= r->after) || !events_match(&r->filter, e->vm, e->type);
}

enum events_next events_next(struct events_reader *r, struct event **ret)
{
    struct events *e = r->events;

    if (r->at < e->first) return EVENTS_LOST;
    while (r->at < e->next) {
        struct event *event = e->kept[r->at++ % EVENTS_KEPT];

        if (passes_by(r, event)) continue;
        event->refs++;
        *ret = event;
        r->beats = e->beats;
        return EVENTS_EVENT;
    }
    if (r->beats != e->beats) {
        r->beats = e->beats;
        return EVENTS_HEARTBEAT;
    }
    r->idle = true;
    return EVENTS_NOTHING;
}

int64_t events_last_id(const struct events *e)
{
    return e->last_id;
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

static void drop_oldest(struct events *e)
{
    struct event *oldest = e->kept[e->first++ % EVENTS_KEPT];

    e->bytes -= oldest->len;
    event_unref(oldest);
}

/* Takes it. Those who wait and do not want it move on without being woken. */
static void push(struct events *e, struct event *event)
{
    struct events_reader *next;

    while (e->next - e->first >= EVENTS_KEPT || (e->next > e->first && e->bytes + event->len > EVENTS_BYTES))
        drop_oldest(e);
    e->kept[e->next++ % EVENTS_KEPT] = event;
    e->bytes += event->len;
    for (struct events_reader *r = e->readers; r; r = next) {
        next = r->next; /* it may leave */
        if (r->idle && passes_by(r, event))
            r->at = e->next;
        else
            wake(r);
    }
}

/* Some are missing here: all readers go, and come back for them to the store. */
static void lose_all(struct events *e)
{
    log_warn("events: no memory, readers are sent back to the store");
    while (e->first < e->next)
        drop_oldest(e);
    e->first = ++e->next;
    for (struct events_reader *r = e->readers, *next; r; r = next) {
        next = r->next;
        wake(r);
    }
}

static void on_event(void *arg, const struct event_row *row)
{
    struct events *e = arg;
    struct event *event = row ? event_of_row(row) : NULL;

    if (row) e->last_id = row->id;
    if (event)
        push(e, event);
    else
        lose_all(e);
}

bool events_wants_logs(const struct events *e, const char *vm)
{
    for (const struct events_reader *r = e->readers; r; r = r->next)
        if (events_match(&r->filter, vm, "VM_LOG")) return true;
    return false;
}

void events_add_log(struct events *e, const char *vm, const char *ip_address, const char *stream, const char *line,
                    const char *timestamp)
{
    const struct event_row row = {.id = e->last_id,
                                  .at_ms = wall_ms(),
                                  .vm_name = (char *)vm,
                                  .type = (char *)"VM_LOG",
                                  .status = (char *)"running",
                                  .message = (char *)line,
                                  .ip_address = (char *)ip_address};
    const struct event_log_part log = {stream, line, timestamp};
    struct event *event = event_make(&row, &log);

    if (event) push(e, event);
}

/* One clock for all: it also finds those whose connection died without a word. */
static void beat(struct timer *t)
{
    struct events *e = container_of(t, struct events, heartbeat);

    e->beats++;
    for (struct events_reader *r = e->readers, *next; r; r = next) {
        next = r->next;
        wake(r);
    }
    if (loop_timer(e->loop, t, mono_ms() + HEARTBEAT_MS, beat) < 0) log_err("events: no memory for a timer");
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct last_op {
    struct store_op op;
    int64_t id;
};

static int last_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    return store_event_last(tx, &container_of(op, struct last_op, op)->id, err);
}

int events_new(struct loop *loop, struct store *store, struct events **ret, struct vl_error *err)
{
    auto_(events_freep) struct events *e = calloc(1, sizeof(*e));
    struct last_op last = {.op = {.run = last_run}};
    int r;

    if (!e) return vl_fail_errno(err, ENOMEM, "events");
    e->loop = loop;
    if ((r = store_run(store, &last.op, err)) < 0) return r;
    e->last_id = last.id;
    if ((r = loop_timer(loop, &e->heartbeat, mono_ms() + HEARTBEAT_MS, beat)) < 0)
        return vl_fail_errno(err, r, "events");
    store_watch_events(store, on_event, e);
    *ret = take_ptr(e);
    return 0;
}

void events_free(struct events *e)
{
    if (!e) return;
    loop_untimer(&e->heartbeat);
    while (e->first < e->next)
        drop_oldest(e);
    free(e);
}
