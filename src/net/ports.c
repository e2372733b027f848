/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of the host, asked of the kernel by binding them for a moment. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "net/net.h"

#define PICK_TRIES 64

/* The bound port, or a negative errno. */
static int bind_once(const char *protocol, const char *host_ip, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(a);
    auto_close int fd = socket(AF_INET, (str_eq(protocol, "udp") ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    bool udp = str_eq(protocol, "udp");
    uint32_t ip;
    int one = 1, r;

    if (fd < 0) return -errno;
    /* As the VMM does it: connections of yesterday's VM in TIME_WAIT do not hold the port, a listener does. */
    if (!udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) return -errno;
    if ((r = parse_ipv4(host_ip, &ip)) < 0) return r;
    a.sin_addr.s_addr = htonl(ip);
    if (bind(fd, (struct sockaddr *)&a, len) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0) return -errno;
    return ntohs(a.sin_port);
}

int host_port_check(const char *protocol, const char *host_ip, unsigned port, struct vl_error *err)
{
    int r = bind_once(protocol, host_ip, port);

    if (r >= 0) return 0;
    if (r == -EADDRINUSE)
        return vl_fail(err, VL_CONFLICT, "host port %s:%u/%s is in use by another program: choose another, or end that",
                       host_ip, port, protocol);
    if (r == -EACCES)
        return vl_fail(err, VL_CONFLICT,
                       "host port %s:%u/%s is not ours to open: choose one from 1024 up, or run volantd as root",
                       host_ip, port, protocol);
    if (r == -EADDRNOTAVAIL)
        return vl_fail(err, VL_CONFLICT, "%s is no address of this host: publish on 127.0.0.1", host_ip);
    return vl_fail_errno(err, r, "host port %s:%u/%s", host_ip, port, protocol);
}

int host_port_pick(const char *protocol, const char *host_ip, bool (*taken)(void *arg, unsigned port), void *arg,
                   unsigned *ret, struct vl_error *err)
{
    for (int i = 0; i < PICK_TRIES; i++) {
        int port = bind_once(protocol, host_ip, 0);

        if (port < 0) return vl_fail_errno(err, port, "find a free port of %s", host_ip);
        if (taken(arg, (unsigned)port)) continue;
        *ret = (unsigned)port;
        return 0;
    }
    return vl_fail(err, VL_CONFLICT, "no free port of %s was found in %d tries: name one", host_ip, PICK_TRIES);
}
