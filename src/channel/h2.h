/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/2 session (RFC 9113, prior knowledge) over any byte stream, either end, without input or output of its own:
 * bytes are fed in and pulled out. nghttp2 does the protocol; what it leaves open is here: split credit (connection
 * credit returns on receipt, stream credit when the consumer took the bytes), a budget of frames and bytes against a
 * hostile peer, bounds on headers, streams and memory. One thread.
 */
#pragma once
#include "base/error.h"

struct h2;
struct h2_stream; /* valid until its `closed` callback has returned */

#define H2_STREAM_WINDOW     65536
#define H2_CONNECTION_WINDOW 1048576
#define H2_MAX_STREAMS       256
#define H2_HEADER_MAX        16384 /* of one message: names, values and 32 bytes for each; more resets the stream */

struct h2_head {
    const char *method, *path; /* requests; path includes the query */
    int status;                /* responses */
    const char *content_type;  /* NULL if absent */
    int64_t content_length;    /* -1 if absent */
};

/* Where a body comes from. */
struct h2_source {
    /*
     * Up to n bytes into buf: their number; 0 = end of body; -EAGAIN = nothing now, h2_stream_wake when there is;
     * another negative errno resets the stream.
     */
    ssize_t (*read)(void *arg, void *buf, size_t n);
    void *arg;
};

/* What the owner of a stream is told. Any may be NULL but `closed`. */
struct h2_stream_ops {
    void (*head)(struct h2_stream *s, void *arg, const struct h2_head *head); /* client: the final response's head */
    /* Body bytes. The owner calls h2_stream_consume when they have been taken; until then the window stays that much
     * smaller. */
    void (*data)(struct h2_stream *s, void *arg, const void *data, size_t n);
    void (*end)(struct h2_stream *s, void *arg); /* the peer's whole body has arrived, with the announced length */
    /* Always called exactly once, last; err is 0 after a complete exchange, -ECONNRESET if the session went, -ECANCELED
     * if either side reset the stream or the peer's message was malformed. */
    void (*closed)(struct h2_stream *s, void *arg, int err);
};

struct h2_ops {
    /*
     * Server: a request's head has arrived. Must call h2_stream_own and, now or later, h2_respond; or answers at once
     * by h2_respond_text. NULL for clients (a peer that opens streams is ended).
     */
    void (*request)(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head);
};

int h2_new_server(const struct h2_ops *ops, void *arg, struct h2 **ret);
int h2_new_client(struct h2 **ret);
/* All streams get closed(-ECONNRESET); NULL is fine. Not from within a callback of this session. */
void h2_free(struct h2 *h);
DEFINE_AUTO(struct h2 *, h2_free)

/*
 * Bytes from the peer. -EPROTO: the session is over (fatal error, budget spent, GOAWAY of the peer); *why (constant
 * text) says what. After a mere protocol error it is over (h2_finished) when h2_pull has given the GOAWAY that tells
 * the peer.
 */
int h2_feed(struct h2 *h, const void *data, size_t n, const char **why);
/* Up to n bytes for the peer into buf: their number, 0 if there are none now. -EPROTO: there will never be any. */
ssize_t h2_pull(struct h2 *h, void *buf, size_t n);
/* There may be something to pull; else after the next feed or call below. */
bool h2_wants_pull(const struct h2 *h);
/* Neither side wants anything any more (GOAWAY done, fatal error flushed): drop the session. */
bool h2_finished(const struct h2 *h);
/* Why the session is over (constant text); NULL while it is not. */
const char *h2_why(const struct h2 *h);

/*
 * Client: a new stream; `closed` will be called unless this fails. body NULL: none; ops stay the caller's. -EAGAIN:
 * stream limit of the peer; -ENOTCONN: the session is over.
 */
int h2_request(struct h2 *h, const char *method, const char *path, const struct h2_source *body,
               const struct h2_stream_ops *ops, void *arg, struct h2_stream **ret);
/* Server: from `request`. */
void h2_stream_own(struct h2_stream *s, const struct h2_stream_ops *ops, void *arg);
/* Once: -EALREADY; -ECANCELED if the stream was reset. */
int h2_respond(struct h2_stream *s, int status, const char *content_type, const struct h2_source *body);
/* A small whole answer; the text is copied. Where nobody owns the stream its closing is nobody's business. */
int h2_respond_text(struct h2_stream *s, int status, const char *content_type, const char *text, size_t n);

void h2_stream_consume(struct h2_stream *s, size_t n);
void h2_stream_wake(struct h2_stream *s);  /* its source has something again */
void h2_stream_reset(struct h2_stream *s); /* cancel; `closed` follows with -ECANCELED, never from within this call */

/* Keep-alive: sends PING; h2_last_pong tells how many have come back. A silent peer is for the owner to judge. */
int h2_ping(struct h2 *h);
uint64_t h2_pongs(const struct h2 *h);
