/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes and the identity of processes that are not ours. No shell anywhere. */
#pragma once
#include <sys/types.h>

#include "base/defs.h"

/*
 * A descriptor of ours and the number the child knows it by (targets are distinct and 3 to 255, sources any, also
 * swapped).
 */
struct proc_fd {
    int fd, target;
};

struct spawn_opts {
    const char *const *argv; /* argv[0] is the path to execute unless `path` is set; NULL-terminated */
    const char *path;        /* NULL: argv[0], searched in PATH if it has no slash */
    const char *const *envp; /* NULL: an empty environment but PATH */
    const struct proc_fd *fds;
    size_t n_fds;
    int stdin_fd, stdout_fd, stderr_fd; /* -1 means /dev/null; pass 2 to share our stderr */
    const char *cwd;                    /* NULL: inherit */
    bool setsid;                        /* own session */
};
/* Zero is not a good default for the three descriptors: begin with this. */
#define SPAWN_OPTS_INIT ((struct spawn_opts){.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1})

/*
 * posix_spawn with an empty signal mask and default handlers; nothing but `fds` and 0-2 is inherited, not even what
 * lacks close-on-exec. *ret_pidfd is a pidfd (poll for POLLIN = ended), the caller's. The caller is the one owner and
 * must reap it. A relative path with a slash is looked up in `cwd`. -ENOENT and -EACCES are of the program or of `cwd`.
 */
int proc_spawn(const struct spawn_opts *opts, pid_t *ret_pid, int *ret_pidfd);
/*
 * Waits until the child ends or the deadline passes (-ETIMEDOUT); *ret_status (may be NULL) as waitpid(2) gives it.
 * Reaps.
 */
int proc_wait(int pidfd, int64_t deadline_ms, int *ret_status);
/* SIGTERM, `grace_ms`, SIGKILL, reap (-ETIMEDOUT if the kernel holds it for 10 s more). For children of ours. */
int proc_stop(int pidfd, int grace_ms, int *ret_status);

/*
 * A child that has not ended when everybody is done with it: proc_reap_late, for whoever hears SIGCHLD, reaps it when
 * it has. Any thread. (Of 64 at a time; one more stays a zombie until we end.)
 */
void proc_reap_later(pid_t pid);
void proc_reap_late(void);

/*
 * A process as it can be recognised later, also by another process of ours: a pid is reused, pid + start time is not.
 */
struct proc_id {
    pid_t pid;
    uint64_t start; /* field 22 of /proc/PID/stat, clock ticks since boot */
};
int proc_id_of(pid_t pid, struct proc_id *ret); /* -ESRCH if there is none */
/* Whether that very process still runs (a zombie does not); true where the host is too short of something to tell. */
bool proc_alive(const struct proc_id *id);
/* A pidfd for that very process: -ESRCH if it is gone or another one has its pid. */
int proc_open(const struct proc_id *id, int *ret_pidfd);
int proc_kill(int pidfd, int sig);

/*
 * /proc/sys/kernel/random/boot_id without its newline; "" if unreadable. Read once: whoever takes another answer for a
 * restart of the host is not to be misled by a moment without descriptors.
 */
void host_boot_id(char buf[static 40]);
/* Absolute path of the running program's folder. */
int own_folder(char *buf, size_t size);
