/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the workload: program, environment, user, folder, its own session and two pipes. Single-threaded callers
 * only. */
#pragma once
#include <sys/types.h>

#include "base/error.h"
#include "kestrel/user.h"
#include "model/guest.h"

struct child {
    pid_t pid;          /* leads its own session and process group */
    int out_fd, err_fd; /* reading ends of its output, the caller's */
};

/* Who the workload runs as; root where it does not say. */
int workload_user(const struct workload *w, struct user *ret, struct vl_error *err);

/*
 * Returns once the program has been executed. The error says what was wrong in words for the image's author:
 * VL_NOT_FOUND where the program or its loader is not there, VL_INVALID where it, workdir or user cannot be used.
 */
int workload_start(const struct workload *w, struct child *ret, struct vl_error *err);
/*
 * The same of another program in the workload's environment and folder, as `user`: argv, which errors call `field`.
 * Both its outputs come from out_fd; err_fd is -1.
 */
int workload_command(const struct workload *w, const struct user *user, const struct strv *argv, const char *field,
                     struct child *ret, struct vl_error *err);
/* What asks it to end: stop_signal ("SIGQUIT", "QUIT", "RTMIN+3", "3"), SIGTERM where it names none that we know. */
int workload_stop_signal(const struct workload *w);
/* What shells and container engines report for a program that could not be started: 127, 126, or 125 for our own
 * faults. */
int workload_failure_code(const struct vl_error *err);
/* 0 to 255, or 128 + signal, of a wait status; *ret_signal is 0 without one. */
int workload_exit_code(int status, int *ret_signal);
