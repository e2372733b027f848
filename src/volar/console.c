/* SPDX-License-Identifier: Apache-2.0 */
/* volar vms console: the terminal, raw, joined to the VM's serial console until Ctrl-] or its end. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/loop.h"
#include "volar/vms.h"

#define ESCAPE   0x1d /* Ctrl-] */
#define WRITE_MS 5000
#define QUIET_MS 1000 /* without a terminal: how long silence means the end of what there is */

static const char *socket_path;

const struct opt vms_console_opts[] = {
    {"socket", 's', OPT_STRING, "PATH", "the console socket, instead of asking volantd", 0, 0, &socket_path},
    VOLAR_GLOBAL,
    {0},
};

struct terminal {
    bool raw;
    struct termios before;
};

static void terminal_restore(struct terminal *t)
{
    if (t->raw) (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
    t->raw = false;
}

static void terminal_raw(struct terminal *t)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &t->before) < 0) return;
    raw = t->before;
    cfmakeraw(&raw);
    t->raw = tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
}

/* Signals that would leave the terminal raw arrive as a descriptor instead; SIGPIPE: `volar vms console web | head`. */
static int signals_open(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    sigset_t set;
    int r;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        (void)sigaddset(&set, ends[i]);
    if ((r = signals_block(ends, ARRAY_LEN(ends))) < 0) return r;
    r = signalfd(-1, &set, SFD_CLOEXEC);
    return r < 0 ? -errno : r;
}

/* 1: go on, 0: end, negative: failed. */
static int from_console(int fd)
{
    char buf[16384];
    ssize_t n = read(fd, buf, sizeof(buf));

    if (n < 0) return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    if (n == 0) return 0;
    return write_all(STDOUT_FILENO, buf, (size_t)n, -1) < 0 ? -EPIPE : 1;
}

static int from_terminal(int fd, bool raw)
{
    char buf[4096];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
    const char *escape;

    if (n < 0) return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    if (n == 0) return 0;
    escape = raw ? memchr(buf, ESCAPE, (size_t)n) : NULL;
    if (escape) n = escape - buf;
    if (n && write_all(fd, buf, (size_t)n, mono_ms() + WRITE_MS) < 0) return -EPIPE;
    return escape ? 0 : 1;
}

static int relay(int fd, int signals, bool raw)
{
    struct pollfd p[] = {
        {.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    int r = 1;

    while (r > 0) {
        int n = poll(p, ARRAY_LEN(p), p[1].fd < 0 ? QUIET_MS : -1);

        if (n < 0 && errno != EINTR) return -errno;
        if (n == 0 || p[2].revents) return 0;
        if (p[1].revents && (r = from_terminal(fd, raw)) == 0 && !raw) {
            p[1].fd = -1; /* the end of a pipe is not the end of the console */
            r = 1;
        }
        if (r > 0 && p[0].revents) r = from_console(fd);
    }
    return r;
}

static int attach(const char *path, struct vl_error *err)
{
    auto_(terminal_restore) struct terminal t = {0};
    auto_close int fd = unix_connect(path);
    auto_close int signals = -1;
    int r;

    if (fd < 0) return vl_fail_errno(err, fd, "console socket %s (the VM may have ended)", path);
    if ((signals = signals_open()) < 0) return vl_fail_errno(err, signals, "signals");
    terminal_raw(&t);
    if (t.raw) (void)fputs("Attached; Ctrl-] detaches.\r\n", stderr);
    r = relay(fd, signals, t.raw);
    terminal_restore(&t);
    if (isatty(STDERR_FILENO)) (void)fputs("\nDetached.\n", stderr);
    return r < 0 ? vl_fail_errno(err, r, "console") : 0;
}

static int socket_of(struct volar *v, const char *name, char *path, size_t size, struct vl_error *err)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    int r;

    if ((r = vm_fetch(v, name, &vm, NULL, err)) < 0) return r;
    if (!vm.serial_socket || !*vm.serial_socket || !vm.pid)
        return vl_fail(err, VL_CONFLICT,
                       "VM '%s' is %s and has no console: see `volar vms logs %s`, or start it with "
                       "`volar vms start %s`",
                       name, vm.status, name, name);
    if (strf(path, size, "%s", vm.serial_socket) < 0)
        return vl_fail(err, VL_INTERNAL, "console socket path is too long");
    return 0;
}

int vms_console(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    char found[108];
    const char *name;
    size_t n;
    int r = volar_begin(v, argc, argv, &name, 1, 1, &n);

    if (r >= 0 || (r = volar_check_name(v, "VM", name)) != EXIT_DONE) return r;
    if (!socket_path && socket_of(v, name, found, sizeof(found), &err) < 0) return volar_fail(&err);
    return attach(socket_path ? socket_path : found, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
}
