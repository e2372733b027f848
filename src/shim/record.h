/* SPDX-License-Identifier: Apache-2.0 */
/* The two files by which volantd finds a boot again (run.json) and learns why it ended (exit.json). */
#pragma once
#include <sys/types.h>

#include "base/defs.h"

/*
 * Who runs this boot. Appears whole or not at all, but is not synced to disk: it means nothing once the host has gone
 * down, and a launch should not wait for a disk.
 */
int record_run(int dir_fd, const char *boot, pid_t vmm);
/* `status` as waitpid(2) gives it; synced, as it is to outlive the host. */
int record_exit(int dir_fd, const char *boot, int status, const char *stderr_tail, size_t n);
