/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and lists of networks: what is accepted has the addresses that begin and end each of them. */
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "net/cidr.h"

static void check_ends(const struct cidrs *all, const struct cidr *c)
{
    struct net_addr last = c->network;

    must(c->prefix <= 128);
    for (unsigned bit = c->prefix; bit < 128; bit++) {
        must(!(c->network.bytes[bit / 8] >> (7 - bit % 8) & 1)); /* no host bits */
        last.bytes[bit / 8] |= (uint8_t)(1u << (7 - bit % 8));
    }
    must(cidrs_have(all, &c->network) && cidrs_have(all, &last));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = strndup((const char *)(data ? data : (const uint8_t *)""), size);
    struct cidrs c = {0}, one = {0};
    struct vl_error err = {0};
    struct net_addr a;

    must(text);
    if (cidrs_parse(text, "input", &c, &err) < 0)
        must(err.kind == VL_INVALID && str_starts(err.msg, "input") && !c.items);
    for (size_t i = 0; i < c.len; i++)
        check_ends(&c, &c.items[i]);
    if (net_addr_parse(text, strlen(text), &a) == 0 && *text != '[') {
        must(cidrs_parse(text, "input", &one, &err) == 0 && one.len == 1 && cidrs_have(&one, &a));
        (void)net_addr_is_loopback(&a);
    }
    cidrs_done(&one);
    cidrs_done(&c);
    return 0;
}
