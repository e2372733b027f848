/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine uses, from /proc, read when somebody asks. */
#pragma once
#include <sys/types.h>

#include "model/guest.h"

/* proc_fd is /proc. What cannot be read stays 0: numbers, not a health check. workload: 0 if none runs. */
void stats_read(int proc_fd, pid_t workload, struct guest_stats *ret);
