/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/unit.h"
#include "net/net.h"

static void good_subnets(void **state)
{
    static const struct {
        const char *cidr, *gateway, *first, *last;
        unsigned prefix;
    } cases[] = {
        {"192.168.127.0/24", "192.168.127.1", "192.168.127.10", "192.168.127.254", 24},
        {"10.0.0.0/16", "10.0.0.1", "10.0.0.10", "10.0.255.254", 16},
        {"10.255.255.240/28", "10.255.255.241", "10.255.255.250", "10.255.255.254", 28},
        {"172.16.0.0/20", "172.16.0.1", "172.16.0.10", "172.16.15.254", 20},
        {"172.31.255.0/24", "172.31.255.1", "172.31.255.10", "172.31.255.254", 24},
        {"192.168.0.0/16", "192.168.0.1", "192.168.0.10", "192.168.255.254", 16},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct vl_error err = {0};
        struct subnet s;
        char text[16];

        if (subnet_parse(cases[i].cidr, "VOLANT_SUBNET", &s, &err) < 0) fail_msg("%s", err.msg);
        assert_string_equal(s.cidr, cases[i].cidr);
        assert_string_equal(s.gateway_text, cases[i].gateway);
        format_ipv4(s.gateway, text);
        assert_string_equal(text, cases[i].gateway);
        format_ipv4(s.first, text);
        assert_string_equal(text, cases[i].first);
        format_ipv4(s.last, text);
        assert_string_equal(text, cases[i].last);
        assert_int_equal(s.prefix, cases[i].prefix);
        assert_int_equal(s.network + 1, s.gateway);
    }
}

static void bad_subnets(void **state)
{
    static const struct {
        const char *cidr, *part;
    } cases[] = {
        {"", "not a network"},
        {"192.168.127.0", "not a network"},
        {"192.168.127.1/24", "not a network"},
        {"192.168.127.0/33", "not a network"},
        {"192.168.127.0/24 ", "not a network"},
        {"fd00::/64", "not a network"},
        {"192.168.0.0/15", "/16 to /28"},
        {"10.0.0.0/8", "/16 to /28"},
        {"192.168.127.0/29", "/16 to /28"},
        {"8.8.8.0/24", "private"},
        {"172.32.0.0/16", "private"},
        {"172.15.255.0/24", "private"},
        {"192.169.0.0/16", "private"},
        {"127.0.0.0/16", "private"},
        {"169.254.0.0/16", "private"},
        {"100.64.0.0/16", "private"},
        {"0.0.0.0/16", "private"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct vl_error err = {0};
        struct subnet s = {.prefix = 99};

        assert_true(subnet_parse(cases[i].cidr, "VOLANT_SUBNET", &s, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        assert_int_equal(s.prefix, 99);
        if (!strstr(err.msg, cases[i].part) || !strstr(err.msg, "VOLANT_SUBNET"))
            fail_msg("'%s' or the setting is not in: %s", cases[i].part, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_subnets),
        cmocka_unit_test(bad_subnets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
