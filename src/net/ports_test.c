/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/unit.h"
#include "net/net.h"

static void refused(const char *protocol, const char *host_ip, unsigned port, enum vl_kind kind, const char *part)
{
    struct vl_error err = {0};

    assert_true(host_port_check(protocol, host_ip, port, &err) < 0);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.msg, part)) fail_msg("'%s' is not in: %s", part, err.msg);
}

static void works(const char *protocol, const char *host_ip, unsigned port)
{
    struct vl_error err = {0};

    if (host_port_check(protocol, host_ip, port, &err) < 0) fail_msg("%s", err.msg);
}

/* Bound to a free port of 127.0.0.1, as programs do it, and listening where that is meant by `type`. */
static int listener(int type, unsigned *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    if (type == SOCK_STREAM) assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static void a_port_in_use_is_a_conflict(void **state)
{
    static const struct {
        int type;
        const char *protocol, *other, *hint;
    } cases[] = {
        {SOCK_STREAM, "tcp", "udp", "ss -tlnp"},
        {SOCK_DGRAM, "udp", "tcp", "ss -ulnp"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned port;
        int fd = listener(cases[i].type, &port);

        refused(cases[i].protocol, "127.0.0.1", port, VL_CONFLICT, "in use by another program");
        refused(cases[i].protocol, "127.0.0.1", port, VL_CONFLICT, cases[i].hint);
        refused(cases[i].protocol, "0.0.0.0", port, VL_CONFLICT, "in use by another program");
        works(cases[i].protocol, "127.0.0.2", port);
        works(cases[i].other, "127.0.0.1", port);
        assert_int_equal(close(fd), 0);
        works(cases[i].protocol, "127.0.0.1", port);
    }
}

/* A connection that the server closed first, as HTTP servers do: nobody listens any more, so the port is free. */
static void time_wait_does_not_hold_a_port(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned port;
    int server = listener(SOCK_STREAM, &port), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
    char byte;

    (void)state;
    addr.sin_port = htons((uint16_t)port);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
    accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    assert_int_equal(close(accepted), 0);
    assert_int_equal(read(client, &byte, 1), 0);
    assert_int_equal(close(client), 0);
    assert_int_equal(close(server), 0);
    works("tcp", "127.0.0.1", port);
}

static void bad_ports_are_refused(void **state)
{
    (void)state;
    refused("sctp", "127.0.0.1", 8080, VL_INVALID, "sctp");
    refused("tcp", "localhost", 8080, VL_INVALID, "localhost");
    refused("tcp", "::1", 8080, VL_INVALID, "IPv4");
    refused("tcp", "127.0.0.1", 0, VL_INVALID, "1 to 65535");
    refused("tcp", "127.0.0.1", 65536, VL_INVALID, "1 to 65535");
    refused("tcp", "192.0.2.1", 8080, VL_INVALID, "no address of this host");
}

/* Root's VMs are given the capability to bind them. */
static void privileged_ports_are_for_root(void **state)
{
    auto_free char *text = NULL;
    size_t len;

    (void)state;
    assert_int_equal(read_file_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &text, &len), 0);
    if (str_starts(text, "1024") && geteuid() != 0) {
        refused("tcp", "127.0.0.1", 79, VL_CONFLICT, "choose one from 1024 on");
        refused("udp", "127.0.0.1", 1023, VL_CONFLICT, "ip_unprivileged_port_start=1023");
    } else {
        works("tcp", "127.255.255.1", 79);
    }
}

struct picks {
    unsigned asked[600];
    size_t n, refuse;
};

static bool refuse_some(void *arg, unsigned port)
{
    struct picks *p = arg;

    p->asked[p->n++] = port;
    return p->n <= p->refuse;
}

static void a_picked_port_is_free_and_nobodys(void **state)
{
    static const char *const protocols[] = {"tcp", "udp"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        struct picks picks = {.refuse = 7};
        struct vl_error err = {0};
        unsigned port = 0;

        if (host_port_pick(protocols[i], "127.0.0.1", refuse_some, &picks, &port, &err) < 0) fail_msg("%s", err.msg);
        assert_int_equal(picks.n, 8);
        assert_int_equal(port, picks.asked[7]);
        assert_true(port >= 1024);
        works(protocols[i], "127.0.0.1", port);
        assert_int_equal(host_port_pick(protocols[i], "127.0.0.1", NULL, NULL, &port, &err), 0);
    }
}

static void picking_ends(void **state)
{
    struct picks picks = {.refuse = 1000};
    struct vl_error err = {0};
    unsigned port = 3;

    (void)state;
    assert_true(host_port_pick("tcp", "127.0.0.1", refuse_some, &picks, &port, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_int_equal(picks.n, 256);
    assert_int_equal(port, 3);
    assert_true(host_port_pick("tcp", "192.0.2.1", NULL, NULL, &port, &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
    assert_true(host_port_pick("icmp", "127.0.0.1", NULL, NULL, &port, &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_in_use_is_a_conflict),
        cmocka_unit_test(time_wait_does_not_hold_a_port),
        cmocka_unit_test(bad_ports_are_refused),
        cmocka_unit_test(privileged_ports_are_for_root),
        cmocka_unit_test(a_picked_port_is_free_and_nobodys),
        cmocka_unit_test(picking_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
