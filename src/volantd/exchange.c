/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's way: head (access, route, refusals that need no body), body (kept, or into a sink), handler, reply. The
 * library takes a reply at the head or at the end, never in between: what goes wrong in the middle is told at the end.
 */
#include "volantd/exchange.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "volantd/access.h"

#define BODY_MS      30000 /* for every BODY_REWARD bytes of a body */
#define BODY_REWARD  (256ul * 1024)
#define DRAIN_MAX    (8ul * 1024 * 1024) /* of a body that is too large */
#define REFUSED_MS   1000                /* between lines of the log about requests that were refused */
#define REPLY_MS     60000               /* to read a whole reply */
#define STALL_MS     600000              /* to read on in a stream that has more */
#define GONE_MS      500                 /* for what came before the end of an upgraded connection to be forwarded */
#define STREAM_BLOCK (16ul * 1024)       /* the connection's pool is smaller still */

/* --- suspending --------------------------------------------------------------------------------------------------- */

static void wake(struct exchange *x)
{
    if (!x->suspended) return;
    x->suspended = false;
    loop_unwatch(&x->conn->gone);
    MHD_resume_connection(x->conn->mhd);
    http_run_soon(x->conn->listener);
}

static void client_gone(struct watch *w, uint32_t events)
{
    struct conn *c = container_of(w, struct conn, gone);

    (void)events;
    loop_unwatch(w);
    c->exchange->gone = true;
    wake(c->exchange); /* the library calls once more, learns it, and completes the exchange */
}

/* The library does not look at a suspended connection; where it may rest for long, we do. */
static void rest(struct exchange *x, bool watch)
{
    conn_deadline(x->conn, 0);
    x->suspended = true;
    MHD_suspend_connection(x->conn->mhd);
    if (watch && loop_watch(x->conn->http->loop, &x->conn->gone, x->conn->fd, EPOLLRDHUP, client_gone) < 0)
        log_debug("http: cannot watch for a client's end");
}

static void req_hang_up(struct api_req *req)
{
    struct exchange *x = container_of(req, struct exchange, req);

    if (!x->upgraded) return;
    (void)MHD_upgrade_action(take_ptr(x->upgraded), MHD_UPGRADE_ACTION_CLOSE);
    http_run_soon(x->conn->listener);
}

static void req_resume(struct api_req *req)
{
    struct exchange *x = container_of(req, struct exchange, req);

    if (x->dispatched) x->answered = true;
    wake(x);
}

/* --- the reply ---------------------------------------------------------------------------------------------------- */

static ssize_t read_source(void *cls, uint64_t pos, char *buf, size_t size)
{
    struct exchange *x = cls;
    ssize_t n;

    (void)pos;
    if (x->gone || (x->conn->http->closing && !x->req.reply.source->stop)) return MHD_CONTENT_READER_END_WITH_ERROR;
    n = x->req.reply.source->read(&x->req, buf, size);
    if (n > 0) {
        conn_deadline(x->conn, STALL_MS);
        return n;
    }
    if (n == 0 && !x->conn->http->closing) {
        rest(x, true);
        return 0;
    }
    conn_deadline(x->conn, REPLY_MS);
    return n == -ENODATA ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void upgraded_over(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, deadline);

    if (c->exchange) exchange_stop(c->exchange);
}

static void upgraded_gone(struct watch *w, uint32_t events)
{
    struct conn *c = container_of(w, struct conn, gone);

    (void)events;
    loop_unwatch(w);
    if (loop_timer(c->http->loop, &c->deadline, mono_ms() + GONE_MS, upgraded_over) < 0) upgraded_over(&c->deadline);
}

/* More often than not the library forgets to tell the handler of the end. */
static void forward(struct conn *c)
{
    c->forwarded = true;
    c->listener->n_forwarded++;
    if (loop_watch(c->http->loop, &c->gone, c->fd, EPOLLRDHUP, upgraded_gone) < 0)
        log_debug("http: cannot watch for a client's end");
}

static void on_upgrade(void *cls, struct MHD_Connection *mhd, void *context, const char *early, size_t n, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    struct exchange *x = cls;

    (void)mhd;
    (void)context;
    x->upgraded = handle;
    conn_deadline(x->conn, 0); /* the handler has its own */
    if (x->conn->peer.tls) forward(x->conn);
    x->req.reply.upgrade->begin(&x->req, fd, early, n);
}

static void add_headers(struct MHD_Response *r, struct exchange *x)
{
    const struct api_reply *reply = &x->req.reply;

    if (reply->content_type) (void)MHD_add_response_header(r, "Content-Type", reply->content_type);
    for (size_t i = 0; i < reply->headers.len; i++) {
        char *value = strchr(reply->headers.items[i], ':');

        if (!value) continue; /* never: api_header wrote it */
        *value = '\0';
        (void)MHD_add_response_header(r, reply->headers.items[i], value + 2);
    }
    if (x->conn->http->closing) (void)MHD_add_response_header(r, "Connection", "close");
}

/* What the owner of a token changed, or may have in a console, is for the log; all else for who looks for a fault. */
static void log_reply(const struct exchange *x)
{
    const struct api_req *req = &x->req;
    const char *path = req->path ? req->path : "?";
    long long ms = mono_ms() - x->begun_ms;
    bool reads = str_eq(req->method, "GET") || str_eq(req->method, "HEAD");

    if (*req->caller && (!reads || (x->route && x->route->role > ROLE_READ)))
        log_info("%s %s status=%u ms=%lld token=%s from=%s", req->method, path, req->reply.status, ms, req->caller,
                 *req->from ? req->from : "socket");
    else
        log_debug("%s %s status=%u ms=%lld", req->method, path, req->reply.status, ms);
}

static enum MHD_Result send_reply(struct exchange *x)
{
    struct api_reply *reply = &x->req.reply;
    bool streams = reply->source && !str_eq(x->req.method, "HEAD"); /* libmicrohttpd would end a HEAD by a last chunk */
    struct MHD_Response *r;
    enum MHD_Result result;

    if (reply->upgrade)
        r = MHD_create_response_for_upgrade(on_upgrade, x);
    else if (streams)
        r = MHD_create_response_from_callback(
            MHD_SIZE_UNKNOWN, reply->source->block ? reply->source->block : STREAM_BLOCK, read_source, x, NULL);
    else
        r = MHD_create_response_from_buffer(reply->body_len, reply->body, MHD_RESPMEM_MUST_FREE);
    if (!r) return MHD_NO;
    if (!streams && !reply->upgrade) (void)take_ptr(reply->body); /* the response's now */
    add_headers(r, x);
    result = MHD_queue_response(x->conn->mhd, reply->status, r);
    MHD_destroy_response(r);
    log_reply(x);
    conn_deadline(x->conn, REPLY_MS);
    return result;
}

static const char *header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->conn->mhd, MHD_HEADER_KIND, name);
}

static enum MHD_Result keep_last(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    const char **wanted = cls;

    (void)kind;
    if (strcasecmp(name, wanted[0]) == 0) wanted[1] = value;
    return MHD_YES;
}

static const char *req_last_header(const struct api_req *req, const char *name)
{
    const struct exchange *x = container_of(req, struct exchange, req);
    const char *wanted[2] = {name, NULL};

    if (x->conn) (void)MHD_get_connection_values(x->conn->mhd, MHD_HEADER_KIND, keep_last, (void *)wanted);
    return wanted[1];
}

static const char *req_header(const struct api_req *req, const char *name)
{
    const struct exchange *x = container_of(req, struct exchange, req);

    return x->conn ? header(x, name) : NULL;
}

/* --- the request -------------------------------------------------------------------------------------------------- */

struct exchange *exchange_new(const char *target)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (!x) return NULL;
    x->begun_ms = mono_ms();
    x->next_reward = BODY_REWARD;
    x->req.resume = req_resume;
    x->req.header = req_header;
    x->req.last_header = req_last_header;
    x->req.hang_up = req_hang_up;
    if ((x->target = strdup(target))) return x;
    free(x);
    return NULL;
}

void exchange_free(struct exchange *x)
{
    api_req_done(&x->req);
    free(x->target);
    free(x);
}

/*
 * Where the body ends is not to be told in two ways: a proxy before us may take the other one, and what is a body for
 * it be the next request for us. The library takes the first length, chunks before any, and what it does not know for
 * neither.
 */
static bool length_is_plain(const struct exchange *x)
{
    const char *length = header(x, "Content-Length"), *coding = header(x, "Transfer-Encoding");

    if (coding && (length || strcasecmp(coding, "chunked") != 0)) return false;
    return str_eq(length, req_last_header(&x->req, "Content-Length")) &&
           str_eq(coding, req_last_header(&x->req, "Transfer-Encoding"));
}

/* Whoever tries tokens shall be seen, and shall not fill the log. */
static void log_refused(struct http *h, const struct api_req *req)
{
    int64_t now = mono_ms();

    h->refused++;
    if (h->refused_ms && now - h->refused_ms < REFUSED_MS) return;
    log_warn("%s %s from=%s is refused: status=%u%s", req->method, req->path, *req->from ? req->from : "socket",
             req->reply.status, h->refused > 1 ? ", and others since the last of these lines" : "");
    h->refused_ms = now;
    h->refused = 0;
}

/* Whether the head alone decides: then the reply is complete. */
static bool refused(struct exchange *x, const char *method)
{
    struct api_req *req = &x->req;
    struct http *h = x->conn->http;
    const char *length = header(x, "Content-Length");
    struct vl_error err = {0};

    if (api_req_init(req, method, x->target, &err) < 0) {
        api_fail(req, &err);
    } else if (h->closing) {
        (void)api_error(req, 503, "volantd is stopping");
    } else if (!access_admit(h->access, req)) {
        if (req->reply.status >= 400) log_refused(h, req); /* not of OPTIONS */
    } else if (!length_is_plain(x) || (length && parse_u64(length, 0, INT64_MAX, &req->body_length) < 0)) {
        (void)api_error(req, 400,
                        "the body's length is not clear: send one Content-Length, or Transfer-Encoding: chunked");
    } else if (!(x->route = router_find(h->routes, h->n_routes, req))) {
        log_debug("no route for %s %s", method, req->path);
    } else if (!access_allows(req, x->route->role)) {
        log_info("%s %s is refused: token '%s' has the role %s", method, req->path, req->caller, role_name(req->role));
    } else if (x->route->body == BODY_STREAMED) {
        (void)router_run(h->api, req, x->route->fn);
        return !req->sink;
    } else if (req->body_length > API_BODY_MAX) {
        (void)api_error(req, 413, "the body is larger than 1 MiB");
    } else {
        return false;
    }
    return true;
}

/* Whatever was refused before its length was looked at. */
static bool announces_body(const struct exchange *x)
{
    const char *length = header(x, "Content-Length");

    return (length && !str_eq(length, "0")) || header(x, "Transfer-Encoding");
}

enum MHD_Result exchange_begin(struct exchange *x, struct conn *c, const char *method)
{
    x->conn = c;
    x->begun = true;
    x->req.peer = c->peer;
    c->exchange = x;
    conn_deadline(c, BODY_MS);
    if (!refused(x, method)) return MHD_YES;
    if (announces_body(x)) return send_reply(x); /* and close: no upload, please */
    x->dispatched = x->answered = true;
    return MHD_YES;
}

/* One byte a second must not live for ever, a slow but steady upload shall. */
static void reward(struct exchange *x)
{
    if (x->received < x->next_reward && x->conn->deadline.index > 0) return; /* it may just have rested */
    x->next_reward = x->received + BODY_REWARD;
    conn_deadline(x->conn, BODY_MS);
}

/* All that there is room for; the library wants a connection suspended that leaves something. */
static size_t sink_body(struct exchange *x, const char *data, size_t n)
{
    size_t taken = 0, piece;

    while (taken < n && (piece = x->req.sink->write(&x->req, data + taken, n - taken)) > 0)
        taken += piece;
    if (taken < n) rest(x, false); /* for as long as a disk takes; the body's rest may come before the client's end */
    return taken;
}

enum MHD_Result exchange_body(struct exchange *x, const char *data, size_t *size)
{
    size_t taken = *size;

    if (x->conn->http->closing) return MHD_NO;
    if (x->req.sink)
        taken = sink_body(x, data, *size);
    else if (x->req.body.len + *size <= API_BODY_MAX)
        strbuf_add(&x->req.body, data, *size);
    else
        x->too_large = true; /* without Content-Length: read on for a while to be able to say so */
    *size -= taken;
    x->received += taken;
    if (!x->suspended) reward(x);
    return x->too_large && x->received > DRAIN_MAX ? MHD_NO : MHD_YES;
}

static enum api_end dispatch(struct exchange *x)
{
    const struct http *h = x->conn->http;

    x->dispatched = true;
    conn_deadline(x->conn, 0);
    if (h->closing) return api_error(&x->req, 503, "volantd is stopping");
    if (x->too_large) return api_error(&x->req, 413, "the body is larger than 1 MiB");
    if (x->req.body.failed) return api_error(&x->req, 503, "out of memory");
    return router_run(h->api, &x->req, x->req.sink ? x->req.sink->end : x->route->fn);
}

enum MHD_Result exchange_finish(struct exchange *x)
{
    if (!x->dispatched) {
        enum api_end end = dispatch(x);

        if (end == API_DONE || end == API_STREAM) x->answered = true;
    }
    if (x->answered) return send_reply(x);
    rest(x, true);
    return MHD_YES;
}

void exchange_stop(struct exchange *x)
{
    if (x->upgraded) {
        x->req.reply.upgrade->stop(&x->req);
        return;
    }
    if (x->answered && x->req.reply.source && x->req.reply.source->stop) x->req.reply.source->stop(&x->req);
    if (x->suspended && x->dispatched && !x->answered) {
        (void)api_error(&x->req, 503, "volantd is stopping; what was asked for goes on when it is back");
        x->answered = true;
    } else if (x->suspended && !x->dispatched) {
        x->gone = true; /* in the middle of its body */
    }
    wake(x);
}
