/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of the machine, by the serial the host gave them. */
#pragma once
#include "base/error.h"

#define DISK_PATH_SIZE 64

/*
 * The device of the virtio-blk disk with that serial, "/dev/vda", waiting for it until the deadline (mono_ms):
 * VL_NOT_FOUND then. sys_block is "/sys/block" but in tests.
 */
int disk_find(const char *sys_block, const char *serial, int64_t deadline_ms, char ret[static DISK_PATH_SIZE],
              struct vl_error *err);
/* Lets the mounted ext4 at `folder` have all of its device, which may have grown. 1 if it took more, 0 if it had all.
 */
int disk_grow(const char *device, const char *folder);
