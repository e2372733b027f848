/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a VMM that is no child of ours, and removing what it leaves. */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "vmm/driver.h"

#define KILL_MS 10000 /* a killed process may take a while to free its memory */

/* True if it ended. */
static bool gone(int pidfd, int64_t deadline_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int r;

    while ((r = poll(&p, 1, deadline_left(deadline_ms))) < 0 && errno == EINTR)
        ;
    return r > 0;
}

int vmm_end(const char *dir, const struct vmm_run *run, int quit_ms, int term_ms, struct vl_error *err)
{
    auto_close int pidfd = -1;
    int64_t quit_until = mono_ms() + quit_ms;
    char boot_id[40];
    int r;

    host_boot_id(boot_id);
    if (!str_eq(boot_id, run->host_boot_id)) return VMM_END_NOTHING; /* it went down with the host */
    r = proc_open(&run->vmm, &pidfd);
    if (r == -ESRCH) return VMM_END_NOTHING;
    if (r < 0) return vl_fail_errno(err, r, "open process %d", (int)run->vmm.pid);
    CRASH_POINT("stop.vmm_opened");
    r = qemu_driver.quit(dir, quit_until, NULL);
    CRASH_POINT("stop.quit_asked");
    if (r == 0 && gone(pidfd, quit_until)) {
        CRASH_POINT("stop.vmm_gone");
        return VMM_END_QUIT;
    }
    (void)proc_kill(pidfd, SIGTERM);
    if (gone(pidfd, mono_ms() + term_ms)) return VMM_END_TERM;
    r = proc_kill(pidfd, SIGKILL);
    if (r < 0 && r != -ESRCH) return vl_fail_errno(err, r, "kill the VMM, process %d", (int)run->vmm.pid);
    if (gone(pidfd, mono_ms() + KILL_MS)) return VMM_END_KILL;
    return vl_fail(err, VL_INTERNAL, "the VMM, process %d, does not end although it was killed", (int)run->vmm.pid);
}

int vmm_pause(const char *dir, bool paused, int64_t deadline_ms, struct vl_error *err)
{
    return qemu_driver.pause(dir, paused, deadline_ms, err);
}

int vmm_state_read(const char *dir, int64_t deadline_ms, enum vmm_state *ret, struct vl_error *err)
{
    return qemu_driver.state(dir, deadline_ms, ret, err);
}

int vmm_sockets_remove(const char *dir)
{
    static const char *const names[] = {"ctl", "sync", "qmp", "console.sock"};
    auto_close int fd = open_dir(dir);
    int n = 0;

    for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(names); i++)
        n += unlinkat(fd, names[i], 0) == 0;
    return n;
}

int vmm_folder_remove(const char *vms_dir, int64_t id, struct vl_error *err)
{
    auto_close int fd = open_dir(vms_dir);
    char name[24];
    int r = fd;

    if (r >= 0) r = strf(name, sizeof(name), "%" PRId64, id);
    if (r >= 0) r = remove_tree_at(fd, name);
    return r < 0 ? vl_fail_errno(err, r, "remove %s/%" PRId64, vms_dir, id) : 0;
}
