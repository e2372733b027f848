/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See workload.h. A child that shares our memory until its exec, as vfork(2) makes one but on a stack of its own: under
 * emulation the copy of an address space that fork makes takes milliseconds. posix_spawn does the same but cannot
 * change user and groups. We are suspended meanwhile, so the child leaves what failed in the plan.
 */
#include "kestrel/workload.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/str.h"
#include "kestrel/user.h"

#define FILES_HARD_LIMIT 524288 /* what systemd allows; programs raise their own soft limit up to it */

#define CHILD_STACK_BYTES 65536

enum stage { STAGE_NONE, STAGE_SETUP, STAGE_WORKDIR, STAGE_USER, STAGE_EXEC };

struct plan {
    const struct workload *w;
    const struct strv *argv;
    const char *field; /* of the manifest that argv is from */
    struct user user;
    struct strv env;
    char program[PATH_MAX];
    int out[2], err[2]; /* pipes; without err, both outputs go into out */
    enum stage failed;  /* written by the child */
    int errnum;
};

static void plan_done(struct plan *p)
{
    for (size_t i = 0; i < 2; i++) {
        closep(&p->out[i]);
        closep(&p->err[i]);
    }
    strv_done(&p->env);
}

static int plan_environment(struct plan *p)
{
    const struct strmap *env = &p->w->env;
    int r = 0;

    if (!strmap_get(env, "PATH")) r = strv_add(&p->env, "PATH=" WORKLOAD_PATH);
    if (r == 0 && !strmap_get(env, "HOME")) r = strv_addf(&p->env, "HOME=%s", p->user.home);
    for (size_t i = 0; r == 0 && i < env->len; i++)
        r = strv_addf(&p->env, "%s=%s", env->items[i].key, env->items[i].value);
    return r;
}

/* A name without a slash is searched as execvp(3) does, but in the workload's own PATH. */
static int plan_program(struct plan *p, struct vl_error *err)
{
    const char *name = p->argv->items[0], *dir = strmap_get(&p->w->env, "PATH");
    bool denied = false;
    struct stat st;

    if (strchr(name, '/')) {
        if (strf(p->program, sizeof(p->program), "%s", name) < 0)
            return vl_fail(err, VL_INVALID, "%s: the path is longer than %d bytes", p->field, PATH_MAX - 1);
        return 0;
    }
    if (!dir) dir = WORKLOAD_PATH;
    for (size_t n; *dir; dir += n + (dir[n] == ':')) {
        n = strcspn(dir, ":");
        if (strf(p->program, sizeof(p->program), "%.*s/%s", (int)n, dir, name) < 0) continue;
        if (stat(p->program, &st) < 0 || !S_ISREG(st.st_mode)) continue;
        if ((st.st_mode & 0111) != 0) return 0;
        denied = true;
    }
    if (denied) return vl_fail(err, VL_INVALID, "%s: '%s' is not executable, set its mode to 0755", p->field, name);
    return vl_fail(err, VL_NOT_FOUND, "%s: no '%s' in PATH, map the program in or name its absolute path", p->field,
                   name);
}

static int plan_pipe(const struct plan *p, int ends[static 2])
{
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    /* Or a program that opens /dev/stdout anew would be refused. */
    if (p->user.uid != 0 && fchown(ends[1], p->user.uid, p->user.gid) < 0) return -errno;
    return 0;
}

int workload_user(const struct workload *w, struct user *ret, struct vl_error *err)
{
    auto_close int root_fd = -1;

    if (!w->user) {
        *ret = (struct user){.home = "/root"};
        return 0;
    }
    if ((root_fd = open_dir("/")) < 0) return vl_fail_errno(err, root_fd, "open /");
    return user_find(root_fd, w->user, ret, err);
}

static void reset_signals(void)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
}

static int become_user(const struct plan *p)
{
    if (!p->w->user) return 0;
    if (setgroups(p->user.n_groups, p->user.groups) < 0 || setgid(p->user.gid) < 0 || setuid(p->user.uid) < 0)
        return -errno;
    return 0;
}

static int child_setup(const struct plan *p)
{
    struct rlimit files = {1024, FILES_HARD_LIMIT};
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), err_fd = p->err[1] < 0 ? p->out[1] : p->err[1];

    (void)setsid();
    reset_signals();
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(p->out[1], 1) < 0 || dup2(err_fd, 2) < 0) return -errno;
    return 0;
}

static int fail(struct plan *p, enum stage stage, int errnum)
{
    p->failed = stage;
    p->errnum = errnum;
    return 127;
}

/*
 * In the child: returns, as its exit code, only if the program does not run. Nothing here may allocate. A frame that
 * exec ends without returning would stay marked in AddressSanitizer's memory, which is ours: this one carries no marks.
 */
__attribute__((no_sanitize_address)) static int execute(void *arg)
{
    struct plan *p = arg;
    int r;

    if ((r = child_setup(p)) < 0) return fail(p, STAGE_SETUP, -r);
    if ((r = become_user(p)) < 0) return fail(p, STAGE_USER, -r);
    if (chdir(p->w->workdir ? p->w->workdir : "/") < 0) return fail(p, STAGE_WORKDIR, errno);
    (void)execve(p->program, p->argv->items, p->env.items);
    return fail(p, STAGE_EXEC, errno);
}

static int explain_exec(const struct plan *p, struct vl_error *err)
{
    bool exists = access(p->program, F_OK) == 0;

    if (p->errnum == ENOENT && exists)
        return vl_fail(
            err, VL_NOT_FOUND,
            "%s: '%s' is there, but not the loader or interpreter it names: map that in, or let fledge do it with "
            "libraries = \"auto\"",
            p->field, p->program);
    if (p->errnum == ENOENT || p->errnum == ENOTDIR)
        return vl_fail(err, VL_NOT_FOUND, "%s: no '%s' in the image, map the program in", p->field, p->program);
    if (p->errnum == EACCES)
        return vl_fail(err, VL_INVALID, "%s: '%s' may not be executed: set its mode to 0755, or change workload.user",
                       p->field, p->program);
    if (p->errnum == ENOEXEC)
        return vl_fail(err, VL_INVALID, "%s: '%s' is no program for this machine (a script needs a #! line)", p->field,
                       p->program);
    if (p->errnum == EIO || p->errnum == EUCLEAN)
        return vl_fail(err, VL_INVALID,
                       "%s: '%s' cannot be read (%s): the root disk is damaged, build its image again "
                       "and install it",
                       p->field, p->program, vl_strerror(p->errnum));
    (void)vl_fail_errno(err, p->errnum, "%s: execute '%s'", p->field, p->program);
    if (err) err->kind = VL_INVALID;
    return -p->errnum;
}

static int explain(const struct plan *p, struct vl_error *err)
{
    const char *workdir = p->w->workdir ? p->w->workdir : "/";

    switch (p->failed) {
    case STAGE_WORKDIR:
        return vl_fail(err, VL_INVALID, "workload.workdir: cannot enter '%s' (%s): map the folder in, or change it",
                       workdir, vl_strerror(p->errnum));
    case STAGE_USER:
        return vl_fail_errno(err, p->errnum, "workload.user: become '%s'", p->w->user);
    case STAGE_EXEC:
        return explain_exec(p, err);
    default:
        return vl_fail_errno(err, p->errnum, "prepare a process (is there a /dev/null?)");
    }
}

/* All signals are blocked meanwhile, or a handler of ours could run in the child, on our memory. */
static int launch(struct plan *p, pid_t *ret, struct vl_error *err)
{
    static char stack[CHILD_STACK_BYTES] __attribute__((aligned(16)));
    sigset_t all, before;
    pid_t pid;
    int saved;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = clone(execute, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, p);
    saved = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) return vl_fail_errno(err, saved, "start a process");
    if (p->failed != STAGE_NONE) {
        (void)waitpid(pid, NULL, 0);
        return explain(p, err);
    }
    *ret = pid;
    return 0;
}

/* Its user is known by now. */
static int run(struct plan *p, struct child *ret, struct vl_error *err)
{
    pid_t pid = 0;
    int r;

    if ((r = plan_environment(p)) < 0) return vl_fail_errno(err, r, "prepare the workload's environment");
    if ((r = launch(p, &pid, err)) < 0) return r;
    *ret = (struct child){.pid = pid, .out_fd = take_fd(&p->out[0]), .err_fd = take_fd(&p->err[0])};
    return 0;
}

int workload_start(const struct workload *w, struct child *ret, struct vl_error *err)
{
    auto_(plan_done) struct plan p = {
        .w = w, .argv = &w->entrypoint, .field = "workload.entrypoint", .out = {-1, -1}, .err = {-1, -1}};
    int r;

    if ((r = plan_program(&p, err)) < 0 || (r = workload_user(w, &p.user, err)) < 0) return r;
    if ((r = plan_pipe(&p, p.out)) < 0 || (r = plan_pipe(&p, p.err)) < 0)
        return vl_fail_errno(err, r, "prepare the workload's output");
    return run(&p, ret, err);
}

int workload_command(const struct workload *w, const struct user *user, const struct strv *argv, const char *field,
                     struct child *ret, struct vl_error *err)
{
    auto_(plan_done) struct plan p = {
        .w = w, .user = *user, .argv = argv, .field = field, .out = {-1, -1}, .err = {-1, -1}};
    int r;

    if ((r = plan_program(&p, err)) < 0) return r;
    if ((r = plan_pipe(&p, p.out)) < 0) return vl_fail_errno(err, r, "prepare the output of %s", field);
    return run(&p, ret, err);
}

int workload_failure_code(const struct vl_error *err)
{
    return err->kind == VL_NOT_FOUND ? 127 : err->kind == VL_INVALID ? 126 : 125;
}

int workload_exit_code(int status, int *ret_signal)
{
    *ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int real_time_signal(const char *name)
{
    uint64_t n = 0;

    if (str_starts(name, "RTMIN") && (name[5] == '\0' || (name[5] == '+' && parse_u64(name + 6, 0, 64, &n) == 0)))
        return SIGRTMIN + (int)n <= SIGRTMAX ? SIGRTMIN + (int)n : 0;
    if (str_starts(name, "RTMAX") && (name[5] == '\0' || (name[5] == '-' && parse_u64(name + 6, 0, 64, &n) == 0)))
        return SIGRTMAX - (int)n >= SIGRTMIN ? SIGRTMAX - (int)n : 0;
    return 0;
}

int workload_stop_signal(const struct workload *w)
{
    const char *name = w->stop_signal;
    uint64_t number;
    int r;

    if (!name) return SIGTERM;
    if (parse_u64(name, 1, (uint64_t)SIGRTMAX, &number) == 0) return (int)number;
    if (str_starts(name, "SIG")) name += 3;
    for (int signo = 1; signo < 32; signo++)
        if (str_eq(sigabbrev_np(signo), name)) return signo;
    r = real_time_signal(name);
    return r > 0 ? r : SIGTERM;
}
