/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a WebSocket client sends after the handshake. The first byte says how much of it came with the request.
 * Whatever it is, no message is longer than the limit, and the connection ends once and for all.
 */
#include <sys/socket.h>

#include "base/io.h"
#include "fuzz.h"
#include "volantd/websocket.h"

struct client {
    struct ws *ws;
    int fd, ended;
};

static void on_writable(void *arg)
{
    (void)arg;
}

static void on_message(void *arg, const void *data, size_t n)
{
    struct client *c = arg;

    must(n <= WS_MESSAGE_MAX && c->ended == 0);
    ws_send_binary(c->ws, data, n);
}

static void on_ended(void *arg)
{
    struct client *c = arg;

    c->ended++;
    c->ws = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ws_ops ops = {.writable = on_writable, .message = on_message, .ended = on_ended};
    struct loop *l;
    struct client c = {0};
    size_t early;
    int fds[2];

    if (size == 0 || size > 65536) return 0;
    early = data[0] % size;
    must(loop_new(&l) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    must(ws_new(l, fds[0], data + 1, early, &ops, &c, &c.ws) == 0);
    (void)!write(fds[1], data + 1 + early, size - 1 - early);
    for (int i = 0; i < 8 && c.ws; i++)
        (void)loop_step(l, 0);
    (void)close(fds[1]);
    for (int i = 0; i < 64 && c.ws; i++)
        (void)loop_step(l, 0);
    ws_stop(c.ws);
    must(c.ended == 1);
    (void)close(fds[0]);
    loop_free(l);
    return 0;
}
