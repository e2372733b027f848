/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the VMM, confined. The shim has one thread, so that this code may run between fork and exec, which a threaded
 * volantd must not do.
 */
#pragma once
#include "shim/options.h"

struct child {
    pid_t pid;
    int pidfd;
    int console;   /* our end of the VMM's console, non-blocking */
    int stderr_fd; /* what it prints, non-blocking */
};

/* What holds for the shim and all it starts: no new privileges, no core dumps, nothing inherited by accident. */
int child_prepare(const struct options *o, struct vl_error *err);
/*
 * Returns when the VMM has been executed; the inherited descriptors are closed here then. An error of the child (a
 * limit, the uid, exec itself) is told as such and leaves no process.
 */
int child_start(const struct options *o, struct child *ret, struct vl_error *err);
/* Kills, reaps, closes. */
void child_abort(struct child *c);
