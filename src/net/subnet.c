/* SPDX-License-Identifier: Apache-2.0 */
/* The subnet that VMs get their addresses from. */
#include "net/net.h"

#define FIRST_LEASE 10 /* below it: the gateway, and room for what a host's owner wants to put there */
#define PREFIX_MIN  16
#define PREFIX_MAX  28

static bool is_private(uint32_t net)
{
    return (net >> 24) == 10 || (net >> 20) == 0xac1 || (net >> 16) == 0xc0a8;
}

int subnet_parse(const char *cidr, const char *what, struct subnet *ret, struct vl_error *err)
{
    struct subnet s = {0};

    if (parse_cidr(cidr, &s.network, &s.prefix) < 0)
        return vl_fail(err, VL_INVALID, "%s is '%.40s', no network: write it like 192.168.127.0/24", what, cidr);
    if (s.prefix < PREFIX_MIN || s.prefix > PREFIX_MAX)
        return vl_fail(err, VL_INVALID, "%s is '%s': its prefix must be %d to %d", what, cidr, PREFIX_MIN, PREFIX_MAX);
    if (!is_private(s.network))
        return vl_fail(err, VL_INVALID, "%s is '%s', no private network: use one of 10/8, 172.16/12 or 192.168/16",
                       what, cidr);
    s.gateway = s.network + 1;
    s.first = s.network + FIRST_LEASE;
    s.last = s.network + (UINT32_MAX >> s.prefix) - 1;
    format_ipv4(s.gateway, s.gateway_text);
    if (strf(s.cidr, sizeof(s.cidr), "%s", cidr) < 0) return vl_fail(err, VL_INVALID, "%s is too long", what);
    *ret = s;
    return 0;
}
