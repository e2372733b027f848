/* SPDX-License-Identifier: Apache-2.0 */
/* What the host offers for running VMs. Quick, as volantd does it before it serves: it starts no process. */
#include "vmm/host.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/path.h"
#include "base/str.h"
#include "model/schema.h"
#include "vmm/tsc.h"

#define QEMU_PROGRAM   "qemu-system-x86_64"
#define SMALL_FILE_MAX 65536
#define CPUINFO_MAX    4194304 /* many cores */

/* --- KVM ---------------------------------------------------------------------------------------------------------- */

static bool exists_below(const char *root, const char *path)
{
    char full[512];

    return strf(full, sizeof(full), "%s%s", root, path) > 0 && access(full, F_OK) == 0;
}

/* A whole word of the first "flags" line of /proc/cpuinfo. */
static bool cpu_has(const char *cpuinfo, const char *flag)
{
    const char *line = strstr(cpuinfo, "\nflags"), *end;
    size_t len = strlen(flag);

    if (!line) return false;
    line++;
    end = line + strcspn(line, "\n");
    for (const char *at = line; (at = strstr(at, flag)) && at < end; at += len)
        if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0')) return true;
    return false;
}

static bool hardware_virtualisation(const char *root)
{
    static const struct {
        const char *flag, *module;
    } kinds[] = {{"vmx", "/sys/module/kvm_intel"}, {"svm", "/sys/module/kvm_amd"}};
    auto_free char *cpuinfo = NULL;
    char path[512];

    if (strf(path, sizeof(path), "%s/proc/cpuinfo", root) < 0) return false;
    if (read_file_at(AT_FDCWD, path, CPUINFO_MAX, &cpuinfo, NULL) < 0) return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (cpu_has(cpuinfo, kinds[i].flag) && exists_below(root, kinds[i].module)) return true;
    return false;
}

static void decide_kvm(struct vmm_host *h, bool kvm, const char *why)
{
    h->kvm = kvm;
    (void)strf(h->accel_reason, sizeof(h->accel_reason), "%s", why);
}

void host_probe_kvm(const char *root, struct vmm_host *h)
{
    char device[512];

    if (strf(device, sizeof(device), "%s/dev/kvm", root) < 0 || access(device, F_OK) < 0)
        decide_kvm(h, false, "this host has no /dev/kvm: software emulation (TCG)");
    else if (!hardware_virtualisation(root))
        decide_kvm(h, false,
                   "there is a /dev/kvm but no hardware virtualisation behind it (no vmx or svm flag with its module): "
                   "software emulation (TCG)");
    else if (access(device, R_OK | W_OK) < 0)
        decide_kvm(h, false, "/dev/kvm is not yours to open (join the group kvm): software emulation (TCG)");
    else
        decide_kvm(h, true, "hardware virtualisation through /dev/kvm");
}

/* --- kernel ------------------------------------------------------------------------------------------------------- */

void host_read_kernel_facts(const char *kernel, struct vmm_host *h)
{
    auto_free char *text = NULL;
    json_auto_t *root = NULL;
    char path[300];
    const char *version;
    json_t *patch;
    size_t len, i;

    h->kernel_lapic_khz = h->kernel_tsc_early_khz = false;
    (void)strf(h->kernel_version, sizeof(h->kernel_version), "unknown");
    if (strf(path, sizeof(path), "%s.json", kernel) < 0) return;
    if (read_file_at(AT_FDCWD, path, SMALL_FILE_MAX, &text, &len) < 0) return;
    if (json_parse(text, len, path, &root, NULL) < 0) return;
    if ((version = json_string_value(json_object_get(root, "version"))))
        (void)strf(h->kernel_version, sizeof(h->kernel_version), "%.60s", version);
    json_array_foreach(json_object_get(root, "patches"), i, patch)
    {
        if (str_eq(json_string_value(patch), "lapic_khz")) h->kernel_lapic_khz = true;
        if (str_eq(json_string_value(patch), "tsc_early_khz")) h->kernel_tsc_early_khz = true;
    }
}

/* In the same folder, under our name or under the one the original gave it; there may be none. */
static int find_rootfs_kernel(const char *bzimage, struct vmm_host *h, struct vl_error *err)
{
    const char *slash = strrchr(h->kernel_path, '/'), *const names[] = {"bzImage-volant", "bzImage"};

    if (bzimage)
        return find_installed("bzImage-volant", bzimage, h->rootfs_kernel_path, sizeof(h->rootfs_kernel_path), err);
    for (size_t i = 0; slash && i < ARRAY_LEN(names); i++)
        if (strf(h->rootfs_kernel_path, sizeof(h->rootfs_kernel_path), "%.*s%s", (int)(slash - h->kernel_path) + 1,
                 h->kernel_path, names[i]) > 0 &&
            access(h->rootfs_kernel_path, R_OK) == 0)
            return 0;
    h->rootfs_kernel_path[0] = '\0';
    return 0;
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int find_qemu(const char *qemu, struct vmm_host *h, struct vl_error *err)
{
    const char *path = secure_getenv("PATH");

    if (qemu) {
        if (qemu[0] != '/' || !is_program(qemu))
            return vl_fail(err, VL_INVALID, "QEMU '%s' is not the absolute path of a program", qemu);
        return strf(h->qemu_path, sizeof(h->qemu_path), "%s", qemu) < 0 ? vl_fail_errno(err, ENAMETOOLONG, "QEMU") : 0;
    }
    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");

        if (*at == '/' && strf(h->qemu_path, sizeof(h->qemu_path), "%.*s/" QEMU_PROGRAM, (int)len, at) > 0 &&
            is_program(h->qemu_path))
            return 0;
        at += len;
        if (*at == ':') at++;
    }
    return vl_fail(err, VL_INVALID,
                   QEMU_PROGRAM " is not in PATH: apt-get install --no-install-recommends qemu-system-x86");
}

/* Under our name or under the one the original gave it. */
static int find_kernel(const char *kernel, struct vmm_host *h, struct vl_error *err)
{
    struct vl_error none = {0};

    if (find_installed("vmlinux-generic", kernel, h->kernel_path, sizeof(h->kernel_path), err) == 0) return 0;
    if (!kernel && find_installed("vmlinux", NULL, h->kernel_path, sizeof(h->kernel_path), &none) == 0) return 0;
    return vl_wrap(err, "guest kernel (`make kernel` builds it)");
}

int vmm_host_probe(const struct vmm_kernels *kernels, const char *shim, const char *qemu, uint32_t uid_base,
                   struct vmm_host *ret, struct vl_error *err)
{
    struct vmm_host h = {.uid_base = uid_base};
    char boot_id[40];
    int r;

    if ((r = find_kernel(kernels->vmlinux, &h, err)) < 0 || (r = find_rootfs_kernel(kernels->bzimage, &h, err)) < 0)
        return r;
    if ((r = find_installed("volant-shim", shim, h.shim_path, sizeof(h.shim_path), err)) < 0) return r;
    if ((r = find_qemu(qemu, &h, err)) < 0) return r;
    host_boot_id(boot_id); /* known from here on: all that is told apart by it is then told apart */
    if (!*boot_id)
        return vl_fail(err, VL_UNAVAILABLE, "/proc/sys/kernel/random/boot_id cannot be read: is /proc mounted?");
    host_read_kernel_facts(h.kernel_path, &h);
    host_probe_kvm("", &h);
    h.tsc_khz = tsc_measure_khz();
    *ret = h;
    return 0;
}

int host_parse_qemu_version(const char *text, char ret[static 64])
{
    static const char key[] = "QEMU emulator version ";
    const char *at = strstr(text, key);
    size_t len;

    if (!at) return -EINVAL;
    at += sizeof(key) - 1;
    len = strspn(at, "0123456789.");
    if (len == 0 || len > 32) return -EINVAL;
    return strf(ret, 64, "%.*s", (int)len, at) < 0 ? -EINVAL : 0;
}

int vmm_host_qemu_version(const struct vmm_host *h, int64_t deadline_ms, char ret[static 64], struct vl_error *err)
{
    const char *const argv[] = {h->qemu_path, "--version", NULL};
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_close int out = -1, in = -1, pidfd = -1;
    char text[1024];
    ssize_t n;
    int pipe_fds[2], r, status = 0;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0) return vl_fail_errno(err, errno, "QEMU's version");
    out = pipe_fds[0];
    in = pipe_fds[1];
    opts.argv = argv;
    opts.stdout_fd = in;
    if ((r = proc_spawn(&opts, &pid, &pidfd)) < 0) return vl_fail_errno(err, r, "run %s", h->qemu_path);
    if ((r = proc_wait(pidfd, deadline_ms, &status)) < 0) {
        (void)proc_stop(pidfd, 0, NULL);
        return vl_fail_errno(err, r, "%s --version", h->qemu_path);
    }
    /* It says less than a pipe holds, so it could end before it was read. */
    closep(&in);
    in = -1;
    n = read(out, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    if (host_parse_qemu_version(text, ret) < 0)
        return vl_fail(err, VL_INTERNAL, "%s --version does not tell its version", h->qemu_path);
    return 0;
}
