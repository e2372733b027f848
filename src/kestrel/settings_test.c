/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/settings.h"

#include "kestrel/network.h"
#include "kestrel/testdir.h"

#define HEAD     "\"api\":1,\"vm_id\":7,\"hostname\":\"web\","
#define WORKLOAD "\"workload\":{\"type\":\"exec\",\"entrypoint\":[\"/bin/true\"]}"
#define GOOD                                                                                                           \
    "{" HEAD "\"shutdown\":\"reboot\",\"ready_port\":80,\"network\":{\"address\":\"192.168.127.10/24\",\"gateway\":"   \
    "\"192.168.127.1\",\"mac\":\"52:54:00:12:34:56\"},\"later\":true," WORKLOAD "}"

static void test_a_good_one_is_read_and_removed(void **state)
{
    auto_guest_config c = {0};
    struct vl_error err = {0};
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, GUEST_CONFIG_PATH, GOOD);
    if (settings_load(t.fd, &c, &err) < 0) fail_msg("%s", err.msg);
    assert_string_equal(c.hostname, "web");
    assert_int_equal(c.ready_port, 80);
    assert_string_equal(c.network.mac, "52:54:00:12:34:56");
    assert_string_equal(c.workload.entrypoint.items[0], "/bin/true");
    assert_int_equal(faccessat(t.fd, "volant", F_OK, 0), -1);
    testdir_remove(&t);
}

static const struct {
    const char *text, *says;
} bad[] = {
    {"", "volant/config.json"},
    {"{", "volant/config.json"},
    {"[]", "volant/config.json"},
    {"{}", ""},
    {"{" HEAD "\"shutdown\":\"halt\"," WORKLOAD "}", "shutdown"},
    {"{" HEAD "\"shutdown\":\"reboot\"}", "workload"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"workload\":{\"type\":\"exec\"}}", "entrypoint"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"workload\":{\"entrypoint\":[]}}", "entrypoint"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"workload\":{\"entrypoint\":[\"\"]}}", "entrypoint"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"workload\":{\"entrypoint\":[\"/a\"],\"workdir\":\"rel\"}}", "workdir"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"workload\":{\"entrypoint\":[\"/a\"],\"env\":{\"A=B\":\"c\"}}}", "A=B"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"ready_port\":70000," WORKLOAD "}", "ready_port"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"root\":{\"fstype\":\"xfs\"}," WORKLOAD "}", "root.fstype is 'xfs'"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"root\":{\"init\":\"/sbin/init\"}," WORKLOAD "}", "root.fstype is missing"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"root\":{\"persistent\":true}," WORKLOAD "}", "root.fstype is missing"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"root\":{\"fstype\":\"ext4\",\"init\":\"init\"}," WORKLOAD "}",
     "begin it with '/'"},
    {"{" HEAD "\"shutdown\":\"reboot\",\"ready_port\":\"80\"," WORKLOAD "}", "ready_port"},
};

static void test_bad_ones_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct guest_config c = {.vm_id = 4711};
        struct vl_error err = {0};
        struct testdir t;

        testdir_make(&t);
        testdir_write(&t, GUEST_CONFIG_PATH, bad[i].text);
        if (settings_load(t.fd, &c, &err) == 0) fail_msg("accepted: %s", bad[i].text);
        if (err.kind != VL_INVALID || !strstr(err.msg, bad[i].says)) fail_msg("%s: '%s'", bad[i].text, err.msg);
        assert_int_equal(c.vm_id, 4711);
        assert_int_equal(faccessat(t.fd, GUEST_CONFIG_PATH, F_OK, 0), 0);
        testdir_remove(&t);
    }
}

/* Who runs the image's own init has no workload to name. */
static void test_an_init_of_the_image(void **state)
{
    auto_guest_config c = {0};
    struct vl_error err = {0};
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, GUEST_CONFIG_PATH,
                  "{" HEAD "\"shutdown\":\"reboot\",\"root\":{\"fstype\":\"ext4\",\"init\":\"/sbin/init\"}}");
    if (settings_load(t.fd, &c, &err) < 0) fail_msg("%s", err.msg);
    assert_string_equal(c.root.init, "/sbin/init");
    assert_int_equal(c.workload.entrypoint.len, 0);
    testdir_remove(&t);
}

static void test_none_says_who_makes_one(void **state)
{
    struct guest_config c;
    struct vl_error err = {0};
    struct testdir t;

    (void)state;
    testdir_make(&t);
    assert_true(settings_load(t.fd, &c, &err) < 0);
    assert_int_equal(err.kind, VL_NOT_FOUND);
    assert_non_null(strstr(err.msg, "volantd"));
    testdir_remove(&t);
}

static void test_addresses(void **state)
{
    static const char *const bad_addresses[] = {
        "", "1.2.3.4", "1.2.3.4/", "1.2.3.4/0", "1.2.3.4/33", "1.2.3/24", "1.2.3.4/2x", "123.123.123.1234/24", "/24"};
    static const char *const bad_macs[] = {"", "52:54:00:12:34", "52:54:00:12:34:5g", "52-54-00-12-34-56",
                                           "52:54:00:12:34:567"};
    struct address a = {0};
    uint8_t mac[6];

    (void)state;
    assert_int_equal(address_parse("192.168.127.10/24", &a), 0);
    assert_int_equal(a.addr, 0xc0a87f0a);
    assert_int_equal(a.mask, 0xffffff00);
    assert_int_equal(address_parse("10.0.0.1/32", &a), 0);
    assert_int_equal(a.mask, 0xffffffff);
    for (size_t i = 0; i < ARRAY_LEN(bad_addresses); i++)
        assert_int_equal(address_parse(bad_addresses[i], &a), -EINVAL);
    assert_int_equal(a.addr, 0x0a000001);
    assert_int_equal(mac_parse("52:54:00:aB:34:56", mac), 0);
    assert_memory_equal(mac, "\x52\x54\x00\xab\x34\x56", 6);
    for (size_t i = 0; i < ARRAY_LEN(bad_macs); i++)
        assert_int_equal(mac_parse(bad_macs[i], mac), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_one_is_read_and_removed),
        cmocka_unit_test(test_bad_ones_are_refused),
        cmocka_unit_test(test_an_init_of_the_image),
        cmocka_unit_test(test_none_says_who_makes_one),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
