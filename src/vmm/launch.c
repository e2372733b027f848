/* SPDX-License-Identifier: Apache-2.0 */
/* One boot, from its description to a VMM process: files and sockets, then the shim, then its word that the VMM runs.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "vmm/driver.h"
#include "vmm/prepare.h"

#define STATUS_MAX       1024
#define PRIVILEGED_PORTS 1024 /* below it a user needs a capability to bind */
#define GROUP_END_MS     5000

/* The shim's own descriptors (src/shim/options.h). */
enum shim_fd { SHIM_FD_DIR = 3, SHIM_FD_CONSOLE, SHIM_FD_STATUS, SHIM_FD_CGROUP };

/* --- who the VMM is ----------------------------------------------------------------------------------------------- */

/* 0: as volantd's own user. */
static int vm_uid(const struct vmm_boot *b, uid_t *ret, struct vl_error *err)
{
    uint64_t uid = (uint64_t)b->host->uid_base + (uint64_t)b->vm_id;

    if (b->host->uid_base == 0) {
        *ret = 0;
        return 0;
    }
    if (b->vm_id < 0 || uid >= UINT32_MAX)
        return vl_fail(err, VL_INVALID, "VOLANT_UID_BASE %" PRIu32 " plus the VM's id %" PRId64 " is no user id",
                       b->host->uid_base, b->vm_id);
    *ret = (uid_t)uid;
    return 0;
}

static bool low_ports(const struct vmm_boot *b)
{
    for (size_t i = 0; i < b->n_ports; i++)
        if (b->ports[i].host_port < PRIVILEGED_PORTS) return true;
    return false;
}

static int add_user(const struct vmm_boot *b, uid_t uid, struct strv *argv)
{
    struct stat st;
    int r;

    if (uid == 0) return 0;
    if ((r = strv_addf(argv, "--uid=%u", uid)) < 0 || (r = strv_addf(argv, "--gid=%u", uid)) < 0) return r;
    if (low_ports(b) && (r = strv_add(argv, "--bind-low-ports")) < 0) return r;
    if (b->host->kvm && stat("/dev/kvm", &st) == 0 && st.st_gid != 0) return strv_addf(argv, "--group=%u", st.st_gid);
    return 0;
}

/* --- the shim ----------------------------------------------------------------------------------------------------- */

static int shim_argv(const struct vmm_boot *b, uid_t uid, bool cgroup, const struct vmm_command *c, struct strv *argv)
{
    const int inherited[] = {
        VMM_FD_CTL,
        VMM_FD_SYNC,
        VMM_FD_QMP,
        VMM_FD_KERNEL,
        vmm_has_initrd(b) ? VMM_FD_INITRD : -1,
        b->root_disk ? VMM_FD_ROOT : -1,
        b->root_disk && b->data_disk_mb > 0 ? VMM_FD_DATA : -1,
    };
    int r;

    if ((r = strv_add(argv, b->host->shim_path)) < 0 || (r = strv_addf(argv, "--boot=%s", b->boot)) < 0 ||
        (r = strv_addf(argv, "--dir-fd=%d", SHIM_FD_DIR)) < 0 ||
        (r = strv_addf(argv, "--console-listen-fd=%d", SHIM_FD_CONSOLE)) < 0 ||
        (r = strv_addf(argv, "--status-fd=%d", SHIM_FD_STATUS)) < 0 ||
        (r = strv_addf(argv, "--vmm-console-fd=%d", VMM_FD_CONSOLE)) < 0 || (r = add_user(b, uid, argv)) < 0)
        return r;
    if (cgroup && (r = strv_addf(argv, "--cgroup-fd=%d", SHIM_FD_CGROUP)) < 0) return r;
    for (size_t i = 0; i < ARRAY_LEN(inherited); i++)
        if (inherited[i] >= 0 && (r = strv_addf(argv, "--inherit=%d", inherited[i])) < 0) return r;
    if ((r = strv_add(argv, "--")) < 0) return r;
    for (size_t i = 0; i < c->argv.len; i++)
        if ((r = strv_add(argv, c->argv.items[i])) < 0) return r;
    return 0;
}

static int spawn_shim(const struct strv *argv, const struct prepared *p, int status, pid_t *ret_pid, int *ret_pidfd)
{
    struct proc_fd fds[11] = {
        {p->dir, SHIM_FD_DIR},  {p->console, SHIM_FD_CONSOLE}, {status, SHIM_FD_STATUS},   {p->ctl, VMM_FD_CTL},
        {p->sync, VMM_FD_SYNC}, {p->qmp, VMM_FD_QMP},          {p->kernel, VMM_FD_KERNEL},
    };
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    size_t n = 7;

    if (p->initrd >= 0) fds[n++] = (struct proc_fd){p->initrd, VMM_FD_INITRD};
    if (p->root >= 0) fds[n++] = (struct proc_fd){p->root, VMM_FD_ROOT};
    if (p->data >= 0) fds[n++] = (struct proc_fd){p->data, VMM_FD_DATA};
    if (p->cgroup >= 0) fds[n++] = (struct proc_fd){p->cgroup, SHIM_FD_CGROUP};
    opts.argv = (const char *const *)argv->items;
    opts.fds = fds;
    opts.n_fds = n;
    opts.cwd = "/";
    opts.setsid = true;
    return proc_spawn(&opts, ret_pid, ret_pidfd);
}

/* The shim's one line, or why there is none. */
static int read_status(int fd, int64_t deadline_ms, char line[static STATUS_MAX], struct vl_error *err)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r = poll(&p, 1, deadline_left(deadline_ms));
        ssize_t n;

        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return vl_fail_errno(err, errno, "wait for the shim");
        if (r == 0)
            return vl_fail(err, VL_UNAVAILABLE, "the shim did not start the VMM in time: is the host overloaded?");
        n = read(fd, line + len, STATUS_MAX - 1 - len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return vl_fail_errno(err, errno, "read the shim's status");
        if (n == 0) break;
        len += (size_t)n;
    }
    line[len] = '\0';
    return len > 0 ? 0 : vl_fail(err, VL_INTERNAL, "the shim ended without a word");
}

static int judge_status(const char *line, struct vl_error *err)
{
    json_auto_t *root = NULL;
    const char *error;
    int r = json_parse(line, strlen(line), "the shim's status", &root, err);

    if (r < 0) return r;
    if (json_is_integer(json_object_get(root, "vmm_pid"))) return 0;
    error = json_string_value(json_object_get(root, "error"));
    return vl_fail(err, VL_INTERNAL, "%s", error ? error : "the shim's status has neither vmm_pid nor error");
}

/* Shim and VMM share a process group until the shim has said that all is well, and the unreaped shim keeps its number.
 */
static void kill_group(pid_t shim, int pidfd)
{
    int64_t deadline = mono_ms() + GROUP_END_MS;

    (void)kill(-shim, SIGKILL);
    (void)proc_wait(pidfd, deadline, NULL);
    while (kill(-shim, 0) == 0 && mono_ms() < deadline)
        (void)poll(NULL, 0, 5); /* the VMM is now a child of init, which reaps it */
}

static int start(const struct vmm_boot *b, const struct strv *argv, const struct prepared *p, int64_t deadline_ms,
                 struct vmm_run *ret, struct vl_error *err)
{
    auto_close int status = -1, pidfd = -1;
    char line[STATUS_MAX];
    int fds[2], r;
    pid_t shim;

    if (pipe2(fds, O_CLOEXEC) < 0) return vl_fail_errno(err, errno, "make a pipe");
    status = fds[0];
    r = spawn_shim(argv, p, fds[1], &shim, &pidfd);
    (void)close(fds[1]);
    if (r < 0) return vl_fail_errno(err, r, "start %s", b->host->shim_path);
    CRASH_POINT("start.shim_spawned");
    if ((r = read_status(status, deadline_ms, line, err)) == 0 && (r = judge_status(line, err)) == 0) {
        CRASH_POINT("start.vmm_spawned");
        r = vmm_run_read(b->dir, ret, err);
        if (r == -ENOENT) r = vl_fail(err, VL_INTERNAL, "the shim left no run.json");
    }
    if (r < 0) kill_group(shim, pidfd);
    return r;
}

int vmm_launch(const struct vmm_boot *b, int64_t deadline_ms, struct vmm_run *ret, char **ret_cmdline,
               struct vl_error *err)
{
    auto_(vmm_command_done) struct vmm_command c = {0};
    auto_(prepared_done) struct prepared p = PREPARED_INIT;
    auto_strv argv = {0};
    struct vmm_run run;
    uid_t uid = 0;
    int r;

    if (b->dir[0] != '/') return vl_fail(err, VL_INVALID, "the VM's folder '%s' is not an absolute path", b->dir);
    if ((r = vm_uid(b, &uid, err)) < 0 || (r = qemu_driver.command(b, &c, err)) < 0 ||
        (r = prepare_boot(b, c.cmdline, uid, deadline_ms, &p, err)) < 0)
        return r;
    if ((r = shim_argv(b, uid, p.cgroup >= 0, &c, &argv)) < 0) return vl_fail_errno(err, r, "the shim's command line");
    if ((r = start(b, &argv, &p, deadline_ms, &run, err)) < 0) {
        (void)vmm_sockets_remove(b->dir); /* nobody is to take them for those of something alive */
        (void)vmm_cgroup_remove(b->host, b->vm_id);
        return r;
    }
    *ret = run;
    *ret_cmdline = take_ptr(c.cmdline);
    return 0;
}
