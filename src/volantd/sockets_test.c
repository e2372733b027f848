/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "base/unit.h"

/* NOLINTBEGIN(concurrency-mt-unsafe): the environment is this program's to change, it has no other thread then */

static char dir[64];

static int make(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/volant-sockets-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return remove_tree_at(AT_FDCWD, dir);
}

static int listening_at(const char *name)
{
    char path[100];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = unix_listen(path, 8, 0600);
    assert_true(fd >= 0);
    return fd;
}

static int abstract_socket(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (const void *)&addr, sizeof(sa_family_t)), 0); /* the kernel names it */
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int datagrams(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int not_listening(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int a_file(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int tcp_at(uint32_t ip)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (const void *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int loopback(void)
{
    return tcp_at(INADDR_LOOPBACK);
}

static int one(void)
{
    return listening_at("one");
}

static int two(void)
{
    return listening_at("two");
}

/* As systemd hands them over: from SD_LISTEN_FDS_START on, and told in the environment. What is there is put away. */
static int takes(int (*const *makers)(void), int n, struct sockets *s, struct vl_error *err)
{
    int away[4], r;
    char text[16];

    for (int i = 0; i < n; i++) {
        int fd = makers[i]();

        away[i] = fcntl(SD_LISTEN_FDS_START + i, F_DUPFD_CLOEXEC, 40);
        if (fd == SD_LISTEN_FDS_START + i) continue;
        assert_true(dup2(fd, SD_LISTEN_FDS_START + i) >= 0);
        (void)close(fd);
    }
    (void)snprintf(text, sizeof(text), "%d", n);
    (void)setenv("LISTEN_FDS", text, 1);
    (void)snprintf(text, sizeof(text), "%d", (int)getpid());
    (void)setenv("LISTEN_PID", text, 1);
    r = sockets_take(s, err);
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
    for (int i = 0; i < n && r < 0; i++)
        (void)close(SD_LISTEN_FDS_START + i);
    for (int i = 0; i < n; i++)
        if (away[i] >= 0) (void)close(away[i]);
    return r;
}

static void what_systemd_opened_is_served(void **state)
{
    static int (*const makers[])(void) = {one, loopback};
    struct sockets s = SOCKETS_NONE;
    struct vl_error err = {0};
    struct listen_addr other;
    char path[100];

    (void)state;
    if (takes(makers, 2, &s, &err) < 0) fail_msg("%s", err.msg);
    (void)snprintf(path, sizeof(path), "%s/one", dir);
    assert_string_equal(s.path, path);
    assert_true(str_starts(s.listen, "127.0.0.1:"));
    assert_true(s.loopback);
    assert_int_equal(s.unix_fd, SD_LISTEN_FDS_START);
    assert_true(fcntl(s.unix_fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(s.unix_fd, F_GETFD) & FD_CLOEXEC);

    /* Nothing of our own beside it, and its file stays systemd's. */
    assert_int_equal(listen_parse("127.0.0.1:0", "--listen", &other, &err), 0);
    assert_int_equal(sockets_open(&s, "/nonexistent/x", &other, &err), 0);
    assert_string_equal(s.path, path);
    sockets_close(&s);
    assert_int_equal(s.unix_fd, -1);
    assert_int_equal(access(path, F_OK), 0);
}

static void what_may_not_be_served_is_refused(void **state)
{
    static const struct {
        int (*makers[2])(void);
        int n;
        const char *part;
    } cases[] = {
        {{one, two}, 2, "second Unix socket"},       {{loopback, loopback}, 2, "second TCP socket"},
        {{abstract_socket}, 1, "abstract"},          {{datagrams}, 1, "no listening stream"},
        {{not_listening}, 1, "no listening stream"}, {{a_file}, 1, "no listening stream"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sockets s = SOCKETS_NONE;
        struct vl_error err = {0};

        assert_true(takes(cases[i].makers, cases[i].n, &s, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
        if (!strstr(err.msg, cases[i].part) || !strstr(err.msg, "descriptor ")) fail_msg("case %zu: %s", i, err.msg);
    }
}

static void without_systemd_our_own_are_made_once(void **state)
{
    struct sockets s = SOCKETS_NONE;
    struct vl_error err = {0};
    struct listen_addr tcp;
    char path[100], listen[64];
    int fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/own", dir);
    assert_int_equal(listen_parse("127.0.0.1:0", "--listen", &tcp, &err), 0);
    assert_int_equal(sockets_take(&s, &err), 0);
    assert_int_equal(s.unix_fd, -1);
    if (sockets_open(&s, path, &tcp, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(access(path, F_OK), 0);
    fd = s.unix_fd;
    memcpy(listen, s.listen, sizeof(listen));
    assert_int_equal(sockets_open(&s, path, &tcp, &err), 0); /* the registry was replaced */
    assert_int_equal(s.unix_fd, fd);
    assert_string_equal(s.listen, listen);
    sockets_close(&s);
    assert_int_equal(access(path, F_OK), -1);

    assert_int_equal(sockets_open(&s, path, NULL, &err), 0);
    assert_int_equal(s.tcp_fd, -1);
    assert_string_equal(s.listen, "");
    sockets_close(&s);
    sockets_close(&s);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_dir(what_systemd_opened_is_served),
        with_dir(what_may_not_be_served_is_refused),
        with_dir(without_systemd_our_own_are_made_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
/* NOLINTEND(concurrency-mt-unsafe) */
