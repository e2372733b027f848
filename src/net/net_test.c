/* SPDX-License-Identifier: Apache-2.0 */
#include "net/net.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "base/unit.h"

static void subnet_good(void **state)
{
    struct subnet s;

    (void)state;
    assert_int_equal(subnet_parse("192.168.127.0/24", "VOLANT_SUBNET", &s, NULL), 0);
    assert_string_equal(s.gateway_text, "192.168.127.1");
    assert_int_equal(s.first, 0xc0a87f0a);
    assert_int_equal(s.last, 0xc0a87ffe);
    assert_int_equal(s.prefix, 24);
    assert_int_equal(subnet_parse("10.9.0.0/16", "x", &s, NULL), 0);
    assert_int_equal(s.last, 0x0a09fffe);
}

static void subnet_bad(void **state)
{
    static const char *const bad[] = {"",
                                      "192.168.127.0",
                                      "192.168.127.1/24",
                                      "192.168.127.0/8",
                                      "8.8.8.0/24",
                                      "192.168.127.0/29",
                                      "192.168.300.0/24",
                                      "x/24",
                                      "192.168.127.0/24 "};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct subnet s = {.prefix = 99};
        struct vl_error err = {0};

        assert_true(subnet_parse(bad[i], "VOLANT_SUBNET", &s, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, "VOLANT_SUBNET"));
        assert_int_equal(s.prefix, 99);
    }
}

static void macs_of_the_contract(void **state)
{
    static const struct {
        const char *name, *ip, *mac;
    } table[] = {
        {"web", "192.168.127.10", "02:f9:e8:54:fb:c4"},
        {"web-cluster-1", "192.168.127.100", "02:cf:3e:6b:26:71"},
        {"vm-test-1", "192.168.127.10", "02:29:9d:37:b8:3c"},
        {"secure", "", "02:bb:8a:c0:72:7b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char mac[18];

        assert_int_equal(vm_mac(table[i].name, table[i].ip, mac), 0);
        assert_string_equal(mac, table[i].mac);
    }
}

static void host_names(void **state)
{
    static const struct {
        const char *name, *host;
    } table[] = {{"Web_1", "web1"}, {"___", "vm"}, {"", "vm"}, {"web-cluster-1", "web-cluster-1"}, {"a.b", "ab"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char host[64];

        vm_hostname(table[i].name, host);
        assert_string_equal(host, table[i].host);
    }
}

static bool taken_once(void *arg, unsigned port)
{
    unsigned *first = arg;

    if (*first) return port == *first;
    *first = port;
    return true;
}

static void ports(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vl_error err = {0};
    unsigned picked = 0, first = 0;

    (void)state;
    assert_int_equal(host_port_pick("tcp", "127.0.0.1", taken_once, &first, &picked, NULL), 0);
    assert_true(first && picked && first != picked);
    assert_int_equal(host_port_check("tcp", "127.0.0.1", picked, NULL), 0);
    a.sin_port = htons((uint16_t)picked);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_true(host_port_check("tcp", "127.0.0.1", picked, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_non_null(strstr(err.msg, "in use"));
    assert_int_equal(host_port_check("udp", "127.0.0.1", picked, NULL), 0);
    assert_true(host_port_check("tcp", "203.0.113.7", 4000, &err) < 0);
    assert_non_null(strstr(err.msg, "no address of this host"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(subnet_good), cmocka_unit_test(subnet_bad), cmocka_unit_test(macs_of_the_contract),
        cmocka_unit_test(host_names),  cmocka_unit_test(ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
