/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, waiting for and recognising processes. */
#include "base/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define KILL_WAIT_MS 10000 /* a killed process may still be in the kernel for a while, not for ever */
#define LATE_MAX     64
#define START_FIELD  22 /* of /proc/PID/stat, proc(5) */

int proc_wait(int pidfd, int64_t deadline_ms, int *ret_status)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    siginfo_t info = {0};
    int r;

    while ((r = poll(&wait, 1, deadline_left(deadline_ms))) < 0)
        if (errno != EINTR) return -errno;
    if (r == 0) return -ETIMEDOUT;
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
        if (errno != EINTR) return -errno;
    if (!ret_status) return 0;
    if (info.si_code == CLD_EXITED)
        *ret_status = (info.si_status & 0xff) << 8;
    else
        *ret_status = info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
    return 0;
}

int proc_kill(int pidfd, int sig)
{
    return pidfd_send_signal(pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

int proc_stop(int pidfd, int grace_ms, int *ret_status)
{
    int r = proc_kill(pidfd, SIGTERM);

    if (r < 0 && r != -ESRCH) return r;
    if ((r = proc_wait(pidfd, mono_ms() + grace_ms, ret_status)) != -ETIMEDOUT) return r;
    if ((r = proc_kill(pidfd, SIGKILL)) < 0 && r != -ESRCH) return r;
    return proc_wait(pidfd, mono_ms() + KILL_WAIT_MS, ret_status);
}

/* --- children that end late --------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock; /* guards `pids`, 0 where there is none */
    pid_t pids[LATE_MAX];
} late = {.lock = PTHREAD_MUTEX_INITIALIZER};

void proc_reap_late(void)
{
    (void)pthread_mutex_lock(&late.lock);
    for (size_t i = 0; i < LATE_MAX; i++)
        if (late.pids[i] && waitpid(late.pids[i], NULL, WNOHANG) != 0) late.pids[i] = 0;
    (void)pthread_mutex_unlock(&late.lock);
}

void proc_reap_later(pid_t pid)
{
    (void)pthread_mutex_lock(&late.lock);
    for (size_t i = 0; i < LATE_MAX; i++) {
        if (late.pids[i]) continue;
        late.pids[i] = pid;
        break;
    }
    (void)pthread_mutex_unlock(&late.lock);
    proc_reap_late(); /* its signal may have come a moment ago */
}

/* --- recognising ------------------------------------------------------------------------------------------------- */

/*
 * State and start time from /proc/PID/stat: "pid (name) S ppid ...". The name is the process' own choice, brackets and
 * spaces included, so fields are counted from behind the last ')', the third.
 */
static int parse_stat(const char *stat, char *ret_state, uint64_t *ret_start)
{
    const char *at = strrchr(stat, ')');
    char state, start_text[24];
    size_t len;

    if (!at || at[1] != ' ' || !at[2]) return -EINVAL;
    at += 2;
    state = *at;
    for (int field = 3; field < START_FIELD; field++) {
        if (!(at = strchr(at, ' '))) return -EINVAL;
        at++;
    }
    len = strcspn(at, " \n");
    if (strf(start_text, sizeof(start_text), "%.*s", (int)len, at) < 0) return -EINVAL;
    if (parse_u64(start_text, 0, UINT64_MAX, ret_start) < 0) return -EINVAL;
    *ret_state = state;
    return 0;
}

static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    auto_free char *stat = NULL;
    char path[32];
    int r;

    if (pid <= 0) return -EINVAL;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    r = read_file_at(AT_FDCWD, path, 4096, &stat, NULL);
    if (r < 0) return r == -ENOENT ? -ESRCH : r;
    return parse_stat(stat, ret_state, ret_start);
}

int proc_id_of(pid_t pid, struct proc_id *ret)
{
    uint64_t start;
    char state;
    int r = read_stat(pid, &state, &start);

    if (r < 0) return r;
    *ret = (struct proc_id){.pid = pid, .start = start};
    return 0;
}

static bool is_dead(char state)
{
    return state == 'Z' || state == 'X';
}

bool proc_alive(const struct proc_id *id)
{
    uint64_t start;
    char state;

    int r = read_stat(id->pid, &state, &start);

    return r < 0 ? r != -ESRCH && r != -EINVAL : start == id->start && !is_dead(state);
}

int proc_open(const struct proc_id *id, int *ret_pidfd)
{
    auto_close int fd = -1;
    uint64_t start;
    char state;
    int r;

    if (id->pid <= 0) return -ESRCH;
    if ((fd = pidfd_open(id->pid, 0)) < 0) return -errno;
    /* In this order: whoever has the pid and the start time now has had the pid when it was opened. */
    if ((r = read_stat(id->pid, &state, &start)) < 0) return r;
    if (start != id->start || is_dead(state)) return -ESRCH;
    *ret_pidfd = take_fd(&fd);
    return 0;
}

void host_boot_id(char buf[static 40])
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `known` */
    static char known[40];                                   /* "" until it was read */
    auto_free char *text = NULL;

    (void)pthread_mutex_lock(&lock);
    if (!*known && read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, NULL) == 0)
        (void)strf(known, sizeof(known), "%.*s", (int)strcspn(text, "\n"), text);
    memcpy(buf, known, sizeof(known));
    (void)pthread_mutex_unlock(&lock);
}

int own_folder(char *buf, size_t size)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
    char *slash;

    if (n < 0) return -errno;
    if ((size_t)n >= sizeof(path)) return -ENAMETOOLONG;
    path[n] = '\0';
    slash = strrchr(path, '/'); /* " (deleted)" behind a replaced program's name goes with the name */
    if (!slash) return -EIO;
    if (slash == path) slash++;
    *slash = '\0';
    return strf(buf, size, "%s", path) < 0 ? -ENAMETOOLONG : 0;
}
