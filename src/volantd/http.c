/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. We accept ourselves: beyond its connection limit the library lets clients hang in the backlog, where
 * ours get a 503. Deadlines are ours too, as its own count inactivity alone and one byte a second would live for ever.
 */
#include "volantd/http.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "volantd/exchange.h"
#include "volantd/tls.h"

#define CONN_POOL_BYTES (8ul * 1024) /* a request's head and its reply's */
#define TARGET_MAX      4096
#define HEAD_MS         30000 /* from accept or the last reply to a complete head */
#define PAUSE_MS        500
#define RUNS_MAX        16 /* of the library in one round of the loop */
#define RUNS_MIN        3  /* where it forwards: it does not say that it has more to do for these */
#define ACCEPTS_MAX     16 /* likewise */
#define CLOSE_MS        500

/* --- the library in our loop -------------------------------------------------------------------------------------- */

static void run_again(struct timer *t);

/* Uploads make it come back with more to do at once; a bounded number of runs is saved the way through the loop. */
static void run(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG ms;
    bool more;
    int runs = 0;

    do {
        (void)MHD_run(l->mhd);
        more = MHD_get_timeout(l->mhd, &ms) == MHD_YES;
    } while (((more && ms == 0) || (l->n_forwarded > 0 && runs < RUNS_MIN)) && ++runs < RUNS_MAX);
    if (!more)
        loop_untimer(&l->again);
    else if (loop_timer(l->http->loop, &l->again, mono_ms() + (int64_t)ms, run_again) < 0)
        log_err("http: no memory for a timer");
}

static void run_again(struct timer *t)
{
    run(container_of(t, struct listener, again));
}

void http_run_soon(struct listener *l)
{
    if (loop_timer(l->http->loop, &l->again, mono_ms(), run_again) < 0) log_err("http: no memory for a timer");
}

static void run_readable(struct watch *w, uint32_t events)
{
    (void)events;
    run(container_of(w, struct listener, run));
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

static struct conn *conn_new(struct listener *l, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *client = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct http *h = l->http;
    struct conn *c = info ? calloc(1, sizeof(*c)) : NULL;

    if (!c) return NULL; /* its requests are refused */
    c->http = h;
    c->listener = l;
    c->mhd = mhd;
    c->fd = info->connect_fd;
    c->peer = l->kind;
    if (c->peer.tcp && (!client || net_addr_of(client->client_addr, &c->peer.addr) < 0)) {
        free(c);
        return NULL;
    }
    l->n_conns++;
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
    c->listener->n_conns--;
    c->listener->n_forwarded -= c->forwarded;
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

void http_drop(struct http *h, const char *caller, const struct api_req *but)
{
    for (struct conn *c = h ? h->conns : NULL; c; c = c->next)
        if (c->exchange && &c->exchange->req != but && str_eq(c->exchange->req.caller, caller))
            (void)shutdown(c->fd, SHUT_RDWR); /* the library sees the end and cleans up */
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* A reply of our own to a connection that the library is not to answer: not at all where it is encrypted. */
static void say(const struct listener *l, int fd, const char *status, const char *error)
{
    char text[512];
    int n = strf(text, sizeof(text),
                 "HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n"
                 "Content-Length: %zu\r\n\r\n{\"error\":\"%s\"}",
                 status, strlen(error) + strlen("{\"error\":\"\"}"), error);

    if (n > 0 && !l->kind.tls) (void)!send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * The one place where the target is seen as it was sent: the library decodes it before it is cut into segments. A long
 * one is refused here: where its pool is all but used up, the library answers nothing, and may let the client hang.
 */
static void *on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    struct conn *c = conn_of(mhd);

    if (strlen(target) <= TARGET_MAX) return exchange_new(target);
    if (!c) return NULL;
    say(cls, c->fd, "414 URI Too Long", "the request's target is longer than 4096 bytes");
    (void)shutdown(c->fd, SHUT_RDWR); /* the library sees the end and cleans up */
    return NULL;
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

static void refuse(const struct listener *l, int fd)
{
    say(l, fd, "503 Service Unavailable\r\nRetry-After: 1",
        "volantd has all the connections it can serve: try again in a moment");
    (void)close(fd);
}

/* Over TLS it gets no handshake and takes no place; in the clear it is told why (403). */
static bool is_stranger(const struct listener *l, const struct sockaddr *from)
{
    struct net_addr addr;

    return l->kind.tls && (net_addr_of(from, &addr) < 0 || !access_knows(l->http->access, &addr));
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
        if (is_stranger(l, (void *)&addr))
            (void)close(fd);
        else if (l->n_conns >= HTTP_CONNS_MAX)
            refuse(l, fd);
        else if (MHD_add_connection(l->mhd, fd, (void *)&addr, len) != MHD_YES) /* which closed it */
            log_warn("http: a connection could not be added: %s", vl_strerror(errno));
    }
    run(l);
}

/* What clients of a listening socket are known by. */
static int kind_of(int fd, bool tls, struct api_peer *ret)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);

    *ret = (struct api_peer){.tls = tls};
    if (getsockname(fd, (void *)&addr, &len) < 0) return -errno;
    if (addr.ss_family == AF_UNIX) return 0;
    ret->tcp = true;
    if (net_addr_of((void *)&addr, &ret->addr) < 0) return -EAFNOSUPPORT;
    ret->loopback = net_addr_is_loopback(&ret->addr);
    return 0;
}

printf_(2, 0) static void on_library_error(void *cls, const char *fmt, va_list args)
{
    char text[300];
    int n = vsnprintf(text, sizeof(text), fmt, args);

    (void)cls;
    if (n > 0) log_debug("http: %.*s", (int)strcspn(text, "\n"), text); /* about one connection each */
}

static struct MHD_Daemon *start(struct listener *l, const struct tls *tls)
{
    const struct MHD_OptionItem with_tls[] =
        {
            {MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? tls->cert : NULL},
            {MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? tls->key : NULL},
            {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
            {MHD_OPTION_END, 0, NULL},
        },
                                without[] = {{MHD_OPTION_END, 0, NULL}};

    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_NO_LISTEN_SOCKET |
                                MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0),
                            0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_library_error, NULL,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)(HTTP_CONNS_MAX + ACCEPTS_MAX), MHD_OPTION_URI_LOG_CALLBACK, on_target, l,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                            l, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, tls ? with_tls : without,
                            MHD_OPTION_END);
}

static void listener_close(struct listener *l)
{
    loop_untimer(&l->pause);
    loop_unwatch(&l->watch);
    closep(&l->fd);
}

static void listener_done(struct listener *l)
{
    listener_close(l);
    loop_untimer(&l->again);
    loop_unwatch(&l->run);
    if (l->mhd) MHD_stop_daemon(l->mhd);
}

static int listener_begin(struct listener *l, const struct tls *tls, struct vl_error *err)
{
    const union MHD_DaemonInfo *info;
    int r;

    if ((r = kind_of(l->fd, tls != NULL, &l->kind)) < 0) return vl_fail_errno(err, r, "serve a socket");
    if (!(l->mhd = start(l, tls)))
        return vl_fail(err, VL_INTERNAL, "libmicrohttpd does not start%s", tls ? " with this certificate and key" : "");
    if (!(info = MHD_get_daemon_info(l->mhd, MHD_DAEMON_INFO_EPOLL_FD)))
        return vl_fail(err, VL_INTERNAL, "libmicrohttpd has no epoll descriptor");
    if ((r = loop_watch(l->http->loop, &l->run, info->epoll_fd, EPOLLIN, run_readable)) < 0 ||
        (r = loop_watch(l->http->loop, &l->watch, l->fd, EPOLLIN, listener_ready)) < 0)
        return vl_fail_errno(err, r, "watch the listening socket");
    return 0;
}

int http_listen(struct http *h, int fd, const struct tls *tls, struct vl_error *err)
{
    struct listener *l = &h->listeners[h->n_listeners];
    int r;

    *l = (struct listener){.http = h, .fd = fd};
    if ((r = listener_begin(l, tls, err)) < 0) {
        listener_done(l);
        return r;
    }
    h->n_listeners++;
    return 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int http_new(struct loop *l, struct api *api, const struct access *access, const struct api_route *routes,
             size_t n_routes, struct http **ret, struct vl_error *err)
{
    struct http *h = calloc(1, sizeof(*h));

    if (!h) return vl_fail_errno(err, ENOMEM, "HTTP");
    *h = (struct http){.loop = l, .api = api, .access = access, .routes = routes, .n_routes = n_routes};
    *ret = h;
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
        struct pollfd p[HTTP_LISTENERS_MAX];

        for (size_t i = 0; i < h->n_listeners; i++) {
            p[i] = (struct pollfd){.fd = h->listeners[i].run.fd, .events = POLLIN};
            (void)MHD_run(h->listeners[i].mhd);
        }
        if (!any_exchange(h)) break;
        (void)poll(p, (nfds_t)h->n_listeners, 10);
    } while (mono_ms() < until);
}

void http_free(struct http *h)
{
    if (!h) return;
    h->closing = true;
    for (size_t i = 0; i < h->n_listeners; i++)
        listener_close(&h->listeners[i]);
    answer_all(h);
    for (size_t i = 0; i < h->n_listeners; i++)
        listener_done(&h->listeners[i]);
    free(h);
}
