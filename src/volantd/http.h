/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 by libmicrohttpd, whose epoll descriptor is nested in our loop; only http.c and exchange.c know that
 * library. It bounds what a client can take: connections, header and body bytes, the time for a head, a body, and
 * reading a reply.
 */
#pragma once
#include "base/loop.h"
#include "volantd/access.h"
#include "volantd/router.h"

struct http;
struct tls;
/* All are borrowed. */
int http_new(struct loop *l, struct api *api, const struct access *access, const struct api_route *routes,
             size_t n_routes, struct http **ret, struct vl_error *err);
/*
 * Serves connections to a listening socket (Unix or TCP) from now on; takes fd. At most HTTP_LISTENERS_MAX. tls NULL:
 * plain, else with that certificate, borrowed until http_free.
 */
int http_listen(struct http *h, int fd, const struct tls *tls, struct vl_error *err);
#define HTTP_LISTENERS_MAX 2
/* Connections of each listener; more are answered with 503 at once. Readers of events are 1100 of them. */
#define HTTP_CONNS_MAX 1536
/* Ends the connections on which a token has something open, but for one request: it was revoked. NULL is fine. */
void http_drop(struct http *h, const char *caller, const struct api_req *but);
/* Closes the listeners, answers requests that wait with 503, gives clients a moment to read, closes. NULL is fine. */
void http_free(struct http *h);
DEFINE_AUTO(struct http *, http_free)
