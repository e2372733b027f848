/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs' private network: the gateway is its first address, the nine after it are left for the host's own use. */
#include "net/net.h"

#define PREFIX_MIN  16
#define PREFIX_MAX  28
#define FIRST_LEASE 10

/* 10/8, 172.16/12, 192.168/16; prefixes are longer. */
static bool is_private(uint32_t network)
{
    return network >> 24 == 10 || network >> 20 == 0xac1 || network >> 16 == 0xc0a8;
}

int subnet_parse(const char *cidr, const char *what, struct subnet *ret, struct vl_error *err)
{
    struct subnet s = {0};
    int r;

    if (parse_cidr(cidr, &s.network, &s.prefix) < 0)
        return vl_fail(err, VL_INVALID, "%s is '%s', not a network: write it like 192.168.127.0/24", what, cidr);
    if (s.prefix < PREFIX_MIN || s.prefix > PREFIX_MAX)
        return vl_fail(err, VL_INVALID, "%s is '%s': its prefix must be /%d to /%d", what, cidr, PREFIX_MIN,
                       PREFIX_MAX);
    if (!is_private(s.network))
        return vl_fail(err, VL_INVALID,
                       "%s is '%s', not a private network: choose one in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
                       what, cidr);
    s.gateway = s.network + 1;
    s.first = s.network + FIRST_LEASE;
    s.last = s.network + (UINT32_MAX >> s.prefix) - 1;
    format_ipv4(s.gateway, s.gateway_text);
    if ((r = strf(s.cidr, sizeof(s.cidr), "%s", cidr)) < 0) return vl_fail_errno(err, r, "%s '%.32s'", what, cidr);
    *ret = s;
    return 0;
}
