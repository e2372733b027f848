/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/ready.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/unit.h"

static void test_attempts_become_rare(void **state)
{
    static const struct {
        unsigned tries;
        int64_t elapsed, delay;
    } table[] = {
        {0, 0, 1},   {1, 1, 2},     {2, 3, 4},     {3, 7, 4},        {9, 63, 4},
        {10, 80, 5}, {20, 400, 25}, {30, 800, 50}, {40, 100000, 50},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(ready_delay(table[i].tries, table[i].elapsed), table[i].delay);
}

static void note(void *arg)
{
    (*(int *)arg)++;
}

/* A port of the loopback interface that nobody else has; listens only when told to. */
static int bound_socket(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void test_ready_when_the_port_accepts_and_never_again(void **state)
{
    int64_t deadline = mono_ms() + 10000;
    struct ready r = {.fd = -1};
    struct loop *l = NULL;
    int times = 0, fd;
    uint16_t port;

    (void)state;
    fd = bound_socket(&port);
    assert_int_equal(loop_new(&l), 0);
    ready_start(&r, l, INADDR_LOOPBACK, port, note, &times);
    while (r.tries < 6 && mono_ms() < deadline)
        assert_true(loop_step(l, 1000) >= 0);
    assert_int_equal(times, 0);
    assert_int_equal(listen(fd, 1), 0);
    while (times == 0 && mono_ms() < deadline)
        assert_true(loop_step(l, 1000) >= 0);
    assert_int_equal(times, 1);
    assert_int_equal(r.fd, -1);
    for (unsigned tries = r.tries, i = 0; i < 3; i++) {
        assert_true(loop_step(l, 60) >= 0);
        assert_int_equal(r.tries, tries);
    }
    ready_stop(&r);
    (void)close(fd);
    loop_free(l);
}

static void test_stopped_attempts_leave_nothing(void **state)
{
    struct ready r = {.fd = -1};
    struct loop *l = NULL;
    int times = 0, fd;
    uint16_t port;

    (void)state;
    fd = bound_socket(&port);
    assert_int_equal(loop_new(&l), 0);
    ready_start(&r, l, INADDR_LOOPBACK, port, note, &times);
    assert_true(loop_step(l, 1000) >= 0);
    ready_stop(&r);
    ready_stop(&r);
    assert_int_equal(listen(fd, 1), 0);
    for (int i = 0; i < 3; i++)
        assert_true(loop_step(l, 10) >= 0);
    assert_int_equal(times, 0);
    (void)close(fd);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts_become_rare),
        cmocka_unit_test(test_ready_when_the_port_accepts_and_never_again),
        cmocka_unit_test(test_stopped_attempts_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
