/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <sys/types.h>

#include "base/error.h"

/*
 * What a process that reads what strangers send needs no more is given up: root (for `uid`, where that is not 0),
 * privileges to come, writing any file, reading any but those of the system, many descriptors. It ends with its parent.
 * Kernels without Landlock leave the files to the user's rights.
 */
int confine(uid_t uid, struct vl_error *err);
