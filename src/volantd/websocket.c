/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/websocket.h"

#include <string.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "base/clock.h"
#include "base/log.h"

#define ROUND_BYTES (16ul * 1024) /* read from one client before others have their turn */
#define QUEUE_BYTES (64ul * 1024) /* queued for a client that does not read */
#define QUEUE_COUNT 256
#define CLOSE_MS    5000 /* for a client to answer our close, and to take what is queued before it */

struct ws {
    struct loop *loop;
    struct watch watch;
    struct timer timer; /* pings; or the end, when closing */
    const struct ws_ops *ops;
    void *arg;
    wslay_event_context_ptr ctx;
    struct strbuf early;
    size_t early_at;
    size_t round;     /* bytes read in this one */
    int64_t heard_ms; /* the last sign of life */
    enum ws_close code;
    const char *reason; /* of a close that waits for what is queued: wslay would send it first; NULL: none waits */
    bool eof, closing, full, busy, end;
};

/* --- the socket --------------------------------------------------------------------------------------------------- */

static ssize_t would_block(struct ws *ws)
{
    wslay_event_set_error(ws->ctx, WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t broken(struct ws *ws)
{
    ws->eof = true;
    wslay_event_set_error(ws->ctx, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
    struct ws *ws = arg;
    size_t left = ws->early.len - ws->early_at;
    ssize_t n;

    (void)ctx;
    (void)flags;
    if (ws->round >= ROUND_BYTES || (ws->ops->wants && !ws->ops->wants(ws->arg))) return would_block(ws);
    if (left > 0) {
        n = (ssize_t)(left < len ? left : len);
        memcpy(buf, ws->early.data + ws->early_at, (size_t)n);
        ws->early_at += (size_t)n;
    } else {
        n = recv(ws->watch.fd, buf, len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return would_block(ws);
        if (n <= 0) return broken(ws);
        ws->heard_ms = mono_ms();
    }
    ws->round += (size_t)n;
    return n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
    struct ws *ws = arg;
    ssize_t n = send(ws->watch.fd, data, len, MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));

    (void)ctx;
    if (n < 0) return errno == EAGAIN || errno == EINTR ? would_block(ws) : broken(ws);
    return n;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
    struct ws *ws = arg;

    (void)ctx;
    if (wslay_is_ctrl_frame(m->opcode) || ws->closing || !ws->ops->message) return;
    ws->ops->message(ws->arg, m->msg, m->msg_length);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void ws_free(struct ws *ws)
{
    loop_unwatch(&ws->watch);
    loop_untimer(&ws->timer);
    if (ws->ctx) wslay_event_context_free(ws->ctx);
    strbuf_done(&ws->early);
    free(ws);
}

static void finish(struct ws *ws)
{
    const struct ws_ops *ops = ws->ops;
    void *arg = ws->arg;

    ws_free(ws);
    ops->ended(arg);
}

static bool over(const struct ws *ws)
{
    return ws->eof || ws->end || (!wslay_event_want_read(ws->ctx) && !wslay_event_want_write(ws->ctx));
}

bool ws_has_room(const struct ws *ws)
{
    return !ws->closing && wslay_event_get_queued_msg_length(ws->ctx) < QUEUE_BYTES &&
           wslay_event_get_queued_msg_count(ws->ctx) < QUEUE_COUNT;
}

static bool reads(const struct ws *ws)
{
    return wslay_event_want_read(ws->ctx) && wslay_event_get_queued_msg_count(ws->ctx) < 2ul * QUEUE_COUNT &&
           (!ws->ops->wants || ws->ops->wants(ws->arg));
}

/* A client that goes while nothing is read is noticed by its socket's error, or its silence. */
static void rearm(struct ws *ws)
{
    uint32_t events = (reads(ws) ? EPOLLIN : 0u) | (ws->reason || wslay_event_want_write(ws->ctx) ? EPOLLOUT : 0u);

    if (loop_rewatch(&ws->watch, events) < 0) ws->end = true;
}

static void send_queued(struct ws *ws)
{
    if (ws->eof || (wslay_event_want_write(ws->ctx) && wslay_event_send(ws->ctx) != 0)) {
        ws->eof = true;
        return;
    }
    if (!ws->reason || wslay_event_get_queued_msg_count(ws->ctx) > 0) return;
    (void)wslay_event_queue_close(ws->ctx, (uint16_t)ws->code, (const uint8_t *)ws->reason, strlen(ws->reason));
    ws->reason = NULL;
    if (wslay_event_send(ws->ctx) != 0) ws->eof = true;
}

/* Whatever may end the connection goes through here, where nobody uses it any more. */
static void step(struct ws *ws)
{
    ws->busy = true;
    ws->round = 0;
    if (!ws->eof && reads(ws) && wslay_event_recv(ws->ctx) != 0) {
        if (!ws->eof) (void)wslay_event_send(ws->ctx); /* no frame: wslay queued a close, without a code */
        ws->eof = true;
    }
    send_queued(ws);
    if (!ws->eof && ws->full && ws_has_room(ws)) {
        ws->full = false;
        ws->ops->writable(ws->arg);
        send_queued(ws);
    }
    if (!ws->eof && !ws_has_room(ws)) ws->full = true;
    if (!over(ws)) rearm(ws);
    ws->busy = false;
    if (over(ws)) finish(ws);
}

static void ready(struct watch *w, uint32_t events)
{
    struct ws *ws = container_of(w, struct ws, watch);

    if (events & (EPOLLHUP | EPOLLERR)) ws->eof = true;
    step(ws);
}

static void begin(struct timer *t);

static void alive(struct timer *t)
{
    struct ws *ws = container_of(t, struct ws, timer);
    const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
    int64_t now = mono_ms();

    if (ws->closing || now - ws->heard_ms >= WS_SILENCE_MS) {
        ws->end = true;
    } else {
        (void)wslay_event_queue_msg(ws->ctx, &ping);
        if (loop_timer(ws->loop, t, now + WS_PING_MS, alive) < 0) ws->end = true;
    }
    step(ws);
}

/* From the loop, not from ws_new: what `ended` frees may just be made. */
static void begin(struct timer *t)
{
    struct ws *ws = container_of(t, struct ws, timer);

    if (loop_timer(ws->loop, t, mono_ms() + WS_PING_MS, alive) < 0) ws->end = true;
    ws->full = true;
    step(ws);
}

int ws_new(struct loop *l, int fd, const void *early, size_t n_early, const struct ws_ops *ops, void *arg,
           struct ws **ret)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
    struct ws *ws = calloc(1, sizeof(*ws));
    int r = -ENOMEM;

    if (!ws) return -ENOMEM;
    *ws = (struct ws){.loop = l, .ops = ops, .arg = arg, .heard_ms = mono_ms()};
    strbuf_add(&ws->early, early, n_early);
    if (ws->early.failed || wslay_event_context_server_init(&ws->ctx, &callbacks, ws) != 0) goto fail;
    wslay_event_config_set_max_recv_msg_length(ws->ctx, WS_MESSAGE_MAX);
    if ((r = loop_watch(l, &ws->watch, fd, EPOLLIN, ready)) < 0 ||
        (r = loop_timer(l, &ws->timer, mono_ms(), begin)) < 0)
        goto fail;
    *ret = ws;
    return 0;
fail:
    ws_free(ws);
    return r;
}

/* Sends what is queued when the loop comes to it. */
static void flush_soon(struct ws *ws)
{
    if (!ws->busy) rearm(ws);
}

static void queue(struct ws *ws, uint8_t opcode, const void *data, size_t n)
{
    const struct wslay_event_msg m = {.opcode = opcode, .msg = data, .msg_length = n};

    if (ws->closing) return;
    if (wslay_event_queue_msg(ws->ctx, &m) != 0) ws->end = true;
    if (!ws_has_room(ws)) ws->full = true;
    flush_soon(ws);
}

void ws_send_text(struct ws *ws, const char *text, size_t n)
{
    queue(ws, WSLAY_TEXT_FRAME, text, n);
}

void ws_send_binary(struct ws *ws, const void *data, size_t n)
{
    queue(ws, WSLAY_BINARY_FRAME, data, n);
}

void ws_close(struct ws *ws, enum ws_close code, const char *reason)
{
    if (ws->closing) return;
    ws->closing = true;
    ws->code = code;
    ws->reason = reason;
    if (loop_timer(ws->loop, &ws->timer, mono_ms() + CLOSE_MS, alive) < 0) ws->end = true;
    flush_soon(ws);
}

void ws_rearm(struct ws *ws)
{
    flush_soon(ws);
}

void ws_stop(struct ws *ws)
{
    if (!ws) return;
    ws_close(ws, WS_CLOSE_GOING_AWAY, "volantd is stopping");
    send_queued(ws);
    finish(ws);
}
