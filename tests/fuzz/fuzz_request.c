/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request, as it reaches us: "PEER METHOD TARGET" and lines of "Name: value". PEER is u (Unix socket), t
 * (TCP, on loopback), e (from elsewhere), p (from a proxy that is believed). It is judged with and without tokens,
 * routed, and its parameters and headers are read as the handlers read them. Nobody is admitted over TCP without the
 * secret where there is one; what is refused has a complete reply; a redirect leads to this host.
 */
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "volantd/access.h"
#include "volantd/api.h"
#include "volantd/events_query.h"
#include "volantd/list.h"
#include "volantd/websocket.h"

#define SECRET      "volant_correct-horse"
#define HEADERS_MAX 32

struct head {
    struct api_req req;
    struct {
        char *name, *value;
    } headers[HEADERS_MAX];
    size_t n;
};

static const char *find(const struct api_req *req, const char *name, bool last)
{
    const struct head *h = container_of(req, struct head, req);
    const char *found = NULL;

    for (size_t i = 0; i < h->n && (last || !found); i++)
        if (strcasecmp(h->headers[i].name, name) == 0) found = h->headers[i].value;
    return found;
}

static const char *first_header(const struct api_req *req, const char *name)
{
    return find(req, name, false);
}

static const char *last_header(const struct api_req *req, const char *name)
{
    return find(req, name, true);
}

static void set_peer(struct api_req *req, char kind)
{
    const char *from = kind == 't' ? "127.0.0.1" : kind == 'e' ? "192.0.2.1" : "10.0.0.1";

    req->peer.tcp = kind != 'u';
    req->peer.loopback = kind == 't';
    if (req->peer.tcp) must(net_addr_parse(from, strlen(from), &req->peer.addr) == 0);
}

/* Cuts the text; false if it is no head. Target and method are borrowed from it. */
static bool take(struct head *h, char *text, char **ret_target)
{
    char *rest = text, *line = strsep(&rest, "\n"), *peer = strsep(&line, " ");

    set_peer(&h->req, *peer);
    h->req.method = strsep(&line, " ");
    *ret_target = line;
    if (!h->req.method || !line) return false;
    while ((line = strsep(&rest, "\n")) && h->n < HEADERS_MAX) {
        char *colon = strstr(line, ": ");

        if (!colon) continue;
        *colon = '\0';
        h->headers[h->n].name = line;
        h->headers[h->n++].value = colon + 2;
    }
    h->req.header = first_header;
    h->req.last_header = last_header;
    return true;
}

static void check_redirect(const struct api_req *req)
{
    for (size_t i = 0; i < req->reply.headers.len; i++) {
        const char *value = req->reply.headers.items[i] + strlen("Location: ");

        if (str_starts(req->reply.headers.items[i], "Location: ")) must(value[0] == '/' && value[1] != '/');
    }
}

static void check_parameters(const struct api_req *req)
{
    auto_(events_filter_done) struct events_filter filter = {0};
    struct list_query q;
    struct vl_error err = {0};
    uint64_t number = 7;
    int64_t after = 7;
    bool on = false;

    if (list_query_parse(req, &q, &err) < 0) must(err.kind == VL_INVALID && err.msg[0]);
    if (events_query_parse(req, &filter, &after, &err) < 0)
        must(err.kind == VL_INVALID && after == 7 && !filter.vms.len && !filter.types.len);
    else
        must(after >= 0);
    if (api_query_u64(req, "timeout", 1, 28, &number, &err) == 0) must(number >= 1 && number <= 28);
    (void)api_query_bool(req, "follow", &on, &err);
    for (size_t i = 0; i < req->n_pairs; i++)
        must(strlen(req->pairs[i].name) + strlen(req->pairs[i].value) <= strlen(req->query));
}

/* As exchange.c goes about it. */
static void serve(struct head *h, const struct access *a, bool guarded, bool has_secret, const char *target)
{
    struct api_req *req = &h->req;
    struct vl_error err = {0};
    const struct api_route *route;

    if (api_req_init(req, req->method, target, &err) < 0) {
        must(err.kind == VL_INVALID);
    } else if (!access_admit(a, req)) {
        must(req->role == ROLE_NONE && req->reply.status >= 204 && req->reply.status < 500);
    } else {
        must(req->role != ROLE_NONE);
        must(!guarded || !req->peer.tcp || has_secret);
        must(guarded || !req->peer.tcp || req->peer.loopback);
        check_parameters(req);
        if (!(route = router_find(api_routes, api_n_routes, req))) {
            must(req->reply.status >= 300 && req->reply.status < 500);
            check_redirect(req);
        } else if (!access_allows(req, route->role)) {
            must(req->reply.status == 403);
        } else if (!ws_requested(req)) {
            must(req->reply.status == 426 || req->reply.status == 400);
        } else {
            must(ws_accept(req, NULL, &err) == API_DONE && req->reply.status == 101);
        }
    }
    api_req_done(req);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct access_rules open = {0}, closed = {0};
    static struct access *admits, *guards;

    if (!guards) {
        closed.key = strdup(SECRET);
        must(cidrs_parse("10.0.0.0/8,127.0.0.1,::1", "networks", &closed.allow, NULL) == 0);
        must(cidrs_parse("10.0.0.1", "proxies", &closed.proxies, NULL) == 0);
        must(access_names_parse("volant.example", "names", &closed.names, NULL) == 0);
        must(access_origins_parse("https://app.example,http://localhost:3000", "origins", &closed.origins, NULL) == 0);
        must(access_new(NULL, &open, &admits, NULL) == 0 && access_new(NULL, &closed, &guards, NULL) == 0);
    }
    for (int guarded = 0; guarded < 2; guarded++) {
        auto_free char *text = strndup((const char *)(data ? data : (const uint8_t *)""), size);
        struct head h = {0};
        bool has_secret;
        char *target;

        must(text);
        has_secret = strstr(text, SECRET) != NULL;
        if (take(&h, text, &target)) serve(&h, guarded ? guards : admits, guarded, has_secret, target);
    }
    return 0;
}
