/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "base/unit.h"

#define DEADLINE_MS 10000

/* Runs a program with stdout on a pipe; its output is the caller's. */
static char *output_of(struct spawn_opts opts)
{
    char *text = NULL;
    int fds[2], pidfd, status = -1;
    pid_t pid;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    opts.stdout_fd = fds[1];
    if (opts.stderr_fd == -1) opts.stderr_fd = 2;
    assert_int_equal(proc_spawn(&opts, &pid, &pidfd), 0);
    (void)close(fds[1]);
    assert_int_equal(read_all(fds[0], 1 << 20, &text, NULL), 0);
    (void)close(fds[0]);
    assert_int_equal(proc_wait(pidfd, mono_ms() + DEADLINE_MS, &status), 0);
    assert_int_equal(status, 0);
    (void)close(pidfd);
    return text;
}

static void spawn(const char *const *argv, pid_t *ret_pid, int *ret_pidfd)
{
    struct spawn_opts opts = SPAWN_OPTS_INIT;

    opts.argv = argv;
    assert_int_equal(proc_spawn(&opts, ret_pid, ret_pidfd), 0);
}

static void arguments_and_environment_are_explicit(void **state)
{
    const char *const echo[] = {"echo", "a b", "$HOME;", NULL};
    const char *const env[] = {"env", NULL};
    const char *const two[] = {"A=1", "B=x y", NULL};
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_free char *echoed = NULL, *given = NULL, *default_env = NULL, *expected = NULL;

    (void)state;
    opts.argv = echo;
    echoed = output_of(opts);
    assert_string_equal(echoed, "a b $HOME;\n");
    opts.argv = env;
    opts.envp = two;
    given = output_of(opts);
    assert_string_equal(given, "A=1\nB=x y\n");
    opts.envp = NULL;
    default_env = output_of(opts);
    expected = strf_new("PATH=%s\n", secure_getenv("PATH"));
    assert_string_equal(default_env, expected);
}

static void path_and_folder(void **state)
{
    const char *const argv[] = {"some-name", NULL};
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_free char *text = NULL;

    (void)state;
    opts.argv = argv;
    opts.path = "/bin/pwd";
    opts.cwd = "/usr/bin";
    text = output_of(opts);
    assert_string_equal(text, "/usr/bin\n");
}

static void failures_are_reported(void **state)
{
    const char *const absent[] = {"/nonexistent/program", NULL};
    const char *const nowhere[] = {"volant-no-such-program", NULL};
    const char *const echo[] = {"echo", NULL};
    const char *const none[] = {NULL};
    static const struct proc_fd doubled[] = {{0, 5}, {1, 5}}, low[] = {{0, 2}}, high[] = {{0, 256}},
                                closed[] = {{-1, 5}}, bad[] = {{250, 5}};
    const struct {
        const char *const *argv;
        const char *cwd;
        const struct proc_fd *fds;
        size_t n_fds;
        int r;
    } table[] = {
        {absent, NULL, NULL, 0, -ENOENT}, {nowhere, NULL, NULL, 0, -ENOENT},        {none, NULL, NULL, 0, -EINVAL},
        {NULL, NULL, NULL, 0, -EINVAL},   {echo, "/nonexistent", NULL, 0, -ENOENT}, {echo, NULL, doubled, 2, -EINVAL},
        {echo, NULL, low, 1, -EINVAL},    {echo, NULL, high, 1, -EINVAL},           {echo, NULL, closed, 1, -EBADF},
        {echo, NULL, bad, 1, -EBADF},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct spawn_opts opts = SPAWN_OPTS_INIT;
        int pidfd = 4711;
        pid_t pid = 4711;

        opts.argv = table[i].argv;
        opts.cwd = table[i].cwd;
        opts.fds = table[i].fds;
        opts.n_fds = table[i].n_fds;
        assert_int_equal(proc_spawn(&opts, &pid, &pidfd), table[i].r);
        assert_int_equal(pidfd, 4711);
        assert_int_equal(pid, 4711);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* "fd name" lines of what a child sees in its /proc/self/fd, without the folders that find itself has open. */
static char *child_fds(struct spawn_opts opts)
{
    const char *const argv[] = {"find", "/proc/self/fd", "-type", "l", "!", "-xtype", "d", "-printf", "%f %l\n", NULL};

    opts.argv = argv;
    return output_of(opts);
}

static int temp_file(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* Moves fd to a number of the test's choice, close-on-exec. */
static int at_number(int fd, int number)
{
    assert_int_equal(dup3(fd, number, O_CLOEXEC), number);
    (void)close(fd);
    return number;
}

static void only_the_given_descriptors_arrive(void **state)
{
    char folder[] = "/tmp/volant-proc-test-XXXXXX", path[3][64], line[80];
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_free char *seen = NULL;
    struct proc_fd fds[3];
    size_t lines = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++)
        assert_true(strf(path[i], sizeof(path[i]), "%s/%c", folder, "abc"[i]) > 0);
    /*
     * Two that are swapped and one that stays; 24 has no close-on-exec and must not leak into the hole, nor 60 above.
     */
    fds[0] = (struct proc_fd){at_number(temp_file(path[0]), 20), 21};
    fds[1] = (struct proc_fd){at_number(temp_file(path[1]), 21), 20};
    fds[2] = (struct proc_fd){at_number(temp_file(path[2]), 25), 25};
    assert_int_equal(dup2(20, 24), 24);
    assert_int_equal(dup2(20, 60), 60);
    opts.fds = fds;
    opts.n_fds = 3;
    seen = child_fds(opts);
    for (int i = 0; i < 3; i++) {
        assert_true(strf(line, sizeof(line), "\n%d %s\n", fds[i].target, path[i]) > 0);
        assert_non_null(strstr(seen, line));
    }
    assert_true(str_starts(seen, "0 /dev/null\n1 pipe:"));
    for (const char *c = seen; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 6);
    assert_int_equal(fcntl(20, F_GETFD), FD_CLOEXEC); /* ours are as they were */
    assert_int_equal(fcntl(25, F_GETFD), FD_CLOEXEC);
    for (int i = 20; i <= 60; i++)
        (void)close(i);
    assert_int_equal(remove_tree_at(AT_FDCWD, folder), 0);
}

/* A chain of three and a source that a standard descriptor overwrites. */
static void overlapping_descriptors(void **state)
{
    char folder[] = "/tmp/volant-proc-test-XXXXXX", path[3][64];
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_free char *seen = NULL;
    struct proc_fd fds[3];

    (void)state;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        assert_true(strf(path[i], sizeof(path[i]), "%s/%c", folder, "abc"[i]) > 0);
        fds[i] = (struct proc_fd){at_number(temp_file(path[i]), 20 + i), 20 + (i + 1) % 3};
    }
    opts.fds = fds;
    opts.n_fds = 3;
    opts.stdin_fd = 22;
    opts.stderr_fd = 1;
    seen = child_fds(opts);
    for (int i = 0; i < 3; i++) {
        char line[80];

        assert_true(strf(line, sizeof(line), "\n%d %s\n", 20 + (i + 1) % 3, path[i]) > 0);
        assert_non_null(strstr(seen, line));
    }
    assert_true(str_starts(seen, "0 /tmp/"));
    for (int i = 20; i < 23; i++)
        (void)close(i);
    assert_int_equal(remove_tree_at(AT_FDCWD, folder), 0);
}

static void signals_are_reset_and_sessions_made(void **state)
{
    const char *const status[] = {"cat", "/proc/self/status", NULL};
    const char *const stat[] = {"cat", "/proc/self/stat", NULL};
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_free char *text = NULL, *stat_text = NULL;
    char ignored[17] = "";
    int pid, session;
    uint64_t mask;
    sigset_t all, before;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    opts.argv = status;
    text = output_of(opts);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    assert_non_null(strstr(text, "SigBlk:\t0000000000000000\n"));
    assert_non_null(strstr(text, "SigIgn:\t"));
    (void)memcpy(ignored, strstr(text, "SigIgn:\t") + 8, 16);
    assert_int_equal(parse_hex_u64(ignored, &mask), 0);
    assert_int_equal(mask & ~0x180000000u,
                     0); /* 32 and 33 are glibc's own: it ignores them until a program needs them */
    opts.argv = stat;
    opts.setsid = true;
    stat_text = output_of(opts);
    assert_int_equal(sscanf(stat_text, "%d (cat) R %*d %*d %d", &pid, &session), 2); /* NOLINT(cert-err34-c) */
    assert_int_equal(pid, session);
}

static void ends_are_told_apart(void **state)
{
    const char *const yes[] = {"true", NULL};
    const char *const no[] = {"false", NULL};
    const char *const sleeper[] = {"sleep", "60", NULL};
    int pidfd, status = 4711;
    pid_t pid;

    (void)state;
    spawn(yes, &pid, &pidfd);
    assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(proc_wait(pidfd, mono_ms() + DEADLINE_MS, NULL), 0);
    assert_int_equal(proc_wait(pidfd, mono_ms() + DEADLINE_MS, &status), -ECHILD);
    assert_int_equal(status, 4711);
    (void)close(pidfd);
    spawn(no, &pid, &pidfd);
    assert_int_equal(proc_wait(pidfd, -1, &status), 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    (void)close(pidfd);
    spawn(sleeper, &pid, &pidfd);
    status = 4711;
    assert_int_equal(proc_wait(pidfd, mono_ms() + 20, &status), -ETIMEDOUT);
    assert_int_equal(status, 4711);
    assert_int_equal(proc_kill(pidfd, SIGUSR1), 0);
    assert_int_equal(proc_wait(pidfd, mono_ms() + DEADLINE_MS, &status), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    assert_int_equal(proc_kill(pidfd, SIGUSR1), -ESRCH);
    (void)close(pidfd);
}

static void stopping_escalates(void **state)
{
    const char *const obeys[] = {"sleep", "60", NULL};
    /* the pipe says that the trap is set */
    const char *const ignores[] = {"env", "--ignore-signal=TERM", "sh", "-c", "echo ready; exec sleep 60", NULL};
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    int pidfd, status, fds[2];
    char ready[6];
    pid_t pid;
    int64_t start;

    (void)state;
    spawn(obeys, &pid, &pidfd);
    assert_int_equal(proc_stop(pidfd, DEADLINE_MS, &status), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    (void)close(pidfd);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    opts.argv = ignores;
    opts.stdout_fd = fds[1];
    assert_int_equal(proc_spawn(&opts, &pid, &pidfd), 0);
    assert_int_equal(read(fds[0], ready, sizeof(ready)), 6);
    start = mono_ms();
    assert_int_equal(proc_stop(pidfd, 50, &status), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_in_range(mono_ms() - start, 50, DEADLINE_MS);
    (void)close(pidfd);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void processes_are_recognised(void **state)
{
    const char *const sleeper[] = {"sleep", "60", NULL};
    struct proc_id id = {0}, other;
    int pidfd, again = -1;
    pid_t pid;
    struct pollfd wait;

    (void)state;
    assert_int_equal(proc_id_of(0, &id), -EINVAL);
    assert_int_equal(proc_id_of(0x3ffffff, &id), -ESRCH);
    assert_int_equal(id.pid, 0);
    assert_false(proc_alive(&id));
    assert_int_equal(proc_open(&id, &again), -ESRCH);
    spawn(sleeper, &pid, &pidfd);
    assert_int_equal(proc_id_of(pid, &id), 0);
    assert_int_equal(id.pid, pid);
    assert_true(proc_alive(&id));
    other = (struct proc_id){.pid = pid, .start = id.start + 1};
    assert_false(proc_alive(&other));
    assert_int_equal(proc_open(&other, &again), -ESRCH);
    assert_int_equal(again, -1);
    assert_int_equal(proc_open(&id, &again), 0);
    assert_int_equal(proc_kill(again, SIGKILL), 0);
    wait = (struct pollfd){.fd = again, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, DEADLINE_MS), 1);
    assert_false(proc_alive(&id)); /* a zombie by now */
    assert_int_equal(proc_wait(pidfd, mono_ms() + DEADLINE_MS, NULL), 0);
    assert_false(proc_alive(&id));
    assert_int_equal(proc_open(&id, &pidfd), -ESRCH);
    (void)close(again);
    (void)close(pidfd);
}

/* A name that imitates the fields behind it. */
static void names_cannot_deceive(void **state)
{
    struct proc_id before, after;
    char name[16];

    (void)state;
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    assert_int_equal(proc_id_of(getpid(), &before), 0);
    assert_int_equal(prctl(PR_SET_NAME, "x) Z 1 2 3 (y"), 0);
    assert_int_equal(proc_id_of(getpid(), &after), 0);
    assert_true(proc_alive(&before));
    assert_int_equal(after.start, before.start);
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
}

/* What cannot be told for want of a descriptor is not taken for an end. */
static void a_shortage_is_no_death(void **state)
{
    struct rlimit before, none;
    struct proc_id self;
    char known[40], now[40];
    bool alive;

    (void)state;
    host_boot_id(known);
    assert_int_equal(proc_id_of(getpid(), &self), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    alive = proc_alive(&self);
    host_boot_id(now);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(alive);
    assert_string_equal(now, known);
}

static void late_children_are_reaped(void **state)
{
    const char *const argv[] = {"/bin/sleep", "60", NULL};
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_close int pidfd = -1;
    siginfo_t info = {0};
    pid_t pid;

    (void)state;
    opts.argv = argv;
    assert_int_equal(proc_spawn(&opts, &pid, &pidfd), 0);
    proc_reap_later(pid);
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(proc_kill(pidfd, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    proc_reap_late();
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), -1);
}

static void host_and_program(void **state)
{
    char boot_id[40], folder[256], expected[256], tiny[2];

    (void)state;
    host_boot_id(boot_id);
    assert_int_equal(strlen(boot_id), 36);
    assert_int_equal(own_folder(folder, sizeof(folder)), 0);
    assert_int_equal(folder[0], '/');
    assert_true(strf(expected, sizeof(expected), "%s/%s", folder, program_invocation_short_name) > 0);
    assert_int_equal(access(expected, X_OK), 0);
    assert_int_equal(own_folder(tiny, sizeof(tiny)), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_and_environment_are_explicit),
        cmocka_unit_test(path_and_folder),
        cmocka_unit_test(failures_are_reported),
        cmocka_unit_test(only_the_given_descriptors_arrive),
        cmocka_unit_test(overlapping_descriptors),
        cmocka_unit_test(signals_are_reset_and_sessions_made),
        cmocka_unit_test(ends_are_told_apart),
        cmocka_unit_test(stopping_escalates),
        cmocka_unit_test(processes_are_recognised),
        cmocka_unit_test(names_cannot_deceive),
        cmocka_unit_test(a_shortage_is_no_death),
        cmocka_unit_test(late_children_are_reaped),
        cmocka_unit_test(host_and_program),
    };

    /* a folder in PATH that cannot be searched would turn "not found" into "not permitted" */
    if (setenv("PATH", "/usr/bin:/bin", 1) < 0) return 1; /* NOLINT(concurrency-mt-unsafe) */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
