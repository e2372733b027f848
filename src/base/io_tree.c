/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: making, opening and removing them, where somebody else may have put links and mounts in the way. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "base/crash.h"
#include "base/io.h"
#include "base/str.h"

#define TREE_DEPTH_MAX 128 /* each level holds a descriptor open */
#define BENEATH_TRIES  16

static int mkdir_existing(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0) return 0;
    if (errno != EEXIST) return -errno;
    if (stat(path, &st) < 0) return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int mkdir_p(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    int r = strf(part, sizeof(part), "%s", path);

    if (r < 0) return r;
    for (char *slash = strchr(part + 1, '/'); r > 0 && slash; slash = strchr(slash + 1, '/')) {
        int made;

        *slash = '\0';
        if ((made = mkdir_existing(part, mode)) < 0) return made;
        *slash = '/';
    }
    return mkdir_existing(part, mode);
}

/* The next entry but "." and "..": NULL with errno 0 at the end. The stream is of one thread, so readdir is safe. */
static const struct dirent *next_entry(DIR *dir)
{
    const struct dirent *entry;

    do {
        errno = 0;
        entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe) */
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry;
}

DEFINE_AUTO(DIR *, closedir)

static int remove_at(int dir_fd, const char *name, dev_t device, int depth);

/* Goes on after a failure, so that one entry in the way keeps no others; gives the first error. */
static int remove_children(int dir_fd, const char *name, dev_t device, int depth)
{
    auto_close int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    auto_(closedirp) DIR *dir = NULL;
    const struct dirent *entry;
    struct stat st;
    int first = 0, r;

    if (fd < 0) return -errno;
    if (depth >= TREE_DEPTH_MAX) return -ELOOP;
    if (fstat(fd, &st) < 0) return -errno;
    if (st.st_dev != device) return -EXDEV;
    if (!(dir = fdopendir(fd))) return -errno;
    (void)take_fd(&fd); /* the stream's now */
    while ((entry = next_entry(dir))) {
        if ((r = remove_at(dirfd(dir), entry->d_name, device, depth + 1)) < 0 && first == 0) first = r;
        CRASH_POINT("delete.file_removed");
    }
    if (errno != 0 && first == 0) first = -errno;
    return first;
}

static int remove_at(int dir_fd, const char *name, dev_t device, int depth)
{
    int r;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR) return -errno;
    if ((r = remove_children(dir_fd, name, device, depth)) < 0) return r == -ENOENT ? 0 : r;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT) return -errno;
    return 0;
}

int remove_tree_at(int dir_fd, const char *name)
{
    struct stat st;

    if (fstatat(dir_fd, "", &st, AT_EMPTY_PATH) < 0) return -errno;
    return remove_at(dir_fd, name, st.st_dev, 0);
}

int open_dir(const char *path)
{
    int fd = open(path, O_DIRECTORY | O_CLOEXEC | O_RDONLY);

    return fd < 0 ? -errno : fd;
}

static int open_resolved(int root_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | O_TMPFILE) & ~O_DIRECTORY ? mode : 0, /* openat2 refuses a mode without use */
        .resolve = resolve | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    /*
     * EAGAIN: something was renamed meanwhile, so that the kernel cannot vouch for "..": openat2(2) asks for a retry.
     */
    for (int try = 0; try < BENEATH_TRIES; try++) {
        fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN) break;
    }
    return fd < 0 ? -errno : (int)fd;
}

int open_beneath(int root_fd, const char *path, int flags, mode_t mode)
{
    return open_resolved(root_fd, path, flags, mode, RESOLVE_IN_ROOT);
}

int open_within(int root_fd, const char *path, int flags)
{
    return open_resolved(root_fd, path, flags, 0, RESOLVE_BENEATH);
}

int lock_file(const char *path, int *ret_fd)
{
    auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int disk_free(const char *path, uint64_t *ret)
{
    struct statvfs st;

    if (statvfs(path, &st) < 0) return -errno;
    *ret = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}
