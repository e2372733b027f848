/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/ports.h"

#include "kestrel/testdir.h"

static void test_a_port_is_found_by_its_name(void **state)
{
    struct testdir t;
    int class_fd, dev_fd, fd;
    char c = 0;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "class/vport0p1/name", "volant.sync\n");
    testdir_write(&t, "class/vport0p2/name", "volant.ctl\n");
    testdir_write(&t, "class/vport0p3/name", "volant.ctl2");
    testdir_write(&t, "class/vport0p4/other", ""); /* its name has not come yet */
    testdir_write(&t, "class/vport0p5/name", "gone");
    testdir_write(&t, "dev/vport0p1", "1");
    testdir_write(&t, "dev/vport0p2", "2");
    class_fd = openat(t.fd, "class", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    dev_fd = openat(t.fd, "dev", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    for (int round = 0; round < 2; round++) { /* looking leaves class_fd as it was */
        fd = port_open(class_fd, dev_fd, "volant.ctl");
        assert_true(fd >= 0);
        assert_int_equal(read(fd, &c, 1), 1);
        assert_int_equal(c, '2');
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        (void)close(fd);
    }
    assert_int_equal(port_open(class_fd, dev_fd, "volant"), -ENOENT);
    assert_int_equal(port_open(class_fd, dev_fd, "gone"), -ENOENT);
    assert_int_equal(port_open(-1, dev_fd, "volant.ctl"), -ENOENT);
    (void)close(class_fd);
    (void)close(dev_fd);
    testdir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_port_is_found_by_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
