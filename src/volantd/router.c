/* SPDX-License-Identifier: Apache-2.0 */
/* Routes are few: a walk through the table costs nothing beside the request itself. */
#include "volantd/router.h"

#include <string.h>

#define LOCATION_MAX 1024 /* of a redirect: headers live in the connection's small pool */

static void drop_params(struct api_req *req)
{
    for (size_t i = 0; i < API_PARAMS_MAX; i++) {
        free(req->params[i]);
        req->params[i] = NULL;
    }
}

/* 1 if the first n bytes of path match, 0 if not, else -errno. */
static int match_path(struct api_req *req, const char *pattern, const char *path, size_t n)
{
    const char *end = path + n;
    size_t n_params = 0;
    int r;

    while (*pattern == '/' && path < end && *path == '/') {
        size_t want = strcspn(++pattern, "/"), have = 0;

        path++;
        while (path + have < end && path[have] != '/')
            have++;
        if (*pattern == ':') {
            if (have == 0 || n_params == API_PARAMS_MAX) return 0;
            if ((r = api_percent_decode(path, have, false, &req->params[n_params++])) < 0) return r;
        } else if (want != have || memcmp(pattern, path, want) != 0) {
            return 0;
        }
        pattern += want;
        path += have;
    }
    return *pattern == '\0' && path == end;
}

/* What `method` is served by: an own route before that of GET. */
static int find(const struct api_route *routes, size_t n_routes, struct api_req *req, size_t path_len,
                const char *method, const struct api_route **ret)
{
    for (size_t i = 0; i < n_routes; i++) {
        int r;

        if (!str_eq(routes[i].method, method)) continue;
        drop_params(req);
        if ((r = match_path(req, routes[i].pattern, req->path, path_len)) == 0) continue;
        if (r < 0) return r;
        *ret = &routes[i];
        return 0;
    }
    if (str_eq(method, "HEAD")) return find(routes, n_routes, req, path_len, "GET", ret);
    drop_params(req);
    *ret = NULL;
    return 0;
}

static void plain_text(struct api_req *req, unsigned status, const char *text)
{
    req->reply.status = status;
    if (!(req->reply.body = strdup(text))) return;
    req->reply.content_type = "text/plain";
    req->reply.body_len = strlen(text);
}

/* Only to a path of ours, so that "//elsewhere/" leads nowhere. */
static bool redirect(const struct api_route *routes, size_t n, struct api_req *req)
{
    size_t len = strlen(req->path);
    const struct api_route *route = NULL;
    char location[LOCATION_MAX];

    if (len < 2 || req->path[len - 1] != '/' || find(routes, n, req, len - 1, req->method, &route) < 0 || !route)
        return false;
    drop_params(req);
    if (strf(location, sizeof(location), "%.*s%s%s", (int)len - 1, req->path, req->query ? "?" : "",
             req->query ? req->query : "") < 0)
        return false;
    (void)api_empty(req, str_eq(req->method, "GET") || str_eq(req->method, "HEAD") ? 301 : 307);
    api_header(req, "Location", location);
    return true;
}

const struct api_route *router_find(const struct api_route *routes, size_t n, struct api_req *req)
{
    const struct api_route *route = NULL;
    int r = find(routes, n, req, strlen(req->path), req->method, &route);

    if (r < 0) {
        drop_params(req);
        (void)api_error(req, r == -ENOMEM ? 503 : 400,
                        r == -ENOMEM ? "out of memory" : "the path has a bad '%' escape");
        return NULL;
    }
    if (!route && !redirect(routes, n, req)) plain_text(req, 404, "404 page not found");
    return route;
}

enum api_end router_run(struct api *api, struct api_req *req,
                        enum api_end (*fn)(struct api *api, struct api_req *req, struct vl_error *err))
{
    struct vl_error err = {0};
    enum api_end end = fn(api, req, &err);

    if (end != API_FAILED) return end;
    api_fail(req, &err);
    return API_DONE;
}
