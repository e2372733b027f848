/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "volantd/access.h"

#define BACKLOG   128
#define GROUP_MAX (1024ul * 1024) /* bytes of /etc/group */

static int fail_form(const char *text, const char *what, struct vl_error *err)
{
    return vl_fail(err, VL_INVALID, "%s is '%.80s', not ADDRESS:PORT: write for example 127.0.0.1:7777", what, text);
}

int listen_parse(const char *text, const char *what, struct listen_addr *ret, struct vl_error *err)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    char host[64];
    uint32_t addr = INADDR_LOOPBACK;
    uint64_t port;
    struct listen_addr a = {0};

    if (n == 0 || strf(host, sizeof(host), "%.*s", (int)n, text) < 0 || parse_u64(colon + 1, 0, 65535, &port) < 0)
        return fail_form(text, what, err);
    if (!access_is_loopback(host, n))
        return vl_fail(
            err, VL_INVALID,
            "%s is '%.80s': only loopback addresses are allowed (127.0.0.1, localhost, [::1]), as this version "
            "has neither tokens nor TLS; reach it from elsewhere through ssh -L",
            what, text);
    if (host[0] == '[') {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&a.addr;

        *in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        a.len = sizeof(*in6);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a.addr;

        (void)parse_ipv4(host, &addr); /* "localhost" leaves 127.0.0.1 */
        *in = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(addr)};
        a.len = sizeof(*in);
    }
    *ret = a;
    return 0;
}

void listen_text(const struct listen_addr *a, char ret[static 64])
{
    const struct sockaddr_in *in = (const void *)&a->addr;
    const struct sockaddr_in6 *in6 = (const void *)&a->addr;
    char ip[16];

    if (a->addr.ss_family == AF_INET6) {
        (void)strf(ret, 64, "[::1]:%u", ntohs(in6->sin6_port));
        return;
    }
    format_ipv4(ntohl(in->sin_addr.s_addr), ip);
    (void)strf(ret, 64, "%s:%u", ip, ntohs(in->sin_port));
}

bool listen_is_loopback(const struct listen_addr *a)
{
    const struct sockaddr_in *in = (const void *)&a->addr;
    const struct sockaddr_in6 *in6 = (const void *)&a->addr;

    if (a->addr.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    return a->addr.ss_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

int listen_tcp(const struct listen_addr *a, int *ret_fd, char ret_text[static 64], struct vl_error *err)
{
    auto_close int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct listen_addr bound = *a;
    char text[64];
    int on = 1;

    listen_text(a, text);
    if (fd < 0) return vl_fail_errno(err, errno, "listen on %s", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const void *)&a->addr, a->len) < 0) {
        if (errno == EADDRINUSE)
            return vl_fail(err, VL_CONFLICT, "cannot listen on %s: the port is taken; choose another by --listen",
                           text);
        return vl_fail_errno(err, errno, "listen on %s", text);
    }
    if (listen(fd, BACKLOG) < 0 || getsockname(fd, (void *)&bound.addr, &bound.len) < 0)
        return vl_fail_errno(err, errno, "listen on %s", text);
    listen_text(&bound, ret_text);
    *ret_fd = take_fd(&fd);
    return 0;
}

int listen_group(const char *file, const char *name, unsigned *ret_gid)
{
    auto_free char *text = NULL;
    char *save = NULL;
    uint64_t gid;
    int r = read_file_at(AT_FDCWD, file, GROUP_MAX, &text, NULL);

    if (r < 0) return r;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *fields = line;
        const char *found = strsep(&fields, ":"), *digits;

        if (!str_eq(found, name) || !strsep(&fields, ":") || !(digits = strsep(&fields, ":"))) continue;
        if ((r = parse_u64(digits, 0, UINT32_MAX - 1, &gid)) < 0) return r;
        *ret_gid = (unsigned)gid;
        return 0;
    }
    return -ENOENT;
}

int listen_unix(const char *path, int *ret_fd, struct vl_error *err)
{
    auto_close int fd = unix_listen(path, BACKLOG, 0600);
    unsigned gid;

    if (fd < 0) return vl_fail_errno(err, fd, "listen on %s", path);
    if (geteuid() == 0 && listen_group("/etc/group", "volant", &gid) == 0 &&
        (chown(path, (uid_t)-1, gid) < 0 || chmod(path, 0660) < 0))
        return vl_fail_errno(err, errno, "give %s to group volant", path);
    *ret_fd = take_fd(&fd);
    return 0;
}
