/* SPDX-License-Identifier: Apache-2.0 */
/* See disk.h. drivers/block/virtio_blk.c shows the serial as an attribute of the disk. */
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

/* fs/ext4/ext4.h, which is not for users: takes the wanted number of blocks. */
#define EXT4_RESIZE _IOW('f', 16, uint64_t)

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
    char path[DISK_PATH_SIZE];
    bool found = false;

    if (!d) return false;
    for (const struct dirent *e; !found && (e = readdir(d));) /* NOLINT(concurrency-mt-unsafe): one thread */
        found = e->d_name[0] != '.' && has_serial(dirfd(d), e->d_name, serial) &&
                strf(path, sizeof(path), "/dev/%s", e->d_name) >= 0;
    (void)closedir(d);
    if (found) memcpy(ret, path, sizeof(path));
    return found;
}

/* Takes what the kernel has told; events that were lost (ENOBUFS) are a reason to look as well. */
static void take_events(int fd)
{
    char text[4096];

    while (recv(fd, text, sizeof(text), 0) >= 0 || errno == ENOBUFS || errno == EINTR)
        ;
}

int disk_find(const char *sys_block, const char *serial, int64_t deadline_ms, char ret[static DISK_PATH_SIZE],
              struct vl_error *err)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
    auto_close int fd = -1;

    if (look(sys_block, serial, ret)) return 0; /* as always under QEMU */
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return vl_fail_errno(err, errno, "listen for the disk '%s'", serial);
    while (!look(sys_block, serial, ret)) { /* after listening, or what comes in between would be missed */
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r = poll(&p, 1, deadline_left(deadline_ms));

        if (r < 0 && errno != EINTR) return vl_fail_errno(err, errno, "wait for the disk '%s'", serial);
        if (r == 0) return vl_fail(err, VL_NOT_FOUND, "the machine has no disk with the serial '%s'", serial);
        take_events(fd);
    }
    return 0;
}

/* By their magic numbers: of squashfs at the beginning, of ext4 in its superblock at 1024. */
const char *disk_fstype(const char *device)
{
    auto_close int fd = open(device, O_RDONLY | O_CLOEXEC);
    unsigned char head[2048];

    if (fd < 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head)) return NULL;
    if (memcmp(head, "hsqs", 4) == 0) return "squashfs";
    return head[1024 + 0x38] == 0x53 && head[1024 + 0x39] == 0xef ? "ext4" : NULL;
}

/* The kernel knows best whether there is anything to do: f_blocks leaves out what ext4 needs for itself. */
int disk_grow(const char *device, const char *folder)
{
    auto_close int disk = open(device, O_RDONLY | O_CLOEXEC), top = -1;
    uint64_t bytes, blocks;
    struct statfs st;

    if (disk < 0) return -errno;
    if ((top = open_dir(folder)) < 0) return top;
    if (ioctl(disk, BLKGETSIZE64, &bytes) < 0 || fstatfs(top, &st) < 0) return -errno;
    if (st.f_bsize <= 0) return -EINVAL;
    blocks = bytes / (uint64_t)st.f_bsize;
    return ioctl(top, EXT4_RESIZE, &blocks) < 0 ? -errno : 0;
}
