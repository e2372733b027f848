/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An artifact from a URL. volant-fetch, a child without privileges, reads what a stranger sends and hands the bytes
 * over; they are hashed here while they are written, and kept only if the digest is right.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "artifact/artifact.h"
#include "artifact/internal.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"

#define SCHEME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."
#define CHUNK        (128UL * 1024)
#define PIPE_BYTES   (1 << 20)
#define GRACE_MS     1000
#define LATE_MS      5000 /* the child has the same deadline and a better word for why */
#define WORDS_MAX    1024
#define SIZE_LINE    32
enum { NOT_NOW = 3, NOT_EVER = 4 }; /* exit codes of volant-fetch */

struct fetching {
    struct artifacts *artifacts;
    const struct artifact_source *source;
    struct artifact_put *put; /* once the size is known, or known to be unknown */
    uint64_t size, got;       /* size 0: unknown */
    char line[SIZE_LINE];     /* the first one, as far as it came */
    size_t line_len;
    int64_t deadline_ms;
    int pidfd, out_fd, words_fd;
};

static void fetching_done(struct fetching *f)
{
    if (f->pidfd >= 0) (void)proc_stop(f->pidfd, GRACE_MS, NULL);
    closep(&f->pidfd);
    closep(&f->out_fd);
    closep(&f->words_fd);
    artifact_put_abort(f->put);
}

void url_public(const char *url, char *buf, size_t size)
{
    const char *rest = url + strspn(url, SCHEME_BYTES), *at;
    auto_free char *shown = NULL;
    size_t n;

    if (!str_starts(rest, "://")) {
        (void)escape_printable(buf, size, "(no URL)", strlen("(no URL)"));
        return;
    }
    rest += 3;
    n = strcspn(rest, "/?#");
    at = memrchr(rest, '@', n);
    /* What follows '?' may be a signature. */
    if (at) n -= (size_t)(at + 1 - rest);
    shown = strf_new("%.*s%.*s", (int)(rest - url), url, (int)(n + strcspn((at ? at + 1 : rest) + n, "?#")),
                     at ? at + 1 : rest);
    (void)escape_printable(buf, size, shown ? shown : "", shown ? strlen(shown) : 0);
}

/* --- the child ---------------------------------------------------------------------------------------------------- */

/* A nameless file that can be read from its start: unlike a command line nobody else's to see. */
static int url_file(const char *url)
{
    auto_close int fd = memfd_create("url", MFD_CLOEXEC);
    int r;

    if (fd < 0) return -errno;
    if ((r = write_all(fd, url, strlen(url), -1)) < 0) return r;
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : take_fd(&fd);
}

static int spawn(struct fetching *f, int in_fd, int to_fd)
{
    const struct artifact_source *s = f->source;
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    char timeout[16], stall[16], uid[16];
    const char *argv[] = {s->helper, "--timeout", timeout, "--stall", stall, s->uid ? "--uid" : NULL, uid, NULL};
    pid_t pid;

    (void)strf(timeout, sizeof(timeout), "%d", s->timeout_s);
    (void)strf(stall, sizeof(stall), "%d", s->stall_s);
    (void)strf(uid, sizeof(uid), "%u", (unsigned)s->uid);
    opts.argv = argv;
    opts.cwd = "/";
    opts.stdin_fd = in_fd;
    opts.stdout_fd = to_fd;
    opts.stderr_fd = f->words_fd;
    opts.setsid = true;
    return proc_spawn(&opts, &pid, &f->pidfd);
}

static int start(struct fetching *f, struct vl_error *err)
{
    auto_close int url = url_file(f->source->url), to = -1;
    int ends[2], r;

    if (url < 0) return vl_fail_errno(err, url, "start %s", f->source->helper);
    if ((f->words_fd = memfd_create("words", MFD_CLOEXEC)) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return vl_fail_errno(err, errno, "start %s", f->source->helper);
    f->out_fd = ends[0];
    to = ends[1];
    (void)fcntl(to, F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one only takes longer */
    if ((r = set_nonblock(f->out_fd, true)) < 0 || (r = spawn(f, url, to)) < 0)
        return vl_fail_errno(err, r, "start %s", f->source->helper);
    return 0;
}

/* Its last words, as an error. */
static int child_failed(struct fetching *f, int status, struct vl_error *err)
{
    enum vl_kind kind = VL_INTERNAL;
    char text[WORDS_MAX + 1], line[400];
    ssize_t n = pread(f->words_fd, text, WORDS_MAX, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)escape_printable(line, sizeof(line), text, strlen(text));
    if (WIFSIGNALED(status)) return vl_fail(err, VL_INTERNAL, "volant-fetch was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == NOT_NOW) kind = VL_UNAVAILABLE;
    if (WEXITSTATUS(status) == NOT_EVER) kind = VL_INVALID;
    return vl_fail(err, kind, "%s", *line ? line : "volant-fetch failed without a word");
}

/* --- what it hands over --------------------------------------------------------------------------------------------
 */

/* The store has a floor of its own; this is the administrator's. */
static int check_room(const struct fetching *f, uint64_t more, struct vl_error *err)
{
    uint64_t room;

    if (f->source->reserve == 0 || disk_free(f->artifacts->path, &room) < 0) return 0;
    if (room >= f->source->reserve && room - f->source->reserve >= more) return 0;
    return vl_fail(err, VL_NO_SPACE,
                   "it takes %llu bytes: %llu are free in %s and %llu stay so (VOLANT_DISK_RESERVE): make room there",
                   (unsigned long long)more, (unsigned long long)room, f->artifacts->path,
                   (unsigned long long)f->source->reserve);
}

static int begin(struct fetching *f, const char *hex, struct vl_error *err)
{
    uint64_t wanted = f->source->size;
    int r;

    if (!str_eq(f->line, "-") && parse_u64(f->line, 0, INT64_MAX, &f->size) < 0)
        return vl_fail(err, VL_INTERNAL, "volant-fetch did not say how many bytes there are");
    if (!str_eq(f->line, "-") && wanted > 0 && f->size != wanted)
        return vl_fail(err, VL_INVALID, "it has %llu bytes, the manifest says %llu: it is another file, or damaged",
                       (unsigned long long)f->size, (unsigned long long)wanted);
    if (f->size == 0) f->size = wanted;
    if ((r = check_room(f, f->size, err)) < 0) return r;
    return artifact_put_begin(f->artifacts, hex, f->size, &f->put, err);
}

/* How much of it belongs to the first line, behind which `put` is there. */
static ssize_t take_line(struct fetching *f, const char *hex, const char *data, size_t n, struct vl_error *err)
{
    const char *end = memchr(data, '\n', n);
    size_t len = end ? (size_t)(end - data) : n;
    int r;

    if (f->line_len + len >= sizeof(f->line))
        return vl_fail(err, VL_INTERNAL, "volant-fetch did not say how many bytes there are");
    memcpy(f->line + f->line_len, data, len);
    f->line_len += len;
    f->line[f->line_len] = '\0';
    if (!end) return (ssize_t)n;
    if ((r = begin(f, hex, err)) < 0) return r;
    return (ssize_t)len + 1;
}

static int take(struct fetching *f, const char *hex, const char *data, size_t n, struct vl_error *err)
{
    ssize_t first = f->put ? 0 : take_line(f, hex, data, n, err);
    int r;

    if (first < 0) return (int)first;
    data += first;
    n -= (size_t)first;
    if (n == 0) return 0;
    if (f->size > 0 && f->got + n > f->size)
        return vl_fail(err, VL_INVALID, "it has more than %llu bytes: it is another file, or damaged",
                       (unsigned long long)f->size);
    if (f->size == 0 && (r = check_room(f, n, err)) < 0) return r;
    f->got += n;
    return artifact_put_write(f->put, data, n, err);
}

/* 1: it has closed its end. */
static int await(struct fetching *f, struct vl_error *err)
{
    struct pollfd fds[] = {{.fd = f->out_fd, .events = POLLIN}, {.fd = f->source->stop_fd, .events = POLLIN}};
    int r = poll(fds, ARRAY_LEN(fds), deadline_left(f->deadline_ms));

    if (r < 0) return errno == EINTR ? 0 : vl_fail_errno(err, errno, "wait for volant-fetch");
    if (fds[1].revents) return vl_fail(err, VL_UNAVAILABLE, "volantd is stopping: install it again later");
    if (r > 0) return 0;
    return vl_fail(err, VL_UNAVAILABLE,
                   "not all of it came within %d seconds (VOLANT_FETCH_TIMEOUT): %llu bytes did: try again later",
                   f->source->timeout_s, (unsigned long long)f->got);
}

static int take_all(struct fetching *f, const char *hex, struct vl_error *err)
{
    auto_free char *buf = malloc(CHUNK);
    ssize_t n;
    int r;

    if (!buf) return vl_fail_errno(err, ENOMEM, "fetch");
    for (;;) {
        if ((r = await(f, err)) < 0) return r;
        n = read(f->out_fd, buf, CHUNK);
        if (n == 0) return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR) return vl_fail_errno(err, errno, "read from volant-fetch");
        if (n > 0 && (r = take(f, hex, buf, (size_t)n, err)) < 0) return r;
    }
}

static int finish(struct fetching *f, struct vl_error *err)
{
    int status = 0, r = proc_wait(f->pidfd, mono_ms() + LATE_MS, &status);

    if (r < 0) return vl_fail_errno(err, r, "wait for volant-fetch");
    (void)close(take_fd(&f->pidfd));
    if (status != 0) return child_failed(f, status, err);
    if (!f->put) return vl_fail(err, VL_INTERNAL, "volant-fetch handed nothing over");
    if (f->size > 0 && f->got < f->size)
        return vl_fail(err, VL_UNAVAILABLE, "only %llu of %llu bytes came: try again later", (unsigned long long)f->got,
                       (unsigned long long)f->size);
    return artifact_put_finish(take_ptr(f->put), err);
}

int artifact_fetch(struct artifacts *a, const char *hex, const struct artifact_source *source, struct vl_error *err)
{
    auto_(fetching_done) struct fetching f = {
        .artifacts = a,
        .source = source,
        .deadline_ms = mono_ms() + (int64_t)source->timeout_s * 1000 + LATE_MS,
        .pidfd = -1,
        .out_fd = -1,
        .words_fd = -1,
    };
    char shown[256];
    int r;

    if ((r = start(&f, err)) == 0 && (r = take_all(&f, hex, err)) == 0) r = finish(&f, err);
    if (r == 0) return 0;
    url_public(source->url, shown, sizeof(shown));
    return vl_wrap(err, "fetch %s", shown);
}
