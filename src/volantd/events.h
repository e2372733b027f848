/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to VMs, as it happens, for any number of readers. The last few events are kept here once, as the text
 * that every reader gets (server-sent events); a reader is a position among them. Whoever falls behind the oldest is
 * told and let go: it comes back with Last-Event-ID and reads on out of the store. Loop thread only.
 */
#pragma once
#include "base/loop.h"
#include "base/str.h"
#include "model/schema.h"
#include "store/store.h"

extern const struct schema event_schema; /* to be told, not to be decoded */

#define EVENTS_KEPT  1024            /* at most, here */
#define EVENTS_BYTES (1024ul * 1024) /* likewise */

struct event {
    unsigned refs;
    int64_t id;    /* of the store; of a log line: that of the event before it */
    bool log_line; /* VM_LOG: in no table */
    char vm[64], type[32];
    size_t len;
    char text[]; /* "id: ..\nevent: ..\ndata: {..}\n\n", and NUL */
};
void event_unref(struct event *e);

struct events;
/* Watches the store, which outlives it or is closed before it is freed. */
int events_new(struct loop *loop, struct store *store, struct events **ret, struct vl_error *err);
void events_free(struct events *e); /* readers must be gone; NULL is fine */
DEFINE_AUTO(struct events *, events_free)

/* A line of a guest's log, for those who read events now (contract 1.9, VM_LOG). */
void events_add_log(struct events *e, const char *vm, const char *ip_address, const char *stream, const char *line,
                    const char *timestamp);
/* Whether anybody would get it. */
bool events_wants_logs(const struct events *e, const char *vm);

struct events_filter {
    struct strv vms, types; /* empty: all */
};
void events_filter_done(struct events_filter *f);
bool events_match(const struct events_filter *f, const char *vm, const char *type);
/* Names of events as the contract and ours have them; NULL ends it. */
extern const char *const event_types[];

/* A reader, embedded in its owner. */
struct events_reader {
    struct events_filter filter;
    void (*wake)(struct events_reader *r); /* there is something for it; comes once after each EVENTS_NOTHING */
    struct events *events;                 /* private, as all that follows */
    struct events_reader *next, **prev;
    uint64_t at;   /* number of the next event it has not seen */
    int64_t after; /* events up to this id it has seen already */
    uint64_t beats;
    bool idle;
};
/* From the next event on, without those up to id `after`. VL_UNAVAILABLE: there are too many readers. */
int events_join(struct events *e, struct events_reader *r, int64_t after, struct vl_error *err);
/* It has read the store up to `after`, and what the store had at that moment. */
void events_rejoin(struct events_reader *r, int64_t after);
void events_leave(struct events_reader *r); /* idempotent; its filter is released */

enum events_next { EVENTS_NOTHING, EVENTS_EVENT, EVENTS_HEARTBEAT, EVENTS_LOST };
/* EVENTS_EVENT: *ret is the reader's to unref. EVENTS_LOST: what it has not read is here no more. */
enum events_next events_next(struct events_reader *r, struct event **ret);
/* id of the newest event */
int64_t events_last_id(const struct events *e);

/* As a stream shows it; NULL: out of memory. */
struct event *event_of_row(const struct event_row *row);
