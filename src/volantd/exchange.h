/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the HTTP side: connections (http.c) and what happens on one of them at a time (exchange.c). */
#pragma once
#include <microhttpd.h>

#include "volantd/http.h"

struct listener {
    struct http *http;
    struct watch watch;
    struct timer pause; /* out of descriptors: try again later */
    int fd;
    struct api_peer kind; /* of its connections, but for the address */
    unsigned n_conns;     /* so that no listener starves another */
    unsigned n_forwarded; /* of these */
    struct MHD_Daemon *mhd;
    struct watch run;   /* its epoll descriptor */
    struct timer again; /* it has more to do than one run did */
};

struct http {
    struct loop *loop;
    struct api *api;
    const struct access *access;
    const struct api_route *routes;
    size_t n_routes;
    struct listener listeners[HTTP_LISTENERS_MAX];
    size_t n_listeners;
    struct conn *conns;
    bool closing;
    int64_t refused_ms; /* mono_ms: a refusal was logged */
    unsigned refused;   /* since then */
};

struct conn {
    struct http *http;
    struct listener *listener;
    struct conn *next, **prev;
    struct MHD_Connection *mhd;
    int fd; /* the library's */
    struct api_peer peer;
    struct timer deadline; /* of what the client has to do next */
    struct watch gone;     /* while suspended, when the library does not look */
    struct exchange *exchange;
    bool forwarded; /* upgraded over TLS: the library stands between client and handler */
};

/* One request and its reply. */
struct exchange {
    struct api_req req;
    struct conn *conn; /* NULL until the head is there */
    char *target;
    const struct api_route *route;
    uint64_t received;    /* bytes of the body */
    uint64_t next_reward; /* `received` at which the client gets more time */
    int64_t begun_ms;
    struct MHD_UpgradeResponseHandle *upgraded; /* the socket is the handler's */
    bool begun, dispatched, answered, too_large, suspended, gone;
};

/* A connection was resumed, which the library does not notice by itself. */
void http_run_soon(struct listener *l);
/* The client's time for its next duty, from now; 0: it has none. */
void conn_deadline(struct conn *c, int ms);

struct exchange *exchange_new(const char *target);
void exchange_free(struct exchange *x);
/* The library's calls: head, pieces of the body (*size: what is left of it), its end and every resumption. */
enum MHD_Result exchange_begin(struct exchange *x, struct conn *c, const char *method);
enum MHD_Result exchange_body(struct exchange *x, const char *data, size_t *size);
enum MHD_Result exchange_finish(struct exchange *x);
/* While waiting: its answer is that volantd stops. */
void exchange_stop(struct exchange *x);
