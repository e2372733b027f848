/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a VM could publish on a port of the host, found out by binding it for a moment. Another program may take it
 * before the VM does: this is for a good answer at creation, not a promise.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/io.h"
#include "net/net.h"

#define PICK_TRIES      256
#define UNPRIVILEGED    "/proc/sys/net/ipv4/ip_unprivileged_port_start"
#define UNPRIVILEGED_AT 1024 /* the kernel's default */

struct endpoint {
    int type; /* SOCK_STREAM, SOCK_DGRAM */
    struct sockaddr_in addr;
};

static int endpoint_parse(const char *protocol, const char *host_ip, unsigned port, struct endpoint *ret,
                          struct vl_error *err)
{
    uint32_t ip;
    int type;

    if (str_eq(protocol, "tcp"))
        type = SOCK_STREAM;
    else if (str_eq(protocol, "udp"))
        type = SOCK_DGRAM;
    else
        return vl_fail(err, VL_INVALID, "protocol '%s' is neither tcp nor udp", protocol);
    if (parse_ipv4(host_ip, &ip) < 0) return vl_fail(err, VL_INVALID, "host_ip '%s' is not an IPv4 address", host_ip);
    if (port > UINT16_MAX) return vl_fail(err, VL_INVALID, "host_port %u is not a port: 1 to 65535", port);
    *ret = (struct endpoint){
        .type = type,
        .addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(ip)},
    };
    return 0;
}

/*
 * A descriptor, or -errno. TCP with SO_REUSEADDR, as QEMU binds it too: a listener still conflicts, but connections in
 * TIME_WAIT would hold the port of a deleted VM for a minute. Two UDP sockets would share the port with it.
 */
static int endpoint_bind(const struct endpoint *e)
{
    auto_close int fd = socket(AF_INET, e->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;

    if (fd < 0) return -errno;
    if (e->type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) return -errno;
    if (bind(fd, (const struct sockaddr *)&e->addr, sizeof(e->addr)) < 0) return -errno;
    return take_fd(&fd);
}

static unsigned first_unprivileged(void)
{
    auto_free char *text = NULL;
    uint64_t port;
    size_t len;

    if (read_file_at(AT_FDCWD, UNPRIVILEGED, 64, &text, &len) < 0) return UNPRIVILEGED_AT;
    if (len > 0 && text[len - 1] == '\n') text[len - 1] = '\0';
    return parse_u64(text, 0, UINT16_MAX + 1, &port) < 0 ? UNPRIVILEGED_AT : (unsigned)port;
}

static int privileged(const char *protocol, const char *host_ip, unsigned port, unsigned first, struct vl_error *err)
{
    return vl_fail(err, VL_CONFLICT,
                   "host port %s:%u/%s is for root: choose one from %u on, run volantd as root, or let everybody have "
                   "it: `sysctl net.ipv4.ip_unprivileged_port_start=%u`",
                   host_ip, port, protocol, first, port);
}

static int fail_bind(const char *protocol, const char *host_ip, unsigned port, int errnum, struct vl_error *err)
{
    switch (errnum) {
    case -EADDRINUSE:
        return vl_fail(err, VL_CONFLICT,
                       "host port %s:%u/%s is in use by another program: choose another, or end that one (`ss -%clnp "
                       "sport = :%u` shows it)",
                       host_ip, port, protocol, *protocol, port);
    case -EACCES:
        return privileged(protocol, host_ip, port, first_unprivileged(), err);
    case -EADDRNOTAVAIL:
        return vl_fail(err, VL_INVALID,
                       "host_ip %s is no address of this host: use 127.0.0.1 (`ip -4 address` shows all)", host_ip);
    default:
        return vl_fail_errno(err, errnum, "host port %s:%u/%s", host_ip, port, protocol);
    }
}

int host_port_check(const char *protocol, const char *host_ip, unsigned port, struct vl_error *err)
{
    auto_close int fd = -1;
    struct endpoint e = {0};
    int r;

    if ((r = endpoint_parse(protocol, host_ip, port, &e, err)) < 0) return r;
    if (port == 0) return vl_fail(err, VL_INVALID, "host_port 0 is not a port: 1 to 65535");
    fd = endpoint_bind(&e);
    return fd < 0 ? fail_bind(protocol, host_ip, port, fd, err) : 0;
}

static int bound_port(int fd, unsigned *ret)
{
    struct sockaddr_in addr = {0};
    socklen_t len = sizeof(addr);

    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0) return -errno;
    *ret = ntohs(addr.sin_port);
    return 0;
}

int host_port_pick(const char *protocol, const char *host_ip, bool (*taken)(void *arg, unsigned port), void *arg,
                   unsigned *ret, struct vl_error *err)
{
    struct endpoint e = {0};
    unsigned port = 0;
    int r;

    if ((r = endpoint_parse(protocol, host_ip, 0, &e, err)) < 0) return r;
    for (int i = 0; i < PICK_TRIES; i++) {
        auto_close int fd = endpoint_bind(&e); /* the kernel picks at random */

        if (fd < 0) return fail_bind(protocol, host_ip, 0, fd, err);
        if ((r = bound_port(fd, &port)) < 0) return vl_fail_errno(err, r, "pick a host port");
        if (taken && taken(arg, port)) continue;
        *ret = port;
        return 0;
    }
    return vl_fail(err, VL_CONFLICT, "%d %s ports of the host that were tried belong to VMs: name one, or delete VMs",
                   PICK_TRIES, protocol);
}
