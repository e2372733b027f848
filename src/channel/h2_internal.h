/* SPDX-License-Identifier: Apache-2.0 */
/* What h2.c (the session and its streams) and h2_events.c (what nghttp2 reports) share. Nobody else includes it. */
#pragma once
#include <nghttp2/nghttp2.h>

#include "channel/h2.h"

/* Of the header block that is arriving: there is never more than one, as CONTINUATION may not be interleaved. */
struct h2_block {
    char *method, *path, *content_type;
    int status;
    int64_t content_length;
    size_t size; /* as RFC 9113 6.5.2 counts: 32 bytes for each field on top of its text */
};

struct h2 {
    nghttp2_session *session;
    const struct h2_ops *ops; /* NULL for clients */
    void *arg;
    struct h2_stream *streams;
    size_t n_streams, n_cancelled;
    struct h2_block block;
    const uint8_t *out; /* of nghttp2, valid until the next mem_send: what h2_pull had no room for */
    size_t out_len;
    uint64_t pongs;
    /* The budget */
    int64_t credit, refilled_ms;
    uint64_t fed, framed; /* bytes; the difference is what nghttp2 skips without a word */
    const char *invalid;  /* what was wrong with the last invalid frame */
    const char *over;     /* why nothing is fed any more */
    bool fatal;           /* nghttp2 may not be called any more */
    bool busy;            /* inside feed, pull or free */
};

struct h2_stream {
    struct h2 *h2;
    int32_t id;
    const struct h2_stream_ops *ops; /* NULL: nobody owns it */
    void *arg;
    struct h2_source source;
    char *text; /* of h2_respond_text, instead of a source */
    size_t text_at, text_len;
    bool head_given, responded;
    bool deferred;  /* its source had nothing; resume_data may be called */
    bool cancelled; /* by h2_stream_reset: nghttp2 does not know it any more, `closed` is due */
    bool closing;
    struct h2_stream *next, **link;
};

/* A new stream in the session's list; NULL when out of memory. */
struct h2_stream *h2_stream_new(struct h2 *h, const struct h2_stream_ops *ops, void *arg);
/* Unlinks it, calls `closed`, frees it. */
void h2_stream_close(struct h2_stream *s, int err);

void h2_block_clear(struct h2_block *b);
/* Time earns credit, a frame spends it: see h2_events.c. */
void h2_budget_refill(struct h2 *h);
void h2_set_callbacks(nghttp2_session_callbacks *callbacks);
/* nghttp2's read callback for all bodies. */
ssize_t h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                     nghttp2_data_source *source, void *user);
