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
        (void)(fd == target ? fcntl(fd, F_SETFD, 0) : dup2(fd, target)); /* an init of the image inherits them */
    if (fd > 2) (void)close(fd);
}

static void say_problem(int r, const struct vl_error *problem)
{
    if (r < 0) console_say(CONSOLE_FD, CONSOLE_WAIT_MS, "volant: %s: going on without it", problem->msg);
}

/* The configuration, from the initramfs. */
static int load(struct guest_config *config, struct vl_error *err)
{
    auto_close int root_fd = -1;
    struct vl_error problem = {0};
    int r = mounts_kernel(&problem);

    open_console();
    say_problem(r, &problem);
    if ((root_fd = open_dir("/")) < 0) return vl_fail_errno(err, root_fd, "open /");
    return settings_load(root_fd, config, err);
}

/* The root that the workload gets: the initramfs itself, or that of a disk. */
static int set_up(const struct guest_config *config, struct vl_error *err)
{
    auto_close int root_fd = -1, dev_fd = -1;
    struct vl_error problem = {0};
    int r;

    if (config->root.fstype && (r = root_enter(&config->root, err)) < 0) return r;
    say_problem(mounts_setup(&problem), &problem);
    if ((root_fd = open_dir("/")) < 0) return vl_fail_errno(err, root_fd, "open /");
    if ((dev_fd = open_dir("/dev")) >= 0) mounts_device_links(dev_fd);
    if (config->root.fstype) root_make_folders(root_fd, &config->workload);
    provision_files(root_fd, config);
    return network_setup(config, err);
}

static int run(struct guest_config *config, int *ret_code, struct vl_error *err)
{
    const struct agent_opts opts = {.console_fd = CONSOLE_FD, .machine = true, .ctl_fd = -1, .sync_fd = -1};
    int r;

    if ((r = load(config, err)) < 0 || (r = set_up(config, err)) < 0) return r;
    r = config->root.init ? root_exec_init(&config->root, &config->workload.env, err)
                          : agent_run(config, &opts, ret_code, err);
    if (r < 0) *ret_code = workload_failure_code(err);
    return r;
}

_Noreturn static void run_machine(void)
{
    struct guest_config config = {0}; /* the machine ends before it would have to be released */
    struct vl_error err = {0};
    int code = FAILED_CODE, r;

    if ((r = agent_block_signals()) < 0) {
        (void)vl_fail_errno(&err, r, "block signals");
    } else {
        r = run(&config, &code, &err);
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
