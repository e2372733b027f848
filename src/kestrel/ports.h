/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two virtio-serial ports of the control channel. They appear some 5 to 50 ms after PID 1 starts, their names later
 * than their devices: the kernel's events say when to look, nothing polls.
 */
#pragma once
#include "base/loop.h"

struct ports {
    struct watch watch; /* of the kernel's events; none once both are found */
    int events_fd;
    void (*found)(void *arg, int ctl_fd, int sync_fd); /* takes both; once */
    void *arg;
};

/* `found` may come from within this call. Where the machine has no such ports it never comes, at no cost. */
int ports_start(struct ports *p, struct loop *l, void (*found)(void *arg, int ctl_fd, int sync_fd), void *arg);
void ports_stop(struct ports *p);

/*
 * Opens below dev_fd the device whose `name` file below class_fd (/sys/class/virtio-ports) says `name`: a descriptor,
 * non-blocking, or -ENOENT if there is none (yet).
 */
int port_open(int class_fd, int dev_fd, const char *name);
