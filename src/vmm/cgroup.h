/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the cgroup code, for its tests. */
#pragma once
#include "base/error.h"

/*
 * The folder of the cgroup v2 that "0::PATH" in a text like /proc/self/cgroup names, by a text like
 * /proc/self/mountinfo. -ENOENT where there is no cgroup v2, or it is not mounted.
 */
int cgroup_folder(const char *own, const char *mounts, char *buf, size_t size);
