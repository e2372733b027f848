/* SPDX-License-Identifier: Apache-2.0 */
/* Where volantd is to be found, and what it is talked to with. */
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/io.h"
#include "base/path.h"
#include "volar/api.h"

#define SYSTEM_SOCKET  "/run/volant/volantd.sock"
#define DEFAULT_PORT   "7777"
#define TOKEN_FILE_MAX 4096ul

static int bad_address(const char *url, struct vl_error *err)
{
    return vl_fail(err, VL_INVALID,
                   "API address '%s' is not understood: write unix:///path/to/volantd.sock, http://127.0.0.1:7777 or "
                   "https://host:7777",
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
    const char *host, *end, *scheme = "http://";
    bool port;
    int r;

    if (str_starts(url, "unix://")) url += strlen("unix://");
    if (*url == '/') {
        if ((r = socket_address(url, &a, err)) < 0) return r;
        *ret = a;
        return 0;
    }
    if (str_starts(url, "https://"))
        scheme = "https://";
    else if (!str_starts(url, "http://"))
        return bad_address(url, err);
    host = url + strlen(scheme);
    end = host + strcspn(host, "/?#");
    if (end == host || memchr(host, '@', (size_t)(end - host))) return bad_address(url, err);
    port = *host == '[' ? memmem(host, (size_t)(end - host), "]:", 2) != NULL
                        : memchr(host, ':', (size_t)(end - host)) != NULL;
    if (strf(a.base, sizeof(a.base), "%s%.*s%s", scheme, (int)(end - host), host, port ? "" : ":" DEFAULT_PORT) < 0)
        return bad_address(url, err);
    *ret = a;
    return 0;
}

/* --- what it is talked to with ------------------------------------------------------------------------------------ */

static int take_token(const char *text, const char *where, struct api_address *a, struct vl_error *err)
{
    size_t n = strcspn(text, " \t\r\n");

    if (n == 0 || text[n + strspn(text + n, " \t\r\n")] != '\0' ||
        strf(a->token, sizeof(a->token), "%.*s", (int)n, text) < 0)
        return vl_fail(err, VL_INVALID, "%s is not one token, as `volar tokens create` prints it", where);
    return 0;
}

static int find_token(struct api_address *a, struct vl_error *err)
{
    const char *text = secure_getenv("VOLANT_API_TOKEN"), *path = secure_getenv("VOLANT_API_TOKEN_FILE");
    auto_free char *read = NULL;
    int r;

    if (text && *text) return take_token(text, "VOLANT_API_TOKEN", a, err);
    if (!path || !*path) return 0;
    if ((r = read_file_at(AT_FDCWD, path, TOKEN_FILE_MAX, &read, NULL)) < 0)
        return vl_fail(err, VL_INVALID, "cannot read VOLANT_API_TOKEN_FILE %s: %s", path, vl_strerror(r));
    return take_token(read, "what is in VOLANT_API_TOKEN_FILE", a, err);
}

/* The address itself: "127.0.0.1.example" is a name like any other, and anybody's. */
static bool is_loopback(const char *base)
{
    const char *host = base + strlen("http://");
    size_t n = strcspn(host, ":");
    char name[sizeof("255.255.255.255")];
    uint32_t addr;

    if (str_starts(host, "[::1]:")) return true;
    if (strf(name, sizeof(name), "%.*s", (int)n, host) < 0) return false;
    return strcasecmp(name, "localhost") == 0 || (parse_ipv4(name, &addr) == 0 && addr >> 24 == 127);
}

/* Over a Unix socket none is needed, and in the clear none leaves this host. */
static int find_secrets(struct api_address *a, struct vl_error *err)
{
    const char *ca = secure_getenv("VOLANT_API_CA");
    int r;

    if (*a->socket) return 0;
    if (ca && *ca && strf(a->ca, sizeof(a->ca), "%s", ca) < 0)
        return vl_fail(err, VL_INVALID, "VOLANT_API_CA is too long");
    if ((r = find_token(a, err)) < 0) return r;
    if (*a->token && !str_starts(a->base, "https://") && !is_loopback(a->base))
        return vl_fail(err, VL_INVALID, "the token is not sent to %s in the clear: write https://", a->base);
    return 0;
}

static int find_base(const char *url, struct api_address *ret, struct vl_error *err)
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

int api_address_find(const char *url, struct api_address *ret, struct vl_error *err)
{
    struct api_address a = {0};
    int r;

    if ((r = find_base(url, &a, err)) < 0 || (r = find_secrets(&a, err)) < 0) return r;
    *ret = a;
    return 0;
}
