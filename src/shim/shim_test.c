/* SPDX-License-Identifier: Apache-2.0 */
/* The program itself, with this test program as its VMM: main() below plays that part when it is told to. */
#include "base/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/str.h"

#define BOOT    "00112233445566778899aabbccddeeff"
#define WAIT_MS 20000

/* --- the VMM ------------------------------------------------------------------------------------------------------ */

#define VMM_CONSOLE 13

static void say_status_lines(void)
{
    auto_free char *text = NULL;
    static const char *const keys[] = {"NoNewPrivs:", "Uid:", "Gid:", "Groups:", "CapPrm:", "CapAmb:", "SigIgn:"};

    if (read_file_at(AT_FDCWD, "/proc/self/status", 65536, &text, NULL) < 0) _exit(90);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *at = strstr(text, keys[i]);

        if (at) (void)dprintf(VMM_CONSOLE, "%.*s\n", (int)strcspn(at, "\n"), at);
    }
}

static void say_fds(void)
{
    auto_strbuf line = {0};

    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0) strbuf_addf(&line, " %d", fd);
    (void)dprintf(VMM_CONSOLE, "fds:%s\n", line.data);
}

static int be_vmm(const char *mode, const char *arg)
{
    char buf[256];
    ssize_t n;
    uint64_t code = 0;

    if (str_eq(mode, "exit")) {
        (void)dprintf(2, "noise\n\"quoted\" \x01\xff end");
        (void)parse_u64(arg, 0, 255, &code);
        return (int)code;
    }
    if (str_eq(mode, "flood")) {
        for (int i = 0; i < 3000; i++)
            (void)dprintf(2, "line %d\n", i);
        (void)dprintf(VMM_CONSOLE, "last words");
        return 0;
    }
    if (str_eq(mode, "signal")) (void)raise(SIGKILL);
    if (str_eq(mode, "facts")) {
        say_status_lines();
        say_fds();
    }
    while ((n = read(VMM_CONSOLE, buf, sizeof(buf))) > 0) {
        if (memchr(buf, 'q', (size_t)n)) return 0;
        (void)!write(VMM_CONSOLE, buf, (size_t)n);
    }
    for (;;) /* the shim is gone: go on, as a VMM does */
        (void)pause();
}

/* --- the tests ---------------------------------------------------------------------------------------------------- */

struct fixture {
    char dir[64], sock[80], shim_path[512], self[512];
    int dir_fd, pidfd;
    pid_t shim;
    char status[1024];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *build = secure_getenv("VOLANT_BUILD_DIR");
    ssize_t n;

    assert_non_null(f);
    assert_non_null(build);
    assert_true(strf(f->shim_path, sizeof(f->shim_path), "%s/volant-shim", build) > 0);
    n = readlink("/proc/self/exe", f->self, sizeof(f->self) - 1);
    assert_true(n > 0);
    assert_true(strf(f->dir, sizeof(f->dir), "/tmp/volant-shim-XXXXXX") > 0);
    assert_non_null(mkdtemp(f->dir));
    assert_true(strf(f->sock, sizeof(f->sock), "%s/console.sock", f->dir) > 0);
    assert_true((f->dir_fd = open_dir(f->dir)) >= 0);
    f->pidfd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    closep(&f->pidfd);
    (void)close(f->dir_fd);
    (void)remove_tree_at(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

/* Starts it and reads its status line. Extra options end with NULL. */
static void start(struct fixture *f, const char *const *extra, const char *program, const char *mode, const char *arg)
{
    auto_close int listener = unix_listen(f->sock, 16, 0600), spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const char *argv[32] = {f->shim_path, "--boot",      BOOT, "--dir-fd",         "3",  "--console-listen-fd",
                            "4",          "--status-fd", "5",  "--vmm-console-fd", "13", "--inherit",
                            "10"};
    size_t n = 13;
    int status[2];
    ssize_t got, len = 0;

    assert_true(listener >= 0 && spare >= 0);
    assert_int_equal(pipe2(status, O_CLOEXEC), 0);
    for (; extra && *extra; extra++)
        argv[n++] = *extra;
    argv[n++] = "--";
    argv[n++] = program;
    argv[n++] = "vmm";
    argv[n++] = mode;
    argv[n] = arg;
    struct proc_fd fds[] = {{f->dir_fd, 3}, {listener, 4}, {status[1], 5}, {spare, 10}, {spare, 77}};
    struct spawn_opts opts = SPAWN_OPTS_INIT;

    opts.argv = argv;
    opts.fds = fds;
    opts.n_fds = ARRAY_LEN(fds);
    opts.setsid = true;
    opts.stderr_fd = 2;
    assert_int_equal(proc_spawn(&opts, &f->shim, &f->pidfd), 0);
    (void)close(status[1]);
    while ((got = read(status[0], f->status + len, sizeof(f->status) - 1 - (size_t)len)) > 0)
        len += got;
    f->status[len] = '\0';
    (void)close(status[0]);
}

static void expect_in(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' is not in '%s'", part, text);
}

static char *file_of(struct fixture *f, const char *name)
{
    char *text = NULL;

    assert_int_equal(read_file_at(f->dir_fd, name, 1 << 20, &text, NULL), 0);
    return text;
}

static void expect_end(struct fixture *f)
{
    int status = -1;

    assert_int_equal(proc_wait(f->pidfd, mono_ms() + WAIT_MS, &status), 0);
    assert_int_equal(status, 0);
}

static pid_t vmm_pid(const struct fixture *f)
{
    const char *key = "{\"vmm_pid\":";
    char digits[16];
    uint64_t pid;

    expect_in(f->status, key);
    assert_true(strf(digits, sizeof(digits), "%.*s", (int)strspn(f->status + strlen(key), "0123456789"),
                     f->status + strlen(key)) > 0);
    assert_int_equal(parse_u64(digits, 2, INT32_MAX, &pid), 0);
    return (pid_t)pid;
}

/* Reads from a console reader until it ends with `end`. */
static void read_until(int fd, char *buf, size_t size, const char *end)
{
    int64_t deadline = mono_ms() + WAIT_MS;
    size_t len = 0;

    buf[0] = '\0';
    while (!strstr(buf, end)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, deadline_left(deadline)) != 1) fail_msg("'%s' did not come, only '%s'", end, buf);
        n = recv(fd, buf + len, size - 1 - len, MSG_DONTWAIT);
        if (n <= 0) fail_msg("end of console before '%s', after '%s'", end, buf);
        len += (size_t)n;
        buf[len] = '\0';
    }
}

static void exit_code(void **state)
{
    struct fixture *f = *state;
    auto_free char *record = NULL;
    char expected[64];
    struct stat st;

    start(f, NULL, f->self, "exit", "7");
    expect_end(f);
    record = file_of(f, "exit.json");
    assert_true(strf(expected, sizeof(expected), "{\"boot\":\"%s\",\"exited_ms\":", BOOT) > 0);
    expect_in(record, expected);
    expect_in(record, "\"code\":7,\"signal\":0,\"stderr\":\"noise\\n\\\"quoted\\\" \\u0001\\ufffd end\"}");
    assert_int_equal(fstatat(f->dir_fd, "console.sock", &st, 0), -1);
    assert_int_equal(fstatat(f->dir_fd, "run.json", &st, 0), 0);
    assert_int_equal(fstatat(f->dir_fd, "console.log", &st, 0), 0);
}

static void exit_signal(void **state)
{
    struct fixture *f = *state;
    auto_free char *record = NULL;

    start(f, NULL, f->self, "signal", NULL);
    expect_end(f);
    record = file_of(f, "exit.json");
    expect_in(record, "\"code\":-1,\"signal\":9,\"stderr\":\"\"");
}

static void last_words(void **state)
{
    struct fixture *f = *state;
    auto_free char *record = NULL, *console = NULL;

    start(f, NULL, f->self, "flood", NULL);
    expect_end(f);
    record = file_of(f, "exit.json");
    expect_in(record, "line 2999\\n\"}");
    assert_true(strlen(record) > 4096 && strlen(record) < 6000);
    console = file_of(f, "console.log");
    assert_string_equal(console, "last words");
}

static void exec_fails(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    struct stat st;

    start(f, NULL, "/nonexistent/vmm", "exit", NULL);
    expect_in(f->status, "{\"error\":\"/nonexistent/vmm: cannot execute: ");
    assert_int_equal(proc_wait(f->pidfd, mono_ms() + WAIT_MS, &status), 0);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_int_equal(fstatat(f->dir_fd, "run.json", &st, 0), -1);
}

static void console(void **state)
{
    struct fixture *f = *state;
    auto_free char *run = NULL;
    auto_close int fd = -1, other = -1;
    char buf[1024], expected[64];

    start(f, NULL, f->self, "echo", NULL);
    run = file_of(f, "run.json");
    assert_true(strf(expected, sizeof(expected), "\"shim\":{\"pid\":%d,", (int)f->shim) > 0);
    expect_in(run, expected);
    assert_true(strf(expected, sizeof(expected), "\"vmm\":{\"pid\":%d,", (int)vmm_pid(f)) > 0);
    expect_in(run, expected);
    for (int sig = 1; sig <= SIGTERM; sig++)
        if (sig == SIGTERM || sig == SIGHUP || sig == SIGINT || sig == SIGPIPE)
            assert_int_equal(proc_kill(f->pidfd, sig), 0);
    assert_true((fd = unix_connect(f->sock)) >= 0);
    assert_true((other = unix_connect(f->sock)) >= 0);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    read_until(fd, buf, sizeof(buf), "hello");
    read_until(other, buf, sizeof(buf), "hello");
    assert_int_equal(send(other, "q", 1, 0), 1);
    expect_end(f);
}

static void facts(struct fixture *f, const char *const *extra, char *buf, size_t size)
{
    auto_close int fd = -1;

    start(f, extra, f->self, "facts", NULL);
    assert_true((fd = unix_connect(f->sock)) >= 0);
    read_until(fd, buf, size, "fds:");
    if (!strchr(strstr(buf, "fds:"), '\n')) read_until(fd, buf + strlen(buf), size - strlen(buf), "\n");
    assert_int_equal(send(fd, "q", 1, 0), 1);
    expect_end(f);
}

static void confined(void **state)
{
    char buf[2048];

    facts(*state, NULL, buf, sizeof(buf));
    expect_in(buf, "fds: 0 1 2 10 13\n"); /* 77 was inherited by the shim and not listed */
    expect_in(buf, "NoNewPrivs:\t1\n");
    /* Beyond the 31 are the C library's own, which a test runner may have had ignored. */
    assert_non_null(strstr(strstr(buf, "SigIgn:"), "0000000\n"));
}

/* The VMM is this program, and a build folder below /root would hide it from its uid. */
static void copy_self(struct fixture *f)
{
    auto_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = -1;

    assert_true(strf(f->self, sizeof(f->self), "%s/vmm", f->dir) > 0);
    to = open(f->self, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(from >= 0 && to >= 0);
    assert_int_equal(copy_fd(to, from), 0);
    assert_int_equal(chmod(f->dir, 0711), 0);
}

static void dropped(void **state)
{
    static const char *const plain[] = {"--uid", "2000001", "--gid", "2000001", NULL};
    static const char *const low[] = {"--uid", "2000001",          "--gid", "2000001", "--group",
                                      "4711",  "--bind-low-ports", NULL};
    struct fixture *f = *state;
    char buf[2048];

    if (geteuid() != 0) {
        start(f, plain, f->self, "exit", NULL);
        expect_in(f->status, "cannot drop groups: ");
        (void)proc_wait(f->pidfd, mono_ms() + WAIT_MS, NULL);
        return;
    }
    copy_self(f);
    facts(f, plain, buf, sizeof(buf));
    expect_in(buf, "Uid:\t2000001\t2000001\t2000001\t2000001\n");
    expect_in(buf, "Gid:\t2000001\t2000001\t2000001\t2000001\n");
    expect_in(buf, "Groups:\t \n");
    expect_in(buf, "CapPrm:\t0000000000000000\n");
    closep(&f->pidfd);
    f->pidfd = -1;
    facts(f, low, buf, sizeof(buf));
    expect_in(buf, "Groups:\t4711 \n");
    expect_in(buf, "CapPrm:\t0000000000000400\n");
    expect_in(buf, "CapAmb:\t0000000000000400\n");
}

/* The VM outlives its shim: only console and exit reason are lost. */
static void shim_killed(void **state)
{
    struct fixture *f = *state;
    struct proc_id vmm;
    auto_close int vmm_fd = -1;
    struct pollfd p;
    struct stat st;

    start(f, NULL, f->self, "echo", NULL);
    assert_int_equal(proc_id_of(vmm_pid(f), &vmm), 0);
    assert_int_equal(proc_open(&vmm, &vmm_fd), 0);
    assert_int_equal(proc_kill(f->pidfd, SIGKILL), 0);
    assert_int_equal(proc_wait(f->pidfd, mono_ms() + WAIT_MS, NULL), 0);
    p = (struct pollfd){.fd = vmm_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 100), 0);
    assert_true(proc_alive(&vmm));
    assert_int_equal(fstatat(f->dir_fd, "exit.json", &st, 0), -1);
    assert_int_equal(unix_connect(f->sock), -ECONNREFUSED);
    assert_int_equal(proc_kill(vmm_fd, SIGKILL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exit_code, setup, teardown),
        cmocka_unit_test_setup_teardown(exit_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(last_words, setup, teardown),
        cmocka_unit_test_setup_teardown(exec_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(console, setup, teardown),
        cmocka_unit_test_setup_teardown(confined, setup, teardown),
        cmocka_unit_test_setup_teardown(dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(shim_killed, setup, teardown),
    };

    if (argc >= 3 && str_eq(argv[1], "vmm")) return be_vmm(argv[2], argc > 3 ? argv[3] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
