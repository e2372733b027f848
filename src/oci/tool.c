/* SPDX-License-Identifier: Apache-2.0 */
/* See tool.h. Signals are let in only while we wait, so that none comes between the look at `stop` and the wait. */
#include "oci/tool.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"

#define TIMEOUT_S     1800
#define STALL_MS      300000 /* it takes nothing of what it is fed */
#define GRACE_MS      2000
#define COMPLAINT_MAX 8192
#define PIPE_SIZE     (1 << 20)

extern char **environ;

static const char *const system_folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin",
                                             "/sbin",           "/bin",           NULL};

static bool try_folder(const char *folder, size_t len, const char *name, char *buf, size_t size)
{
    return len > 0 && strf(buf, size, "%.*s/%s", (int)len, folder, name) > 0 && access(buf, X_OK) == 0;
}

/* mke2fs is in a folder that an ordinary user's PATH lacks. */
bool tool_find(const char *name, char *buf, size_t size)
{
    const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */

    if (strchr(name, '/')) return strf(buf, size, "%s", name) > 0 && access(buf, X_OK) == 0;
    for (; path && *path; path += strcspn(path, ":"), path += *path == ':')
        if (try_folder(path, strcspn(path, ":"), name, buf, size)) return true;
    for (const char *const *folder = system_folders; *folder; folder++)
        if (try_folder(*folder, strlen(*folder), name, buf, size)) return true;
    return false;
}

/* Of no use to the tools of others, who may show what they were started with. */
static bool is_secret(const char *item)
{
    return str_starts(item, "VOLANT_API_TOKEN=") || str_starts(item, "VOLANT_API_KEY=");
}

/* The first of two equal names counts, for getenv(3) as for us. */
static int make_env(const char *const *extra, struct strv *ret)
{
    int r = 0;

    for (; r == 0 && extra && *extra; extra++)
        r = strv_add(ret, *extra);
    for (char **item = environ; r == 0 && item && *item; item++)
        if (!is_secret(*item)) r = strv_add(ret, *item);
    return r;
}

static int spawn(const char *path, const char *const *argv, const char *const *extra_env, int in_fd, struct tool *t)
{
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_strv env = {0};
    pid_t pid;
    int r;

    if ((r = make_env(extra_env, &env)) < 0) return r;
    t->out_fd = memfd_create("out", MFD_CLOEXEC);
    t->err_fd = memfd_create("err", MFD_CLOEXEC);
    if (t->out_fd < 0 || t->err_fd < 0) return -errno;
    opts.argv = argv;
    opts.path = path;
    opts.envp = (const char *const *)env.items;
    opts.stdin_fd = in_fd;
    opts.stdout_fd = t->out_fd;
    opts.stderr_fd = t->err_fd;
    return proc_spawn(&opts, &pid, &t->pidfd);
}

int tool_start(const char *const *argv, const char *package, const char *const *extra_env, bool feed, struct tool *ret,
               struct vl_error *err)
{
    auto_tool t = {.name = argv[0], .pidfd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1};
    int ends[2] = {-1, -1}, r;
    char path[4096];

    if (!tool_find(argv[0], path, sizeof(path)))
        return vl_fail(err, VL_INVALID, "the program '%s' is not installed: install Debian's package '%s'", argv[0],
                       package);
    if (feed && pipe2(ends, O_CLOEXEC) < 0) return vl_fail_errno(err, errno, "start %s", argv[0]);
    t.in_fd = ends[1];
    if (feed) (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE); /* a smaller one only takes longer */
    r = feed ? set_nonblock(ends[1], true) : 0;
    if (r == 0) r = spawn(path, argv, extra_env, ends[0], &t);
    if (ends[0] >= 0) (void)close(ends[0]);
    if (r < 0) return vl_fail_errno(err, r, "start %s", path);
    *ret = t;
    t = (struct tool){0};
    return 0;
}

/* 0 when one of fds is ready; signals come in only here. */
static int wait_for(const struct oci_job *job, struct pollfd *fds, nfds_t n, int64_t deadline_ms, struct vl_error *err)
{
    struct timespec left;
    sigset_t ends, old;
    int r, errnum, ms;

    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGHUP);
    for (;;) {
        (void)pthread_sigmask(SIG_BLOCK, &ends, &old);
        if ((r = oci_job_check(job, err)) == 0) {
            ms = deadline_left(deadline_ms);
            left = (struct timespec){ms / 1000, (ms % 1000) * 1000000L};
            r = ppoll(fds, n, &left, &old);
            errnum = errno;
            if (r == 0) r = vl_fail(err, VL_UNAVAILABLE, "it made no progress in time and was ended");
            if (r == -1) r = errnum == EINTR ? 0 : vl_fail_errno(err, errnum, "wait for it");
        }
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r != 0) return r > 0 ? 0 : r;
    }
}

int tool_feed(struct tool *t, const struct oci_job *job, const void *data, size_t n, struct vl_error *err)
{
    const char *at = data;
    int r;

    while (n > 0) {
        ssize_t put = write(t->in_fd, at, n);

        if (put > 0) {
            at += put;
            n -= (size_t)put;
        } else if (put < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = t->in_fd, .events = POLLOUT};

            if ((r = wait_for(job, &ready, 1, mono_ms() + STALL_MS, err)) < 0) return r;
        } else if (put < 0 && errno != EINTR) {
            return vl_fail_errno(err, errno, "feed %s", t->name);
        }
    }
    return 0;
}

void tool_abort(struct tool *t)
{
    if (!t->name) return;
    closep(&t->in_fd);
    if (t->pidfd >= 0) {
        (void)proc_stop(t->pidfd, GRACE_MS, NULL);
        (void)close(t->pidfd);
    }
    closep(&t->out_fd);
    closep(&t->err_fd);
    *t = (struct tool){0};
}

/* What it said last, which is where programs say why; skopeo's own prefix of time and level is left out. */
static void last_line(int fd, char *buf, size_t size)
{
    char text[COMPLAINT_MAX + 1];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > COMPLAINT_MAX ? end - COMPLAINT_MAX : 0;
    ssize_t n = end > 0 ? pread(fd, text, COMPLAINT_MAX, from) : 0;
    const char *line, *msg;

    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    text[n > 0 ? n : 0] = '\0';
    line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    if ((msg = strstr(line, " msg=\""))) line = msg + strlen(" msg=");
    (void)escape_printable(buf, size, line, strlen(line));
}

static int judge(struct tool *t, int status, struct vl_error *err)
{
    char line[400];

    if (status == 0) return 0;
    last_line(t->err_fd, line, sizeof(line));
    if (strstr(line, "No space left on device")) return vl_fail_errno(err, ENOSPC, "%s", t->name);
    if (WIFSIGNALED(status))
        return vl_fail(err, VL_INTERNAL, "%s was killed by signal %d: %s", t->name, WTERMSIG(status), line);
    return vl_fail(err, VL_INVALID, "%s ended with %d: %s", t->name, WEXITSTATUS(status), line);
}

int tool_finish(struct tool *t, const struct oci_job *job, size_t max, char **ret_out, size_t *ret_len,
                struct vl_error *err)
{
    struct pollfd ended = {.fd = t->pidfd, .events = POLLIN};
    int64_t deadline = mono_ms() + 1000LL * (job->timeout_s > 0 ? job->timeout_s : TIMEOUT_S);
    int status = 0, r;

    closep(&t->in_fd);
    t->in_fd = -1;
    if ((r = wait_for(job, &ended, 1, deadline, err)) < 0) {
        (void)vl_wrap(err, "%s", t->name);
    } else if ((r = proc_wait(t->pidfd, mono_ms() + GRACE_MS, &status)) < 0) {
        r = vl_fail_errno(err, r, "wait for %s", t->name);
    } else {
        (void)close(take_fd(&t->pidfd));
        r = judge(t, status, err);
    }
    if (r == 0 && ret_out) {
        r = lseek(t->out_fd, 0, SEEK_SET) < 0 ? -errno : read_all(t->out_fd, max, ret_out, ret_len);
        if (r < 0) r = vl_fail_errno(err, r, "read what %s printed", t->name);
    }
    tool_abort(t);
    return r;
}

int tool_run(const char *const *argv, const char *package, const char *const *extra_env, const struct oci_job *job,
             size_t max, char **ret_out, size_t *ret_len, struct vl_error *err)
{
    struct tool t = {.pidfd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1};
    int r = tool_start(argv, package, extra_env, false, &t, err);

    return r < 0 ? r : tool_finish(&t, job, max, ret_out, ret_len, err);
}
