/* SPDX-License-Identifier: Apache-2.0 */
/* What volantd tells the shim: numbers of inherited descriptors and who the VMM is to be. Nothing else reaches it. */
#pragma once
#include <sys/types.h>

#include "base/error.h"

#define INHERIT_MAX 16

struct options {
    const char *boot;      /* token of this boot */
    int dir_fd;            /* the VM's folder */
    int console_listen_fd; /* console.sock */
    int status_fd;         /* one line is written to it, then it is closed */
    int vmm_console_fd;    /* the VMM's number for its end of the console */
    int cgroup_fd;         /* cgroup.procs of the VM's cgroup, which the shim moves into; -1: it stays where it is */
    int inherit[INHERIT_MAX];
    size_t n_inherit; /* descriptors the VMM gets under the numbers they have here */
    uint64_t console_bytes;
    bool drop; /* run the VMM as uid and gid, with no other groups than `group` */
    uid_t uid;
    gid_t gid;
    bool has_group;
    gid_t group; /* that of /dev/kvm, say */
    bool bind_low_ports;
    char **argv; /* the VMM's, NULL-terminated; owned array of borrowed strings */
};

/* VL_INVALID names the option. */
int options_parse(int argc, char *const *argv, struct options *ret, struct vl_error *err);
void options_done(struct options *o);
