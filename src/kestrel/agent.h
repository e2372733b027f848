/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's life once the machine is set up: starts the workload, forwards its output, finds out when it is ready,
 * serves the host, and is over when the workload is. It touches nothing of the machine, so tests run it as any process;
 * it must be single-threaded, and it reaps every child of its process.
 */
#pragma once
#include "base/error.h"
#include "kestrel/ports.h"
#include "model/guest.h"

struct agent_opts {
    int console_fd;      /* borrowed; where the workload's output goes */
    bool machine;        /* PID 1 of a machine: look for the control channel's ports, set its clock when asked */
    int ctl_fd, sync_fd; /* without `machine`: the channel's descriptors (taken), or -1 */
};

/* The signals that agent_run takes from a signalfd: blocked by main before anything is started. */
int agent_block_signals(void);
/*
 * Runs until the workload has ended, its output has been passed on and a listening host has been told, each for a
 * bounded time. *ret_code is its exit code or 128 + signal. Where it could not be started: err, and
 * workload_failure_code(err).
 */
int agent_run(const struct guest_config *config, const struct agent_opts *opts, int *ret_code, struct vl_error *err);
