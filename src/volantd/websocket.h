/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WebSocket (RFC 6455), the server's end, over a socket that HTTP gave up: wslay makes frames of it and checks
 * them. Memory is bounded both ways: what is queued for a client that does not read, and what a client sends that
 * nobody takes. A client that gives no sign of life for WS_SILENCE_MS, though it is pinged, is gone. Loop thread only.
 */
#pragma once
#include "base/loop.h"
#include "volantd/request.h"

#define WS_MESSAGE_MAX (64ul * 1024) /* of a client's message; a larger one is answered with close 1009 */
#define WS_PING_MS     20000
#define WS_SILENCE_MS  60000

enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_TRY_LATER = 1013,
};

struct ws;
struct ws_ops {
    /* There is room again after ws_has_room said no (and once at the beginning). */
    void (*writable)(void *arg);
    /* NULL: what clients send is ignored. */
    void (*message)(void *arg, const void *data, size_t n);
    /* Whether more of the client's messages can be taken now; NULL: always. ws_rearm tells that it has changed. */
    bool (*wants)(void *arg);
    /* The connection is over, and the ws is freed: last call. Never from within a call of ours but ws_stop. */
    void (*ended)(void *arg);
};
/* fd is borrowed, non-blocking; `early` bytes came with the request. -ENOMEM and the like: nothing was begun. */
int ws_new(struct loop *l, int fd, const void *early, size_t n_early, const struct ws_ops *ops, void *arg,
           struct ws **ret);
bool ws_has_room(const struct ws *ws);
/* Queues a message. Nothing happens where the connection is closing already. */
void ws_send_text(struct ws *ws, const char *text, size_t n); /* valid UTF-8 */
void ws_send_binary(struct ws *ws, const void *data, size_t n);
/* After what is queued; then the client has a moment to answer. reason: constant, at most 123 bytes. */
void ws_close(struct ws *ws, enum ws_close code, const char *reason);
void ws_rearm(struct ws *ws);
/* volantd stops: says so, sends what can be sent at once, the rest is lost; `ended` is called. NULL is fine. */
void ws_stop(struct ws *ws);

/* Whether a request asks for a WebSocket as RFC 6455 4.2.1 wants it; else the reply is complete (426, 400). */
bool ws_requested(struct api_req *req);
/* Completes the reply: 101 with the headers of the handshake. Ends as a handler does. */
enum api_end ws_accept(struct api_req *req, const struct api_upgrade *upgrade, struct vl_error *err);
/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; -EINVAL where that is none. */
int ws_accept_key(const char *key, char ret[static 32]);
