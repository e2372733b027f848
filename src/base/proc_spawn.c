/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_spawn with exactly the descriptors that were asked for. Its file actions run in the child one after the other,
 * so a dup2 onto a number that a later one still reads from would hand over the wrong file: such sources are first
 * duplicated, above all targets, in the parent.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "base/str.h"

#define TARGET_MAX 255 /* numbers between the targets are closed one by one */

struct plan {
    struct proc_fd *moves; /* what the child's dup2s do, 0-2 among them */
    int *copies;           /* duplicates of ours to close afterwards, -1 for none; one for each move */
    size_t n;
    int highest; /* target */
};

static void plan_done(struct plan *p)
{
    for (size_t i = 0; i < p->n && p->copies; i++)
        closep(&p->copies[i]);
    free(p->moves);
    free(p->copies);
}

static bool is_target(const struct plan *p, int fd)
{
    if (fd <= 2) return true; /* opened on /dev/null where nothing is moved there */
    for (size_t i = 0; i < p->n; i++)
        if (p->moves[i].target == fd) return true;
    return false;
}

static int add_moves(struct plan *p, const struct spawn_opts *opts)
{
    const int std_fds[] = {opts->stdin_fd, opts->stdout_fd, opts->stderr_fd};

    p->highest = 2;
    for (int i = 0; i < 3; i++)
        if (std_fds[i] >= 0) p->moves[p->n++] = (struct proc_fd){std_fds[i], i};
    for (size_t i = 0; i < opts->n_fds; i++) {
        const struct proc_fd *fd = &opts->fds[i];

        if (fd->fd < 0) return -EBADF;
        if (fd->target > TARGET_MAX || is_target(p, fd->target)) return -EINVAL;
        p->moves[p->n++] = *fd;
        if (fd->target > p->highest) p->highest = fd->target;
    }
    return 0;
}

static int plan_make(struct plan *p, const struct spawn_opts *opts)
{
    size_t max = opts->n_fds + 3;
    int r;

    if (!(p->moves = calloc(max, sizeof(*p->moves))) || !(p->copies = malloc(max * sizeof(*p->copies)))) return -ENOMEM;
    for (size_t i = 0; i < max; i++)
        p->copies[i] = -1;
    if ((r = add_moves(p, opts)) < 0) return r;
    for (size_t i = 0; i < p->n; i++) {
        struct proc_fd *move = &p->moves[i];

        if (move->fd == move->target || !is_target(p, move->fd)) continue;
        if ((p->copies[i] = fcntl(move->fd, F_DUPFD_CLOEXEC, p->highest + 1)) < 0) return -errno;
        move->fd = p->copies[i];
    }
    return 0;
}

/*
 * Moves, then /dev/null for what is missing of 0-2, then everything else shut, ours that somebody left inheritable too.
 */
static int add_actions(posix_spawn_file_actions_t *actions, const struct plan *p, const struct spawn_opts *opts)
{
    const int std_fds[] = {opts->stdin_fd, opts->stdout_fd, opts->stderr_fd};
    int r = 0;

    /* Where fd equals target, the dup2 of posix_spawn (POSIX.1-2024, glibc 2.29) clears close-on-exec. */
    for (size_t i = 0; i < p->n && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(actions, p->moves[i].fd, p->moves[i].target);
    for (int i = 0; i < 3 && r == 0; i++)
        if (std_fds[i] < 0)
            r = posix_spawn_file_actions_addopen(actions, i, "/dev/null", i == 0 ? O_RDONLY : O_WRONLY, 0);
    for (int fd = 3; fd < p->highest && r == 0; fd++)
        if (!is_target(p, fd)) r = posix_spawn_file_actions_addclose(actions, fd);
    if (r == 0) r = posix_spawn_file_actions_addclosefrom_np(actions, p->highest + 1);
    if (r == 0 && opts->cwd) r = posix_spawn_file_actions_addchdir_np(actions, opts->cwd);
    return -r;
}

static int set_attributes(posix_spawnattr_t *attr, bool setsid)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, all;
    int r;

    if (setsid) flags |= POSIX_SPAWN_SETSID;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if ((r = posix_spawnattr_setsigmask(attr, &none)) != 0) return -r;
    if ((r = posix_spawnattr_setsigdefault(attr, &all)) != 0) return -r;
    return -posix_spawnattr_setflags(attr, flags);
}

static int spawn_planned(const struct spawn_opts *opts, const struct plan *p, const char *const *envp, pid_t *ret_pid)
{
    const char *path = opts->path ? opts->path : opts->argv[0];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int r;

    if ((r = posix_spawn_file_actions_init(&actions)) != 0) return -r;
    if ((r = posix_spawnattr_init(&attr)) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    if ((r = set_attributes(&attr, opts->setsid)) == 0) r = add_actions(&actions, p, opts);
    /* posix_spawn takes writable strings for historical reasons only. */
    if (r == 0)
        r = -(opts->path ? posix_spawn : posix_spawnp)(ret_pid, path, &actions, &attr, (char *const *)opts->argv,
                                                       (char *const *)envp);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* "PATH=...", the caller's; NULL if out of memory */
static char *path_entry(void)
{
    const char *path = secure_getenv("PATH");

    return strf_new("PATH=%s", path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

int proc_spawn(const struct spawn_opts *opts, pid_t *ret_pid, int *ret_pidfd)
{
    auto_(plan_done) struct plan plan = {0};
    auto_free char *path = path_entry();
    const char *const path_only[] = {path, NULL};
    pid_t pid = -1;
    int r, pidfd;

    if (!opts->argv || !opts->argv[0]) return -EINVAL;
    if (!path) return -ENOMEM;
    if ((r = plan_make(&plan, opts)) < 0) return r;
    if ((r = spawn_planned(opts, &plan, opts->envp ? opts->envp : path_only, &pid)) < 0) return r;
    if ((pidfd = pidfd_open(pid, 0)) < 0) {
        r = -errno;
        (void)kill(opts->setsid ? -pid : pid, SIGKILL); /* what it may have started is of its group */
        (void)waitpid(pid, NULL, 0);
        return r;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
