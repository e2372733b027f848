/* SPDX-License-Identifier: Apache-2.0 */
/* The console in one process: the test plays VMM and readers. */
#include "base/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "shim/console.h"
#include "shim/console_log.h"

#define LOG_MAX 8192
#define SMALL   100

struct fixture {
    char dir[64];
    char sock[80];
    int dir_fd, listen_fd, vmm, shim_end;
    struct loop *loop;
    struct console *console;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int pair[2];

    assert_non_null(f);
    assert_true(strf(f->dir, sizeof(f->dir), "/tmp/volant-console-XXXXXX") > 0);
    assert_non_null(mkdtemp(f->dir));
    assert_true(strf(f->sock, sizeof(f->sock), "%s/console.sock", f->dir) > 0);
    assert_true((f->dir_fd = open_dir(f->dir)) >= 0);
    assert_true((f->listen_fd = unix_listen(f->sock, 32, 0600)) >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    f->vmm = pair[0];
    f->shim_end = pair[1];
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(console_new(f->loop, f->dir_fd, f->listen_fd, LOG_MAX, &f->console), 0);
    assert_int_equal(console_attach(f->console, f->shim_end), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    console_free(f->console);
    loop_free(f->loop);
    closep(&f->vmm);
    (void)close(f->shim_end);
    (void)close(f->listen_fd);
    (void)close(f->dir_fd);
    (void)remove_tree_at(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

/* Until nothing happens any more. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 50; i++)
        assert_int_equal(loop_step(f->loop, 0), 0);
}

static int reader(struct fixture *f)
{
    int fd = unix_connect(f->sock);

    assert_true(fd >= 0);
    settle(f);
    return fd;
}

/* The VMM writes n bytes that tell their position in the stream. */
static void print(struct fixture *f, uint64_t *at, size_t n)
{
    char buf[4096];

    while (n > 0) {
        size_t part = n < sizeof(buf) ? n : sizeof(buf);

        for (size_t i = 0; i < part; i++)
            buf[i] = (char)('a' + (*at + i) % 26);
        assert_int_equal(send(f->vmm, buf, part, 0), (ssize_t)part);
        *at += part;
        n -= part;
        settle(f);
    }
}

static size_t drain(struct fixture *f, int fd, char *buf, size_t size)
{
    size_t len = 0;
    ssize_t n;

    for (;;) {
        n = recv(fd, buf + len, size - len, MSG_DONTWAIT);
        if (n <= 0) break;
        len += (size_t)n;
        settle(f);
    }
    return len;
}

static void relay(void **state)
{
    struct fixture *f = *state;
    auto_close int a = reader(f), b = reader(f);
    char buf[64];

    assert_int_equal(send(f->vmm, "login: ", 7, 0), 7);
    settle(f);
    assert_int_equal(drain(f, a, buf, sizeof(buf)), 7);
    assert_memory_equal(buf, "login: ", 7);
    assert_int_equal(drain(f, b, buf, sizeof(buf)), 7);
    assert_int_equal(send(a, "root\r", 5, 0), 5);
    assert_int_equal(send(b, "pw\r", 3, 0), 3);
    settle(f);
    assert_int_equal(recv(f->vmm, buf, sizeof(buf), 0), 8);
    assert_memory_equal(buf, "root\rpw\r", 8);
}

static void scrollback(void **state)
{
    struct fixture *f = *state;
    static char buf[CONSOLE_SCROLLBACK + 1000];
    auto_close int early = -1, late = -1;
    uint64_t at = 0;

    print(f, &at, 500);
    early = reader(f);
    assert_int_equal(drain(f, early, buf, sizeof(buf)), 500);
    print(f, &at, (size_t)3 * CONSOLE_SCROLLBACK + 77 - 500);
    late = reader(f);
    assert_int_equal(drain(f, late, buf, sizeof(buf)), CONSOLE_SCROLLBACK);
    for (size_t i = 0; i < CONSOLE_SCROLLBACK; i++)
        if (buf[i] != (char)('a' + (at - CONSOLE_SCROLLBACK + i) % 26)) fail_msg("wrong byte at %zu", i);
}

/* A reader that takes nothing: the VMM's output is taken all the same, and the other reader gets every byte. */
static void slow_reader(void **state)
{
    struct fixture *f = *state;
    static char buf[1 << 20];
    auto_close int slow = reader(f), quick = reader(f);
    uint64_t at = 0;
    size_t got = 0;

    for (int i = 0; i < 400; i++) {
        print(f, &at, 4096);
        got += drain(f, quick, buf, sizeof(buf));
    }
    assert_int_equal(got, at);
    got = drain(f, slow, buf, sizeof(buf));
    assert_true(got >= CONSOLE_SCROLLBACK && got < at);
    assert_int_equal(buf[got - 1], 'a' + (at - 1) % 26);
}

static void too_many_readers(void **state)
{
    struct fixture *f = *state;
    int fds[CONSOLE_READERS + 1];
    char buf[256];
    struct pollfd p;

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = reader(f);
    assert_true(recv(fds[CONSOLE_READERS], buf, sizeof(buf), 0) > 0);
    assert_int_equal(recv(fds[CONSOLE_READERS], buf, sizeof(buf), 0), 0);
    (void)close(fds[0]);
    (void)close(fds[CONSOLE_READERS]);
    settle(f);
    fds[0] = reader(f); /* the place is free again */
    p = (struct pollfd){.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    for (size_t i = 0; i < CONSOLE_READERS; i++)
        (void)close(fds[i]);
    settle(f);
}

/* A guest that reads nothing must not make the shim hold more than its buffer, nor spin. */
static void unread_input(void **state)
{
    struct fixture *f = *state;
    auto_close int fd = reader(f);
    static char buf[1 << 20];
    size_t sent = 0, got = 0;
    ssize_t n;

    memset(buf, 'x', sizeof(buf));
    for (int i = 0; i < 100; i++) {
        n = send(fd, buf, 65536, MSG_DONTWAIT);
        if (n > 0) sent += (size_t)n;
        settle(f);
    }
    assert_true(sent > 0 && sent < 2u << 20);
    for (int i = 0; i < 2000 && got < sent; i++) {
        n = recv(f->vmm, buf, sizeof(buf), MSG_DONTWAIT);
        if (n > 0) got += (size_t)n;
        settle(f);
    }
    assert_int_equal(got, sent);
}

/* `echo reboot | nc -U console.sock`: the end of its input is not the end of the reader. */
static void half_closed(void **state)
{
    struct fixture *f = *state;
    auto_close int fd = reader(f);
    char buf[16];

    assert_int_equal(send(fd, "hi", 2, 0), 2);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    settle(f);
    assert_int_equal(recv(f->vmm, buf, sizeof(buf), 0), 2);
    assert_int_equal(send(f->vmm, "ok", 2, 0), 2);
    settle(f);
    assert_int_equal(drain(f, fd, buf, sizeof(buf)), 2);
}

static void vmm_gone(void **state)
{
    struct fixture *f = *state;
    auto_close int fd = reader(f);
    char buf[64];

    assert_int_equal(send(f->vmm, "last", 4, 0), 4);
    closep(&f->vmm);
    f->vmm = -1;
    console_finish(f->console);
    settle(f);
    assert_int_equal(send(fd, "x", 1, 0), 1); /* goes nowhere */
    settle(f);
    console_say(f->console, "%s", "bye");
    assert_int_equal(drain(f, fd, buf, sizeof(buf)), 4 + strlen("\r\nvolant-shim: bye\r\n"));
}

static off_t size_of(int dir_fd, const char *name)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, 0) < 0 ? -1 : st.st_size;
}

static void log_rotates(void **state)
{
    struct fixture *f = *state;
    auto_free char *text = NULL;
    uint64_t at = 0;
    size_t len;

    print(f, &at, LOG_MAX - 10);
    assert_int_equal(size_of(f->dir_fd, "console.log.1"), -1);
    print(f, &at, 30);
    assert_int_equal(size_of(f->dir_fd, "console.log.1"), LOG_MAX);
    assert_int_equal(size_of(f->dir_fd, "console.log"), 20);
    print(f, &at, 5UL * LOG_MAX);
    assert_int_equal(size_of(f->dir_fd, "console.log.1"), LOG_MAX);
    assert_int_equal(read_file_at(f->dir_fd, "console.log", LOG_MAX, &text, &len), 0);
    assert_int_equal(text[len - 1], 'a' + (at - 1) % 26);
}

/* The folder vanishes under the log, or the disk is full: output is lost, nothing else. */
static void log_fails(void **state)
{
    struct console_log l;
    auto_close int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    console_log_open(&l, -1, SMALL);
    assert_int_equal(l.fd, -1);
    console_log_write(&l, "x", 1);
    assert_int_equal(l.fd, -1);
    if (full < 0) return;
    l.fd = take_fd(&full);
    console_log_write(&l, "xyz", 3);
    assert_int_equal(l.size, 0);
    console_log_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(relay, setup, teardown),
        cmocka_unit_test_setup_teardown(scrollback, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_readers, setup, teardown),
        cmocka_unit_test_setup_teardown(unread_input, setup, teardown),
        cmocka_unit_test_setup_teardown(half_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(vmm_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(log_rotates, setup, teardown),
        cmocka_unit_test(log_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
