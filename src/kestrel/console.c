/* SPDX-License-Identifier: Apache-2.0 */
/* See console.h. Lines are queued whole, so that a line of ours never appears inside one of the workload's. */
#include "kestrel/console.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/io.h"

#define PIECE    4096 /* bytes that are written at once, and the rest of a line */
#define KEPT_MAX 4096 /* bytes of lines that matter, out of what is left out */
#define MATTERS  '!'

void console_init(struct console *c, struct loop *l, int fd)
{
    *c = (struct console){.fd = fd, .loop = l};
    if (fd >= 0) (void)set_nonblock(fd, true);
}

void console_done(struct console *c)
{
    loop_unwatch(&c->watch);
    strbuf_done(&c->going);
    strbuf_done(&c->kept);
    strbuf_done(&c->queue);
}

bool console_busy(const struct console *c)
{
    return c->going.len > 0 || c->kept.len > 0 || c->queue.len > 0 || c->left_out > 0;
}

/* The first line of a queue with its flag and newline. */
static size_t first_line(const struct strbuf *queue)
{
    return (size_t)((const char *)memchr(queue->data, '\n', queue->len) - queue->data) + 1;
}

static void keep(struct console *c, const char *line, size_t n)
{
    strbuf_add(&c->kept, line, n);
    while (c->kept.len > KEPT_MAX) {
        strbuf_consume(&c->kept, first_line(&c->kept));
        c->left_out++;
    }
}

void console_keep_end(struct console *c, size_t max)
{
    size_t n = 0;

    while (c->queue.len - n > max) {
        const char *line = c->queue.data + n;
        size_t len = (size_t)((const char *)memchr(line, '\n', c->queue.len - n) - line) + 1;

        if (*line == MATTERS && len <= KEPT_MAX)
            keep(c, line + 1, len - 1);
        else
            c->left_out++;
        n += len;
    }
    strbuf_consume(&c->queue, n);
}

/* No memory: rather lose what waits than stop taking lines. */
static void give_up(struct console *c)
{
    strbuf_done(&c->going);
    strbuf_done(&c->kept);
    strbuf_done(&c->queue);
    c->going = c->kept = c->queue = (struct strbuf){0};
    c->left_out++;
}

/* What was left out and what of it was not, then some lines. */
static void take_next(struct console *c)
{
    if (c->left_out > 0)
        strbuf_addf(&c->going, "volant: the console is slow: %llu lines left out (the agent keeps the last ones)\n",
                    (unsigned long long)c->left_out);
    c->left_out = 0;
    if (c->kept.len > 0) strbuf_add(&c->going, c->kept.data, c->kept.len);
    strbuf_consume(&c->kept, c->kept.len);
    for (size_t n; c->queue.len > 0 && c->going.len < PIECE; strbuf_consume(&c->queue, n)) {
        n = first_line(&c->queue);
        strbuf_add(&c->going, c->queue.data + 1, n - 1);
    }
    if (c->going.failed || c->kept.failed) give_up(c);
}

static void write_queue(struct watch *w, uint32_t events)
{
    struct console *c = container_of(w, struct console, watch);
    ssize_t n;

    (void)events;
    if (c->going.len == 0) take_next(c);
    n = write(c->fd, c->going.data, c->going.len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    strbuf_consume(&c->going, n < 0 ? c->going.len : (size_t)n); /* a console that fails has nothing to be told */
    if (!console_busy(c)) loop_unwatch(&c->watch);
}

static void await_room(struct console *c)
{
    if (c->going.failed || c->kept.failed || c->queue.failed) give_up(c);
    if (c->watch.loop || loop_watch(c->loop, &c->watch, c->fd, EPOLLOUT, write_queue) == 0) return;
    strbuf_consume(&c->going, c->going.len); /* not a console but a file: it does not get here with EAGAIN */
    strbuf_consume(&c->queue, c->queue.len);
}

static void queue_line(struct console *c, bool matters, const char *line, size_t n)
{
    strbuf_addf(&c->queue, "%c", matters ? MATTERS : ' ');
    strbuf_add(&c->queue, line, n);
    strbuf_add(&c->queue, "\n", 1);
    if (c->queue.len > CONSOLE_QUEUE_MAX) console_keep_end(c, CONSOLE_QUEUE_MAX / 4 * 3);
}

void console_line(struct console *c, bool matters, const char *line, size_t n)
{
    struct iovec parts[] = {{(void *)(uintptr_t)line, n}, {"\n", 1}};
    ssize_t written;

    if (c->fd < 0) return;
    if (console_busy(c)) {
        queue_line(c, matters, line, n);
        await_room(c);
        return;
    }
    written = writev(c->fd, parts, ARRAY_LEN(parts));
    if (written == (ssize_t)n + 1 || (written < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (written < 0) written = 0;
    if ((size_t)written < n) strbuf_add(&c->going, line + written, n - (size_t)written);
    strbuf_add(&c->going, "\n", 1);
    await_room(c);
}

void console_say(int fd, int wait_ms, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    size_t n;
    int r;

    if (fd < 0) return;
    va_start(args, fmt);
    r = vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    if (r < 0) return;
    n = (size_t)r < sizeof(line) - 1 ? (size_t)r : sizeof(line) - 2;
    line[n++] = '\n';
    (void)write_all(fd, line, n, mono_ms() + wait_ms);
}

/* tcdrain(3) has no bound and sleeps by the baud rate; the count of queued bytes is exact and costs one call. */
void console_flush(int fd, int wait_ms)
{
    int64_t deadline = mono_ms() + wait_ms;
    int queued = 0;

    while (fd >= 0 && ioctl(fd, TIOCOUTQ, &queued) == 0 && queued > 0 && mono_ms() < deadline)
        pause_ms(1);
}
