/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See root.h. Image and changes are mounted in the initramfs, and detached once the overlay holds them: what runs later
 * sees its root folder and nothing of how it was made.
 */
#include "kestrel/root.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "kestrel/console.h"
#include "kestrel/disk.h"

#define SYS_BLOCK       "/sys/block"
#define IMAGE           "/image"
#define CHANGES         "/changes"
#define UPPER           CHANGES "/upper"
#define WORK            CHANGES "/work"
#define ROOT            "/root"
#define DISK_WAIT_MS    3000 /* they are there when init starts, unless another VMM plugs them in later */
#define CONSOLE_FD      1
#define CONSOLE_WAIT_MS 200

/* What comes along into the new root, in this order. */
static const char *const moved[] = {"/dev", "/proc", "/sys"};

static int make_folder(const char *path, struct vl_error *err)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? vl_fail_errno(err, errno, "make %s", path) : 0;
}

/* The disks */

static int mount_image(const struct guest_root *root, struct vl_error *err)
{
    const char *type = root->fstype;
    char disk[DISK_PATH_SIZE];
    int r;

    if ((r = disk_find(SYS_BLOCK, GUEST_ROOT_SERIAL, mono_ms() + DISK_WAIT_MS, disk, err)) < 0)
        return vl_wrap(err, "root disk: attach the plugin's image");
    if (strcmp(type, GUEST_FSTYPE_AUTO) == 0 && !(type = disk_fstype(disk)))
        return vl_fail(err, VL_INVALID,
                       "root disk: %s holds neither squashfs nor ext4: it is damaged, or has partitions: build the "
                       "plugin's image again and install it",
                       disk);
    if ((r = make_folder(IMAGE, err)) < 0) return r;
    /* noload: the journal of an ext4, if it has one, cannot be written either. */
    if (mount(disk, IMAGE, type, MS_RDONLY, strcmp(type, "ext4") == 0 ? "noload" : NULL) == 0) return 0;
    if (errno == ENODEV) return vl_fail(err, VL_INVALID, "root disk: this kernel has no %s, use bzImage-volant", type);
    return vl_fail(err, VL_INVALID,
                   "root disk: %s is damaged or no %s (%s): build the plugin's image again and install it", disk, type,
                   vl_strerror(errno));
}

static int mount_memory(const struct guest_root *root, struct vl_error *err)
{
    char options[64];

    if (root->overlay_mb > 0) {
        (void)strf(options, sizeof(options), "mode=0755,size=%lldm", (long long)root->overlay_mb);
    } else {
        (void)strf(options, sizeof(options), "mode=0755");
    }
    return mount("changes", CHANGES, "tmpfs", 0, options) < 0
               ? vl_fail_errno(err, errno, "mount memory for changes to the root disk")
               : 0;
}

static int mount_data(struct vl_error *err)
{
    char disk[DISK_PATH_SIZE];
    int r;

    if ((r = disk_find(SYS_BLOCK, GUEST_DATA_SERIAL, mono_ms() + DISK_WAIT_MS, disk, err)) < 0)
        return vl_wrap(err, "data disk: attach the VM's own disk");
    if (mount(disk, CHANGES, "ext4", 0, NULL) < 0)
        return vl_fail(err, VL_INVALID,
                       "data disk: %s is damaged or no ext4 (%s): repair the VM's data.ext4 with e2fsck, or create the "
                       "VM anew",
                       disk, vl_strerror(errno));
    if ((r = disk_grow(disk, CHANGES)) < 0)
        console_say(CONSOLE_FD, CONSOLE_WAIT_MS, "volant: data disk: cannot use all of %s (%s): going on without", disk,
                    vl_strerror(r));
    return 0;
}

/* Both folders of the changes must be of one file system. The top of the image decides about the top of the root. */
static int mount_overlay(struct vl_error *err)
{
    static const char options[] = "lowerdir=" IMAGE ",upperdir=" UPPER ",workdir=" WORK;
    struct stat top;
    bool is_new;
    int r;

    is_new = mkdir(UPPER, 0755) == 0;
    if (!is_new && errno != EEXIST) return vl_fail_errno(err, errno, "make " UPPER);
    if (is_new && stat(IMAGE, &top) == 0 &&
        (chown(UPPER, top.st_uid, top.st_gid) < 0 || chmod(UPPER, top.st_mode & 07777) < 0))
        return vl_fail_errno(err, errno, "give " UPPER " the owner and mode of the image's top folder");
    if ((r = make_folder(WORK, err)) < 0 || (r = make_folder(ROOT, err)) < 0) return r;
    if (mount("root", ROOT, "overlay", 0, options) < 0)
        return vl_fail_errno(err, errno, "lay the changes over the root disk");
    return 0;
}

/* The switch */

static void close_all(int fds[static ARRAY_LEN(moved)])
{
    for (size_t i = 0; i < ARRAY_LEN(moved); i++)
        closep(&fds[i]);
}

/* Found by descriptor where they are, and by name, inside the new root, where they go: no link leads elsewhere. */
static int move_mounts(int fds[static ARRAY_LEN(moved)], struct vl_error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
        (void)mkdir(moved[i], 0755);
        if (move_mount(fds[i], "", AT_FDCWD, moved[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return vl_fail(err, VL_INVALID, "root disk: cannot mount on %s (%s): it must be a folder of the image",
                           moved[i], vl_strerror(errno));
    }
    return 0;
}

/* The initramfs cannot be unmounted; its memory is given back by removing its files, among them this program's. */
static void free_initramfs(int fd)
{
    static const char *const names[] = {"init", "dev", "volant"};
    struct statfs st;

    if (fstatfs(fd, &st) < 0 || (st.f_type != RAMFS_MAGIC && st.f_type != TMPFS_MAGIC)) return;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)remove_tree_at(fd, names[i]);
}

static int switch_root(struct vl_error *err)
{
    int fds[ARRAY_LEN(moved)] = {-1, -1, -1}, initramfs = open_dir("/"), r = 0;

    for (size_t i = 0; i < ARRAY_LEN(moved) && r == 0; i++)
        if ((fds[i] = open(moved[i], O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
            r = vl_fail_errno(err, errno, "open %s", moved[i]);
    if (r == 0 && (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0))
        r = vl_fail_errno(err, errno, "enter the root disk");
    if (r == 0) r = move_mounts(fds, err);
    close_all(fds);
    if (r == 0 && initramfs >= 0) free_initramfs(initramfs);
    closep(&initramfs);
    return r;
}

int root_enter(const struct guest_root *root, struct vl_error *err)
{
    int r;

    if ((r = mount_image(root, err)) < 0 || (r = make_folder(CHANGES, err)) < 0) return r;
    if ((r = root->persistent ? mount_data(err) : mount_memory(root, err)) < 0) return r;
    if ((r = mount_overlay(err)) < 0) return r;
    (void)umount2(IMAGE, MNT_DETACH);
    (void)umount2(CHANGES, MNT_DETACH);
    return switch_root(err);
}

/* What runs there */

static void make_folder_at(int root_fd, const char *path)
{
    char part[4096];

    if (!path || strf(part, sizeof(part), "%s", path) < 0) return;
    for (char *slash = part; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (part[1] != '\0') (void)mkdirat(root_fd, part + 1, 0755);
        *slash = '/';
    }
    if (part[0] == '/' && part[1] != '\0') (void)mkdirat(root_fd, part + 1, 0755);
}

void root_make_folders(int root_fd, const struct workload *w)
{
    make_folder_at(root_fd, w->workdir);
    for (size_t i = 0; i < w->volumes.len; i++)
        make_folder_at(root_fd, w->volumes.items[i]);
}

static int init_environment(const struct strmap *env, struct strv *ret)
{
    int r = 0;

    if (!strmap_get(env, "PATH")) r = strv_add(ret, "PATH=" WORKLOAD_PATH);
    if (r == 0 && !strmap_get(env, "HOME")) r = strv_add(ret, "HOME=/");
    if (r == 0 && !strmap_get(env, "TERM")) r = strv_add(ret, "TERM=linux");
    for (size_t i = 0; r == 0 && i < env->len; i++)
        r = strv_addf(ret, "%s=%s", env->items[i].key, env->items[i].value);
    return r;
}

int root_exec_init(const struct guest_root *root, const struct strmap *env, struct vl_error *err)
{
    char *argv[] = {root->init, NULL};
    auto_strv words = {0};
    sigset_t none;
    bool exists;
    int r;

    if ((r = init_environment(env, &words)) < 0) return vl_fail_errno(err, r, "prepare the environment of init");
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    (void)execve(root->init, argv, words.items);
    r = errno;
    exists = access(root->init, F_OK) == 0;
    if ((r == ENOENT || r == ENOTDIR) && !exists)
        return vl_fail(err, VL_NOT_FOUND,
                       "root.init: no '%s' in the image: add it, or name the image's init in the "
                       "manifest",
                       root->init);
    if (r == ENOENT)
        return vl_fail(err, VL_NOT_FOUND,
                       "root.init: '%s' is there, but not the loader or interpreter it names: add "
                       "that to the image",
                       root->init);
    if (r == EACCES)
        return vl_fail(err, VL_INVALID, "root.init: '%s' may not be executed: set its mode to 0755", root->init);
    return vl_fail(err, VL_INVALID, "root.init: cannot execute '%s' (%s): build the image again, for this machine",
                   root->init, vl_strerror(r));
}
