/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "net/cidr.h"

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
    struct listen_addr a = {0};
    struct net_addr addr;
    uint64_t port;

    if (n == 0 || parse_u64(colon + 1, 0, 65535, &port) < 0) return fail_form(text, what, err);
    if (n == strlen("localhost") && strncasecmp(text, "localhost", n) == 0)
        (void)net_addr_parse("127.0.0.1", strlen("127.0.0.1"), &addr);
    else if ((*text != '[' && memchr(text, ':', n)) || net_addr_parse(text, n, &addr) < 0)
        return fail_form(text, what, err);
    if (*text == '[') {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&a.addr;

        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        memcpy(&in6->sin6_addr, addr.bytes, sizeof(addr.bytes));
        a.len = sizeof(*in6);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a.addr;

        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        memcpy(&in->sin_addr, addr.bytes + sizeof(addr.bytes) - sizeof(in->sin_addr), sizeof(in->sin_addr));
        a.len = sizeof(*in);
    }
    *ret = a;
    return 0;
}

void listen_text(const struct listen_addr *a, char ret[static 64])
{
    const struct sockaddr_in *in = (const void *)&a->addr;
    const struct sockaddr_in6 *in6 = (const void *)&a->addr;
    char ip[INET6_ADDRSTRLEN] = "";

    if (a->addr.ss_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
        (void)strf(ret, 64, "[%s]:%u", ip, ntohs(in6->sin6_port));
        return;
    }
    (void)inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
    (void)strf(ret, 64, "%s:%u", ip, ntohs(in->sin_port));
}

bool listen_is_loopback(const struct listen_addr *a)
{
    struct net_addr addr;

    return net_addr_of((const void *)&a->addr, &addr) == 0 && net_addr_is_loopback(&addr);
}

int listen_tcp(const struct listen_addr *a, int *ret_fd, char ret_text[static 64], struct vl_error *err)
{
    auto_close int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct listen_addr bound = *a;
    char text[64];
    int on = 1, only = 1;

    listen_text(a, text);
    if (fd < 0) return vl_fail_errno(err, errno, "listen on %s", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->addr.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0)
        return vl_fail_errno(err, errno, "listen on %s", text);
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
