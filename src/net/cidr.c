/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

#define V4_BITS 96 /* before an IPv4 address in its IPv6 form */

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void from_v4(const void *v4, struct net_addr *ret)
{
    memcpy(ret->bytes, v4_prefix, sizeof(v4_prefix));
    memcpy(ret->bytes + sizeof(v4_prefix), v4, 4);
}

static bool is_v4(const struct net_addr *a)
{
    return memcmp(a->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

int net_addr_parse(const char *text, size_t n, struct net_addr *ret)
{
    bool brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
    char copy[INET6_ADDRSTRLEN];
    uint32_t v4;

    if (brackets) {
        text++;
        n -= 2;
    }
    if (strf(copy, sizeof(copy), "%.*s", (int)(n < sizeof(copy) ? n : sizeof(copy)), text) < 0) return -EINVAL;
    if (!brackets && parse_ipv4(copy, &v4) == 0) {
        v4 = htonl(v4);
        from_v4(&v4, ret);
        return 0;
    }
    return inet_pton(AF_INET6, copy, ret->bytes) == 1 ? 0 : -EINVAL;
}

int net_addr_of(const struct sockaddr *sa, struct net_addr *ret)
{
    if (sa->sa_family == AF_INET)
        from_v4(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, ret);
    else if (sa->sa_family == AF_INET6)
        memcpy(ret->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, sizeof(ret->bytes));
    else
        return -EAFNOSUPPORT;
    return 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
    if (is_v4(a)) return a->bytes[sizeof(v4_prefix)] == 127;
    return memcmp(a->bytes, &in6addr_loopback, sizeof(a->bytes)) == 0;
}

void net_addr_text(const struct net_addr *a, char ret[static NET_ADDR_TEXT])
{
    bool v4 = is_v4(a);

    _Static_assert(NET_ADDR_TEXT >= INET6_ADDRSTRLEN, "inet_ntop");
    (void)inet_ntop(v4 ? AF_INET : AF_INET6, a->bytes + (v4 ? sizeof(v4_prefix) : 0), ret, NET_ADDR_TEXT);
}

/* --- networks ----------------------------------------------------------------------------------------------------- */

static bool within(const struct net_addr *a, const struct cidr *c)
{
    unsigned whole = c->prefix / 8, rest = c->prefix % 8;

    if (memcmp(a->bytes, c->network.bytes, whole) != 0) return false;
    return rest == 0 || (a->bytes[whole] ^ c->network.bytes[whole]) >> (8 - rest) == 0;
}

static bool has_host_bits(const struct cidr *c)
{
    unsigned whole = c->prefix / 8, rest = c->prefix % 8;

    if (rest > 0 && (c->network.bytes[whole] & (0xff >> rest))) return true;
    for (size_t i = whole + (rest > 0); i < sizeof(c->network.bytes); i++)
        if (c->network.bytes[i]) return true;
    return false;
}

static int parse_one(const char *text, size_t n, struct cidr *ret)
{
    const char *slash = memchr(text, '/', n);
    size_t len = slash ? (size_t)(slash - text) : n;
    char digits[4];
    uint64_t prefix;

    if (net_addr_parse(text, len, &ret->network) < 0) return -EINVAL;
    ret->prefix = 128;
    if (!slash) return 0;
    if (n - len - 1 >= sizeof(digits)) return -EINVAL;
    (void)strf(digits, sizeof(digits), "%.*s", (int)(n - len - 1), slash + 1);
    if (parse_u64(digits, 0, is_v4(&ret->network) ? 32 : 128, &prefix) < 0) return -EINVAL;
    ret->prefix = (unsigned)prefix + (is_v4(&ret->network) ? V4_BITS : 0);
    return has_host_bits(ret) ? -EINVAL : 0;
}

static int add(struct cidrs *list, const struct cidr *c)
{
    struct cidr *more = reallocarray(list->items, list->len + 1, sizeof(*more));

    if (!more) return -ENOMEM;
    list->items = more;
    list->items[list->len++] = *c;
    return 0;
}

int cidrs_parse(const char *text, const char *what, struct cidrs *ret, struct vl_error *err)
{
    auto_(cidrs_done) struct cidrs list = {0};

    while (*text) {
        size_t skip = strspn(text, ", "), n = strcspn(text += skip, ", ");
        struct cidr c;

        if (n == 0) continue;
        if (parse_one(text, n, &c) < 0)
            return vl_fail(err, VL_INVALID,
                           "%s has '%.*s', which is no network: write it like 192.0.2.0/24 or fd00::/8, with zeros "
                           "behind the prefix, or as one address",
                           what, (int)(n < 60 ? n : 60), text);
        if (add(&list, &c) < 0) return vl_fail_errno(err, ENOMEM, "%s", what);
        text += n;
    }
    if (list.len == 0) return vl_fail(err, VL_INVALID, "%s names no network: remove it, or write one", what);
    *ret = list;
    list = (struct cidrs){0};
    return 0;
}

void cidrs_done(struct cidrs *c)
{
    free(c->items);
    *c = (struct cidrs){0};
}

bool cidrs_have(const struct cidrs *c, const struct net_addr *a)
{
    for (size_t i = 0; i < c->len; i++)
        if (within(a, &c->items[i])) return true;
    return false;
}
