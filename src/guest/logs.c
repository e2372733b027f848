/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines with credit: bytes wait in a buffer until the reader takes them, and only then does the guest get credit
 * for more. A line that is longer than the stream's window gets its credit while it grows, up to LINE_BYTES_MAX.
 */
#include <string.h>

#include "guest/internal.h"

/* Every byte of a line may be a control character, six bytes in JSON; and then the other fields. */
#define LINE_BYTES_MAX (6 * LOG_LINE_MAX + 1024)
#define COMPACT_SIZE   16384

struct guest_logs {
    struct guest *g;
    struct h2_stream *stream; /* NULL once it is closed */
    const struct guest_logs_ops *ops;
    void *arg;
    struct strbuf buf;
    size_t at;       /* lines before it were read */
    size_t searched; /* no newline from `at` to here */
    size_t credited; /* so many bytes from `at` on have had their credit */
    bool waiting;    /* the reader has taken everything and wants to be told */
    bool ended;      /* complete */
    int err;         /* it broke off, why */
    bool abandoned;  /* closed by its owner: to be freed with its stream */
    struct guest_logs *next, **link;
};

static void logs_free(struct guest_logs *s)
{
    strbuf_done(&s->buf);
    free(s);
}

/* The owner may close it from there. */
static void tell(struct guest_logs *s)
{
    if (!s->waiting || s->abandoned) return;
    s->waiting = false;
    s->ops->readable(s->arg);
}

static void unlink_logs(struct guest_logs *s)
{
    if (!s->g) return;
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    s->g = NULL;
}

static void give_credit(struct guest_logs *s, size_t n)
{
    if (n == 0 || !s->stream || !s->g) return;
    h2_stream_consume(s->stream, n);
    guest_flush(s->g);
}

/* No whole line is here: its rest needs credit. */
static void grow_line(struct guest_logs *s)
{
    size_t waiting = s->buf.len - s->at;

    if (waiting > LINE_BYTES_MAX && s->err == 0) {
        s->err = -EMSGSIZE;
        if (s->stream) h2_stream_reset(s->stream);
        if (s->g) guest_flush(s->g);
        return;
    }
    give_credit(s, waiting - s->credited);
    s->credited = waiting;
}

static void on_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    struct guest_logs *logs = arg;

    if (head->status == 200 || logs->err) return;
    logs->err = -EREMOTEIO;
    h2_stream_reset(s);
}

static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct guest_logs *logs = arg;

    (void)s;
    if (logs->abandoned || logs->err) return;
    strbuf_add(&logs->buf, data, n);
    if (logs->buf.failed) {
        logs->err = -ENOMEM;
        h2_stream_reset(logs->stream);
    } else if (memchr(data, '\n', n)) {
        tell(logs);
    } else if (logs->waiting) {
        grow_line(logs);
    }
}

static void on_end(struct h2_stream *s, void *arg)
{
    struct guest_logs *logs = arg;

    (void)s;
    if (!logs->err) logs->ended = true;
}

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct guest_logs *logs = arg;

    (void)s;
    logs->stream = NULL;
    unlink_logs(logs);
    if (logs->abandoned) {
        logs_free(logs);
        return;
    }
    if (!logs->ended && !logs->err) logs->err = err == -ECONNRESET ? err : -EPROTO;
    tell(logs);
}

static const struct h2_stream_ops stream_ops = {.head = on_head, .data = on_data, .end = on_end, .closed = on_closed};

int guest_logs_open(struct guest *g, int64_t tail, bool follow, const struct guest_logs_ops *ops, void *arg,
                    struct guest_logs **ret)
{
    struct h2 *session = g->up ? channel_host_session(g->host) : NULL;
    struct guest_logs *s;
    char path[80];
    int r;

    if (!session) return -ENOTCONN;
    r = tail < 0 ? strf(path, sizeof(path), "/v1/logs?follow=%d", follow)
                 : strf(path, sizeof(path), "/v1/logs?follow=%d&tail=%lld", follow, (long long)tail);
    if (r < 0) return r;
    if (!(s = calloc(1, sizeof(*s)))) return -ENOMEM;
    if ((r = h2_request(session, "GET", path, NULL, &stream_ops, s, &s->stream)) < 0) {
        free(s);
        return r;
    }
    s->g = g;
    s->ops = ops;
    s->arg = arg;
    s->waiting = true;
    s->next = g->logs;
    s->link = &g->logs;
    if (s->next) s->next->link = &s->next;
    g->logs = s;
    guest_flush(g);
    *ret = s;
    return 0;
}

static void take(struct guest_logs *s, size_t n)
{
    size_t already = s->credited < n ? s->credited : n;

    give_credit(s, n - already);
    s->credited -= already;
    s->at += n;
    s->searched = s->at;
}

static void compact(struct guest_logs *s)
{
    if (s->at < COMPACT_SIZE && s->at < s->buf.len) return;
    strbuf_consume(&s->buf, s->at);
    s->searched -= s->at;
    s->at = 0;
}

ssize_t guest_logs_read(struct guest_logs *s, const char **ret_line)
{
    const char *line, *end;
    size_t n;

    compact(s);
    while (s->buf.len > s->searched && (end = memchr(s->buf.data + s->searched, '\n', s->buf.len - s->searched))) {
        line = s->buf.data + s->at;
        n = (size_t)(end - line);
        take(s, n + 1);
        if (n == 0) continue; /* nothing to hand over */
        *ret_line = line;
        return (ssize_t)n;
    }
    s->searched = s->buf.len;
    if (!s->err && !s->ended) grow_line(s);
    if (s->err) return s->err;
    if (s->ended) return s->at < s->buf.len ? -EPROTO : -ENODATA;
    s->waiting = true;
    return 0;
}

void guest_logs_close(struct guest_logs *s)
{
    if (!s) return;
    s->abandoned = true;
    if (!s->stream) {
        logs_free(s);
        return;
    }
    h2_stream_reset(s->stream);
    if (s->g) guest_flush(s->g);
}

void logs_cancel_all(struct guest *g)
{
    struct guest_logs *s;

    while ((s = g->logs)) {
        unlink_logs(s);
        if (!s->err && !s->ended) s->err = -ECANCELED;
        tell(s);
    }
}
