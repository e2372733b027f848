/* SPDX-License-Identifier: Apache-2.0 */
/* Where volantd is to be found. */
#include <string.h>

#include "base/path.h"
#include "volar/api.h"

#define SYSTEM_SOCKET "/run/volant/volantd.sock"
#define DEFAULT_PORT  "7777"

static int bad_address(const char *url, struct vl_error *err)
{
    return vl_fail(err, VL_INVALID,
                   "API address '%s' is not understood: write unix:///path/to/volantd.sock or "
                   "http://127.0.0.1:7777",
                   url);
}

static int socket_address(const char *path, struct api_address *ret, struct vl_error *err)
{
    if (strf(ret->socket, sizeof(ret->socket), "%s", path) < 0)
        return vl_fail(err, VL_INVALID, "socket path '%s' is too long: 107 bytes at most", path);
    (void)strf(ret->base, sizeof(ret->base), "http://localhost");
    return 0;
}

int api_address_parse(const char *url, struct api_address *ret, struct vl_error *err)
{
    struct api_address a = {0};
    const char *host, *end;
    bool port;
    int r;

    if (str_starts(url, "unix://")) url += strlen("unix://");
    if (*url == '/') {
        if ((r = socket_address(url, &a, err)) < 0) return r;
        *ret = a;
        return 0;
    }
    if (!str_starts(url, "http://")) return bad_address(url, err);
    host = url + strlen("http://");
    end = host + strcspn(host, "/?#");
    if (end == host || memchr(host, '@', (size_t)(end - host))) return bad_address(url, err);
    port = *host == '[' ? memmem(host, (size_t)(end - host), "]:", 2) != NULL
                        : memchr(host, ':', (size_t)(end - host)) != NULL;
    if (strf(a.base, sizeof(a.base), "http://%.*s%s", (int)(end - host), host, port ? "" : ":" DEFAULT_PORT) < 0)
        return bad_address(url, err);
    *ret = a;
    return 0;
}

int api_address_find(const char *url, struct api_address *ret, struct vl_error *err)
{
    const char *from_env = secure_getenv("VOLANT_API_BASE");
    struct paths paths;
    int r;

    if (url) return api_address_parse(url, ret, err);
    if (from_env && *from_env) {
        if ((r = api_address_parse(from_env, ret, err)) < 0) return vl_wrap(err, "VOLANT_API_BASE");
        return 0;
    }
    if ((r = paths_find(&paths, err)) < 0) return r;
    if (access(paths.socket, F_OK) < 0 && access(SYSTEM_SOCKET, F_OK) == 0)
        return socket_address(SYSTEM_SOCKET, ret, err);
    return socket_address(paths.socket, ret, err);
}
