/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a program of somebody else's (skopeo, tar2sqfs, mke2fs) to its end: no shell, a deadline, an end at once when
 * the build is to stop, and what it complained about as the error.
 */
#pragma once
#include <sys/types.h>

#include "base/str.h"
#include "oci/job.h"

struct tool {
    const char *name;   /* borrowed */
    int pidfd, in_fd;   /* in_fd: its standard input, where it has one */
    int out_fd, err_fd; /* nameless files that hold what it printed */
};

/* The path of a program: of a name as tool_start looks for it, or a path itself. False where there is none. */
bool tool_find(const char *name, char *buf, size_t size);
/*
 * argv[0] is the name, looked for in PATH and then in the folders of the system; VL_INVALID names the Debian `package`
 * where it is not installed. `extra_env`: NAME=VALUE before all of our own environment, or NULL. With `feed` its
 * standard input is a pipe, whose other end (non-blocking) is in_fd. Ends with tool_finish or tool_abort.
 */
int tool_start(const char *const *argv, const char *package, const char *const *extra_env, bool feed, struct tool *ret,
               struct vl_error *err);
/* All bytes into its standard input. A program that went away is reported by tool_finish: here it is -EPIPE. */
int tool_feed(struct tool *t, const struct oci_job *job, const void *data, size_t n, struct vl_error *err);
/*
 * Closes its input and waits. Any exit but 0 is an error with the last line that it printed to stderr. ret_out, if not
 * NULL, gets what it printed (at most `max` bytes). In any case nothing is left of it.
 */
int tool_finish(struct tool *t, const struct oci_job *job, size_t max, char **ret_out, size_t *ret_len,
                struct vl_error *err);
void tool_abort(struct tool *t); /* all zero is fine, and afterwards */
#define auto_tool auto_(tool_abort) struct tool

/* Start and finish in one. */
int tool_run(const char *const *argv, const char *package, const char *const *extra_env, const struct oci_job *job,
             size_t max, char **ret_out, size_t *ret_len, struct vl_error *err);
