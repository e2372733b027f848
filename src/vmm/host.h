/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the host's probe that tests call with made-up hosts. */
#pragma once
#include "vmm/vmm.h"

/* Rule 8 of the design over files below `root` ("" for the real ones): fills kvm and accel_reason. Opens no device. */
void host_probe_kvm(const char *root, struct vmm_host *h);
/* <kernel>.json: version and boot patches; a file that is missing or says nothing leaves them unknown. */
void host_read_kernel_facts(const char *kernel, struct vmm_host *h);
/* "7.2.22" of "QEMU emulator version 7.2.22 (Debian ...)"; -EINVAL. */
int host_parse_qemu_version(const char *text, char ret[static 64]);
