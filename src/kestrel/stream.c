/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two answers that are held open: events and logs. A log stream encodes lines only as the session takes them, so
 * that a slow reader costs one line of memory; what the ring has dropped meanwhile is said in the stream.
 */
#include <string.h>

#include "base/clock.h"
#include "kestrel/request.h"
#include "model/guest.h"

#define JSON_LINES "application/x-ndjson"

static ssize_t take(struct strbuf *out, void *buf, size_t n)
{
    size_t taken = out->len < n ? out->len : n;

    memcpy(buf, out->data, taken);
    strbuf_consume(out, taken);
    return (ssize_t)taken;
}

bool stream_wake(struct request *rq)
{
    if (!rq->waiting) return false;
    rq->waiting = false;
    h2_stream_wake(rq->stream);
    return true;
}

static void respond(struct request *rq, ssize_t (*read)(void *arg, void *buf, size_t n))
{
    const struct h2_source source = {.read = read, .arg = rq};

    rq->answered = true;
    if (h2_respond(rq->stream, 200, JSON_LINES, &source) < 0) h2_stream_reset(rq->stream);
}

/* Events */

static const char *state_name(enum workload_state s)
{
    return s == WORKLOAD_STARTING ? "starting" : s == WORKLOAD_RUNNING ? "running" : "exited";
}

static void add_health(struct strbuf *out, const struct api_state *st)
{
    strbuf_addf(out, ",\"health\":\"%s\"", health_state_name(st->health));
    if (!st->reason[0]) return;
    strbuf_adds(out, ",\"reason\":");
    strbuf_add_json(out, st->reason, strlen(st->reason));
}

/* Written by hand: all other texts are our own, and `code` has to be there although it is 0. */
void stream_add_event(struct request *rq, const char *type)
{
    const struct api_state *st = &rq->api->state;

    strbuf_addf(&rq->out, "{\"type\":\"%s\",\"state\":\"%s\",\"ready\":%s", type, state_name(st->state),
                st->ready ? "true" : "false");
    if (st->health != HEALTH_NONE) add_health(&rq->out, st);
    if (st->state == WORKLOAD_EXITED) strbuf_addf(&rq->out, ",\"code\":%d,\"signal\":%d", st->code, st->signal);
    strbuf_adds(&rq->out, "}\n");
}

static ssize_t read_events(void *arg, void *buf, size_t n)
{
    struct request *rq = arg;

    if (rq->out.failed) return -ENOMEM;
    if (rq->out.len > 0) return take(&rq->out, buf, n);
    rq->waiting = true;
    return -EAGAIN;
}

void stream_events(struct request *rq)
{
    stream_add_event(rq, "state");
    respond(rq, read_events);
}

/* Logs */

static void add_line(struct strbuf *out, const char *stream, int64_t when_ms, const char *text, size_t n)
{
    char timestamp[32];

    format_time(when_ms, timestamp);
    strbuf_addf(out, "{\"stream\":\"%s\",\"line\":", stream);
    strbuf_add_json(out, text, n);
    strbuf_addf(out, ",\"timestamp\":\"%s\"}\n", timestamp);
}

static bool add_next_line(struct request *rq)
{
    static struct log_line line; /* one thread, used up before it returns */
    char note[80];
    int n;

    if (!logs_next(rq->api->logs, &rq->cursor, &line)) return false;
    if (line.lost > 0) {
        n = strf(note, sizeof(note), "volant: %llu lines left out: they came faster than they were read",
                 (unsigned long long)line.lost);
        if (n > 0) add_line(&rq->out, "stderr", line.wall_ms, note, (size_t)n);
    }
    add_line(&rq->out, log_stream_name(line.stream), line.wall_ms, line.text, line.n);
    return true;
}

static ssize_t read_logs(void *arg, void *buf, size_t n)
{
    struct request *rq = arg;

    while (rq->out.len < n && add_next_line(rq))
        continue;
    if (rq->out.failed) return -ENOMEM;
    if (rq->out.len > 0) return take(&rq->out, buf, n);
    if (!rq->follow || rq->api->logs_complete) return 0;
    rq->waiting = true;
    return -EAGAIN;
}

void stream_logs(struct request *rq)
{
    int64_t tail = -1, follow = 0;
    struct vl_error err;

    if (request_number(rq, "tail", INT64_MAX, &tail, &err) < 0 || request_number(rq, "follow", 1, &follow, &err) < 0) {
        request_fail(rq, 400, "%s", err.msg);
        return;
    }
    rq->logs = rq->api->logs_asked = true;
    rq->follow = follow == 1;
    rq->cursor = logs_tail(rq->api->logs, tail);
    respond(rq, read_logs);
}
