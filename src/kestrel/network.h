/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's network as its configuration says it: no DHCP, nothing is asked for. For PID 1: it changes the real
 * one. */
#pragma once
#include "base/error.h"
#include "model/guest.h"

struct address {
    uint32_t addr, mask; /* host byte order */
};
/* "192.168.127.10/24"; -EINVAL otherwise. */
int address_parse(const char *s, struct address *ret);
/* "52:54:00:12:34:56" in either case; -EINVAL otherwise. */
int mac_parse(const char *s, uint8_t ret[static 6]);

/*
 * Host name, loopback, and, where the configuration has an address, the interface with its MAC (waited for at most 1
 * s): address, up, default route. VL_INVALID names the field, VL_UNAVAILABLE the interface that is not there.
 */
int network_setup(const struct guest_config *config, struct vl_error *err);
