/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems and device links that a Linux program expects. For PID 1 of a machine: it mounts on the real root.
 */
#pragma once
#include "base/error.h"

/*
 * /proc, /sys and /dev, which come along into another root; then, in the root that the workload gets, the others. What
 * is mounted already stays. -errno with err names the first that failed; the others are mounted nevertheless.
 */
int mounts_kernel(struct vl_error *err);
int mounts_setup(struct vl_error *err);
/* /dev/fd and the like below dev_fd, where they are missing. */
void mounts_device_links(int dev_fd);
/* A folder of the image that has something in it: a file system mounted there would hide it. */
bool mounts_has_content(const char *path);
