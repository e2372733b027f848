/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to one of the machine's own ports, from within it: how readiness and health checks look at a server. */
#pragma once
#include <netinet/in.h>

#include "base/defs.h"

/*
 * 0 with a non-blocking socket, the caller's, that is connected or about to be: once it is writable, dial_result tells.
 * Closing it before that resets. -errno where nobody listens, or there are no descriptors.
 */
int dial(const struct sockaddr_in *to, int *ret_fd);
/*
 * 0: connected; the workload sees a visitor who leaves when it is closed. -ECONNREFUSED also where it reached itself.
 */
int dial_result(int fd);
