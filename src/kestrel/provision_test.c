/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/provision.h"

#include "base/str.h"
#include "kestrel/mounts.h"
#include "kestrel/testdir.h"

static void expect_file(const struct testdir *t, const char *path, const char *part)
{
    auto_free char *text = testdir_read(t, path);

    assert_non_null(strstr(text ? text : "", part));
}

static void test_an_empty_image_gets_everything(void **state)
{
    char address[] = "192.168.127.10/24", name[] = "web";
    const struct guest_config config = {.hostname = name, .network.address = address};
    struct testdir t;
    struct stat st;

    (void)state;
    testdir_make(&t);
    provision_files(t.fd, &config);
    expect_file(&t, "etc/hosts", "127.0.0.1 localhost\n");
    expect_file(&t, "etc/hosts", "\n192.168.127.10 web\n");
    expect_file(&t, "etc/passwd", "root:x:0:0:");
    expect_file(&t, "etc/group", "root:x:0:");
    expect_file(&t, "etc/resolv.conf", "#");
    assert_int_equal(fstatat(t.fd, "root", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    testdir_remove(&t);
}

static void test_a_machine_without_network(void **state)
{
    char name[] = "job";
    const struct guest_config config = {.hostname = name};
    struct testdir t;

    (void)state;
    testdir_make(&t);
    provision_files(t.fd, &config);
    expect_file(&t, "etc/hosts", "127.0.0.1 localhost job\n");
    testdir_remove(&t);
}

static void test_what_the_image_has_stays(void **state)
{
    const struct guest_config config = {0};
    struct testdir t;
    auto_free char *hosts = NULL;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "etc/hosts", "mine");
    testdir_write(&t, "etc/elsewhere", "theirs");
    assert_int_equal(symlinkat("elsewhere", t.fd, "etc/passwd"), 0);
    assert_int_equal(symlinkat("../run/systemd/resolve/stub-resolv.conf", t.fd, "etc/resolv.conf"), 0);
    provision_files(t.fd, &config);
    hosts = testdir_read(&t, "etc/hosts");
    assert_string_equal(hosts, "mine");
    expect_file(&t, "etc/passwd", "theirs");
    expect_file(&t, "etc/resolv.conf", "#");
    testdir_remove(&t);
}

/* As container engines do: the files of the machine are its own, users are the image's. */
static void test_a_disk_image_gets_the_files_of_its_machine(void **state)
{
    char address[] = "192.168.127.10/24", name[] = "web", fstype[] = "squashfs";
    const struct guest_config config = {.hostname = name, .network.address = address, .root.fstype = fstype};
    auto_free char *hosts = NULL, *host = NULL, *target = NULL, *resolv = NULL;
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "etc/hosts", "");
    testdir_write(&t, "etc/hostname", "builder\n");
    testdir_write(&t, "etc/passwd", "mine");
    testdir_write(&t, "run/target", "theirs");
    assert_int_equal(symlinkat("../run/target", t.fd, "etc/resolv.conf"), 0);
    for (int boot = 0; boot < 2; boot++)
        provision_files(t.fd, &config);
    hosts = testdir_read(&t, "etc/hosts");
    assert_string_equal(hosts, "127.0.0.1 localhost\n::1 localhost\n192.168.127.10 web\n");
    host = testdir_read(&t, "etc/hostname");
    assert_string_equal(host, "web\n");
    resolv = testdir_read(&t, "etc/resolv.conf");
    assert_true(str_starts(resolv, "#"));
    target = testdir_read(&t, "run/target");
    assert_string_equal(target, "theirs");
    expect_file(&t, "etc/passwd", "mine");
    testdir_remove(&t);
}

static void test_device_links(void **state)
{
    struct testdir t;
    char target[64] = "";

    (void)state;
    testdir_make(&t);
    assert_int_equal(symlinkat("mine", t.fd, "stdin"), 0);
    mounts_device_links(t.fd);
    assert_true(readlinkat(t.fd, "fd", target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "/proc/self/fd");
    assert_int_equal(readlinkat(t.fd, "stdin", target, sizeof(target) - 1), 4);
    assert_true(mounts_has_content(t.path));
    testdir_remove(&t);
    assert_false(mounts_has_content(t.path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_image_gets_everything),
        cmocka_unit_test(test_a_machine_without_network),
        cmocka_unit_test(test_what_the_image_has_stays),
        cmocka_unit_test(test_a_disk_image_gets_the_files_of_its_machine),
        cmocka_unit_test(test_device_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
