/* SPDX-License-Identifier: Apache-2.0 */
/* A client of QEMU's monitor protocol (docs/interop/qmp-spec.txt), as much of it as ending and pausing a VM takes. */
#pragma once
#include <jansson.h>

#include "base/error.h"

/*
 * Connects, negotiates, runs one command without arguments and waits for its result; all within the deadline. The VMM
 * is not trusted: its lines are bounded, its errors quoted with care. *ret, where it is not NULL, gets the result
 * (the caller's).
 */
int qmp_run(const char *path, const char *command, int64_t deadline_ms, json_t **ret, struct vl_error *err);
