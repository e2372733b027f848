/* SPDX-License-Identifier: Apache-2.0 */
/* See output.h. */
#include "fledge/output.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"

#define TRIES 8

int output_open(const char *folder, struct output *ret, struct vl_error *err)
{
    int fd = open_dir(folder);

    if (fd == -ENOENT)
        return vl_fail(err, VL_INVALID,
                       "there is no folder '%s' for the artifact: create it, or choose another with --output", folder);
    if (fd == -ENOTDIR) return vl_fail(err, VL_INVALID, "'%s' is no folder: name one with --output", folder);
    if (fd < 0) return vl_fail_errno(err, fd, "open the folder '%s'", folder);
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
        int r = vl_fail_errno(err, errno, "write to the folder '%s' (choose another with --output)", folder);

        (void)close(fd);
        return r;
    }
    *ret = (struct output){.dir_fd = fd, .folder = folder};
    return 0;
}

static int create(const struct output *o, struct output_file *f)
{
    char hex[17];
    int r;

    for (int i = 0; i < TRIES; i++) {
        if ((r = random_hex(hex, 8)) < 0) return r;
        (void)strf(f->temp, sizeof(f->temp), ".fledge-%s", hex);
        f->fd = openat(o->dir_fd, f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (f->fd >= 0) return fchmod(f->fd, 0644) < 0 ? -errno : 0;
        if (errno != EEXIST) return -errno;
    }
    return -EEXIST;
}

int output_add(struct output *o, const char *name, int *ret_fd, struct vl_error *err)
{
    struct output_file *f = &o->files[o->n_files];
    struct stat st;
    int r;

    f->fd = -1;
    if (strf(f->name, sizeof(f->name), "%s", name) < 0) return vl_fail_errno(err, ENAMETOOLONG, "name '%s'", name);
    if (fstatat(o->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        return vl_fail(err, VL_CONFLICT, "'%s/%s' is a folder: remove it, or choose another place with --output",
                       o->folder, name);
    r = create(o, f);
    if (f->fd >= 0) o->n_files++;
    if (r < 0) return vl_fail_errno(err, r, "create a file in '%s'", o->folder);
    *ret_fd = f->fd;
    return 0;
}

int output_commit(struct output *o, struct vl_error *err)
{
    for (size_t i = 0; i < o->n_files; i++)
        if (fsync(o->files[i].fd) < 0) return vl_fail_errno(err, errno, "write '%s/%s'", o->folder, o->files[i].name);
    for (size_t i = 0; i < o->n_files; i++) {
        struct output_file *f = &o->files[i];

        if (renameat(o->dir_fd, f->temp, o->dir_fd, f->name) < 0)
            return vl_fail_errno(err, errno, "create '%s/%s'", o->folder, f->name);
        f->temp[0] = '\0';
    }
    if (fsync(o->dir_fd) < 0 && errno != EINVAL) return vl_fail_errno(err, errno, "write the folder '%s'", o->folder);
    return 0;
}

void output_done(struct output *o)
{
    if (!o->folder) return;
    for (size_t i = 0; i < o->n_files; i++) {
        if (o->files[i].temp[0]) (void)unlinkat(o->dir_fd, o->files[i].temp, 0);
        (void)close(o->files[i].fd);
    }
    (void)close(o->dir_fd);
    *o = (struct output){0};
}
