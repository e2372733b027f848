/* SPDX-License-Identifier: Apache-2.0 */
/* See api.h. The peer is the host, which may do what it likes here; the bounds are against mistakes of its own. */
#include "kestrel/api.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "config.h"
#include "kestrel/request.h"
#include "kestrel/stats.h"
#include "model/guest.h"

#define JSON "application/json"

/* Answers */

void request_answer(struct request *rq, int status, const char *json, size_t n)
{
    rq->answered = true;
    if (h2_respond_text(rq->stream, status, JSON, json, n) < 0) h2_stream_reset(rq->stream);
}

void request_fail(struct request *rq, int status, const char *fmt, ...)
{
    auto_strbuf b = {0};
    char text[600];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    strbuf_adds(&b, "{\"error\":");
    strbuf_add_json(&b, text, n < 0 ? 0 : utf8_prefix(text, strlen(text)));
    strbuf_adds(&b, "}\n");
    request_answer(rq, status, b.failed ? "" : b.data, b.failed ? 0 : b.len);
}

static void answer_object(struct request *rq, const struct schema *schema, const void *object)
{
    json_auto_t *json = schema_encode(schema, object);
    auto_free char *text = json ? json_text(json) : NULL;

    if (!text) {
        request_fail(rq, 503, "the guest agent is out of memory");
    } else {
        request_answer(rq, 200, text, strlen(text));
    }
}

int request_number(const struct request *rq, const char *name, uint64_t max, int64_t *ret, struct vl_error *err)
{
    size_t name_len = strlen(name), n;
    char text[24];
    uint64_t value;

    for (const char *at = rq->query; *at; at += n + (at[n] == '&')) {
        n = strcspn(at, "&");
        if (n <= name_len || strncmp(at, name, name_len) != 0 || at[name_len] != '=') continue;
        if (strf(text, sizeof(text), "%.*s", (int)(n - name_len - 1), at + name_len + 1) < 0 ||
            parse_u64(text, 0, max, &value) < 0)
            return vl_fail(err, VL_INVALID, "'%s' takes a whole number from 0 to %llu", name, (unsigned long long)max);
        *ret = (int64_t)value;
    }
    return 0;
}

/* Routes */

static void get_health(struct request *rq)
{
    static const char *const names[] = {"starting", "running", "exited"};
    const struct api_state *st = &rq->api->state;
    /* Borrowed: encoding writes nothing. */
    const struct guest_health health = {.api = AGENT_API,
                                        .version = (char *)VOLANT_VERSION,
                                        .state = (char *)names[st->state],
                                        .ready = st->ready,
                                        .health = (char *)health_state_name(st->health),
                                        .reason = (char *)st->reason,
                                        .uptime_ms = mono_ms()};

    answer_object(rq, &guest_health_schema, &health);
}

static void get_stats(struct request *rq)
{
    auto_close int proc_fd = open_dir("/proc");
    struct guest_stats stats = {0};

    stats_read(proc_fd, rq->api->state.pid, &stats);
    answer_object(rq, &guest_stats_schema, &stats);
}

static int decode_body(const struct request *rq, const struct schema *schema, void *ret, struct vl_error *err)
{
    json_auto_t *json = NULL;
    int r = json_parse(rq->body.data ? rq->body.data : "", rq->body.len, "body", &json, err);

    return r < 0 ? r : schema_decode(schema, json, "body", ret, NULL, err);
}

static void put_clock(struct request *rq)
{
    struct guest_clock clock;
    struct vl_error err;
    int r;

    if (decode_body(rq, &guest_clock_schema, &clock, &err) < 0) {
        request_fail(rq, 400, "%s", err.msg);
    } else if ((r = rq->api->ops->set_clock(rq->api->arg, clock.unix_us)) < 0) {
        request_fail(rq, r == -EINVAL ? 400 : 500, "set the clock to %lld us: %s", (long long)clock.unix_us,
                     vl_strerror(-r));
    } else {
        request_answer(rq, 204, "", 0);
    }
}

struct poweroff {
    int64_t grace_ms;
};

static const struct field poweroff_fields[] = {
    {.name = "grace_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct poweroff, grace_ms),
     .min = 0,
     .max = API_GRACE_MAX_MS,
     .def = API_GRACE_DEFAULT_MS},
};
static const struct schema poweroff_schema = {.name = "poweroff",
                                              .size = sizeof(struct poweroff),
                                              .fields = poweroff_fields,
                                              .n_fields = ARRAY_LEN(poweroff_fields)};

static void post_poweroff(struct request *rq)
{
    struct poweroff how = {.grace_ms = API_GRACE_DEFAULT_MS};
    struct vl_error err;

    if ((rq->body.len > 0 && decode_body(rq, &poweroff_schema, &how, &err) < 0) ||
        request_number(rq, "grace_ms", API_GRACE_MAX_MS, &how.grace_ms, &err) < 0) {
        request_fail(rq, 400, "%s", err.msg);
        return;
    }
    request_answer(rq, 202, "{}\n", 3);
    rq->api->ops->poweroff(rq->api->arg, (int)how.grace_ms);
}

static const struct route routes[] = {
    {"GET", "/v1/health", ROUTE_PLAIN, get_health},     {"GET", "/v1/stats", ROUTE_PLAIN, get_stats},
    {"GET", "/v1/events", ROUTE_STREAM, stream_events}, {"GET", "/v1/logs", ROUTE_STREAM, stream_logs},
    {"PUT", "/v1/clock", ROUTE_BODY, put_clock},        {"POST", "/v1/poweroff", ROUTE_BODY, post_poweroff},
};

/* Requests */

static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct request *rq = arg;

    h2_stream_consume(s, n);
    if (rq->answered) return;
    if (rq->body.len + n > API_BODY_MAX) {
        request_fail(rq, 413, "the body is larger than %d bytes", API_BODY_MAX);
    } else {
        strbuf_add(&rq->body, data, n);
    }
}

static void on_end(struct h2_stream *s, void *arg)
{
    struct request *rq = arg;

    (void)s;
    if (rq->route->kind != ROUTE_BODY || rq->answered) return;
    if (rq->body.failed) {
        request_fail(rq, 503, "the guest agent is out of memory");
    } else {
        rq->route->fn(rq);
    }
}

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct request *rq = arg;

    (void)s;
    (void)err;
    *rq->link = rq->next;
    if (rq->next) rq->next->link = rq->link;
    rq->api->n_open--;
    strbuf_done(&rq->body);
    strbuf_done(&rq->out);
    free(rq->path);
    free(rq);
}

static const struct h2_stream_ops stream_ops = {.data = on_data, .end = on_end, .closed = on_closed};

/* What has to live on gets memory of its own; everything is linked before the stream may call back. */
static void keep_request(const struct request *from)
{
    struct request *rq = calloc(1, sizeof(*rq)), refused = *from;
    struct api *a = from->api;

    if (!rq || a->n_open >= API_STREAMS_MAX || !(rq->path = strdup(from->query))) {
        free(rq);
        request_fail(&refused, 503, "no room for another request: at most %d are held open", API_STREAMS_MAX);
        return;
    }
    *rq = (struct request){.api = a,
                           .h2 = from->h2,
                           .stream = from->stream,
                           .route = from->route,
                           .path = rq->path,
                           .query = rq->path,
                           .next = a->open,
                           .link = &a->open};
    if (a->open) a->open->link = &rq->next;
    a->open = rq;
    a->n_open++;
    h2_stream_own(rq->stream, &stream_ops, rq);
    if (rq->route->kind == ROUTE_STREAM) rq->route->fn(rq);
}

static const struct route *find_route(const char *method, const char *path, size_t n, bool *ret_known)
{
    *ret_known = false;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (strlen(routes[i].path) != n || strncmp(routes[i].path, path, n) != 0) continue;
        *ret_known = true;
        if (strcmp(routes[i].method, method) == 0) return &routes[i];
    }
    return NULL;
}

static void on_request(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head)
{
    size_t path_len = strcspn(head->path, "?");
    const char *query = head->path + path_len + (head->path[path_len] == '?');
    struct request rq = {.api = arg, .h2 = h, .stream = s, .query = query};
    bool known;

    rq.route = find_route(head->method, head->path, path_len, &known);
    if (!rq.route && known) {
        request_fail(&rq, 405, "%.16s is not a method of %.*s", head->method, (int)path_len, head->path);
    } else if (!rq.route) {
        request_fail(&rq, 404, "no %.200s here: this agent speaks API %d", head->path, AGENT_API);
    } else if (rq.route->kind == ROUTE_PLAIN) {
        rq.route->fn(&rq);
    } else if (head->content_length > API_BODY_MAX) {
        request_fail(&rq, 413, "the body is larger than %d bytes", API_BODY_MAX);
    } else {
        keep_request(&rq);
    }
}

const struct h2_ops api_h2_ops = {.request = on_request};

/* What the agent tells */

void api_init(struct api *a, const struct logs *logs, const struct api_ops *ops, void *arg)
{
    *a = (struct api){.ops = ops, .arg = arg, .logs = logs};
}

/* Whether followers are to hear of the health that becomes the present one. */
static bool health_news(struct api *a, const struct api_state *next)
{
    const struct api_state *now = &a->state;
    bool news;

    if (next->health == HEALTH_NONE) return false;
    if (next->health == HEALTH_STARTING && !str_eq(now->reason, next->reason)) a->reason_untold = true;
    news = now->health != next->health || now->ready != next->ready ||
           (a->reason_untold && next->health == HEALTH_STARTING && mono_ms() >= a->told_ms + API_REASON_EVERY_MS);
    if (!news) return false;
    a->reason_untold = false;
    a->told_ms = mono_ms();
    return true;
}

void api_set_state(struct api *a, const struct api_state *state)
{
    bool exited = a->state.state != WORKLOAD_EXITED && state->state == WORKLOAD_EXITED;
    bool ready = !a->state.ready && state->ready, health = health_news(a, state), woken = false;

    a->state = *state;
    for (struct request *rq = a->open; rq; rq = rq->next) {
        if (rq->route->fn != stream_events) continue;
        if (health) stream_add_event(rq, "health");
        if (ready) stream_add_event(rq, "ready");
        if (exited) stream_add_event(rq, "workload_exited");
        woken |= stream_wake(rq);
    }
    if (woken) a->ops->flush(a->arg);
}

void api_logs_grown(struct api *a, bool complete)
{
    bool woken = false;

    a->logs_complete = complete;
    for (struct request *rq = a->open; rq; rq = rq->next)
        if (rq->logs) woken |= stream_wake(rq);
    if (woken) a->ops->flush(a->arg);
}

struct h2 *api_session(const struct api *a, bool logs_only)
{
    for (const struct request *rq = a->open; rq; rq = rq->next)
        if (rq->logs || !logs_only) return rq->h2;
    return NULL;
}
