/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of clients, IPv4 and IPv6 as one kind, and lists of networks that they are in or not. Any thread. */
#pragma once
#include <sys/socket.h>

#include "base/error.h"

/* IPv4 is kept as IPv6 (::ffff:a.b.c.d), so that a mapped address is the one it stands for. */
struct net_addr {
    uint8_t bytes[16];
};
/* "192.0.2.1", "2001:db8::1", with or without [ ] around the latter. -EINVAL. */
int net_addr_parse(const char *text, size_t n, struct net_addr *ret);
/* Of an AF_INET or AF_INET6 socket; -EAFNOSUPPORT. */
int net_addr_of(const struct sockaddr *sa, struct net_addr *ret);
bool net_addr_is_loopback(const struct net_addr *a);
/* As net_addr_parse takes it, without brackets. */
#define NET_ADDR_TEXT 46
void net_addr_text(const struct net_addr *a, char ret[static NET_ADDR_TEXT]);

struct cidr {
    struct net_addr network;
    unsigned prefix; /* of 128 bits */
};
/* All zero is empty. */
struct cidrs {
    struct cidr *items;
    size_t len;
};
/*
 * "10.0.0.0/8,fd00::/8,192.0.2.7": networks and addresses with commas between them. VL_INVALID begins with `what` and
 * names the part that is none, or has host bits set; nothing is skipped.
 */
int cidrs_parse(const char *text, const char *what, struct cidrs *ret, struct vl_error *err);
void cidrs_done(struct cidrs *c);
/* Whether one of them has the address; an empty list has none. */
bool cidrs_have(const struct cidrs *c, const struct net_addr *a);
