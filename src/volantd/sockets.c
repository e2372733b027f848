/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

static int refuse(int fd, const char *why, struct vl_error *err)
{
    return vl_fail(err, VL_INVALID, "descriptor %d of the socket unit cannot be served: %s", fd, why);
}

static int take_unix(struct sockets *s, int fd, const struct sockaddr_un *addr, socklen_t len, struct vl_error *err)
{
    struct stat st;

    if (s->unix_fd >= 0) return refuse(fd, "it is a second Unix socket; name one ListenStream= of a path", err);
    if (len <= offsetof(struct sockaddr_un, sun_path) || addr->sun_path[0] == '\0')
        return refuse(fd, "an abstract socket is open to every user; name a path", err);
    if (strf(s->path, sizeof(s->path), "%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path)), addr->sun_path) < 0)
        return refuse(fd, "its path is longer than 107 bytes", err);
    if (stat(s->path, &st) == 0 && (st.st_mode & S_IWOTH))
        log_warn("every user of this host can control VMs through %s: set SocketMode=0600 in its unit", s->path);
    s->unix_fd = fd;
    s->unix_given = true;
    return 0;
}

static int take_tcp(struct sockets *s, int fd, const struct listen_addr *addr, struct vl_error *err)
{
    if (s->tcp_fd >= 0) return refuse(fd, "it is a second TCP socket; name one ListenStream= of an address", err);
    listen_text(addr, s->listen);
    s->loopback = listen_is_loopback(addr);
    s->tcp_fd = fd;
    s->tcp_given = true;
    return 0;
}

static int take_one(struct sockets *s, int fd, struct vl_error *err)
{
    struct listen_addr a = {.len = sizeof(a.addr)};
    int r;

    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
        return refuse(fd, "it is no listening stream socket; use ListenStream= and Accept=no", err);
    if (getsockname(fd, (void *)&a.addr, &a.len) < 0 || (r = set_nonblock(fd, true)) < 0)
        return refuse(fd, "it cannot be set up", err);
    switch (a.addr.ss_family) {
    case AF_UNIX:
        return take_unix(s, fd, (const void *)&a.addr, a.len, err);
    case AF_INET:
    case AF_INET6:
        return take_tcp(s, fd, &a, err);
    default:
        return refuse(fd, "it is neither a Unix nor a TCP socket", err);
    }
}

int sockets_take(struct sockets *s, struct vl_error *err)
{
    int n = sd_listen_fds(0), r;

    if (n < 0) return vl_fail_errno(err, n, "take the sockets of the socket unit");
    for (int i = 0; i < n; i++)
        if ((r = take_one(s, SD_LISTEN_FDS_START + i, err)) < 0) return r;
    return 0;
}

int sockets_open(struct sockets *s, const char *path, const struct listen_addr *tcp, struct vl_error *err)
{
    int r;

    if (s->tcp_fd < 0 && tcp) {
        if ((r = listen_tcp(tcp, &s->tcp_fd, s->listen, err)) < 0) return r;
        s->loopback = listen_is_loopback(tcp);
    }
    if (s->unix_fd >= 0) return 0;
    if ((r = listen_unix(path, &s->unix_fd, err)) < 0) return r;
    return (r = strf(s->path, sizeof(s->path), "%s", path)) < 0 ? vl_fail_errno(err, r, "listen on %s", path) : 0;
}

void sockets_close(struct sockets *s)
{
    if (s->unix_fd >= 0 && !s->unix_given) (void)unlink(s->path);
    closep(&s->unix_fd);
    closep(&s->tcp_fd);
    *s = SOCKETS_NONE;
}
