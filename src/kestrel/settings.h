/* SPDX-License-Identifier: Apache-2.0 */
/* /volant/config.json: what volantd wants of this machine, appended to its initramfs. */
#pragma once
#include "base/error.h"
#include "model/guest.h"

/*
 * Reads and checks the configuration below root_fd, then removes it with its folder: it holds the workload's
 * environment, which is nobody's but the workload's. VL_NOT_FOUND if there is none, VL_INVALID names the field and the
 * remedy.
 */
int settings_load(int root_fd, struct guest_config *ret, struct vl_error *err);
