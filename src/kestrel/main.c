/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kestrel: PID 1 of a Volant VM. Sets up the machine, runs the agent, ends the machine; whatever goes wrong on the way
 * is a line on the console that says what to do, and the end of the machine with a code, never a hang.
 */
#include <fcntl.h>

#include "base/io.h"
#include "kestrel/agent.h"
#include "kestrel/console.h"
#include "kestrel/mounts.h"
#include "kestrel/network.h"
#include "kestrel/power.h"
#include "kestrel/provision.h"
#include "kestrel/root.h"
#include "kestrel/settings.h"
#include "kestrel/workload.h"

#define CONSOLE_FD      1
#define CONSOLE_WAIT_MS 1000
#define FAILED_CODE     125

/* The kernel has opened it on 0, 1 and 2 where the image has a /dev/console; else it can be opened only now. */
static void open_console(void)
{
    int fd;

    if (fcntl(CONSOLE_FD, F_GETFD) >= 0) return;
    fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int target = 0; fd >= 0 && target <= 2; target++)
        if (fd != target) (void)dup2(fd, target);
    if (fd > 2) (void)close(fd);
}

/* What a program expects to be mounted; without one of it, it may still do. */
static int mount_usual(void)
{
    auto_close int dev_fd = -1;
    struct vl_error problem = {0};

    int mounted = mounts_setup(&problem);

    open_console();
    if (mounted < 0) console_say(CONSOLE_FD, CONSOLE_WAIT_MS, "volant: %s: going on without it", problem.msg);
    if ((dev_fd = open_dir("/dev")) >= 0) mounts_device_links(dev_fd);
    return open_dir("/");
}

/* From the initramfs into the disk image, which has everything of an initramfs but the configuration. */
static int enter_root(const struct guest_config *config, int *root_fd, struct vl_error *err)
{
    int r;

    if ((r = root_enter(&config->root, err)) < 0) return r;
    (void)close(*root_fd);
    if ((*root_fd = mount_usual()) < 0) return vl_fail_errno(err, *root_fd, "open /");
    root_make_folders(&config->workload);
    return 0;
}

static int set_up(struct guest_config *config, struct vl_error *err)
{
    auto_close int root_fd = -1;
    int r;

    if ((root_fd = mount_usual()) < 0) return vl_fail_errno(err, root_fd, "open /");
    if ((r = settings_load(root_fd, config, err)) < 0) return r;
    if (config->root.fstype && (r = enter_root(config, &root_fd, err)) < 0) return r;
    provision_files(root_fd, config);
    if ((r = network_setup(config, err)) < 0) return r;
    return config->root.init ? root_exec_init(&config->root, &config->workload.env, err) : 0;
}

_Noreturn static void run_machine(void)
{
    const struct agent_opts opts = {.console_fd = CONSOLE_FD, .machine = true, .ctl_fd = -1, .sync_fd = -1};
    struct guest_config config = {0}; /* the machine ends before it would have to be released */
    struct vl_error err = {0};
    int code = FAILED_CODE, r;

    if ((r = agent_block_signals()) < 0) {
        (void)vl_fail_errno(&err, r, "block signals");
    } else if ((r = set_up(&config, &err)) == 0 && (r = agent_run(&config, &opts, &code, &err)) < 0) {
        code = workload_failure_code(&err);
    }
    if (r < 0) console_say(CONSOLE_FD, CONSOLE_WAIT_MS, "volant: %s", err.msg);
    power_end(CONSOLE_FD, code, config.shutdown);
}

int main(void)
{
    if (getpid() == 1) run_machine();
    console_say(2, CONSOLE_WAIT_MS,
                "kestrel runs as PID 1 of a Volant VM: boot it as /init (fledge does this), never start it by hand");
    return 2;
}
