/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bootloader of bzImage-volant: from its initramfs into the root folder of a disk image. The image is on a disk
 * that many VMs share and nobody writes to; what this VM changes is in an overlay over it, in memory or on a disk of
 * its own. For PID 1 of a machine.
 */
#pragma once
#include "base/error.h"
#include "model/guest.h"

/*
 * Finds the disks, mounts them and makes the result the root folder of this process; /dev, /proc and /sys, mounted
 * before, come along, and what the initramfs held is removed. After an error nothing is to be run: it says what is
 * wrong with which disk, and what helps.
 */
int root_enter(const struct guest_root *root, struct vl_error *err);
/* Folders below root_fd that the image's configuration names and its file system lacks: the workload's, and its
 * volumes. */
void root_make_folders(int root_fd, const struct workload *w);
/* Becomes the image's own init; its environment is the workload's. Returns the failure only. */
int root_exec_init(const struct guest_root *root, const struct strmap *env, struct vl_error *err);
