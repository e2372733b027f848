/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a boot: the image that many VMs share, and the VM's own, which outlives the boot. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/proc.h"
#include "vmm/prepare.h"

#define DATA_FILE "data.ext4"
#define DATA_TEMP ".data.ext4.tmp"
#define MB        (1024ll * 1024)
#define MKFS_MS   30000

static int open_root(const struct vmm_boot *b, uid_t owner, int *ret, struct vl_error *err)
{
    auto_close int fd = open(b->root_disk, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "open the disk image %s", b->root_disk);
    if (owner != 0 && !(st.st_mode & S_IROTH))
        return vl_fail(err, VL_INVALID, "the disk image %s is not readable by the VM's own user: chmod 0644 it",
                       b->root_disk);
    *ret = take_fd(&fd);
    return 0;
}

/* --- the VM's own ------------------------------------------------------------------------------------------------- */

/* Where sbin is in no PATH, as for an ordinary user, it is all the same. */
static const char *mke2fs(void)
{
    static const char *const paths[] = {"/usr/sbin/mke2fs", "/sbin/mke2fs", NULL};

    for (const char *const *path = paths; *path; path++)
        if (access(*path, X_OK) == 0) return *path;
    return "mke2fs";
}

/*
 * Tables and journal are left as holes, which read as zeros: 2 GB take a megabyte. mke2fs is given the file, not its
 * name: one that outlives a killed volantd goes on in the file that it was given, whatever has that name by then.
 */
static int make_file_system(int fd, const char *dir, int64_t deadline_ms, struct vl_error *err)
{
    const char *const argv[] = {mke2fs(),
                                "-q",
                                "-F",
                                "-t",
                                "ext4",
                                "-m",
                                "0",
                                "-E",
                                "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
                                "/proc/self/fd/3",
                                NULL};
    const struct proc_fd file = {fd, 3};
    int64_t until = mono_ms() + MKFS_MS;
    struct spawn_opts opts = SPAWN_OPTS_INIT;
    auto_close int pidfd = -1;
    int status = 0, r;
    pid_t pid;

    opts.argv = argv;
    opts.fds = &file;
    opts.n_fds = 1;
    if ((r = proc_spawn(&opts, &pid, &pidfd)) < 0)
        return vl_fail(err, VL_UNAVAILABLE, "%s: %s: install the package e2fsprogs", argv[0], vl_strerror(r));
    if ((r = proc_wait(pidfd, until < deadline_ms ? until : deadline_ms, &status)) < 0) {
        (void)proc_stop(pidfd, 0, NULL);
        return vl_fail_errno(err, r, "%s", argv[0]);
    }
    return status == 0 ? 0
                       : vl_fail(err, VL_NO_SPACE, "%s could not make an ext4 in %s: is the disk full?", argv[0], dir);
}

/* A new file, never one that was left half made: its mke2fs may still be at it. */
static int make_data(const struct vmm_boot *b, int dir, int64_t deadline_ms, struct vl_error *err)
{
    auto_close int fd = -1;
    int r;

    (void)unlinkat(dir, DATA_TEMP, 0);
    fd = openat(dir, DATA_TEMP, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, b->data_disk_mb * MB) < 0)
        return vl_fail_errno(err, errno, "make %s/" DATA_FILE, b->dir);
    CRASH_POINT("start.data_disk_sized");
    if ((r = make_file_system(fd, b->dir, deadline_ms, err)) < 0) {
        (void)unlinkat(dir, DATA_TEMP, 0);
        return r;
    }
    if (fsync(fd) < 0 || renameat(dir, DATA_TEMP, dir, DATA_FILE) < 0 || fsync(dir) < 0)
        return vl_fail_errno(err, errno, "make %s/" DATA_FILE, b->dir);
    CRASH_POINT("start.data_disk_made");
    return 0;
}

/* The file system in it grows when the guest has mounted it. */
static int grow(const struct vmm_boot *b, int fd, struct vl_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "%s/" DATA_FILE, b->dir);
    if (st.st_size >= b->data_disk_mb * MB) return 0;
    if (ftruncate(fd, b->data_disk_mb * MB) < 0) return vl_fail_errno(err, errno, "grow %s/" DATA_FILE, b->dir);
    CRASH_POINT("start.data_disk_grown");
    return 0;
}

static int open_data(const struct vmm_boot *b, uid_t owner, int dir, int64_t deadline_ms, int *ret,
                     struct vl_error *err)
{
    auto_close int fd = openat(dir, DATA_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (fd < 0 && errno == ENOENT) {
        if ((r = make_data(b, dir, deadline_ms, err)) < 0) return r;
        fd = openat(dir, DATA_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0) return vl_fail_errno(err, errno, "open %s/" DATA_FILE, b->dir);
    if ((r = grow(b, fd, err)) < 0) return r;
    if (owner != 0 && fchown(fd, owner, owner) < 0) return vl_fail_errno(err, errno, "chown %s/" DATA_FILE, b->dir);
    *ret = take_fd(&fd);
    return 0;
}

int disks_open(const struct vmm_boot *b, uid_t owner, int64_t deadline_ms, struct prepared *p, struct vl_error *err)
{
    int r;

    if (b->root_disk && (r = open_root(b, owner, &p->root, err)) < 0) return r;
    return b->root_disk && b->data_disk_mb > 0 ? open_data(b, owner, p->dir, deadline_ms, &p->data, err) : 0;
}

int64_t vmm_data_disk_mb(const char *dir)
{
    char path[512];
    struct stat st;

    if (strf(path, sizeof(path), "%s/" DATA_FILE, dir) < 0 || stat(path, &st) < 0) return 0;
    return st.st_size / MB;
}
