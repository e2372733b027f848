/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/io.h"

#define VMM_FILES   4096 /* descriptors: two or three per connection to a published port */
#define VMM_THREADS 512  /* of its uid: vCPUs, I/O and at most 64 pool threads; only where the uid is the VM's own */

/* What the child could not do: it has no other way to tell than a pipe that a successful exec closes. */
struct failure {
    int errnum;
    char step[44];
};

int child_prepare(const struct options *o, struct vl_error *err)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

    if (fcntl(o->vmm_console_fd, F_GETFD) >= 0)
        return vl_fail(err, VL_INVALID, "--vmm-console-fd %d is in use", o->vmm_console_fd);
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) return vl_fail_errno(err, errno, "mark descriptors");
    /* Held, so that nothing opened before the fork gets the number. */
    if (dup3(STDIN_FILENO, o->vmm_console_fd, O_CLOEXEC) < 0) return vl_fail_errno(err, errno, "reserve a descriptor");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return vl_fail_errno(err, errno, "no new privileges");
    /* Without root the VMM has our uid: this keeps it from tracing us. Its own exec makes the VMM dumpable again. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return vl_fail_errno(err, errno, "forbid tracing");
    /* The shim ends when the VMM has, not before: whoever shuts the host down ends the VMM. */
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)umask(077);
    return 0;
}

static _Noreturn void give_up(int report, const char *step, int errnum)
{
    struct failure f = {.errnum = errnum};

    (void)strncat(f.step, step, sizeof(f.step) - 1);
    (void)!write(report, &f, sizeof(f));
    _exit(127);
}

static int limit(int resource, rlim_t want)
{
    struct rlimit now, l = {want, want};

    if (getrlimit((__rlimit_resource_t)resource, &now) < 0) return -1;
    if (now.rlim_max < want) l.rlim_cur = l.rlim_max = now.rlim_max; /* raising is not ours to do */
    return setrlimit((__rlimit_resource_t)resource, &l);
}

/*
 * The one capability a VMM may keep, to publish ports below 1024: ambient, so that it survives exec without a file
 * capability; no_new_privs does not stand in the way of what the process has already.
 */
static int keep_bind_capability(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    data[0].effective = data[0].permitted = data[0].inheritable = 1U << CAP_NET_BIND_SERVICE;
    if (syscall(SYS_capset, &header, data) < 0) return -1;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

static void become(const struct options *o, int report)
{
    if (limit(RLIMIT_NPROC, VMM_THREADS) < 0) give_up(report, "limit threads", errno);
    if (o->bind_low_ports && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) give_up(report, "keep capabilities", errno);
    if (setgroups(o->has_group, &o->group) < 0) give_up(report, "drop groups", errno);
    if (setresgid(o->gid, o->gid, o->gid) < 0) give_up(report, "change gid", errno);
    if (setresuid(o->uid, o->uid, o->uid) < 0) give_up(report, "change uid", errno);
    if (o->bind_low_ports && keep_bind_capability() < 0) give_up(report, "keep the right to bind low ports", errno);
}

static _Noreturn void run_child(const struct options *o, int console, int err_pipe, int report)
{
    static const int restored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    char *const environment[] = {NULL};

    for (size_t i = 0; i < ARRAY_LEN(restored); i++)
        (void)signal(restored[i], SIG_DFL);
    if (dup2(err_pipe, STDOUT_FILENO) < 0 || dup2(err_pipe, STDERR_FILENO) < 0)
        give_up(report, "redirect its output", errno);
    if (dup2(console, o->vmm_console_fd) < 0) give_up(report, "hand over the console", errno);
    for (size_t i = 0; i < o->n_inherit; i++)
        if (fcntl(o->inherit[i], F_SETFD, 0) < 0) give_up(report, "hand over descriptors", errno);
    if (limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_NOFILE, VMM_FILES) < 0) give_up(report, "set limits", errno);
    if (o->drop) become(o, report);
    (void)execve(o->argv[0], o->argv, environment);
    give_up(report, "execute", errno);
}

/* Waits for exec: the pipe's end without a word is success. */
static int exec_result(int report, const char *program, struct vl_error *err)
{
    struct failure f = {0};
    ssize_t n;

    while ((n = read(report, &f, sizeof(f))) < 0 && errno == EINTR)
        ;
    if (n == 0) return 0;
    if (n != (ssize_t)sizeof(f)) return vl_fail(err, VL_INTERNAL, "%s: the child died before it was executed", program);
    return vl_fail_errno(err, f.errnum, "%s: cannot %.*s", program, (int)sizeof(f.step), f.step);
}

void child_abort(struct child *c)
{
    (void)kill(c->pid, SIGKILL);
    (void)waitpid(c->pid, NULL, 0);
    closep(&c->pidfd);
    closep(&c->console);
    closep(&c->stderr_fd);
}

static void close_inherited(const struct options *o)
{
    for (size_t i = 0; i < o->n_inherit; i++)
        (void)close(o->inherit[i]);
    (void)close(o->vmm_console_fd);
}

int child_start(const struct options *o, struct child *ret, struct vl_error *err)
{
    int console[2], text[2], report[2], r;
    struct child c = {.pidfd = -1};

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) < 0 || pipe2(text, O_CLOEXEC) < 0 ||
        pipe2(report, O_CLOEXEC) < 0)
        return vl_fail_errno(err, errno, "make the VMM's pipes"); /* the shim ends now */
    if ((c.pid = fork()) < 0) return vl_fail_errno(err, errno, "fork");
    if (c.pid == 0) run_child(o, console[1], text[1], report[1]);
    (void)close(console[1]);
    (void)close(text[1]);
    (void)close(report[1]);
    close_inherited(o);
    c.console = console[0];
    c.stderr_fd = text[0];
    r = exec_result(report[0], o->argv[0], err);
    (void)close(report[0]);
    if (r == 0 && ((c.pidfd = pidfd_open(c.pid, 0)) < 0 || set_nonblock(c.console, true) < 0 ||
                   set_nonblock(c.stderr_fd, true) < 0))
        r = vl_fail_errno(err, errno, "watch the VMM");
    if (r < 0) {
        child_abort(&c);
        return r;
    }
    *ret = c;
    return 0;
}
