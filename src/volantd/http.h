/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 by libmicrohttpd, whose epoll descriptor is nested in our loop; only http.c and exchange.c know that
 * library. It bounds what a client can take: connections, header and body bytes, the time for a head, a body, and
 * reading a reply.
 */
#pragma once
#include "base/loop.h"
#include "volantd/router.h"

struct http;
/* api and routes are borrowed. */
int http_new(struct loop *l, struct api *api, const struct api_route *routes, size_t n_routes, struct http **ret,
             struct vl_error *err);
/* Serves connections to a listening socket from now on; takes fd. At most HTTP_LISTENERS_MAX. */
int http_listen(struct http *h, int fd, bool tcp, struct vl_error *err);
#define HTTP_LISTENERS_MAX 2
/* Connections of each kind (Unix, TCP); more are answered with 503 at once. Readers of events are 1100 of them. */
#define HTTP_CONNS_MAX 1536
/* Closes the listeners, answers requests that wait with 503, gives clients a moment to read, closes. NULL is fine. */
void http_free(struct http *h);
DEFINE_AUTO(struct http *, http_free)
