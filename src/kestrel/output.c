/* SPDX-License-Identifier: Apache-2.0 */
/* See output.h. One bounded read a round, so that a workload that prints without end starves nobody. */
#include "kestrel/output.h"

#include "base/clock.h"
#include "base/io.h"

#define READ_BYTES 16384

static void take_line(void *arg, const char *line, size_t n)
{
    struct output *o = arg;

    console_line(o->console, o->stream == LOG_STDERR, line, n);
    logs_add(o->logs, o->stream, wall_ms(), line, n);
}

static void on_readable(struct watch *w, uint32_t events)
{
    static char buf[READ_BYTES]; /* one thread, used up before it returns */
    struct output *o = container_of(w, struct output, watch);
    ssize_t n = read(o->fd, buf, sizeof(buf));

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
        splitter_feed(&o->splitter, buf, (size_t)n);
    } else {
        output_stop(o);
    }
    o->grown(o->arg);
}

int output_start(struct output *o, struct loop *l, int fd)
{
    int r;

    o->splitter.line = take_line;
    o->splitter.arg = o;
    o->fd = fd;
    if ((r = set_nonblock(fd, true)) < 0) return r;
    return loop_watch(l, &o->watch, fd, EPOLLIN, on_readable);
}

bool output_ended(const struct output *o)
{
    return o->fd < 0;
}

void output_stop(struct output *o)
{
    if (o->fd < 0) return;
    loop_unwatch(&o->watch);
    (void)close(take_fd(&o->fd));
    splitter_end(&o->splitter);
}
