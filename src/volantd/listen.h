/* SPDX-License-Identifier: Apache-2.0 */
/* Where volantd listens: its Unix socket, and TCP where that is asked for. */
#pragma once
#include <sys/socket.h>

#include "base/error.h"

struct listen_addr {
    struct sockaddr_storage addr;
    socklen_t len;
};
/*
 * "127.0.0.1:7777", "localhost:7777", "[::1]:7777", "0.0.0.0:7777"; port 0 takes any free one. VL_INVALID begins with
 * `what`.
 */
int listen_parse(const char *text, const char *what, struct listen_addr *ret, struct vl_error *err);
/* As listen_parse takes it. */
void listen_text(const struct listen_addr *a, char ret[static 64]);
bool listen_is_loopback(const struct listen_addr *a);
/* The listening socket, non-blocking, the caller's; ret_text is what it is bound to, as listen_parse takes it. */
int listen_tcp(const struct listen_addr *a, int *ret_fd, char ret_text[static 64], struct vl_error *err);
/* The same for the Unix socket: mode 0600, as root 0660 and group `volant` where /etc/group has that. */
int listen_unix(const char *path, int *ret_fd, struct vl_error *err);

/* The number of a group in a file like /etc/group; -ENOENT. (Not getgrnam, which may load plugins and ask servers.) */
int listen_group(const char *file, const char *name, unsigned *ret_gid);
