/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. We accept ourselves: beyond its connection limit the library lets clients hang in the backlog, where
 * ours get a 503. Deadlines are ours too, as its own count inactivity alone and one byte a second would live for ever.
 */
#include "volantd/http.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "volantd/exchange.h"

#define CONN_POOL_BYTES (4ul * 1024)
#define HEAD_MS         30000 /* from accept or the last reply to a complete head */
#define PAUSE_MS        500
#define RUNS_MAX        16 /* of the library in one round of the loop */
#define ACCEPTS_MAX     16 /* likewise */
#define CLOSE_MS        500

/* --- the library in our loop -------------------------------------------------------------------------------------- */

static void run_again(struct timer *t);

/* Uploads make it come back with more to do at once; a bounded number of runs is saved the way through the loop. */
static void run(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    bool more;
    int runs = 0;

    do {
        (void)MHD_run(h->mhd);
        more = MHD_get_timeout(h->mhd, &ms) == MHD_YES;
    } while (more && ms == 0 && ++runs < RUNS_MAX);
    if (!more)
        loop_untimer(&h->again);
    else if (loop_timer(h->loop, &h->again, mono_ms() + (int64_t)ms, run_again) < 0)
        log_err("http: no memory for a timer");
}

static void run_again(struct timer *t)
{
    run(container_of(t, struct http, again));
}

void http_run_soon(struct http *h)
{
    if (loop_timer(h->loop, &h->again, mono_ms(), run_again) < 0) log_err("http: no memory for a timer");
}

static void run_readable(struct watch *w, uint32_t events)
{
    (void)events;
    run(container_of(w, struct http, watch));
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void conn_late(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, deadline);

    log_debug("http: a client took too long, closing its connection");
    (void)shutdown(c->fd, SHUT_RDWR); /* the library sees the end and cleans up */
}

void conn_deadline(struct conn *c, int ms)
{
    if (ms == 0)
        loop_untimer(&c->deadline);
    else if (loop_timer(c->http->loop, &c->deadline, mono_ms() + ms, conn_late) < 0)
        (void)shutdown(c->fd, SHUT_RDWR);
}

static bool is_tcp(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);

    return getsockname(fd, (void *)&addr, &len) < 0 || addr.ss_family != AF_UNIX;
}

static struct conn *conn_new(struct http *h, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct conn *c = info ? calloc(1, sizeof(*c)) : NULL;

    if (!c) return NULL; /* its requests are refused */
    c->http = h;
    c->mhd = mhd;
    c->fd = info->connect_fd;
    c->tcp = is_tcp(c->fd);
    h->n_conns[c->tcp]++;
    if ((c->next = h->conns)) c->next->prev = &c->next;
    c->prev = &h->conns;
    h->conns = c;
    conn_deadline(c, HEAD_MS);
    return c;
}

static void conn_free(struct conn *c)
{
    loop_untimer(&c->deadline);
    loop_unwatch(&c->gone);
    c->http->n_conns[c->tcp]--;
    if (c->next) c->next->prev = c->prev;
    *c->prev = c->next;
    free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode toe)
{
    if (toe == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = conn_new(cls, mhd);
    } else if (*context) {
        conn_free(*context);
        *context = NULL;
    }
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* The one place where the target is seen as it was sent: the library decodes it before it is cut into segments. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    (void)cls;
    (void)mhd;
    return exchange_new(target);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **context)
{
    struct exchange *x = *context;
    struct conn *c;

    (void)cls;
    (void)url;
    (void)version;
    if (!x || x->gone) return MHD_NO;
    if (!x->begun) return (c = conn_of(mhd)) ? exchange_begin(x, c, method) : MHD_NO;
    return *size > 0 ? exchange_body(x, data, size) : exchange_finish(x);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode toe)
{
    struct exchange *x = *context;
    struct conn *c = conn_of(mhd);

    (void)cls;
    (void)toe;
    *context = NULL;
    if (x) exchange_free(x);
    if (!c) return;
    c->exchange = NULL;
    conn_deadline(c, HEAD_MS);
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

static void refuse(int fd)
{
    static const char body[] = "{\"error\":\"volantd has all the connections it can serve: try again in a moment\"}";
    char text[512];
    int n = strf(text, sizeof(text),
                 "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                 "Content-Type: application/json; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body);

    if (n > 0) (void)!send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

static void listener_ready(struct watch *w, uint32_t events);

static void listener_resume(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, pause);

    if (loop_watch(l->http->loop, &l->watch, l->fd, EPOLLIN, listener_ready) < 0)
        (void)loop_timer(l->http->loop, &l->pause, mono_ms() + PAUSE_MS, listener_resume);
}

/* Without descriptors to accept with, the socket would stay readable and the loop would spin. */
static void listener_pause(struct listener *l, int errnum)
{
    log_warn("http: cannot accept connections, trying again in %d ms: %s", PAUSE_MS, vl_strerror(errnum));
    loop_unwatch(&l->watch);
    (void)loop_timer(l->http->loop, &l->pause, mono_ms() + PAUSE_MS, listener_resume);
}

static void listener_ready(struct watch *w, uint32_t events)
{
    struct listener *l = container_of(w, struct listener, watch);
    struct sockaddr_storage addr;

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        socklen_t len = sizeof(addr);
        int fd = accept4(l->fd, (void *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            listener_pause(l, errno);
            break;
        }
        if (fd < 0) break; /* none left, or one that went away before we looked */
        if (l->http->n_conns[l->tcp] >= HTTP_CONNS_MAX)
            refuse(fd);
        else if (MHD_add_connection(l->http->mhd, fd, (void *)&addr, len) != MHD_YES) /* which closed it */
            log_warn("http: a connection could not be added: %s", vl_strerror(errno));
    }
    run(l->http);
}

int http_listen(struct http *h, int fd, bool tcp, struct vl_error *err)
{
    struct listener *l = &h->listeners[h->n_listeners];
    int r;

    *l = (struct listener){.http = h, .fd = fd, .tcp = tcp};
    if ((r = loop_watch(h->loop, &l->watch, fd, EPOLLIN, listener_ready)) < 0) {
        (void)close(fd);
        return vl_fail_errno(err, r, "watch the listening socket");
    }
    h->n_listeners++;
    return 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static struct MHD_Daemon *start(struct http *h)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_NO_LISTEN_SOCKET, 0,
                            NULL, NULL, on_request, h, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_POOL_BYTES,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)(2 * HTTP_CONNS_MAX + ACCEPTS_MAX),
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                            MHD_OPTION_END);
}

int http_new(struct loop *l, struct api *api, const struct api_route *routes, size_t n_routes, struct http **ret,
             struct vl_error *err)
{
    auto_(http_freep) struct http *h = calloc(1, sizeof(*h));
    const union MHD_DaemonInfo *info;
    int r;

    if (!h) return vl_fail_errno(err, ENOMEM, "HTTP");
    *h = (struct http){.loop = l, .api = api, .routes = routes, .n_routes = n_routes};
    if (!(h->mhd = start(h))) return vl_fail(err, VL_INTERNAL, "libmicrohttpd does not start");
    if (!(info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)))
        return vl_fail(err, VL_INTERNAL, "libmicrohttpd has no epoll descriptor");
    if ((r = loop_watch(l, &h->watch, info->epoll_fd, EPOLLIN, run_readable)) < 0)
        return vl_fail_errno(err, r, "watch HTTP");
    *ret = take_ptr(h);
    return 0;
}

static bool any_exchange(const struct http *h)
{
    for (const struct conn *c = h->conns; c; c = c->next)
        if (c->exchange) return true;
    return false;
}

/* Nothing may be suspended when the library stops. */
static void answer_all(struct http *h)
{
    int64_t until = mono_ms() + CLOSE_MS;

    for (struct conn *c = h->conns; c; c = c->next)
        if (c->exchange) exchange_stop(c->exchange);
    do {
        struct pollfd p = {.fd = h->watch.fd, .events = POLLIN};

        (void)MHD_run(h->mhd);
        if (!any_exchange(h)) break;
        (void)poll(&p, 1, 10);
    } while (mono_ms() < until);
}

void http_free(struct http *h)
{
    if (!h) return;
    h->closing = true;
    for (size_t i = 0; i < h->n_listeners; i++) {
        loop_untimer(&h->listeners[i].pause);
        loop_unwatch(&h->listeners[i].watch);
        (void)close(h->listeners[i].fd);
    }
    if (h->mhd) answer_all(h);
    loop_untimer(&h->again);
    loop_unwatch(&h->watch);
    if (h->mhd) MHD_stop_daemon(h->mhd);
    free(h);
}
