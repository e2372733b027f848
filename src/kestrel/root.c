/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/root.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "kestrel/console.h"
#include "kestrel/disk.h"

#define SYS_BLOCK "/sys/block"
#define IMAGE     "/.image"
#define CHANGES   "/.changes"
#define ROOT      "/.root"
#define DISK_MS   5000 /* they are there when the kernel starts init, but who knows of other VMMs */

/* --- the disks ---------------------------------------------------------------------------------------------------- */

/* By their magic numbers: squashfs at the beginning, ext4's superblock at 1024. */
static const char *detect(const char *disk)
{
    auto_close int fd = open(disk, O_RDONLY | O_CLOEXEC);
    unsigned char head[2048] = {0};

    if (fd < 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head)) return NULL;
    if (memcmp(head, "hsqs", 4) == 0) return "squashfs";
    return head[1024 + 0x38] == 0x53 && head[1024 + 0x39] == 0xef ? "ext4" : NULL;
}

static int mount_image(const struct guest_root *root, struct vl_error *err)
{
    const char *type = root->fstype;
    char disk[DISK_PATH_SIZE];
    int r;

    if ((r = disk_find(SYS_BLOCK, GUEST_ROOT_SERIAL, mono_ms() + DISK_MS, disk, err)) < 0)
        return vl_wrap(err, "root disk");
    if (mkdir(IMAGE, 0755) < 0 && errno != EEXIST) return vl_fail_errno(err, errno, "make " IMAGE);
    if (strcmp(type, GUEST_FSTYPE_AUTO) == 0 && !(type = detect(disk)))
        return vl_fail(
            err, VL_INVALID,
            "root disk: %s holds neither squashfs nor ext4: it is damaged, or has partitions: build and install "
            "its plugin again",
            disk);
    /* noload: nobody writes to the journal of a disk that is only read. */
    if (mount(disk, IMAGE, type, MS_RDONLY, strcmp(type, "ext4") == 0 ? "noload" : NULL) == 0) return 0;
    if (errno == ENODEV) return vl_fail(err, VL_INVALID, "root disk: this kernel knows no file system '%s'", type);
    return vl_fail(
        err, VL_INVALID,
        "root disk: %s holds no %s that can be mounted (%s): it is damaged, build and install its plugin again", disk,
        root->fstype, vl_strerror(errno));
}

static int mount_memory(const struct guest_root *root, struct vl_error *err)
{
    char data[48] = "mode=0755";

    if (root->overlay_mb > 0) (void)strf(data, sizeof(data), "mode=0755,size=%lldm", (long long)root->overlay_mb);
    return mount("changes", CHANGES, "tmpfs", 0, data) < 0 ? vl_fail_errno(err, errno, "mount memory for changes") : 0;
}

static int mount_own_disk(struct vl_error *err)
{
    char disk[DISK_PATH_SIZE];
    int r;

    if ((r = disk_find(SYS_BLOCK, GUEST_DATA_SERIAL, mono_ms() + DISK_MS, disk, err)) < 0)
        return vl_wrap(err, "data disk");
    if (mount(disk, CHANGES, "ext4", MS_NODEV, NULL) < 0)
        return vl_fail(err, VL_INVALID,
                       "data disk: %s holds no ext4 that can be mounted (%s): check data.ext4 of the VM's folder with "
                       "e2fsck, or create the VM anew",
                       disk, vl_strerror(errno));
    if ((r = disk_grow(disk, CHANGES)) < 0)
        console_say(1, 200, "volant: the data disk keeps its former size: %s", vl_strerror(r));
    return 0;
}

/* Upper and work folder must be of one file system. */
static int mount_overlay(struct vl_error *err)
{
    static const char *const folders[] = {CHANGES "/upper", CHANGES "/work", ROOT};

    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        if (mkdir(folders[i], 0755) < 0 && errno != EEXIST) return vl_fail_errno(err, errno, "make %s", folders[i]);
    if (mount("root", ROOT, "overlay", 0, "lowerdir=" IMAGE ",upperdir=" CHANGES "/upper,workdir=" CHANGES "/work") < 0)
        return vl_fail_errno(err, errno, "lay an overlay over the root disk");
    return 0;
}

/* --- the switch --------------------------------------------------------------------------------------------------- */

/*
 * The initramfs is a file system in memory that cannot be unmounted: its files go, and the new root is moved over it.
 * The kernel's mounts stay below, out of sight; they are mounted again above.
 */
static int switch_root(struct vl_error *err)
{
    (void)unlink("/init");
    (void)unlink("/dev/console");
    if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return vl_fail_errno(err, errno, "enter the root disk");
    return 0;
}

int root_enter(const struct guest_root *root, struct vl_error *err)
{
    int r;

    if ((r = mount_image(root, err)) < 0) return r;
    if (mkdir(CHANGES, 0755) < 0 && errno != EEXIST) return vl_fail_errno(err, errno, "make " CHANGES);
    if ((r = root->persistent ? mount_own_disk(err) : mount_memory(root, err)) < 0) return r;
    if ((r = mount_overlay(err)) < 0) return r;
    return switch_root(err);
}

/* --- what runs there ---------------------------------------------------------------------------------------------- */

static void make_folder(const char *path)
{
    if (path && access(path, F_OK) < 0) (void)mkdir_p(path, 0755);
}

void root_make_folders(const struct workload *w)
{
    make_folder(w->workdir);
    for (size_t i = 0; i < w->volumes.len; i++)
        make_folder(w->volumes.items[i]);
}

int root_exec_init(const struct guest_root *root, const struct strmap *env, struct vl_error *err)
{
    const char *argv[] = {root->init, NULL};
    auto_strv words = {0};
    sigset_t none;
    int r = 0;

    for (size_t i = 0; r == 0 && i < env->len; i++)
        r = strv_addf(&words, "%s=%s", env->items[i].key, env->items[i].value);
    if (r == 0 && !strmap_get(env, "PATH")) r = strv_add(&words, "PATH=" WORKLOAD_PATH);
    if (r == 0 && !strmap_get(env, "TERM")) r = strv_add(&words, "TERM=linux");
    if (r < 0) return vl_fail_errno(err, r, "start %s", root->init);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(root->init, (char *const *)argv, words.items);
    return vl_fail(err, VL_NOT_FOUND, "init '%s' of the image: %s: name another in the manifest's rootfs.init",
                   root->init, vl_strerror(errno));
}
