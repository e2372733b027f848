/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /ws/v1/vms/:name/console (contract 1.10): the console's bytes as binary frames, first what it said before; what the
 * client sends is typed. Several may be there at once: the shim serves each from the one scrollback. Nothing is read
 * from the console while the client's queue is full, and nothing from the client while the console takes none.
 */
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "volantd/api.h"
#include "volantd/websocket.h"

#define FRAME_MAX 4096
#define INPUT_MAX (16ul * 1024)

struct console {
    struct api_req *req;
    struct loop *loop;
    struct watch watch;
    int fd;
    struct ws *ws; /* NULL: not yet, or over */
    struct strbuf input;
    bool over; /* the console has ended */
};

static void console_ready(struct watch *w, uint32_t events);

static void console_rearm(struct console *c)
{
    uint32_t events = (ws_has_room(c->ws) ? EPOLLIN : 0u) | (c->input.len > 0 ? EPOLLOUT : 0u);

    if (!c->over && loop_rewatch(&c->watch, events) < 0) c->over = true;
}

static void console_over(struct console *c)
{
    c->over = true;
    loop_unwatch(&c->watch);
    ws_close(c->ws, WS_CLOSE_NORMAL, "");
}

static void console_read(struct console *c)
{
    char buf[FRAME_MAX];

    while (ws_has_room(c->ws)) {
        ssize_t n = read(c->fd, buf, sizeof(buf));

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            console_over(c);
            return;
        }
        ws_send_binary(c->ws, buf, (size_t)n);
    }
}

static void console_write(struct console *c)
{
    ssize_t n = send(c->fd, c->input.data, c->input.len, MSG_NOSIGNAL);

    if (n > 0) strbuf_consume(&c->input, (size_t)n);
    ws_rearm(c->ws);
}

static void console_ready(struct watch *w, uint32_t events)
{
    struct console *c = container_of(w, struct console, watch);

    if (events & EPOLLOUT && c->input.len > 0) console_write(c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) console_read(c);
    if (!c->over) console_rearm(c);
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static void client_writable(void *arg)
{
    struct console *c = arg;

    if (!c->over) console_rearm(c);
}

static void client_message(void *arg, const void *data, size_t n)
{
    struct console *c = arg;

    if (c->over) return;
    strbuf_add(&c->input, data, n);
    if (c->input.failed) {
        console_over(c);
        return;
    }
    console_rearm(c);
}

static bool client_wanted(void *arg)
{
    const struct console *c = arg;

    return c->over || c->input.len < INPUT_MAX;
}

static void client_ended(void *arg)
{
    struct console *c = arg;

    c->ws = NULL;
    loop_unwatch(&c->watch);
    c->over = true;
    c->req->hang_up(c->req);
}

static void console_upgraded(struct api_req *req, int fd, const void *early, size_t n)
{
    static const struct ws_ops ops = {
        .writable = client_writable, .message = client_message, .wants = client_wanted, .ended = client_ended};
    struct console *c = req->state;

    if (ws_new(c->loop, fd, early, n, &ops, c, &c->ws) < 0) {
        req->hang_up(req);
    } else if (loop_watch(c->loop, &c->watch, c->fd, 0, console_ready) < 0) {
        console_over(c);
    }
}

static void console_stop(struct api_req *req)
{
    struct console *c = req->state;

    ws_stop(c->ws);
}

static void console_release(struct api_req *req)
{
    struct console *c = req->state;

    loop_unwatch(&c->watch);
    closep(&c->fd);
    strbuf_done(&c->input);
    free(c);
}

static int console_open(const struct vm *vm, int *ret_fd, struct vl_error *err)
{
    struct vm_view v;
    int fd;

    engine_vm_view(vm, &v);
    if (!v.pid || !v.serial_socket || !*v.serial_socket)
        return vl_fail(err, VL_CONFLICT, "vm not ready: VM '%s' is %s and has no console now", v.name, v.status);
    if ((fd = unix_connect(v.serial_socket)) < 0)
        return vl_fail(err, VL_UNAVAILABLE, "serial socket unavailable: that of VM '%s' (its shim may be gone): %s",
                       v.name, vl_strerror(fd));
    *ret_fd = fd;
    return 0;
}

enum api_end vm_console_ws(struct api *api, struct api_req *req, struct vl_error *err)
{
    static const struct api_upgrade upgrade = {.begin = console_upgraded, .stop = console_stop};
    struct console *c;
    struct vm *vm;
    int fd = -1;

    if (!ws_requested(req)) return API_DONE;
    if (!(vm = api_vm(api, req, err)) || console_open(vm, &fd, err) < 0) return API_FAILED;
    if (!(c = calloc(1, sizeof(*c)))) {
        (void)close(fd);
        vl_fail_errno(err, ENOMEM, "console");
        return API_FAILED;
    }
    *c = (struct console){.req = req, .loop = api->loop, .fd = fd};
    req->state = c;
    req->release = console_release;
    return ws_accept(req, &upgrade, err);
}
