/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a client and a server session joined in memory, and streams whose owners note what they are told. */
#pragma once
#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "channel/h2.h"

/* A stream as its owner sees it, either end. */
struct end {
    struct h2 *h2;
    struct h2_stream *stream;
    int64_t length;
    int status, heads, ends, closes, err;
    char type[64], method[16], path[64];
    struct strbuf body;
    const char *out; /* what its source gives */
    size_t out_len, out_at;
    size_t out_step; /* at most so much at a time; 0: all */
    int out_err;     /* instead of the end */
    bool out_pauses; /* nothing now, every other time */
    bool paused;
    bool stalled; /* takes nothing, so gives no credit */
};

struct pair {
    struct h2 *client, *server;
    struct end accepted[320]; /* what the server was asked, in order */
    size_t n_accepted;
    void (*serve)(struct pair *p, struct end *e);
};

static inline void on_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    struct end *e = arg;

    assert_ptr_equal(s, e->stream);
    e->heads++;
    e->status = head->status;
    e->length = head->content_length;
    (void)strf(e->type, sizeof(e->type), "%s", head->content_type ? head->content_type : "");
}

static inline void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct end *e = arg;

    strbuf_add(&e->body, data, n);
    if (!e->stalled) h2_stream_consume(s, n);
}

static inline void on_end(struct h2_stream *s, void *arg)
{
    struct end *e = arg;

    (void)s;
    assert_int_equal(e->closes, 0);
    e->ends++;
}

static inline void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct end *e = arg;

    assert_ptr_equal(s, e->stream);
    e->stream = NULL;
    e->closes++;
    e->err = err;
}

static const struct h2_stream_ops stream_ops = {.head = on_head, .data = on_data, .end = on_end, .closed = on_closed};

static inline ssize_t read_out(void *arg, void *buf, size_t n)
{
    struct end *e = arg;
    size_t left = e->out_len - e->out_at;

    if (left == 0) return e->out_err;
    if (e->out_pauses && (e->paused = !e->paused)) return -EAGAIN;
    if (e->out_step && left > e->out_step) left = e->out_step;
    if (n > left) n = left;
    memcpy(buf, e->out + e->out_at, n);
    e->out_at += n;
    return (ssize_t)n;
}

static inline struct h2_source source(struct end *e, const char *text, size_t n)
{
    e->out = text;
    e->out_len = n;
    return (struct h2_source){.read = read_out, .arg = e};
}

static inline void on_request(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct pair *p = arg;
    struct end *e = &p->accepted[p->n_accepted++];

    assert_ptr_equal(h, p->server);
    assert_true(p->n_accepted <= ARRAY_LEN(p->accepted));
    e->h2 = h;
    e->stream = s;
    e->length = head->content_length;
    (void)strf(e->method, sizeof(e->method), "%s", head->method);
    (void)strf(e->path, sizeof(e->path), "%s", head->path);
    h2_stream_own(s, &stream_ops, e);
    p->serve(p, e);
}

static const struct h2_ops server_ops = {.request = on_request};

static inline void serve_nothing(struct pair *p, struct end *e)
{
    (void)p;
    (void)e;
}

static inline void serve_text(struct pair *p, struct end *e)
{
    (void)p;
    assert_int_equal(h2_respond_text(e->stream, 200, "text/plain", "hello", 5), 0);
    assert_int_equal(h2_respond_text(e->stream, 200, "text/plain", "hello", 5), -EALREADY);
}

static inline void pair_open(struct pair *p, void (*serve)(struct pair *p, struct end *e))
{
    memset(p, 0, sizeof(*p));
    p->serve = serve;
    assert_int_equal(h2_new_client(&p->client), 0);
    assert_int_equal(h2_new_server(&server_ops, p, &p->server), 0);
}

static inline void pair_close(struct pair *p)
{
    h2_free(p->client);
    h2_free(p->server);
    for (size_t i = 0; i < p->n_accepted; i++) {
        assert_int_equal(p->accepted[i].closes, 1);
        strbuf_done(&p->accepted[i].body);
    }
}

static inline bool move(struct h2 *from, struct h2 *to, size_t piece)
{
    uint8_t buf[16384];
    const char *why;
    ssize_t n = h2_pull(from, buf, piece);

    assert_true(n >= 0);
    if (n > 0) assert_int_equal(h2_feed(to, buf, (size_t)n, &why), 0);
    return n > 0;
}

/* Until both have nothing more to say. */
static inline void pump_by(struct pair *p, size_t piece)
{
    bool moved = true;

    while (moved) {
        moved = move(p->client, p->server, piece);
        moved |= move(p->server, p->client, piece);
    }
    assert_false(h2_wants_pull(p->client) || h2_wants_pull(p->server));
}

static inline void pump(struct pair *p)
{
    pump_by(p, 16384);
}

static inline void ask(struct pair *p, struct end *e, const char *method, const char *path,
                       const struct h2_source *body)
{
    e->h2 = p->client;
    assert_int_equal(h2_request(p->client, method, path, body, &stream_ops, e, &e->stream), 0);
}

static inline void end_done(struct end *e, int err)
{
    assert_int_equal(e->closes, 1);
    assert_int_equal(e->err, err);
    strbuf_done(&e->body);
}

static inline char *big_text(size_t n)
{
    char *text = malloc(n);

    if (!text) abort();
    for (size_t i = 0; i < n; i++)
        text[i] = (char)(i * 2654435761u >> 11);
    return text;
}
