/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing and copying files and other descriptors. */
#include "base/io.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"

#define READ_FIRST        4096
#define COPY_CHUNK        131072
#define KERNEL_COPY_CHUNK ((size_t)1 << 30)

/* What is left to read as far as fstat knows, which says 0 of /proc files and pipes. */
static size_t first_capacity(int fd, size_t max)
{
    struct stat st;
    size_t size = READ_FIRST;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= READ_FIRST) size = (size_t)st.st_size + 1;
    return size - 1 < max ? size : max + 1;
}

int read_all(int fd, size_t max, char **ret, size_t *ret_len)
{
    size_t cap, len = 0;
    auto_free char *data = NULL;

    if (max > SIZE_MAX / 4) max = SIZE_MAX / 4;
    cap = first_capacity(fd, max) + 1; /* max + 1 bytes tell "too large", one more is for the NUL */
    if (!(data = malloc(cap))) return -ENOMEM;
    for (;;) {
        ssize_t n = read(fd, data + len, cap - 1 - len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        len += (size_t)n;
        if (len > max) return -EFBIG;
        if (len == cap - 1) {
            char *grown;

            cap = cap - 1 <= max / 2 ? 2 * cap : max + 2;
            if (!(grown = realloc(data, cap))) return -ENOMEM;
            data = grown;
        }
    }
    data[len] = '\0';
    *ret = take_ptr(data);
    if (ret_len) *ret_len = len;
    return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len)
{
    /* O_NONBLOCK: opening a FIFO that somebody put there must not wait for a writer. */
    auto_close int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    return fd < 0 ? -errno : read_all(fd, max, ret, ret_len);
}

int write_all(int fd, const void *data, size_t n, int64_t deadline_ms)
{
    const char *p = data;

    while (n > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        ssize_t done = write(fd, p, n);
        int r;

        if (done >= 0) {
            p += done;
            n -= (size_t)done;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return -errno;
        r = poll(&wait, 1, deadline_left(deadline_ms));
        if (r < 0 && errno != EINTR) return -errno;
        if (r == 0) return -ETIMEDOUT;
    }
    return 0;
}

static int write_and_sync(int fd, const void *data, size_t n, mode_t mode)
{
    int r = write_all(fd, data, n, -1);

    if (r < 0) return r;
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0) return -errno;
    return 0;
}

/* dir_fd may be AT_FDCWD or O_PATH, neither of which can be synced. */
static int sync_folder(int dir_fd)
{
    auto_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) return -errno;
    return fsync(fd) < 0 && errno != EINVAL ? -errno : 0; /* EINVAL: a file system that cannot */
}

int write_file_atomic_at(int dir_fd, const char *name, const void *data, size_t n, mode_t mode)
{
    char unique[9], temp[256];
    auto_close int fd = -1;
    int r;

    if (!*name || strchr(name, '/')) return -EINVAL;
    if ((r = random_hex(unique, 4)) < 0) return r;
    if ((r = strf(temp, sizeof(temp), ".%s.%s.tmp", name, unique)) < 0) return r;
    fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    r = write_and_sync(fd, data, n, mode);
    if (r == 0 && renameat(dir_fd, temp, dir_fd, name) < 0) r = -errno;
    if (r < 0) {
        (void)unlinkat(dir_fd, temp, 0);
        return r;
    }
    return sync_folder(dir_fd);
}

/* A reflink replaces a whole file, so it is for an empty one only. Leaves dst's offset at its end. */
static bool clone_fd(int dst, int src)
{
    struct stat st;

    return lseek(dst, 0, SEEK_CUR) == 0 && fstat(dst, &st) == 0 && st.st_size == 0 && ioctl(dst, FICLONE, src) == 0 &&
           lseek(dst, 0, SEEK_END) >= 0;
}

int copy_fd(int dst, int src)
{
    auto_free char *buf = NULL;
    off_t at = 0;

    if (clone_fd(dst, src)) return 0;
    /*
     * Whatever ends this (another file system, /proc, a full disk) is found out and reported by plain reads and writes.
     */
    while (copy_file_range(src, &at, dst, NULL, KERNEL_COPY_CHUNK, 0) > 0)
        ;
    if (!(buf = malloc(COPY_CHUNK))) return -ENOMEM;
    for (;;) {
        ssize_t n = pread(src, buf, COPY_CHUNK, at);
        int r;

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : 0;
        if ((r = write_all(dst, buf, (size_t)n, -1)) < 0) return r;
        at += n;
    }
}

int set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0) return -errno;
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}
