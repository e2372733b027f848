/* SPDX-License-Identifier: Apache-2.0 */
/* One request of the control channel while it is open. Private to api.c and stream.c. */
#pragma once
#include "base/str.h"
#include "kestrel/api.h"

enum route_kind {
    ROUTE_PLAIN,  /* answered at once */
    ROUTE_BODY,   /* answered when its body has arrived */
    ROUTE_STREAM, /* answered for as long as the peer likes */
};

struct route {
    const char *method, *path;
    enum route_kind kind;
    void (*fn)(struct request *rq);
};

struct request {
    struct api *api;
    struct h2 *h2;
    struct h2_stream *stream;
    const struct route *route;
    const char *query;  /* behind the '?', "" without */
    char *path;         /* what query points into */
    struct strbuf body; /* ROUTE_BODY */
    bool answered;
    struct strbuf out; /* ROUTE_STREAM: encoded, not yet taken by the session */
    bool waiting;      /* the session found nothing to take and wants to be woken */
    bool logs, follow;
    struct logs_cursor cursor;
    struct request *next, **link; /* in api.open */
};

/* JSON text with a status; a session that cannot take it any more resets the stream. */
void request_answer(struct request *rq, int status, const char *json, size_t n);
/* {"error": "..."} */
void request_fail(struct request *rq, int status, const char *fmt, ...) printf_(3, 4);
/* ?name=N: *ret, or untouched if it is not given. VL_INVALID names it. */
int request_number(const struct request *rq, const char *name, uint64_t max, int64_t *ret, struct vl_error *err);

void stream_events(struct request *rq);
void stream_logs(struct request *rq);
/* `type` with what belongs to it, for a follower of events. */
void stream_add_event(struct request *rq, const char *type);
/* Wakes the session if it waits for this one; true if it did. */
bool stream_wake(struct request *rq);
