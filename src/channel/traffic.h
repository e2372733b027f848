/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: host and agent joined by a QEMU that does everything it may do (relay.h), and traffic of which every byte
 * is a function of its place, so that a foreign one is seen.
 */
#pragma once
#include <string.h>

#include "base/clock.h"
#include "base/unit.h"
#include "channel/agent.h"
#include "channel/host.h"
#include "channel/relay.h"

#define JOBS  20
#define UP_MS 20000 /* sanitizers, busy machines */
#define BIG   400000
#define SMALL 64

enum job_kind { DOWNLOAD, UPLOAD, ECHO, TINY };

struct world;

/* A request in the host, with what came back. */
struct job {
    struct world *w;
    struct h2_stream *stream;
    enum job_kind kind;
    uint32_t seed;
    size_t size, sent, got;
    int status;
    bool ended;
};

/* The same in the guest. */
struct served {
    struct world *w;
    struct h2_stream *stream;
    enum job_kind kind;
    uint32_t seed;
    size_t size, got, sent;
    size_t wrong; /* a guest that cannot see a disconnect may be fed anything, but must never take it for whole */
    char held[H2_STREAM_WINDOW]; /* of an echo: not yet sent back */
    size_t n_held;
};

struct world {
    struct loop *loop;
    struct relay relay;
    struct channel_agent *agent;
    struct channel_host *host;
    struct job jobs[JOBS];
    char dir[40];
    bool up, stopping;
    int ups, downs, n_served;
    int64_t done, failed, wrong, served_whole; /* jobs; wrong counts bytes and impossible ends */
    const char *why;
};

static inline uint8_t pattern(uint32_t seed, size_t at)
{
    return (uint8_t)(((size_t)seed * 2654435761u) ^ (at * 40503u >> 3) ^ (at * 2246822519u >> 17));
}

static inline void fill(void *buf, uint32_t seed, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = pattern(seed, at + i);
}

static inline size_t wrong_bytes(const void *data, uint32_t seed, size_t at, size_t n)
{
    size_t wrong = 0;

    for (size_t i = 0; i < n; i++)
        wrong += ((const uint8_t *)data)[i] != pattern(seed, at + i);
    return wrong;
}

/* The guest */

static inline ssize_t served_read(void *arg, void *buf, size_t n)
{
    struct served *s = arg;

    if (s->kind == ECHO) {
        if (s->n_held == 0) return s->got == s->size ? 0 : -EAGAIN;
        if (n > s->n_held) n = s->n_held;
        memcpy(buf, s->held, n);
        memmove(s->held, s->held + n, s->n_held - n);
        s->n_held -= n;
        h2_stream_consume(s->stream, n);
        return (ssize_t)n;
    }
    if (n > s->size - s->sent) n = s->size - s->sent;
    fill(buf, s->seed, s->sent, n);
    s->sent += n;
    return (ssize_t)n;
}

static inline void served_data(struct h2_stream *stream, void *arg, const void *data, size_t n)
{
    struct served *s = arg;

    s->wrong += wrong_bytes(data, s->seed, s->got, n);
    s->got += n;
    if (s->kind == ECHO) {
        if (s->n_held + n > sizeof(s->held)) abort(); /* beyond the window */
        memcpy(s->held + s->n_held, data, n);
        s->n_held += n;
        h2_stream_wake(stream);
    } else {
        h2_stream_consume(stream, n);
    }
}

static inline void served_end(struct h2_stream *stream, void *arg)
{
    struct served *s = arg;

    if (s->kind == ECHO) h2_stream_wake(stream);
    if (s->kind == DOWNLOAD || s->kind == TINY) return;
    if (s->got != s->size || s->wrong > 0) s->w->wrong++; /* a damaged upload was taken for whole */
    s->w->served_whole++;
    if (s->kind == UPLOAD && h2_respond_text(stream, 200, "text/plain", "ok", 2) < 0) abort();
}

static inline void served_closed(struct h2_stream *stream, void *arg, int err)
{
    struct served *s = arg;

    (void)stream;
    (void)err;
    s->w->n_served--;
    free(s);
}

static inline void on_request(struct h2 *h, void *arg, struct h2_stream *stream, const struct h2_head *head)
{
    static const struct h2_stream_ops ops = {.data = served_data, .end = served_end, .closed = served_closed};
    struct served *s = calloc(1, sizeof(*s));
    const struct h2_source body = {.read = served_read, .arg = s};
    char path[64], *seed, *size;
    uint64_t numbers[3];

    (void)h;
    if (!s || strf(path, sizeof(path), "%s", head->path) < 0 || !(seed = strchr(path + 1, '/')) ||
        !(size = strchr(seed + 1, '/')))
        abort();
    *seed++ = *size++ = '\0';
    if (parse_u64(path + 1, 0, TINY, &numbers[0]) < 0 || parse_u64(seed, 0, UINT32_MAX, &numbers[1]) < 0 ||
        parse_u64(size, 0, SIZE_MAX, &numbers[2]) < 0)
        abort();
    *s = (struct served){.w = arg,
                         .stream = stream,
                         .kind = (enum job_kind)numbers[0],
                         .seed = (uint32_t)numbers[1],
                         .size = numbers[2]};
    s->w->n_served++;
    h2_stream_own(stream, &ops, s);
    if (s->kind == UPLOAD) return;
    if (h2_respond(stream, 200, NULL, &body) < 0) abort();
}

static const struct h2_ops agent_ops = {.request = on_request};

/* The host */

static inline ssize_t job_read(void *arg, void *buf, size_t n)
{
    struct job *j = arg;

    if (n > j->size - j->sent) n = j->size - j->sent;
    fill(buf, j->seed, j->sent, n);
    j->sent += n;
    return (ssize_t)n;
}

static inline void job_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    (void)s;
    ((struct job *)arg)->status = head->status;
}

static inline void job_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct job *j = arg;

    if (j->kind == UPLOAD)
        j->w->wrong += j->got + n > 2 || memcmp(data, &"ok"[j->got], n) != 0;
    else
        j->w->wrong += (int64_t)wrong_bytes(data, j->seed, j->got, n);
    j->got += n;
    h2_stream_consume(s, n);
}

static inline void job_end(struct h2_stream *s, void *arg)
{
    (void)s;
    ((struct job *)arg)->ended = true;
}

static inline void job_start(struct job *j);

static inline void job_closed(struct h2_stream *s, void *arg, int err)
{
    struct job *j = arg;

    (void)s;
    j->stream = NULL;
    if (err == 0 && (!j->ended || j->status != 200 || j->got != (j->kind == UPLOAD ? 2 : j->size))) j->w->wrong++;
    if (err == -ECANCELED) j->w->wrong++; /* nobody cancels here */
    j->w->done += err == 0;
    j->w->failed += err != 0;
    job_start(j);
}

static inline void job_start(struct job *j)
{
    static const struct h2_stream_ops ops = {.head = job_head, .data = job_data, .end = job_end, .closed = job_closed};
    struct world *w = j->w;
    const struct h2_source body = {.read = job_read, .arg = j};
    struct h2 *h = channel_host_session(w->host);
    char path[64];

    if (!w->up || w->stopping || !h) return;
    j->kind = (enum job_kind)relay_random(&w->relay, 4);
    j->size = j->kind == TINY ? SMALL : 1 + relay_random(&w->relay, BIG);
    j->seed = relay_random(&w->relay, 1u << 20);
    j->sent = j->got = 0;
    j->status = 0;
    j->ended = false;
    if (strf(path, sizeof(path), "/%d/%u/%zu", j->kind, j->seed, j->size) < 0) abort();
    if (h2_request(h, "POST", path, j->kind == UPLOAD || j->kind == ECHO ? &body : NULL, &ops, j, &j->stream) < 0)
        abort();
}

static inline void on_up(void *arg, struct h2 *h)
{
    struct world *w = arg;

    assert_ptr_equal(channel_host_session(w->host), h);
    w->up = true;
    w->ups++;
    for (size_t i = 0; i < JOBS; i++) {
        assert_null(w->jobs[i].stream);
        job_start(&w->jobs[i]);
    }
}

static inline void on_down(void *arg, const char *why, bool final)
{
    struct world *w = arg;

    (void) final;
    w->why = why;
    w->up = false;
    w->downs++;
}

static const struct channel_host_ops host_ops = {.up = on_up, .down = on_down};

static inline void world_open(struct world *w, unsigned seed, unsigned lazy, size_t piece)
{
    int ctl, sync;

    memset(w, 0, sizeof(*w));
    (void)strf(w->dir, sizeof(w->dir), "/tmp/volant-reconnect-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(loop_new(&w->loop), 0);
    w->relay = (struct relay){.loop = w->loop, .seed = seed, .lazy = lazy, .piece = piece};
    ctl = relay_port_open(&w->relay, &w->relay.ctl, w->dir, "ctl");
    sync = relay_port_open(&w->relay, &w->relay.sync, w->dir, "sync");
    assert_int_equal(channel_agent_new(w->loop, ctl, sync, &agent_ops, w, &w->agent), 0);
    assert_int_equal(channel_host_new(w->loop, w->relay.ctl.path, w->relay.sync.path, &host_ops, w, &w->host), 0);
    for (size_t i = 0; i < JOBS; i++)
        w->jobs[i].w = w;
}

static inline void world_close(struct world *w)
{
    w->stopping = true;
    channel_host_free(w->host);
    channel_agent_free(w->agent);
    relay_port_close(&w->relay.ctl);
    relay_port_close(&w->relay.sync);
    loop_free(w->loop);
    assert_int_equal(rmdir(w->dir), 0);
    assert_int_equal(w->n_served, 0);
    for (size_t i = 0; i < JOBS; i++)
        assert_null(w->jobs[i].stream);
}

static inline void step(struct world *w, unsigned rounds)
{
    while (rounds-- > 0)
        assert_int_equal(loop_step(w->loop, 1), 0);
}

/* Until `done` more jobs are complete than now; what counts is that it happens. */
static inline void await_jobs(struct world *w, int64_t done)
{
    int64_t until = mono_ms() + UP_MS;

    done += w->done;
    while (w->done < done) {
        if (mono_ms() > until)
            fail_msg("up %d, %d ups, %d downs (%s), jobs done %lld, failed %lld", w->up, w->ups, w->downs,
                     w->why ? w->why : "", (long long)w->done, (long long)w->failed);
        assert_int_equal(loop_step(w->loop, 100), 0);
    }
}

static inline void connect_host(struct world *w)
{
    assert_int_equal(channel_host_connect(w->host, mono_ms() + UP_MS), 0);
}

static inline void disconnect_host(struct world *w)
{
    w->up = false;
    channel_host_disconnect(w->host);
}
