/* SPDX-License-Identifier: Apache-2.0 */
/* console.log in a VM's folder: bounded, the older half in console.log.1. A full disk costs output, nothing else. */
#pragma once
#include "base/defs.h"

struct console_log {
    int dir_fd; /* borrowed */
    int fd;     /* -1: could not be opened, tried again with the next output */
    uint64_t size, max;
};
/* Begins anew: a log is of one boot. */
void console_log_open(struct console_log *l, int dir_fd, uint64_t max);
void console_log_write(struct console_log *l, const char *data, size_t n);
void console_log_close(struct console_log *l);
