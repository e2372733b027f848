/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guest.c, call.c and logs.c share. A call, the events and a log stream are objects of their own that live until
 * their HTTP/2 stream is closed; their `g` becomes NULL when the guest is freed before that, and then they do nothing
 * any more.
 */
#pragma once
#include "base/str.h"
#include "channel/host.h"
#include "guest/guest.h"

#define CALL_MS       5000
#define CALL_BODY_MAX 65536

struct call;
struct events;

struct guest {
    struct loop *loop;
    struct channel_host *host;
    const struct guest_ops *ops;
    void *arg;
    struct call *calls;
    struct guest_logs *logs;
    struct events *events;
    struct timer flush;
    bool healthy, clock_set, up;
    bool freeing;
    struct guest_health health; /* of this session, once healthy */
};

/* Soon, but not from within this call: what was asked for is sent. */
void guest_flush(struct guest *g);

/* One request with a small answer. */
struct call {
    struct guest *g;
    struct h2_stream *stream;
    struct timer deadline;
    struct strbuf out; /* the request's body */
    size_t out_at;
    struct strbuf body; /* the answer's */
    int status;
    bool ended;
    int result; /* why it was given up, 0 if it was not */
    void (*finish)(struct call *c, int r);
    void (*done)(void *arg, int r);
    void (*stats_done)(void *arg, int r, const struct guest_stats *stats);
    void *arg;
    struct call *next, **link;
};
/*
 * `text` NULL: no body. finish: r is 0 after a whole 2xx answer; -EREMOTEIO another status, -ETIMEDOUT, -EMSGSIZE,
 * -EPROTO (the agent broke it off), -ECONNRESET (the session went), -ECANCELED (guest_free). Never from within this
 * call.
 */
int call_open(struct guest *g, const char *method, const char *path, const char *text,
              void (*finish)(struct call *c, int r), struct call **ret);
void call_set_timeout(struct call *c, int ms); /* from now on, instead of CALL_MS */
/* The answer as an object of `schema`. */
int call_decode(const struct call *c, const struct schema *schema, void *ret);
void call_cancel_all(struct guest *g);

void logs_cancel_all(struct guest *g);
