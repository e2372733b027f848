/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/unit.h"
#include "net/net.h"

/* Contract, appendix A. */
static void macs_are_those_of_the_contract(void **state)
{
    static const struct {
        const char *name, *ip, *mac;
    } cases[] = {
        {"web", "192.168.127.10", "02:f9:e8:54:fb:c4"},
        {"web-cluster-1", "192.168.127.100", "02:cf:3e:6b:26:71"},
        {"vm-test-1", "192.168.127.10", "02:29:9d:37:b8:3c"},
        {"secure", "", "02:bb:8a:c0:72:7b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char mac[18];

        assert_int_equal(vm_mac(cases[i].name, cases[i].ip, mac), 0);
        assert_string_equal(mac, cases[i].mac);
    }
}

static void a_mac_of_too_much_is_refused(void **state)
{
    char name[1000], mac[18] = "untouched";

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(vm_mac(name, "", mac), -ENAMETOOLONG);
    assert_string_equal(mac, "untouched");
}

static void host_names_are_those_of_the_contract(void **state)
{
    static const struct {
        const char *name, *host;
    } cases[] = {
        {"Web_1", "web1"}, {"___", "vm"},           {"", "vm"}, {"web-cluster-1", "web-cluster-1"},
        {"a.b.C", "abc"},  {"\xc3\xa4\xff z", "z"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char host[64];

        vm_hostname(cases[i].name, host);
        assert_string_equal(host, cases[i].host);
    }
}

static void host_names_end_at_63(void **state)
{
    char name[300], host[64];

    (void)state;
    memset(name, 'A', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    vm_hostname(name, host);
    assert_int_equal(strlen(host), 63);
    assert_int_equal(strspn(host, "a"), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macs_are_those_of_the_contract),
        cmocka_unit_test(a_mac_of_too_much_is_refused),
        cmocka_unit_test(host_names_are_those_of_the_contract),
        cmocka_unit_test(host_names_end_at_63),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
