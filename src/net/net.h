/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and names a VM gets (contract section 7), and whether a port of the host is free. Any thread. */
#pragma once
#include "base/error.h"
#include "base/str.h"

struct subnet {
    uint32_t network, gateway, first, last; /* host byte order; first..last are leased, in ascending order */
    unsigned prefix;
    char cidr[20], gateway_text[16];
};
/*
 * "192.168.127.0/24": gateway .1, leases from .10 to the last before broadcast. Prefix 16 to 28; private ranges only.
 * VL_INVALID names the setting (`what`).
 */
int subnet_parse(const char *cidr, const char *what, struct subnet *ret, struct vl_error *err);

/* "02:" and the first five bytes of SHA-1 over "<name>|<ip>" (ip "" for none). -ENAMETOOLONG, -ENOMEM. */
int vm_mac(const char *name, const char *ip, char ret[static 18]);
/* Lower-case, only a-z 0-9 -, at most 63; "vm" if nothing is left. */
void vm_hostname(const char *name, char ret[static 64]);

/*
 * 0 if a VM could bind it now; otherwise, with the remedy, VL_CONFLICT (in use, or privileged: root's VMs may
 * bind those, see --bind-low-ports of the shim) or VL_INVALID (no address of this host). protocol "tcp" or "udp".
 */
int host_port_check(const char *protocol, const char *host_ip, unsigned port, struct vl_error *err);
/*
 * A port that can be bound now, from the host's ephemeral range; skips those for which taken() is true (NULL: none is).
 * VL_CONFLICT after 256 that were.
 */
int host_port_pick(const char *protocol, const char *host_ip, bool (*taken)(void *arg, unsigned port), void *arg,
                   unsigned *ret, struct vl_error *err);
