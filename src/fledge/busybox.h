/* SPDX-License-Identifier: Apache-2.0 */
/* [initramfs] busybox = true: this host's static busybox as /bin/busybox, and a link to it for each of its applets. */
#pragma once
#include "fledge/config_file.h"
#include "fledge/tree.h"
#include "oci/job.h"

/*
 * FLEDGE_BUSYBOX_PATH names another than the one in PATH. What has the place of an applet stays. VL_INVALID where there
 * is none, or one that needs libraries, or another than busybox_sha256 says.
 */
int busybox_add(const struct config *c, struct tree *t, const struct oci_job *job, struct vl_error *err);
