/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ring holds the scrollback; a reader is a position in the stream of all output so far. Memory is thus the same
 * with no reader and with all of them.
 */
#include "shim/console.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "shim/console_log.h"

#define INPUT_MAX     4096 /* typed and not yet taken by the VMM */
#define CHUNK         16384
#define FINISH_ROUNDS 64 /* what a dead VMM can have left in a socket is less than this many chunks */

struct reader {
    struct watch watch; /* fd -1: unused */
    struct console *console;
    uint64_t at; /* bytes of the stream it has been sent or has lost */
    bool silent; /* it will write no more */
};

struct console {
    struct loop *loop;
    struct watch vmm, listen;
    struct console_log log;
    uint64_t total; /* bytes of output so far; the ring holds the last of them */
    size_t input_len;
    struct reader readers[CONSOLE_READERS];
    char input[INPUT_MAX];
    char ring[CONSOLE_SCROLLBACK];
};

static void reader_drop(struct reader *r)
{
    loop_unwatch(&r->watch);
    closep(&r->watch.fd);
    r->watch.fd = -1;
}

/* What is to be waited for: input while there is room for it and the VMM is there, room for output while there is some.
 */
static void reader_rearm(struct reader *r)
{
    struct console *c = r->console;
    uint32_t events = 0;

    if (!r->silent && c->input_len < INPUT_MAX) events |= EPOLLIN;
    if (r->at != c->total) events |= EPOLLOUT;
    if (loop_rewatch(&r->watch, events) < 0) reader_drop(r);
}

static void reader_flush(struct reader *r)
{
    struct console *c = r->console;

    if (c->total - r->at > CONSOLE_SCROLLBACK) r->at = c->total - CONSOLE_SCROLLBACK;
    while (r->at != c->total) {
        size_t from = (size_t)(r->at % CONSOLE_SCROLLBACK);
        size_t n = (size_t)(c->total - r->at);
        ssize_t done;

        if (n > CONSOLE_SCROLLBACK - from) n = CONSOLE_SCROLLBACK - from;
        done = send(r->watch.fd, c->ring + from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) {
            reader_drop(r);
            return;
        }
        r->at += (uint64_t)done;
    }
}

static void readers_rearm(struct console *c)
{
    for (size_t i = 0; i < CONSOLE_READERS; i++)
        if (c->readers[i].watch.fd >= 0) reader_rearm(&c->readers[i]);
}

static void output(struct console *c, const char *data, size_t n)
{
    console_log_write(&c->log, data, n);
    while (n > 0) {
        size_t at = (size_t)(c->total % CONSOLE_SCROLLBACK);
        size_t part = n < CONSOLE_SCROLLBACK - at ? n : CONSOLE_SCROLLBACK - at;

        memcpy(c->ring + at, data, part);
        c->total += part;
        data += part;
        n -= part;
    }
    for (size_t i = 0; i < CONSOLE_READERS; i++) {
        struct reader *r = &c->readers[i];

        if (r->watch.fd < 0) continue;
        reader_flush(r);
        if (r->watch.fd >= 0) reader_rearm(r);
    }
}

static void vmm_lost(struct console *c)
{
    loop_unwatch(&c->vmm);
    c->vmm.fd = -1;
    c->input_len = 0;
}

static void input_flush(struct console *c)
{
    while (c->vmm.fd >= 0 && c->input_len > 0) {
        ssize_t done = send(c->vmm.fd, c->input, c->input_len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN) break;
        if (done < 0) {
            vmm_lost(c);
            break;
        }
        c->input_len -= (size_t)done;
        memmove(c->input, c->input + done, c->input_len);
    }
    if (c->vmm.fd >= 0 && loop_rewatch(&c->vmm, c->input_len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN) < 0) vmm_lost(c);
}

/* False once there is nothing more for now. */
static bool vmm_read(struct console *c)
{
    char chunk[CHUNK];
    ssize_t n = recv(c->vmm.fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
        vmm_lost(c);
        return false;
    }
    output(c, chunk, (size_t)n);
    return true;
}

static void vmm_ready(struct watch *w, uint32_t events)
{
    struct console *c = container_of(w, struct console, vmm);

    if (events & EPOLLOUT) {
        input_flush(c);
        readers_rearm(c);
    }
    if (c->vmm.fd >= 0 && (events & ~(uint32_t)EPOLLOUT)) (void)vmm_read(c);
}

/* Only as much as the VMM's buffer has room for: the rest waits in the reader's socket. Without a VMM it is thrown
 * away. */
static void reader_input(struct reader *r)
{
    struct console *c = r->console;
    ssize_t n = recv(r->watch.fd, c->input + c->input_len, INPUT_MAX - c->input_len, MSG_DONTWAIT);

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n < 0) {
        reader_drop(r);
        return;
    }
    if (n == 0) {
        r->silent = true;
        return;
    }
    if (c->vmm.fd < 0) return;
    c->input_len += (size_t)n;
    input_flush(c);
    if (c->input_len == INPUT_MAX) readers_rearm(c);
}

static void reader_ready(struct watch *w, uint32_t events)
{
    struct reader *r = container_of(w, struct reader, watch);

    if (events & (EPOLLHUP | EPOLLERR)) { /* both directions are closed; reported whether asked for or not */
        reader_drop(r);
        return;
    }
    if (events & EPOLLOUT) reader_flush(r);
    if (r->watch.fd >= 0 && (events & EPOLLIN) && r->console->input_len < INPUT_MAX) reader_input(r);
    if (r->watch.fd >= 0) reader_rearm(r);
}

static void reader_add(struct console *c, int fd)
{
    static const char full[] = "volant: this console has as many readers as it can have\r\n";
    struct reader *r = NULL;

    for (size_t i = 0; i < CONSOLE_READERS && !r; i++)
        if (c->readers[i].watch.fd < 0) r = &c->readers[i];
    if (!r) {
        (void)send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)close(fd);
        return;
    }
    *r = (struct reader){.console = c, .watch.fd = fd};
    if (loop_watch(c->loop, &r->watch, fd, EPOLLIN, reader_ready) < 0) {
        reader_drop(r);
        return;
    }
    reader_flush(r);
    if (r->watch.fd >= 0) reader_rearm(r);
}

static void listen_ready(struct watch *w, uint32_t events)
{
    struct console *c = container_of(w, struct console, listen);
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd >= 0) {
        reader_add(c, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        /* Without descriptors or memory it would be tried for ever at full speed. */
        int saved = errno;

        loop_unwatch(w);
        console_say(c, "cannot take further readers: error %d", saved);
    }
}

int console_new(struct loop *l, int dir_fd, int listen_fd, uint64_t log_max, struct console **ret)
{
    /* Not from the heap, which would clear it page by page: the ring costs memory only as far as it was filled. */
    struct console *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int r;

    if (c == MAP_FAILED) return -errno;
    c->loop = l;
    c->vmm.fd = -1;
    for (size_t i = 0; i < CONSOLE_READERS; i++)
        c->readers[i].watch.fd = -1;
    if ((r = loop_watch(l, &c->listen, listen_fd, EPOLLIN, listen_ready)) < 0) {
        (void)munmap(c, sizeof(*c));
        return r;
    }
    console_log_open(&c->log, dir_fd, log_max);
    *ret = c;
    return 0;
}

int console_attach(struct console *c, int vmm_fd)
{
    int r = loop_watch(c->loop, &c->vmm, vmm_fd, EPOLLIN, vmm_ready);

    if (r < 0) {
        c->vmm.fd = -1;
        return r;
    }
    input_flush(c); /* readers may have been quicker */
    return 0;
}

void console_say(struct console *c, const char *fmt, ...)
{
    char text[256], line[300];
    va_list ap;
    int n;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if ((n = strf(line, sizeof(line), "\r\nvolant-shim: %s\r\n", text)) > 0) output(c, line, (size_t)n);
}

void console_finish(struct console *c)
{
    for (int i = 0; i < FINISH_ROUNDS && c->vmm.fd >= 0 && vmm_read(c); i++)
        ;
}

void console_free(struct console *c)
{
    if (!c) return;
    for (size_t i = 0; i < CONSOLE_READERS; i++)
        if (c->readers[i].watch.fd >= 0) reader_drop(&c->readers[i]);
    loop_unwatch(&c->vmm);
    loop_unwatch(&c->listen);
    console_log_close(&c->log);
    (void)munmap(c, sizeof(*c));
}
