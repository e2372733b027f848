/* SPDX-License-Identifier: Apache-2.0 */
/* All of a boot that is made before its shim starts: files and sockets in the VM's folder, opened for their heirs. */
#pragma once
#include <sys/types.h>

#include "vmm/vmm.h"

struct prepared {
    int dir;
    int ctl, sync, qmp, console; /* listening */
    int kernel, initrd;          /* read-only, for the VMM; initrd -1: none */
    int root, data;              /* disks; -1: none */
    int cgroup;                  /* its cgroup.procs, for the shim to move into; -1: none */
};
#define PREPARED_INIT ((struct prepared){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1})
void prepared_done(struct prepared *p);

/* disk.c: opens the shared image, makes or grows the VM's own disk in p->dir. */
int disks_open(const struct vmm_boot *b, uid_t owner, int64_t deadline_ms, struct prepared *p, struct vl_error *err);

/*
 * Replaces what an earlier boot left. Files the VMM is to open belong to `owner` unless that is 0. VL_CONFLICT if an
 * earlier boot of this VM still runs.
 */
int prepare_boot(const struct vmm_boot *b, const char *cmdline, uid_t owner, int64_t deadline_ms, struct prepared *ret,
                 struct vl_error *err);
