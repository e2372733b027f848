/* SPDX-License-Identifier: Apache-2.0 */
#include "net/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/unit.h"

static struct net_addr addr(const char *text)
{
    struct net_addr a = {0};

    assert_int_equal(net_addr_parse(text, strlen(text), &a), 0);
    return a;
}

static bool has(const char *list, const char *text)
{
    auto_(cidrs_done) struct cidrs c = {0};
    struct net_addr a = addr(text);
    struct vl_error err = {0};

    assert_int_equal(cidrs_parse(list, "LIST", &c, &err), 0);
    return cidrs_have(&c, &a);
}

static void addresses_are_in_networks_or_not(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.0.1"));
    assert_false(has("10.0.0.0/8", "11.0.0.1"));
    assert_true(has("192.0.2.128/25", "192.0.2.129"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7", "192.0.2.8"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "203.0.113.9")); /* as all there is */
    assert_true(has("fd00::/8", "fdff::1"));
    assert_false(has("fd00::/8", "fe00::1"));
    assert_true(has("10.0.0.0/8, 192.168.0.0/16,fd00::/8", "192.168.1.1"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3")); /* the same address in other clothes */
    assert_true(has("[2001:db8::1]", "2001:db8::1"));
}

static void what_is_no_network_is_refused_whole(void **state)
{
    static const char *const bad[] = {
        "",
        " , ",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "fd00::1/8",
        "fd00::/129",
        "10.0.0/8",
        "10.0.0.0/",
        "10.0.0.0/8/8",
        "10.0.0.0/x",
        "localhost",
        "[10.0.0.1]",
        "10.0.0.0/8,elsewhere",
        "10.0.0.0/00000008",
        "10.0.0.0/-1",
        "::1%lo",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cidrs c = {0};
        struct vl_error err = {0};

        assert_true(cidrs_parse(bad[i], "VOLANT_API_ALLOW_CIDR", &c, &err) < 0);
        assert_null(c.items);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, "VOLANT_API_ALLOW_CIDR"));
    }
}

static void loopback_is_known_in_every_form(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } table[] = {{"127.0.0.1", true},  {"127.9.9.9", true}, {"::1", true}, {"::ffff:127.0.0.1", true},
                 {"128.0.0.1", false}, {"0.0.0.0", false},  {"::", false}, {"::2", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct net_addr a = addr(table[i].text);

        assert_int_equal(net_addr_is_loopback(&a), table[i].loopback);
    }
}

static void addresses_of_sockets_are_the_same(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct net_addr a, wanted = addr("192.0.2.7");

    (void)state;
    assert_int_equal(net_addr_of((const void *)&in, &a), 0);
    assert_memory_equal(&a, &wanted, sizeof(a));
    assert_int_equal(net_addr_of((const void *)&in6, &a), 0);
    assert_true(net_addr_is_loopback(&a));
    assert_int_equal(net_addr_of(&other, &a), -EAFNOSUPPORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_in_networks_or_not),
        cmocka_unit_test(what_is_no_network_is_refused_whole),
        cmocka_unit_test(loopback_is_known_in_every_form),
        cmocka_unit_test(addresses_of_sockets_are_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
