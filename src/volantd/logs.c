/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/vms/:name/logs: JSON lines {"name","stream","line","timestamp"} (contract 1.10). While the agent answers
 * (a moment is spent waiting for it) they come from the guest, and with follow=1 until its workload has ended;
 * otherwise from the console log, whose lines have no time. The guest's text is decoded and written anew: it cannot
 * forge a line. With end=1 the last line of the guest's is followed by the VM as it ended, which is taken when it ends:
 * who reads slowly learns it even of a VM that is gone by then.
 */
#include <string.h>

#include "base/log.h"
#include "volantd/api.h"
#include "volantd/lines.h"

#define NDJSON      "application/x-ndjson"
#define TAIL_MAX    1000000
#define BACK_MS     3000  /* for the agent of a running VM, after a restart of volantd */
#define BOOT_MS     28000 /* for that of a starting one */
#define CONSOLE_MAX (2ul * 1024 * 1024)
#define PENDING_MAX (64ul * 1024) /* bytes made ahead of the client's reading */

struct logs_query {
    bool follow, end;
    int64_t tail; /* -1: all that is kept */
};

int logs_query_tail(const struct api_req *req, int64_t *ret, struct vl_error *err)
{
    uint64_t tail = UINT64_MAX;
    int r;

    if ((r = api_query_u64(req, "tail", 0, TAIL_MAX, &tail, err)) < 0) return r;
    *ret = tail == UINT64_MAX ? -1 : (int64_t)tail;
    return 0;
}

static int parse_query(const struct api_req *req, struct logs_query *ret, struct vl_error *err)
{
    int r;

    *ret = (struct logs_query){0};
    if ((r = api_query_bool(req, "follow", &ret->follow, err)) < 0) return r;
    if ((r = api_query_bool(req, "end", &ret->end, err)) < 0) return r;
    return logs_query_tail(req, &ret->tail, err);
}

/* --- from the guest ----------------------------------------------------------------------------------------------- */

struct stream {
    struct api_req *req;
    struct guest_logs *logs;
    char *name;
    struct strbuf pending;
    size_t sent;           /* of pending */
    int end;               /* 0, or what guest_logs_read ended with */
    struct engine *awaits; /* it is to tell how the VM ends; NULL: nobody asked, or it is known */
    json_t *vm;            /* as it ended */
};

static void stream_readable(void *arg)
{
    struct stream *s = arg;

    api_resume(s->req);
}

static void vm_down(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct stream *s = arg;
    struct vm_view view;

    (void)err;
    s->awaits = NULL;
    if (r == 0 && vm) {
        engine_vm_view(vm, &view);
        s->vm = vm_view_encode(&view);
    }
    api_resume(s->req);
}

/* Lines that the client has room for; what is no log line is left out. */
static void stream_fill(struct stream *s)
{
    const char *line;
    ssize_t n;

    strbuf_consume(&s->pending, s->sent);
    s->sent = 0;
    while (s->end == 0 && s->pending.len < PENDING_MAX && !s->pending.failed) {
        if ((n = guest_logs_read(s->logs, &line)) == 0) return;
        if (n < 0) {
            s->end = (int)n;
            if (n != -ENODATA) lines_add(&s->pending, s->name, "volantd", "the guest's log broke off", "");
        } else if (lines_add_guest(&s->pending, s->name, line, (size_t)n) < 0) {
            log_debug("vm=%s: the agent sent something that is no log line", s->name);
        }
    }
}

static ssize_t stream_read(struct api_req *req, char *buf, size_t size)
{
    struct stream *s = req->state;
    size_t n;

    if (s->sent == s->pending.len) stream_fill(s);
    if (s->pending.failed) return -ENOMEM;
    if (s->end && !s->awaits && s->sent == s->pending.len) {
        strbuf_consume(&s->pending, s->sent);
        s->sent = 0;
        lines_add_end(&s->pending, s->name, take_ptr(s->vm));
        if (s->pending.failed) return -ENOMEM;
    }
    if ((n = s->pending.len - s->sent) == 0) return s->end && !s->awaits ? -ENODATA : 0;
    if (n > size) n = size;
    memcpy(buf, s->pending.data + s->sent, n);
    s->sent += n;
    return (ssize_t)n;
}

static void stream_release(struct api_req *req)
{
    struct stream *s = req->state;

    if (s->awaits) engine_forget(s->awaits, s);
    if (s->logs) guest_logs_close(s->logs);
    json_decref(s->vm);
    strbuf_done(&s->pending);
    free(s->name);
    free(s);
}

static enum api_end stream_logs(struct api *api, struct api_req *req, struct guest *guest, const struct logs_query *q,
                                struct vl_error *err)
{
    static const struct guest_logs_ops ops = {.readable = stream_readable};
    static const struct api_source source = {.read = stream_read};
    struct stream *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        vl_fail_errno(err, ENOMEM, "logs");
        return API_FAILED;
    }
    s->req = req;
    req->state = s;
    req->release = stream_release;
    if (!(s->name = strdup(req->params[0]))) {
        vl_fail_errno(err, ENOMEM, "logs");
        return API_FAILED;
    }
    if ((r = guest_logs_open(guest, q->tail, q->follow, &ops, s, &s->logs)) < 0) {
        vl_fail(err, VL_UNAVAILABLE, "the agent of VM '%s' cannot be asked for its log: %s", s->name, vl_strerror(r));
        return API_FAILED;
    }
    if (q->follow && q->end) {
        s->awaits = api->engine;
        if (engine_vm_await_down(api->engine, s->name, vm_down, s, err) < 0) {
            s->awaits = NULL;
            return API_FAILED;
        }
    }
    req->reply.status = 200;
    req->reply.content_type = NDJSON;
    req->reply.source = &source;
    return API_STREAM;
}

/* --- from the console log ----------------------------------------------------------------------------------------- */

struct console_job {
    struct job job;
    struct api_req *req; /* NULL: nobody waits any more */
    char *name, *dir;
    int64_t tail;
    struct strbuf lines;
    int r;
};

static void console_free(struct console_job *c)
{
    strbuf_done(&c->lines);
    free(c->name);
    free(c->dir);
    free(c);
}

static void console_run(struct job *j)
{
    struct console_job *c = container_of(j, struct console_job, job);
    auto_free char *text = NULL;
    size_t len = 0;

    c->r = vmm_console_tail(c->dir, CONSOLE_MAX, &text, &len);
    if (c->r == -ENOENT) c->r = 0; /* never booted: no lines */
    if (c->r >= 0 && text) lines_add_console(&c->lines, c->name, text, len, c->tail);
}

static void console_done(struct job *j, bool cancelled)
{
    struct console_job *c = container_of(j, struct console_job, job);
    struct api_req *req = c->req;
    struct vl_error err = {0};
    size_t len = c->lines.len;
    char *text;

    if (req) {
        req->release = NULL;
        if (cancelled)
            vl_fail(&err, VL_UNAVAILABLE, "volantd is stopping");
        else if (c->r < 0)
            vl_fail_errno(&err, c->r, "read the console log of VM '%s'", c->name);
        else if (!(text = strbuf_take(&c->lines)))
            vl_fail_errno(&err, ENOMEM, "read the console log of VM '%s'", c->name);
        else
            req->reply = (struct api_reply){.status = 200, .content_type = NDJSON, .body = text, .body_len = len};
        if (*err.msg) api_fail(req, &err);
        api_resume(req);
    }
    console_free(c);
}

static void console_release(struct api_req *req)
{
    struct console_job *c = req->state;

    c->req = NULL;
}

static enum api_end console_logs(struct api *api, struct api_req *req, const struct vm *vm, int64_t tail,
                                 struct vl_error *err)
{
    struct console_job *c = calloc(1, sizeof(*c));
    int r;

    if (!c) {
        vl_fail_errno(err, ENOMEM, "logs");
        return API_FAILED;
    }
    *c = (struct console_job){.job = {.run = console_run, .done = console_done},
                              .req = req,
                              .name = strdup(req->params[0]),
                              .dir = strdup(engine_vm_folder(vm)),
                              .tail = tail};
    r = c->name && c->dir ? pool_submit(api->pool, &c->job) : -ENOMEM;
    if (r < 0) {
        console_free(c);
        vl_fail_errno(err, r, "logs");
        return API_FAILED;
    }
    req->state = c;
    req->release = console_release;
    return API_SUSPENDED;
}

/* --- which of the two --------------------------------------------------------------------------------------------- */

static enum api_end logs_now(struct api *api, struct api_req *req, struct vm *vm, const struct logs_query *q,
                             struct vl_error *err)
{
    struct guest *guest = engine_vm_guest(vm);

    return guest ? stream_logs(api, req, guest, q, err) : console_logs(api, req, vm, q->tail, err);
}

static void agent_awaited(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct api_req *req = arg;
    struct api *api = req->state;
    struct vl_error own = {0};
    struct logs_query q;

    req->release = NULL;
    if (r < 0) {
        api_fail(req, err);
    } else if (parse_query(req, &q, &own) < 0) {
        api_fail(req, &own);
    } else {
        enum api_end end = logs_now(api, req, vm, &q, &own);

        if (end == API_SUSPENDED) return; /* the console log's job resumes it */
        if (end == API_FAILED) api_fail(req, &own);
    }
    api_resume(req);
}

/* How long it is worth waiting for the agent: it will be back soon, or it is what the client wants to follow. */
static int agent_wait_ms(struct vm *vm, const struct logs_query *q)
{
    struct vm_view v;
    enum vm_status status;

    engine_vm_view(vm, &v);
    if (engine_vm_guest(vm) || vm_status_parse(v.status, &status) < 0) return 0;
    if (status == VM_RUNNING) return BACK_MS;
    return status == VM_STARTING && q->follow ? BOOT_MS : 0;
}

enum api_end vm_logs(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct logs_query q;
    struct vm *vm;
    int wait_ms;

    if (parse_query(req, &q, err) < 0 || !(vm = api_vm(api, req, err))) return API_FAILED;
    if ((wait_ms = agent_wait_ms(vm, &q)) == 0) return logs_now(api, req, vm, &q, err);
    if (engine_vm_await_agent(api->engine, req->params[0], wait_ms, agent_awaited, req, err) < 0) return API_FAILED;
    req->state = api;
    req->release = api_forget;
    return API_SUSPENDED;
}
