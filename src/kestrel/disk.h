/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of the machine, by the serial the host gave them; the names of their devices depend on the order of finding. */
#pragma once
#include "base/error.h"

#define DISK_PATH_SIZE 64

/*
 * The device of the disk with that serial, "/dev/vda", waiting for it until the deadline (mono_ms): VL_NOT_FOUND then.
 * sys_block is "/sys/block" but in tests.
 */
int disk_find(const char *sys_block, const char *serial, int64_t deadline_ms, char ret[static DISK_PATH_SIZE],
              struct vl_error *err);
/* What the disk's first bytes say it holds: "squashfs", "ext4", or NULL. */
const char *disk_fstype(const char *device);
/*
 * Gives the ext4 that is mounted at `folder` all of its device, which the host may have made larger. 0 also where there
 * was nothing to gain.
 */
int disk_grow(const char *device, const char *folder);
