/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/unit.h"

static enum reach reach_of(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) return address_reach((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return address_reach((const struct sockaddr *)&v6);
}

static void addresses_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum reach reach;
    } table[] = {
        {"8.8.8.8", REACH_PUBLIC},
        {"172.15.255.255", REACH_PUBLIC},
        {"172.32.0.0", REACH_PUBLIC},
        {"100.128.0.1", REACH_PUBLIC},
        {"2001:db8::1", REACH_PUBLIC},
        {"10.0.0.1", REACH_PRIVATE},
        {"172.16.0.1", REACH_PRIVATE},
        {"172.31.255.255", REACH_PRIVATE},
        {"192.168.127.10", REACH_PRIVATE},
        {"100.64.0.1", REACH_PRIVATE},
        {"fd00::1", REACH_PRIVATE},
        {"::ffff:10.1.2.3", REACH_PRIVATE},
        {"127.0.0.1", REACH_LOOPBACK},
        {"127.255.0.1", REACH_LOOPBACK},
        {"0.0.0.0", REACH_LOOPBACK},
        {"::1", REACH_LOOPBACK},
        {"::", REACH_LOOPBACK},
        {"::ffff:127.0.0.1", REACH_LOOPBACK},
        {"169.254.169.254", REACH_LINK},
        {"::ffff:169.254.169.254", REACH_LINK},
        {"fe80::1", REACH_LINK},
        {"224.0.0.1", REACH_LINK},
        {"255.255.255.255", REACH_LINK},
        {"ff02::1", REACH_LINK},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (reach_of(table[i].text) != table[i].reach)
            fail_msg("%s is %d, not %d", table[i].text, (int)reach_of(table[i].text), (int)table[i].reach);
    assert_int_equal(address_reach(&(const struct sockaddr){.sa_family = AF_UNIX}), REACH_LINK);
}

static void redirects_lead_outwards(void **state)
{
    (void)state;
    for (enum reach r = REACH_PUBLIC; r < REACH_LINK; r++) {
        assert_true(reach_allowed(r, r));
        assert_true(reach_allowed(r, REACH_PUBLIC));
        assert_false(reach_allowed(r, REACH_LINK));
    }
    assert_false(reach_allowed(REACH_LINK, REACH_LINK));
    assert_false(reach_allowed(REACH_PUBLIC, REACH_PRIVATE));
    assert_false(reach_allowed(REACH_PUBLIC, REACH_LOOPBACK));
    assert_false(reach_allowed(REACH_PRIVATE, REACH_LOOPBACK));
    assert_true(reach_allowed(REACH_LOOPBACK, REACH_PRIVATE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_told_apart),
        cmocka_unit_test(redirects_lead_outwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
