/* SPDX-License-Identifier: Apache-2.0 */
/* See console.h. Lines are queued whole, so that a line of ours never appears inside one of the workload's. */
#include "kestrel/console.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/io.h"

void console_init(struct console *c, struct loop *l, int fd)
{
    *c = (struct console){.fd = fd, .loop = l};
    if (fd >= 0) (void)set_nonblock(fd, true);
}

void console_done(struct console *c)
{
    loop_unwatch(&c->watch);
    strbuf_done(&c->queue);
}

bool console_busy(const struct console *c)
{
    return c->queue.len > 0;
}

static void say_left_out(struct console *c)
{
    strbuf_addf(&c->queue, "volant: the console is slow: %llu lines left out (the agent keeps the last ones)\n",
                (unsigned long long)c->left_out);
    c->left_out = 0;
}

static void write_queue(struct watch *w, uint32_t events)
{
    struct console *c = container_of(w, struct console, watch);
    ssize_t n = write(c->fd, c->queue.data, c->queue.len);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    strbuf_consume(&c->queue, n < 0 ? c->queue.len : (size_t)n); /* a console that fails has nothing to be told */
    if (c->queue.len == 0 && c->left_out > 0) say_left_out(c);
    if (c->queue.len == 0) loop_unwatch(&c->watch);
}

static void queue_rest(struct console *c, const char *line, size_t n, size_t written)
{
    if (written < n) strbuf_add(&c->queue, line + written, n - written);
    strbuf_add(&c->queue, "\n", 1);
    if (c->queue.failed) { /* no memory: rather lose the queue than stop taking lines */
        strbuf_done(&c->queue);
        c->queue = (struct strbuf){0};
        c->left_out++;
        loop_unwatch(&c->watch);
        return;
    }
    if (!c->watch.loop && loop_watch(c->loop, &c->watch, c->fd, EPOLLOUT, write_queue) < 0)
        strbuf_consume(&c->queue, c->queue.len); /* not a console but a file: it does not get here with EAGAIN */
}

void console_line(struct console *c, const char *line, size_t n)
{
    struct iovec parts[] = {{(void *)(uintptr_t)line, n}, {"\n", 1}};
    ssize_t written = 0;

    if (c->fd < 0) return;
    if (c->queue.len + n >= CONSOLE_QUEUE_MAX || (c->left_out > 0 && c->queue.len > 0)) {
        c->left_out++;
        return;
    }
    if (c->queue.len == 0) {
        written = writev(c->fd, parts, ARRAY_LEN(parts));
        if (written == (ssize_t)n + 1) return;
        if (written < 0 && errno != EAGAIN && errno != EINTR) return;
        if (written < 0) written = 0;
    }
    queue_rest(c, line, n, (size_t)written);
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
