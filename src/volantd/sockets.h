/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets of this process: those that systemd opened for it (sd_listen_fds(3)), else its own. They stay
 * open while the registry is replaced, so that clients wait instead of being refused; those of systemd stay open beyond
 * this process too.
 */
#pragma once
#include "volantd/listen.h"

struct sockets {
    int unix_fd, tcp_fd; /* -1: none */
    bool unix_given, tcp_given;
    char path[108];  /* of the Unix socket, "" none */
    char listen[64]; /* TCP, as bound, "" none */
    bool loopback;   /* TCP: nobody else's machine can reach it */
};
#define SOCKETS_NONE ((struct sockets){.unix_fd = -1, .tcp_fd = -1})

/*
 * Takes what systemd passed: at most a Unix socket with a file, and a TCP socket. VL_INVALID names one that
 * may not be served, and why.
 */
int sockets_take(struct sockets *s, struct vl_error *err);
/* Opens what is wanted and not there yet; tcp NULL: none is wanted. */
int sockets_open(struct sockets *s, const char *path, const struct listen_addr *tcp, struct vl_error *err);
/* The files of our own go: while their folder is locked. */
void sockets_close(struct sockets *s);
