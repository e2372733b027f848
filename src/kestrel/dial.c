/* SPDX-License-Identifier: Apache-2.0 */
/* See dial.h. */
#include "kestrel/dial.h"

#include <sys/socket.h>

#include "base/io.h"

/*
 * Without a listener, an attempt at a port of the range that connections get theirs from may be given this very port,
 * and reach itself.
 */
static bool reached_itself(int fd)
{
    struct sockaddr_in from = {0}, to = {0};
    socklen_t from_len = sizeof(from), to_len = sizeof(to);

    return getsockname(fd, (struct sockaddr *)&from, &from_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&to, &to_len) == 0 && from.sin_port == to.sin_port &&
           from.sin_addr.s_addr == to.sin_addr.s_addr;
}

/* Whether closing resets: one that reached itself would otherwise keep the workload from its port for a minute. */
static void reset_at_close(int fd, bool on)
{
    const struct linger at_once = {.l_onoff = on};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

int dial(const struct sockaddr_in *to, int *ret_fd)
{
    auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) return -errno;
    reset_at_close(fd, true);
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS) return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int dial_result(int fd)
{
    int failed = 0;
    socklen_t len = sizeof(failed);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0) return -errno;
    if (failed != 0) return -failed;
    if (reached_itself(fd)) return -ECONNREFUSED;
    reset_at_close(fd, false);
    return 0;
}
