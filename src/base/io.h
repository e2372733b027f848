/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors. Everything returns -errno; every descriptor is close-on-exec from birth. */
#pragma once
#include <sys/types.h>

#include "base/defs.h"

/*
 * Reads to the end of file, at most max bytes (more is -EFBIG). *ret is NUL-terminated and the caller's; ret_len may be
 * NULL.
 */
int read_all(int fd, size_t max, char **ret, size_t *ret_len);
/* openat + read_all; O_NOFOLLOW on the last component is not set. */
int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len);
/*
 * Writes all bytes, waiting with poll where the descriptor is non-blocking, until `deadline_ms` (mono_ms; <0: none),
 * then -ETIMEDOUT. Programs ignore SIGPIPE, so that a reader that went away is -EPIPE.
 */
int write_all(int fd, const void *data, size_t n, int64_t deadline_ms);
/*
 * Temporary name (`.name.<8 hex>.tmp`) with O_EXCL, write, fsync, rename, fsync of the folder: the file is the old or
 * the new one, never half. `name` has no slash; the mode is exact, whatever the umask.
 */
int write_file_atomic_at(int dir_fd, const char *name, const void *data, size_t n, mode_t mode);
/*
 * Copies all of the file src, from its beginning and without moving its offset, to dst's current offset, which is
 * behind the copy afterwards: reflink where possible, else copy_file_range, else read/write.
 */
int copy_fd(int dst, int src);

int mkdir_p(const char *path, mode_t mode); /* an existing folder is fine; missing parents get the same mode */
/*
 * Removes a tree below dir_fd without following links or leaving the file system of dir_fd (-EXDEV), at most 128
 * folders deep (-ELOOP). Removes what it can and gives the first error. Absent is fine.
 */
int remove_tree_at(int dir_fd, const char *name);
int open_dir(const char *path); /* O_DIRECTORY | O_CLOEXEC | O_RDONLY */
/*
 * Opens `path` below root_fd by openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS): links cannot lead out, an absolute
 * path begins at root_fd. `mode` counts with O_CREAT only.
 */
int open_beneath(int root_fd, const char *path, int flags, mode_t mode);
/* The same by RESOLVE_BENEATH, for what exists: a path or link that leads out, or begins with '/', is -EXDEV. */
int open_within(int root_fd, const char *path, int flags);

int set_nonblock(int fd, bool on);

/*
 * Unix stream sockets, non-blocking, at most 107 bytes of path (-ENAMETOOLONG). listen: an existing socket file is
 * replaced, also if somebody listens there: hold the folder's lock.
 */
int unix_listen(const char *path, int backlog, mode_t mode);
/* Connects, at once or -EAGAIN/-ECONNREFUSED/-ENOENT. */
int unix_connect(const char *path);
/* pid of the process that listens at (or connected) the other end, SO_PEERCRED. */
int unix_peer_pid(int fd, pid_t *ret);

/*
 * Opens (creates, 0600) and locks a file by an exclusive, non-waiting flock, held until *ret_fd is closed. -EWOULDBLOCK
 * if another holds it.
 */
int lock_file(const char *path, int *ret_fd);

/* Free bytes for unprivileged writers on the file system of `path`. */
int disk_free(const char *path, uint64_t *ret);
