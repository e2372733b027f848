/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/address.h"

#include <netinet/in.h>

#include "base/str.h"

static enum reach reach_of_v4(uint32_t a)
{
    static const struct {
        uint32_t net;
        unsigned bits;
        enum reach reach;
    } table[] = {
        {0x00000000, 8, REACH_LOOPBACK}, /* 0.0.0.0/8 */
        {0x7f000000, 8, REACH_LOOPBACK}, /* 127.0.0.0/8 */
        {0xa9fe0000, 16, REACH_LINK},    /* 169.254.0.0/16 */
        {0xe0000000, 3, REACH_LINK},     /* 224.0.0.0/3: multicast, reserved, broadcast */
        {0x0a000000, 8, REACH_PRIVATE},  /* 10.0.0.0/8 */
        {0xac100000, 12, REACH_PRIVATE}, /* 172.16.0.0/12 */
        {0xc0a80000, 16, REACH_PRIVATE}, /* 192.168.0.0/16 */
        {0x64400000, 10, REACH_PRIVATE}, /* 100.64.0.0/10 */
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if ((a ^ table[i].net) >> (32 - table[i].bits) == 0) return table[i].reach;
    return REACH_PUBLIC;
}

static enum reach reach_of_v6(const struct in6_addr *a)
{
    const uint8_t *b = a->s6_addr;

    if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a)) return REACH_LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a))
        return reach_of_v4((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15]);
    if (IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_SITELOCAL(a) || IN6_IS_ADDR_MULTICAST(a)) return REACH_LINK;
    return (b[0] & 0xfe) == 0xfc ? REACH_PRIVATE : REACH_PUBLIC;
}

enum reach address_reach(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return reach_of_v4(ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr));
    if (a->sa_family == AF_INET6) return reach_of_v6(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
    return REACH_LINK;
}

bool reach_allowed(enum reach from, enum reach to)
{
    return to != REACH_LINK && to <= from;
}
