/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between VMMs. A driver turns a boot into a command line; launching, confinement and finding again are
 * the same for all (vmm.h). No driver opens a path that a client named.
 */
#pragma once
#include "base/str.h"
#include "vmm/vmm.h"

/* Descriptors under the numbers by which the VMM's command line knows them. */
enum vmm_fd {
    VMM_FD_CTL = 10,
    VMM_FD_SYNC,
    VMM_FD_QMP,
    VMM_FD_CONSOLE,
    VMM_FD_KERNEL,
    VMM_FD_INITRD,
    VMM_FD_ROOT,
    VMM_FD_DATA
};
/* It has an initrd: its archive, its configuration, or both. */
bool vmm_has_initrd(const struct vmm_boot *b);

struct vmm_command {
    struct strv argv;
    char *cmdline; /* kernel command line, for the record */
};
void vmm_command_done(struct vmm_command *c);

struct vmm_driver {
    const char *name;     /* "qemu" */
    const char *shutdown; /* guest_config.shutdown this machine needs */
    int (*command)(const struct vmm_boot *b, struct vmm_command *ret, struct vl_error *err);
    /* Asks the VMM to end at once over its control socket; the guest is not told. */
    int (*quit)(const char *dir, int64_t deadline_ms, struct vl_error *err);
    /* Stops and continues its vCPUs; doing it twice is fine. */
    int (*pause)(const char *dir, bool paused, int64_t deadline_ms, struct vl_error *err);
    int (*state)(const char *dir, int64_t deadline_ms, enum vmm_state *ret, struct vl_error *err);
};
extern const struct vmm_driver qemu_driver;
