/* SPDX-License-Identifier: Apache-2.0 */
/* See mounts.h. The table is the order, the kernel's own ones first; a folder that the image lacks is made. */
#include "kestrel/mounts.h"

#include <dirent.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

struct mount_point {
    const char *path, *type;
    unsigned long flags;
    const char *data;
    mode_t mode;       /* of the folder */
    bool keep_content; /* nothing is mounted over what the image brings */
};

static const struct mount_point points[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555, false},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0555, false},
    {"/dev", "devtmpfs", MS_NOSUID, "mode=0755", 0755, false},
#define KERNEL_POINTS 3
    {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666", 0755, false},
    {"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", 01777, false},
    {"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", 0755, true},
    {"/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", 01777, true},
    {"/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, 0, false},
};

bool mounts_has_content(const char *path)
{
    DIR *d = opendir(path);
    bool found = false;

    if (!d) return false;
    for (const struct dirent *e; !found && (e = readdir(d));) /* NOLINT(concurrency-mt-unsafe): one thread */
        found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    (void)closedir(d);
    return found;
}

static int mount_points(size_t first, size_t end, struct vl_error *err)
{
    int result = 0;

    for (size_t i = first; i < end; i++) {
        const struct mount_point *p = &points[i];

        if (p->mode != 0 && mkdir(p->path, p->mode) < 0 && p->keep_content && mounts_has_content(p->path)) {
            (void)chmod(p->path, p->mode);
            continue;
        }
        if (mount(p->type, p->path, p->type, p->flags, p->data) < 0 && errno != EBUSY && result == 0)
            result = vl_fail_errno(err, errno, "mount %s on %s", p->type, p->path);
    }
    return result;
}

int mounts_kernel(struct vl_error *err)
{
    return mount_points(0, KERNEL_POINTS, err);
}

int mounts_setup(struct vl_error *err)
{
    return mount_points(KERNEL_POINTS, ARRAY_LEN(points), err);
}

void mounts_device_links(int dev_fd)
{
    static const char *const links[][2] = {
        {"fd", "/proc/self/fd"},
        {"stdin", "/proc/self/fd/0"},
        {"stdout", "/proc/self/fd/1"},
        {"stderr", "/proc/self/fd/2"},
    };

    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        (void)!symlinkat(links[i][1], dev_fd, links[i][0]);
}
