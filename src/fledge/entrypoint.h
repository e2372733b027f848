/* SPDX-License-Identifier: Apache-2.0 */
/* Whether kestrel will be able to start the workload: what it would find in the guest is looked for in the tree. */
#pragma once
#include "fledge/config_file.h"
#include "fledge/tree.h"

/* The program is there, may be executed, is for this architecture and has its interpreter; the working folder is there.
 */
int entrypoint_check(const struct config *c, const struct tree *t, struct vl_error *err);
