/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define SERIAL_MAX 64

/* fs/ext4/ext4.h: the wanted number of blocks. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

static bool has_serial(int block_fd, const char *device, const char *serial)
{
    auto_free char *text = NULL;
    char path[300];
    size_t len;

    if (strf(path, sizeof(path), "%s/serial", device) < 0 || read_file_at(block_fd, path, SERIAL_MAX, &text, &len) < 0)
        return false;
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, serial) == 0;
}

static bool look(const char *sys_block, const char *serial, char ret[static DISK_PATH_SIZE])
{
    DIR *d = opendir(sys_block);
    bool found = false;

    if (!d) return false;
    for (const struct dirent *e; !found && (e = readdir(d));) /* NOLINT(concurrency-mt-unsafe): one thread */
        found = e->d_name[0] != '.' && has_serial(dirfd(d), e->d_name, serial) &&
                strf(ret, DISK_PATH_SIZE, "/dev/%s", e->d_name) >= 0;
    (void)closedir(d);
    return found;
}

int disk_find(const char *sys_block, const char *serial, int64_t deadline_ms, char ret[static DISK_PATH_SIZE],
              struct vl_error *err)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
    auto_close int fd = -1;
    char event[4096];

    if (look(sys_block, serial, ret)) return 0;
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return vl_fail_errno(err, errno, "listen to the kernel for disks");
    while (!look(sys_block, serial, ret)) { /* after listening, or what comes in between would be missed */
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, deadline_left(deadline_ms)) == 0)
            return vl_fail(err, VL_NOT_FOUND, "the machine has no disk with the serial '%s'", serial);
        while (recv(fd, event, sizeof(event), 0) >= 0 || errno == ENOBUFS)
            ;
    }
    return 0;
}

int disk_grow(const char *device, const char *folder)
{
    auto_close int disk = open(device, O_RDONLY | O_CLOEXEC), fs = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t bytes, blocks;
    struct statfs st;

    if (disk < 0 || fs < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0 || fstatfs(fs, &st) < 0) return -errno;
    if (st.f_bsize <= 0) return -EINVAL;
    blocks = bytes / (uint64_t)st.f_bsize;
    /* f_blocks leaves out what ext4 needs for itself, so the kernel is asked each time: it knows when there is nothing
     * to do, and says so at once. */
    if (ioctl(fs, EXT4_IOC_RESIZE_FS, &blocks) < 0) return errno == EINVAL ? 0 : -errno;
    return 1;
}
