/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qmp.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "model/schema.h"

#define LINE_LIMIT   65536 /* bytes */
#define EVENTS_LIMIT 256   /* lines that are no answer */

struct qmp {
    int fd;
    int64_t deadline_ms;
    struct strbuf in;
    size_t lines; /* read so far */
};

static void qmp_done(struct qmp *q)
{
    closep(&q->fd);
    strbuf_done(&q->in);
}

static int fill(struct qmp *q, struct vl_error *err)
{
    struct pollfd p = {.fd = q->fd, .events = POLLIN};
    char chunk[4096];
    ssize_t n;
    int r = poll(&p, 1, deadline_left(q->deadline_ms));

    if (r == 0) return vl_fail_errno(err, ETIMEDOUT, "QMP");
    if (r < 0) return errno == EINTR ? 0 : vl_fail_errno(err, errno, "QMP");
    n = recv(q->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0) return errno == EINTR || errno == EAGAIN ? 0 : vl_fail_errno(err, errno, "QMP");
    if (n == 0) return vl_fail_errno(err, ECONNRESET, "QMP: the VMM hung up");
    strbuf_add(&q->in, chunk, (size_t)n);
    return q->in.failed ? vl_fail_errno(err, ENOMEM, "QMP") : 0;
}

/* The next line as JSON. */
static int next(struct qmp *q, json_t **ret, struct vl_error *err)
{
    const char *end;
    size_t len;
    int r;

    while (!(end = q->in.len ? memchr(q->in.data, '\n', q->in.len) : NULL)) {
        if (q->in.len > LINE_LIMIT) return vl_fail(err, VL_INTERNAL, "QMP: a line of more than %d bytes", LINE_LIMIT);
        if ((r = fill(q, err)) < 0) return r;
    }
    if (++q->lines > EVENTS_LIMIT) return vl_fail(err, VL_INTERNAL, "QMP: no answer in %d lines", EVENTS_LIMIT);
    len = (size_t)(end - q->in.data);
    r = json_parse(q->in.data, len, "QMP", ret, err);
    strbuf_consume(&q->in, len + 1);
    return r;
}

static int refused(const json_t *error, const char *command, struct vl_error *err)
{
    const char *text = json_string_value(json_object_get(error, "desc"));
    auto_strbuf shown = {0};

    if (!text) text = "no reason given";
    strbuf_add_printable(&shown, text, strlen(text));
    return vl_fail(err, VL_INTERNAL, "QMP: the VMM refuses '%s': %.200s", command, shown.failed ? "" : shown.data);
}

/* *ret, if wanted, gets what the command returned. */
static int execute(struct qmp *q, const char *command, json_t **ret, struct vl_error *err)
{
    char line[128];
    int r = strf(line, sizeof(line), "{\"execute\":\"%s\"}\n", command);

    if (r < 0) return vl_fail_errno(err, r, "QMP '%s'", command);
    /* In one piece: nothing is on its way that could fill the socket. And no SIGPIPE from a VMM that ends. */
    if (send(q->fd, line, (size_t)r, MSG_NOSIGNAL) != (ssize_t)r) return vl_fail_errno(err, errno, "QMP '%s'", command);
    for (;;) {
        json_auto_t *answer = NULL;
        json_t *error, *value;

        if ((r = next(q, &answer, err)) < 0) return r;
        if ((error = json_object_get(answer, "error"))) return refused(error, command, err);
        if (!(value = json_object_get(answer, "return"))) continue;
        if (ret) *ret = json_incref(value);
        return 0;
    }
}

int qmp_run(const char *path, const char *command, int64_t deadline_ms, json_t **ret, struct vl_error *err)
{
    auto_(qmp_done) struct qmp q = {.fd = unix_connect(path), .deadline_ms = deadline_ms};
    json_auto_t *greeting = NULL;
    int r;

    if (q.fd < 0) return vl_fail_errno(err, q.fd, "connect to %s", path);
    if ((r = next(&q, &greeting, err)) < 0) return r;
    if (!json_object_get(greeting, "QMP")) return vl_fail(err, VL_INTERNAL, "%s does not speak QMP", path);
    if ((r = execute(&q, "qmp_capabilities", NULL, err)) < 0) return r;
    return execute(&q, command, ret, err);
}
