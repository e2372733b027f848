/* SPDX-License-Identifier: Apache-2.0 */
/* Whole launches with the real shim, and this test program as QEMU: main() below plays that part, by the VM's name. */
#include "base/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "vmm/fake_monitor.h"

#define BOOT     "00112233445566778899aabbccddeeff"
#define BOOT2    "ffeeddccbbaa99887766554433221100"
#define WAIT_MS  20000
#define UID_BASE 2000000

/* --- the VMM ------------------------------------------------------------------------------------------------------ */

static void say_heritage(void)
{
    auto_free char *initrd = NULL;
    auto_close int kernel = open("/proc/self/fd/14", O_RDONLY | O_CLOEXEC);
    auto_strbuf fds = {0};
    size_t len = 0;

    for (int fd = 0; fd < 1024; fd++)
        if (fd != kernel && fcntl(fd, F_GETFD) >= 0) strbuf_addf(&fds, " %d", fd);
    if (read_file_at(AT_FDCWD, "/proc/self/fd/15", 1 << 20, &initrd, &len) < 0) len = 0;
    (void)dprintf(VMM_FD_CONSOLE, "uid=%d kernel=%d initrd=%zu fds:%s.\n", (int)getuid(), kernel >= 0, len, fds.data);
}

static int be_vmm(const char *name)
{
    if (str_starts(name, "guest=exit3,")) {
        (void)dprintf(2, "qemu: Could not set up host forwarding rule\n");
        return 3;
    }
    if (str_starts(name, "guest=stubborn,")) (void)signal(SIGTERM, SIG_IGN);
    say_heritage();
    for (;;) {
        struct pollfd p = {.fd = str_starts(name, "guest=good,") ? VMM_FD_QMP : -1, .events = POLLIN};

        if (poll(&p, 1, 60000) == 0) return 9; /* the test has failed long ago */
        if (serve_monitor(NULL)) return 0;
    }
}

/* --- the tests ---------------------------------------------------------------------------------------------------- */

struct fixture {
    char base[64], dir[80], archive[96];
    struct vmm_host host;
    struct vmm_boot boot;
    struct guest_config guest;
    struct vmm_run run;
    char *cmdline;
};

static void copy_program(char *to)
{
    auto_close int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
                   out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

    assert_true(in >= 0 && out >= 0);
    assert_int_equal(copy_fd(out, in), 0);
    assert_int_equal(fchmod(out, 0755), 0);
}

static void put(const char *path, const char *text)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write_all(fd, text, strlen(text), -1), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *build = secure_getenv("VOLANT_BUILD_DIR");

    assert_non_null(f);
    assert_non_null(build);
    assert_true(strf(f->base, sizeof(f->base), "/tmp/volant-launch-XXXXXX") > 0);
    assert_non_null(mkdtemp(f->base));
    assert_int_equal(chmod(f->base, 0711), 0); /* the VMM, as a user of its own, executes a program in it */
    assert_true(strf(f->dir, sizeof(f->dir), "%s/vms/7", f->base) > 0);
    assert_true(strf(f->archive, sizeof(f->archive), "%s/archive", f->base) > 0);
    put(f->archive, "37 bytes are not a multiple of four..");
    assert_true(strf(f->host.shim_path, sizeof(f->host.shim_path), "%s/volant-shim", build) > 0);
    assert_true(strf(f->host.qemu_path, sizeof(f->host.qemu_path), "%s/vmm", f->base) > 0);
    assert_true(strf(f->host.kernel_path, sizeof(f->host.kernel_path), "%s/kernel", f->base) > 0);
    put(f->host.kernel_path, "kernel");
    copy_program(f->host.qemu_path);
    f->host.uid_base = geteuid() == 0 ? UID_BASE : 0;
    f->guest = (struct guest_config){.api = AGENT_API, .vm_id = 7, .hostname = "good", .shutdown = "reboot"};
    f->boot = (struct vmm_boot){.host = &f->host,
                                .vm_id = 7,
                                .name = "good",
                                .boot = BOOT,
                                .dir = f->dir,
                                .cpu_cores = 1,
                                .memory_mb = 64,
                                .initrd_source = f->archive,
                                .guest = &f->guest};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->run.vmm.pid && proc_alive(&f->run.vmm)) (void)vmm_end(f->dir, &f->run, 0, 0, NULL);
    free(f->cmdline);
    (void)remove_tree_at(AT_FDCWD, f->base);
    free(f);
    return 0;
}

static void launch(struct fixture *f)
{
    struct vl_error err = {0};

    free(take_ptr(f->cmdline));
    if (vmm_launch(&f->boot, mono_ms() + WAIT_MS, &f->run, &f->cmdline, &err) < 0) fail_msg("%s", err.msg);
    assert_string_equal(f->run.boot, f->boot.boot);
}

/* Waits for a text in the console's log. */
static void expect_console(struct fixture *f, const char *text)
{
    int64_t deadline = mono_ms() + WAIT_MS;

    for (;;) {
        auto_free char *log = NULL;
        size_t len = 0;

        if (vmm_console_tail(f->dir, 4096, &log, &len) == 0 && strstr(log, text)) return;
        if (mono_ms() > deadline) fail_msg("'%s' is not in '%s'", text, log ? log : "");
        (void)poll(NULL, 0, 5);
    }
}

static void expect_exit(struct fixture *f, int code, int signo, const char *says)
{
    auto_(vmm_exit_done) struct vmm_exit e = {0};
    struct vl_error err = {0};

    if (vmm_exit_wait(f->dir, &f->run, mono_ms() + WAIT_MS, &e, &err) < 0) fail_msg("no exit record: %s", err.msg);
    assert_int_equal(e.code, code);
    assert_int_equal(e.signal, signo);
    if (!e.stderr_tail || !strstr(e.stderr_tail, says))
        fail_msg("'%s' is not in '%s'", says, e.stderr_tail ? e.stderr_tail : "");
}

static struct stat stat_of(const struct fixture *f, const char *name)
{
    struct stat st;
    char path[128];

    assert_true(strf(path, sizeof(path), "%s/%s", f->dir, name) > 0);
    if (lstat(path, &st) < 0) fail_msg("%s is not there", path);
    return st;
}

static void good(void **state)
{
    struct fixture *f = *state;
    uid_t uid = f->host.uid_base ? f->host.uid_base + 7 : geteuid();
    char expected[128];
    struct stat initrd;
    struct vmm_run again;
    struct vl_error err = {0};

    launch(f);
    assert_true(f->cmdline && strstr(f->cmdline, "console=ttyS0"));
    assert_true(proc_alive(&f->run.vmm) && proc_alive(&f->run.shim));
    initrd = stat_of(f, "initrd");
    assert_int_equal(initrd.st_mode & 07777, 0400);
    assert_int_equal(initrd.st_uid, uid);
    assert_int_equal(initrd.st_size % 4, 0);
    assert_int_equal(stat_of(f, "").st_mode & 07777, 0711);
    assert_int_equal(stat_of(f, "ctl").st_mode, S_IFSOCK | 0600);
    assert_int_equal(stat_of(f, "console.sock").st_mode, S_IFSOCK | 0600);
    assert_true(S_ISREG(stat_of(f, "vm.json").st_mode));
    assert_true(strf(expected, sizeof(expected), "uid=%d kernel=1 initrd=%lld fds: 0 1 2 10 11 12 13 14 15.", (int)uid,
                     (long long)initrd.st_size) > 0);
    expect_console(f, expected);
    /* found again, as after a restart of volantd */
    assert_int_equal(vmm_run_read(f->dir, &again, &err), 0);
    assert_memory_equal(&again.vmm, &f->run.vmm, sizeof(again.vmm));
    assert_int_equal(vmm_run_find(f->dir, BOOT, mono_ms() + WAIT_MS, &again, &err), 0);
    assert_int_equal(again.shim.pid, f->run.shim.pid);
    /* and without its folder's help, but only as the boot it is: another volantd's VM may have the same user */
    if (f->host.uid_base) {
        assert_int_equal(vmm_run_rebuild(&f->host, 7, BOOT, &again), 0);
        assert_memory_equal(&again.vmm, &f->run.vmm, sizeof(again.vmm));
        assert_string_equal(again.boot, BOOT);
        assert_int_equal(vmm_run_rebuild(&f->host, 8, BOOT, &again), -ENOENT);
    }
    assert_int_equal(vmm_run_rebuild(&f->host, 7, BOOT2, &again), -ENOENT);
    assert_int_equal(vmm_run_rebuild(&f->host, 7, "", &again), -ENOENT);
    /* a second boot beside it is refused and does no harm */
    f->boot.boot = BOOT2;
    assert_true(vmm_launch(&f->boot, mono_ms() + WAIT_MS, &again, &f->cmdline, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_true(proc_alive(&f->run.vmm));
    assert_int_equal(stat_of(f, "ctl").st_mode, S_IFSOCK | 0600);
    assert_int_equal(vmm_end(f->dir, &f->run, WAIT_MS, 0, &err), VMM_END_QUIT);
    expect_exit(f, 0, 0, "");
    /* and the next one replaces all of it */
    launch(f);
    expect_console(f, "uid=");
    assert_int_equal(vmm_end(f->dir, &f->run, WAIT_MS, 0, &err), VMM_END_QUIT);
    expect_exit(f, 0, 0, "");
}

/* A shim that nobody knows of yet, since it has not written run.json, still holds the folder. */
static void one_shim_for_a_folder(void **state)
{
    struct fixture *f = *state;
    struct vl_error err = {0};
    auto_close int held = -1;

    assert_int_equal(mkdir_p(f->dir, 0711), 0);
    assert_true((held = open_dir(f->dir)) >= 0);
    assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
    assert_true(vmm_launch(&f->boot, mono_ms() + 50, &f->run, &f->cmdline, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    (void)close(take_fd(&held));
    launch(f);
    assert_true((held = open_dir(f->dir)) >= 0);
    assert_int_equal(flock(held, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(vmm_end(f->dir, &f->run, WAIT_MS, 0, &err), VMM_END_QUIT);
    expect_exit(f, 0, 0, "");
    assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    auto_free char *initrd = NULL;
    char path[128];
    size_t len, at;

    launch(f);
    assert_true(strf(path, sizeof(path), "%s/initrd", f->dir) > 0);
    if (geteuid() == 0) {
        assert_int_equal(read_file_at(AT_FDCWD, path, 1 << 20, &initrd, &len), 0);
        assert_memory_equal(initrd,
                            "37 bytes are not a multiple of four..\0\0\0"
                            "\0\0\0\0"
                            "070701",
                            50);
        at = len - 512;
        assert_non_null(memmem(initrd, len, "volant/config.json", 18));
        assert_non_null(memmem(initrd, len, "\"hostname\":\"good\"", 17));
        assert_non_null(memmem(initrd + at, 512, "TRAILER!!!", 10));
    }
    assert_int_equal(vmm_end(f->dir, &f->run, WAIT_MS, 0, NULL), VMM_END_QUIT);
    expect_exit(f, 0, 0, "");
}

/* QEMU ends at once: what it said is why. */
static void refuses(void **state)
{
    struct fixture *f = *state;

    f->boot.name = "exit3";
    launch(f);
    expect_exit(f, 3, 0, "Could not set up host forwarding rule");
}

static void ends_by_signal(void **state)
{
    struct fixture *f = *state;

    f->boot.name = "plain"; /* no monitor */
    launch(f);
    expect_console(f, "uid=");
    assert_int_equal(vmm_end(f->dir, &f->run, 50, WAIT_MS, NULL), VMM_END_TERM);
    expect_exit(f, -1, SIGTERM, "");
    f->boot.name = "stubborn";
    launch(f);
    expect_console(f, "uid=");
    assert_int_equal(vmm_end(f->dir, &f->run, 50, 50, NULL), VMM_END_KILL);
    expect_exit(f, -1, SIGKILL, "");
}

static void shim_killed(void **state)
{
    struct fixture *f = *state;
    auto_(vmm_exit_done) struct vmm_exit e = {0};
    auto_close int shim = -1;

    launch(f);
    expect_console(f, "uid=");
    assert_int_equal(proc_open(&f->run.shim, &shim), 0);
    assert_int_equal(proc_kill(shim, SIGKILL), 0);
    assert_int_equal(vmm_exit_wait(f->dir, &f->run, mono_ms() + WAIT_MS, &e, NULL), -ENOENT);
    assert_true(proc_alive(&f->run.vmm));
    assert_int_equal(vmm_end(f->dir, &f->run, WAIT_MS, 0, NULL), VMM_END_QUIT);
    assert_false(proc_alive(&f->run.vmm));
}

static void hidden_kernel(void **state)
{
    struct fixture *f = *state;
    struct vl_error err = {0};
    int r;

    assert_int_equal(chmod(f->host.kernel_path, 0600), 0);
    r = vmm_launch(&f->boot, mono_ms() + WAIT_MS, &f->run, &f->cmdline, &err);
    if (f->host.uid_base == 0) { /* the VMM is the kernel's owner */
        assert_int_equal(r, 0);
        return;
    }
    assert_true(r < 0);
    assert_non_null(strstr(err.msg, "chmod 0644"));
}

/* Nothing runs and no socket looks alive after any of these. */
static void failures(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *says;
        int which;
    } table[] = {
        {"cannot execute", 0},       {"start ", 1},          {"open the guest kernel", 2},
        {"/nonexistent/archive", 3}, {"VOLANT_UID_BASE", 4}, {"socket's path may be", 5},
        {"absolute path", 6},        {"in time", 7},
    };
    char deep[256];

    memset(deep, 'x', sizeof(deep));
    (void)strf(deep, sizeof(deep), "%s/%0100d", f->base, 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vmm_host h = f->host;
        struct vmm_boot b = f->boot;
        struct vl_error err = {0};
        int64_t deadline = mono_ms() + WAIT_MS;
        char path[128];

        b.host = &h;
        switch (table[i].which) {
        case 0:
            (void)strf(h.qemu_path, sizeof(h.qemu_path), "/nonexistent/qemu");
            break;
        case 1:
            (void)strf(h.shim_path, sizeof(h.shim_path), "/nonexistent/shim");
            break;
        case 2:
            (void)strf(h.kernel_path, sizeof(h.kernel_path), "/nonexistent/kernel");
            break;
        case 3:
            b.initrd_source = "/nonexistent/archive";
            break;
        case 4:
            h.uid_base = UINT32_MAX - 3;
            break;
        case 5:
            b.dir = deep;
            break;
        case 6:
            b.dir = "relative";
            break;
        default:
            (void)strf(h.shim_path, sizeof(h.shim_path), "%s", f->host.qemu_path); /* a shim that says nothing */
            deadline = mono_ms() + 100;
            break;
        }
        if (vmm_launch(&b, deadline, &f->run, &f->cmdline, &err) == 0) fail_msg("%zu was launched", i);
        if (!strstr(err.msg, table[i].says)) fail_msg("%zu: '%s' does not say '%s'", i, err.msg, table[i].says);
        assert_int_equal(f->run.vmm.pid, 0);
        assert_null(f->cmdline);
        assert_true(strf(path, sizeof(path), "%s/ctl", f->dir) > 0);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good, setup, teardown),
        cmocka_unit_test_setup_teardown(one_shim_for_a_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_by_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(shim_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(hidden_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(failures, setup, teardown),
    };

    if (argc >= 3 && str_starts(argv[1], "--boot=")) return poll(NULL, 0, 60000);
    if (argc >= 3 && str_eq(argv[1], "-name")) return be_vmm(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
