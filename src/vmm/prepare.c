/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/prepare.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/cpio.h"
#include "base/crash.h"
#include "base/io.h"
#include "vmm/driver.h"

#define BACKLOG       16
#define STRAY_QUIT_MS 500
#define LOCK_STEP_MS  10

void prepared_done(struct prepared *p)
{
    int *const fds[] = {&p->dir,    &p->ctl,    &p->sync, &p->qmp,  &p->console,
                        &p->kernel, &p->initrd, &p->root, &p->data, &p->cgroup};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        closep(fds[i]);
        *fds[i] = -1;
    }
}

/* --- what an earlier boot left ------------------------------------------------------------------------------------ */

/*
 * A VMM without record is what two kills at the wrong moments leave, of volantd and of the shim. It still holds its
 * monitor, and would hold the VM's ports.
 */
static int refuse_second(const struct vmm_boot *b, int64_t deadline_ms, struct vl_error *err)
{
    int64_t stray_until = mono_ms() + STRAY_QUIT_MS;
    struct vmm_exit e = {0};
    struct vmm_run run;
    char boot_id[40];

    host_boot_id(boot_id);
    if (vmm_run_read(b->dir, &run, NULL) == 0 && str_eq(run.host_boot_id, boot_id)) {
        if (proc_alive(&run.vmm))
            return vl_fail(err, VL_CONFLICT, "VM '%s' still runs, as process %d", b->name, (int)run.vmm.pid);
        /* Its shim may still be at its last words; they belong to the files that are replaced now. */
        if (vmm_exit_wait(b->dir, &run, deadline_ms, &e, NULL) == 0) vmm_exit_done(&e);
        if (proc_alive(&run.shim))
            return vl_fail(err, VL_CONFLICT, "VM '%s': the shim of its last boot does not end: `kill -9 %d`", b->name,
                           (int)run.shim.pid);
    }
    (void)qemu_driver.quit(b->dir, stray_until < deadline_ms ? stray_until : deadline_ms, NULL);
    return 0;
}

/*
 * The folder belongs to one shim: the lock is of the descriptor that it inherits and holds until its end. So there are
 * never two, even where one has not written run.json yet and nobody knows of it but the kernel.
 */
static int lock_folder(const struct vmm_boot *b, int dir, int64_t deadline_ms, struct vl_error *err)
{
    while (flock(dir, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return vl_fail_errno(err, errno, "lock folder %s", b->dir);
        if (deadline_left(deadline_ms) == 0)
            return vl_fail(err, VL_CONFLICT,
                           "VM '%s': the shim of an earlier boot does not end: end the process that `fuser %s` shows",
                           b->name, b->dir);
        (void)poll(NULL, 0, LOCK_STEP_MS);
    }
    return 0;
}

/* The console of the boot before this one is kept: where a boot is tried again, that is the interesting one. */
static void clear_records(int dir)
{
    (void)unlinkat(dir, "run.json", 0);
    (void)unlinkat(dir, "exit.json", 0);
    (void)unlinkat(dir, "console.log.1", 0);
    (void)renameat(dir, "console.log", dir, "console.log.old");
}

static int make_folder(const struct vmm_boot *b, struct prepared *p, int64_t deadline_ms, struct vl_error *err)
{
    int r = mkdir_p(b->dir, 0711);

    if (r == 0 && (p->dir = open_dir(b->dir)) < 0) r = p->dir;
    if (r == 0 && fchmod(p->dir, 0711) < 0) r = -errno;
    if (r < 0) return vl_fail_errno(err, r, "make folder %s", b->dir);
    CRASH_POINT("start.folder_made");
    if ((r = lock_folder(b, p->dir, deadline_ms, err)) < 0) return r;
    CRASH_POINT("start.folder_locked");
    clear_records(p->dir);
    CRASH_POINT("start.records_cleared");
    return 0;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Not synced: it is for whoever finds the folder while the VM runs, and a boot should not wait for a disk. */
static int write_vm_json(const struct vmm_boot *b, const char *cmdline, int dir, struct vl_error *err)
{
    auto_close int fd = openat(dir, ".vm.json.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    auto_strbuf text = {0};
    int r = fd < 0 ? -errno : 0;

    strbuf_addf(&text, "{\"id\":%" PRId64 ",\"name\":\"%s\",\"boot\":\"%s\",\"kernel_cmdline\":", b->vm_id, b->name,
                b->boot);
    strbuf_add_json(&text, cmdline, strlen(cmdline));
    if (b->record) strbuf_addf(&text, ",\"record\":%s", b->record);
    strbuf_adds(&text, "}\n");
    if (r == 0 && text.failed) r = -ENOMEM;
    if (r == 0) r = write_all(fd, text.data, text.len, -1);
    CRASH_POINT("start.vm_json_written");
    if (r == 0 && renameat(dir, ".vm.json.tmp", dir, "vm.json") < 0) r = -errno;
    CRASH_POINT("start.vm_json_renamed");
    return r < 0 ? vl_fail_errno(err, r, "write %s/vm.json", b->dir) : 0;
}

/* The guest's configuration as a second archive behind the first: the kernel unpacks one after the other. */
static int config_archive(const struct guest_config *guest, struct strbuf *ret)
{
    json_auto_t *root = schema_encode(&guest_config_schema, guest);
    auto_free char *text = root ? json_text(root) : NULL;

    if (!text) return -ENOMEM;
    cpio_add_dir(ret, "volant", 0755);
    cpio_add_file(ret, GUEST_CONFIG_PATH, 0400, text, strlen(text));
    cpio_end(ret);
    return ret->failed ? -ENOMEM : 0;
}

static int fill_initrd(int fd, int source, const struct guest_config *guest)
{
    static const char zeros[8]; /* to a multiple of 4, and the four by which the end of an lz4 archive is known */
    auto_strbuf archive = {0};
    off_t end;
    int r = 0;

    if ((source >= 0 && (r = copy_fd(fd, source)) < 0) || !guest) return r;
    if ((end = lseek(fd, 0, SEEK_END)) < 0) return -errno;
    if ((r = write_all(fd, zeros, 4 + (size_t)(-end & 3), -1)) < 0) return r;
    if ((r = config_archive(guest, &archive)) < 0) return r;
    return write_all(fd, archive.data, archive.len, -1);
}

static int make_initrd(const struct vmm_boot *b, uid_t owner, struct prepared *p, struct vl_error *err)
{
    auto_close int source = -1, fd = -1;
    int r;

    (void)unlinkat(p->dir, "initrd", 0);
    if (!vmm_has_initrd(b)) return 0;
    if (b->initrd_source && (source = open(b->initrd_source, O_RDONLY | O_CLOEXEC)) < 0)
        return vl_fail_errno(err, errno, "open %s", b->initrd_source);
    fd = openat(p->dir, "initrd", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0) return vl_fail_errno(err, errno, "make %s/initrd", b->dir);
    CRASH_POINT("start.initrd_made");
    r = fill_initrd(fd, source, b->guest);
    CRASH_POINT("start.initrd_filled");
    if (r == 0 && owner != 0 && fchown(fd, owner, owner) < 0) r = -errno;
    if (r == 0 && (p->initrd = openat(p->dir, "initrd", O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0) r = -errno;
    if (r == 0) return 0;
    (void)unlinkat(p->dir, "initrd", 0); /* a full disk gets back what was taken */
    return vl_fail_errno(err, r, "make %s/initrd", b->dir);
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static int make_sockets(const struct vmm_boot *b, struct prepared *p, struct vl_error *err)
{
    const struct {
        const char *name;
        int *fd;
    } table[] = {{"ctl", &p->ctl}, {"sync", &p->sync}, {"qmp", &p->qmp}, {"console.sock", &p->console}};

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char path[512];
        int r = strf(path, sizeof(path), "%s/%s", b->dir, table[i].name);

        if (r >= 0) r = *table[i].fd = unix_listen(path, BACKLOG, 0600);
        if (r == -ENAMETOOLONG)
            return vl_fail(err, VL_INVALID,
                           "%s/%s is longer than a socket's path may be (107 bytes): move VOLANT_STATE_DIR", b->dir,
                           table[i].name);
        if (r < 0) return vl_fail_errno(err, r, "listen on %s", path);
        CRASH_POINT("start.socket_made");
    }
    CRASH_POINT("start.sockets_made");
    return 0;
}

/* The VMM opens it anew by /proc/self/fd: no folder on the way need be open to its user, but the file itself must be.
 */
static int open_kernel(const struct vmm_boot *b, uid_t owner, struct prepared *p, struct vl_error *err)
{
    const char *path = b->root_disk && b->guest ? b->host->rootfs_kernel_path : b->host->kernel_path;
    struct stat st;

    if (b->kernel) {
        int r = vmm_kernel_open(b->host, b->kernel_dirs, b->kernel, &p->kernel, err);

        return r < 0 ? vl_wrap(err, "config.kernel_override") : 0;
    }
    if (!*path) return vl_fail(err, VL_INVALID, NO_ROOTFS_KERNEL);
    p->kernel = open(path, O_RDONLY | O_CLOEXEC);
    if (p->kernel < 0 || fstat(p->kernel, &st) < 0) return vl_fail_errno(err, errno, "open the guest kernel %s", path);
    if (owner != 0 && !(st.st_mode & S_IROTH))
        return vl_fail(err, VL_INVALID, "the guest kernel %s is not readable by the VM's own user: chmod 0644 it",
                       path);
    return 0;
}

int prepare_boot(const struct vmm_boot *b, const char *cmdline, uid_t owner, int64_t deadline_ms, struct prepared *ret,
                 struct vl_error *err)
{
    auto_(prepared_done) struct prepared p = PREPARED_INIT;
    int r;

    if ((r = refuse_second(b, deadline_ms, err)) < 0 || (r = open_kernel(b, owner, &p, err)) < 0) return r;
    if ((r = vmm_cgroup_make(b->host, b->vm_id, &p.cgroup, err)) < 0) return r;
    if ((r = make_folder(b, &p, deadline_ms, err)) < 0 || (r = write_vm_json(b, cmdline, p.dir, err)) < 0 ||
        (r = make_initrd(b, owner, &p, err)) < 0 || (r = disks_open(b, owner, deadline_ms, &p, err)) < 0 ||
        (r = make_sockets(b, &p, err)) < 0)
        return r;
    *ret = p;
    p = PREPARED_INIT;
    return 0;
}
