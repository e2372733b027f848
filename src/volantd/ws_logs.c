/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /ws/v1/vms/:name/logs (contract 1.10): a text frame for each line of the guest's log, first what is kept of it. The
 * upgrade comes first; why there is nothing to read is told by the close. New lines are events too (VM_LOG), told once
 * however many read them.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/guest.h"
#include "volantd/api.h"
#include "volantd/lines.h"
#include "volantd/websocket.h"

#define AGENT_MS 3000 /* for the agent to be back, after a restart of volantd */
#define CLOCK_MS 1000 /* that the clocks of guests may lag */

struct logs {
    struct api *api;
    struct api_req *req;
    struct ws *ws;
    struct guest_logs *source;
    struct logs *next, **prev; /* of all */
    char *name;
    char begun[32]; /* lines from before are not news */
    int64_t tail;   /* -1: all that is kept */
    bool awaiting;
};

/* Of one volantd, and of its loop thread. */
static struct logs *all;

/* The first of those who read a VM's log tells the others' share of events. */
static bool tells(const struct logs *s)
{
    for (const struct logs *other = s->next; other; other = other->next)
        if (str_eq(other->name, s->name) && other->source) return false;
    return true;
}

static void tell(const struct logs *s, const struct guest_log *log, const char *stream)
{
    const struct vm *vm;
    struct vm_view v;

    if (!log->timestamp || strcmp(log->timestamp, s->begun) < 0 || !tells(s)) return;
    if (!events_wants_logs(s->api->events, s->name) || !(vm = engine_vm_find(s->api->engine, s->name))) return;
    engine_vm_view(vm, &v);
    events_add_log(s->api->events, s->name, v.ip_address, stream, log->line ? log->line : "", log->timestamp);
}

static void send_line(struct logs *s, const char *json, size_t n)
{
    json_auto_t *j = NULL;
    auto_strbuf b = {0};
    struct guest_log log = {0};
    const char *stream;

    if (json_parse(json, n, "line", &j, NULL) < 0 || schema_decode(&guest_log_schema, j, NULL, &log, NULL, NULL) < 0) {
        log_debug("vm=%s: the agent sent something that is no log line", s->name);
        return;
    }
    stream = log.stream ? log.stream : "stdout";
    lines_add(&b, s->name, stream, log.line ? log.line : "", log.timestamp ? log.timestamp : "");
    if (!b.failed && b.len > 0) ws_send_text(s->ws, b.data, b.len - 1); /* without the newline */
    tell(s, &log, stream);
    schema_done(&guest_log_schema, &log);
}

static void pump(void *arg)
{
    struct logs *s = arg;
    const char *line;
    ssize_t n;

    while (s->source && ws_has_room(s->ws)) {
        if ((n = guest_logs_read(s->source, &line)) == 0) return;
        if (n > 0) {
            send_line(s, line, (size_t)n);
            continue;
        }
        guest_logs_close(take_ptr(s->source));
        if (n == -ENODATA)
            ws_close(s->ws, WS_CLOSE_NORMAL, "stream closed");
        else
            ws_close(s->ws, WS_CLOSE_TRY_LATER, "agent unreachable");
    }
}

/* --- the guest ---------------------------------------------------------------------------------------------------- */

static void attach(struct logs *s, struct vm *vm)
{
    static const struct guest_logs_ops ops = {.readable = pump};
    struct guest *guest = vm ? engine_vm_guest(vm) : NULL;

    if (!guest)
        ws_close(s->ws, WS_CLOSE_TRY_LATER, "vm not ready");
    else if (guest_logs_open(guest, s->tail, true, &ops, s, &s->source) < 0)
        ws_close(s->ws, WS_CLOSE_TRY_LATER, "agent unreachable");
    else
        pump(s);
}

static void agent_awaited(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct api_req *req = arg;
    struct logs *s = req->state;

    (void)err;
    s->awaiting = false;
    if (s->ws) attach(s, r < 0 ? NULL : vm);
}

static bool is_running(struct vm *vm)
{
    struct vm_view v;

    engine_vm_view(vm, &v);
    return str_eq(v.status, vm_status_name(VM_RUNNING));
}

static void begin(struct logs *s)
{
    struct vm *vm = engine_vm_find(s->api->engine, s->name);

    if (!vm)
        ws_close(s->ws, WS_CLOSE_NORMAL, "vm not found");
    else if (engine_vm_guest(vm) || !is_running(vm))
        attach(s, vm);
    else if (engine_vm_await_agent(s->api->engine, s->name, AGENT_MS, agent_awaited, s->req, NULL) < 0)
        ws_close(s->ws, WS_CLOSE_INTERNAL, "failed to resolve vm");
    else
        s->awaiting = true;
}

/* --- the client --------------------------------------------------------------------------------------------------- */

static void client_ended(void *arg)
{
    struct logs *s = arg;

    s->ws = NULL;
    if (s->source) guest_logs_close(take_ptr(s->source));
    s->req->hang_up(s->req);
}

static void logs_upgraded(struct api_req *req, int fd, const void *early, size_t n)
{
    static const struct ws_ops ops = {.writable = pump, .ended = client_ended};
    struct logs *s = req->state;

    if (ws_new(s->api->loop, fd, early, n, &ops, s, &s->ws) < 0)
        req->hang_up(req);
    else
        begin(s);
}

static void logs_stop(struct api_req *req)
{
    struct logs *s = req->state;

    ws_stop(s->ws);
}

static void logs_release(struct api_req *req)
{
    struct logs *s = req->state;

    if (s->awaiting) engine_forget(s->api->engine, req);
    if (s->source) guest_logs_close(s->source);
    if (s->next) s->next->prev = s->prev;
    *s->prev = s->next;
    free(s->name);
    free(s);
}

enum api_end vm_logs_ws(struct api *api, struct api_req *req, struct vl_error *err)
{
    static const struct api_upgrade upgrade = {.begin = logs_upgraded, .stop = logs_stop};
    struct logs *s;
    int64_t tail;

    if (!ws_requested(req)) return API_DONE;
    if (logs_query_tail(req, &tail, err) < 0) return API_FAILED;
    if (!(s = calloc(1, sizeof(*s))) || !(s->name = strdup(req->params[0]))) {
        free(s);
        vl_fail_errno(err, ENOMEM, "logs");
        return API_FAILED;
    }
    s->api = api;
    s->req = req;
    s->tail = tail;
    format_time(wall_ms() - CLOCK_MS, s->begun);
    if ((s->next = all)) s->next->prev = &s->next;
    s->prev = &all;
    all = s;
    req->state = s;
    req->release = logs_release;
    return ws_accept(req, &upgrade, err);
}
