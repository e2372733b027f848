/* SPDX-License-Identifier: Apache-2.0 */
/* See mapping.h. */
#include "fledge/mapping.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"

/* One mapping at work. The two paths grow and shrink with the depth of the walk. */
struct walk {
    const struct config *config;
    const struct mapping *mapping;
    int index;
    struct tree *tree;
    const struct stat *output; /* the folder that the artifact goes to */
    struct strbuf host, image;
    struct vl_error *err;
};

static bool below(const char *path, const char *const *folders)
{
    for (; *folders; folders++)
        if (str_starts(path, *folders) && path[strlen(*folders)] == '/') return true;
    return false;
}

mode_t mapping_mode(const char *image_path, mode_t from)
{
    static const char *const programs[] = {
        "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/bin", "/opt/sbin", NULL};
    static const char *const libraries[] = {"/lib",           "/lib64",           "/usr/lib", "/usr/lib64",
                                            "/usr/local/lib", "/usr/local/lib64", NULL};
    const char *name = strrchr(image_path, '/') + 1;

    if (from & 0111) return from | ((from & 0444) >> 2);
    if (below(image_path, programs)) return 0755;
    if (below(image_path, libraries) && (str_ends(name, ".so") || strstr(name, ".so."))) return 0755;
    return 0644;
}

/* Everything wrong with what a mapping names is told at its source. */
static int fail_source(const struct walk *w, const char *fmt, ...) printf_(2, 3);

static int fail_source(const struct walk *w, const char *fmt, ...)
{
    char text[384];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return config_fail(w->config, w->mapping->source_at, w->err, "%s: %s", w->mapping->source_name, text);
}

static int no_memory(const struct walk *w)
{
    return vl_fail_errno(w->err, ENOMEM, "map '%s'", w->mapping->source);
}

/* What the tree refuses is told at the destination, unless it is no fault of the file's. */
static int placed(const struct walk *w, int r, const struct vl_error *reason)
{
    if (r >= 0) return 0;
    if (reason->kind != VL_INVALID && reason->kind != VL_CONFLICT)
        return vl_fail(w->err, reason->kind, "%s", reason->msg);
    return config_fail(w->config, w->mapping->dest_at, w->err, "%s", reason->msg);
}

static int fail_errno_source(const struct walk *w, int errnum, const char *host)
{
    if (errnum == ENOENT) return fail_source(w, "there is no '%s': create it, or correct the path", host);
    if (errnum == ELOOP) return fail_source(w, "'%s' is a loop of symbolic links: point it at a file", host);
    if (errnum == EACCES)
        return fail_source(w, "'%s' cannot be read: change its permissions, or who runs fledge", host);
    return fail_source(w, "'%s': %s", host, vl_strerror(errnum));
}

static int fail_kind(const struct walk *w, const char *host, mode_t mode)
{
    const char *kind = S_ISSOCK(mode) ? "a socket" : S_ISFIFO(mode) ? "a named pipe" : "a device";

    return fail_source(w, "'%s' is %s, which no image can carry: leave it out", host, kind);
}

static mode_t file_mode(const struct walk *w, const struct stat *st, bool within_folder)
{
    if (w->mapping->mode >= 0) return (mode_t)w->mapping->mode;
    return within_folder ? st->st_mode & 07777 : mapping_mode(w->image.data, st->st_mode & 07777);
}

static mode_t folder_mode(const struct walk *w, const struct stat *st)
{
    mode_t mode = (mode_t)w->mapping->mode;

    if (w->mapping->mode < 0) return st->st_mode & 07777;
    return (mode & 0777) | ((mode & 0444) >> 2);
}

static int add_file(struct walk *w, const struct stat *st, bool within_folder)
{
    struct vl_error reason = {0};
    int r;

    if (access(w->host.data, R_OK) < 0) return fail_errno_source(w, errno, w->host.data);
    r = tree_add_file(w->tree, w->image.data, w->host.data, st, file_mode(w, st, within_folder), w->index, &reason);
    return placed(w, r, &reason);
}

static int add_link(struct walk *w, int dir_fd, const char *name)
{
    char target[IMAGE_PATH_MAX + 2];
    struct vl_error reason = {0};
    ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));
    int r;

    if (n < 0) return fail_errno_source(w, errno, w->host.data);
    if (n > IMAGE_PATH_MAX)
        return fail_source(w, "'%s' leads to a path of more than %d bytes", w->host.data, IMAGE_PATH_MAX);
    target[n] = '\0';
    r = tree_add_link(w->tree, w->image.data, target, w->index, &reason);
    return placed(w, r, &reason);
}

static int add_folder(struct walk *w, int dir_fd, const struct stat *st);

static int add_entry(struct walk *w, int dir_fd, const char *name)
{
    auto_close int fd = -1;
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail_errno_source(w, errno, w->host.data);
    if (S_ISREG(st.st_mode)) return add_file(w, &st, true);
    if (S_ISLNK(st.st_mode)) return add_link(w, dir_fd, name);
    if (!S_ISDIR(st.st_mode)) return fail_kind(w, w->host.data, st.st_mode);
    if ((fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return fail_errno_source(w, errno, w->host.data);
    return add_folder(w, fd, &st);
}

/* Adds the name to both paths, the entry to the tree, and takes the name off again. */
static int descend(struct walk *w, int dir_fd, const char *name)
{
    size_t host_len = w->host.len, image_len = w->image.len;
    int r;

    if (image_len > 1) strbuf_adds(&w->image, "/");
    strbuf_adds(&w->image, name);
    strbuf_adds(&w->host, "/");
    strbuf_adds(&w->host, name);
    if (w->image.failed || w->host.failed) return no_memory(w);
    if (w->image.len > IMAGE_PATH_MAX)
        return fail_source(w, "the path of '%.60s' below '%s' has more than %d bytes", name, w->mapping->source,
                           IMAGE_PATH_MAX);
    if ((r = add_entry(w, dir_fd, name)) < 0) return r;
    w->host.len = host_len;
    w->host.data[host_len] = '\0';
    w->image.len = image_len;
    w->image.data[image_len] = '\0';
    return 0;
}

static void closedirp(DIR **p)
{
    if (*p) (void)closedir(*p);
}

/* dir_fd stays the caller's. */
static int add_content(struct walk *w, int dir_fd)
{
    auto_(closedirp) DIR *dir = NULL;
    auto_close int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    int r;

    if (fd < 0 || !(dir = fdopendir(fd))) return fail_errno_source(w, errno, w->host.data);
    (void)take_fd(&fd);
    for (const struct dirent *entry;
         errno = 0, (entry = readdir(dir));) { /* NOLINT(concurrency-mt-unsafe): own stream */
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..")) continue;
        if ((r = descend(w, dir_fd, entry->d_name)) < 0) return r;
    }
    return errno ? fail_errno_source(w, errno, w->host.data) : 0;
}

static int add_folder(struct walk *w, int dir_fd, const struct stat *st)
{
    struct vl_error reason = {0};
    int r;

    if (st->st_dev == w->output->st_dev && st->st_ino == w->output->st_ino)
        return fail_source(
            w,
            "'%s' is where the artifact goes, which the next one would carry: choose another folder with --output, "
            "or map less",
            w->host.data);
    r = tree_add_folder(w->tree, w->image.data, folder_mode(w, st), w->index, NULL, &reason);
    if ((r = placed(w, r, &reason)) < 0) return r;
    return add_content(w, dir_fd);
}

/* Into the folder under its own name, where the destination says so. */
static int add_own_name(struct walk *w)
{
    const char *dest = w->mapping->dest, *name = strrchr(w->mapping->source, '/');

    if (!str_ends(dest, "/")) return 0;
    name = name ? name + 1 : w->mapping->source;
    if (w->image.len > 1) strbuf_adds(&w->image, "/");
    strbuf_adds(&w->image, name);
    return w->image.failed ? no_memory(w) : 0;
}

static int add_source(struct walk *w)
{
    auto_close int fd = -1;
    struct stat st;
    int r;

    if (stat(w->host.data, &st) < 0) return fail_errno_source(w, errno, w->host.data);
    if (S_ISDIR(st.st_mode)) {
        if ((fd = open_dir(w->host.data)) < 0) return fail_errno_source(w, -fd, w->host.data);
        return add_folder(w, fd, &st);
    }
    if (!S_ISREG(st.st_mode)) return fail_kind(w, w->host.data, st.st_mode);
    if ((r = add_own_name(w)) < 0) return r;
    return add_file(w, &st, false);
}

static int set_paths(struct walk *w, const char *folder)
{
    const struct mapping *m = w->mapping;
    auto_free char *dest = NULL;
    int r = image_path(m->dest, &dest);

    if (r == -EINVAL && *m->dest == '/')
        return config_fail(w->config, m->dest_at, w->err, "%s '%s' has a '..': write the path without it", m->dest_name,
                           m->dest);
    if (r == -EINVAL)
        return config_fail(w->config, m->dest_at, w->err, "%s '%s' is not absolute: write '/%s'", m->dest_name, m->dest,
                           m->dest);
    if (r == -ENAMETOOLONG)
        return config_fail(w->config, m->dest_at, w->err, "%s has %zu bytes, allowed %d", m->dest_name, strlen(m->dest),
                           IMAGE_PATH_MAX);
    if (r < 0) return no_memory(w);
    strbuf_adds(&w->image, dest);
    if (*m->source != '/' && !str_eq(folder, ".")) strbuf_addf(&w->host, "%s/", folder);
    strbuf_adds(&w->host, m->source);
    return w->image.failed || w->host.failed ? no_memory(w) : 0;
}

static int apply(struct walk *w, const char *folder)
{
    int r;

    if ((r = set_paths(w, folder)) < 0 || !w->host.data) return r;
    return add_source(w);
}

int mappings_apply(const struct config *c, const char *folder, const char *output, struct tree *t, struct vl_error *err)
{
    struct stat st;
    int r = 0;

    if (stat(output, &st) < 0) return vl_fail_errno(err, errno, "look at the folder '%s'", output);
    for (size_t i = 0; r == 0 && i < c->n_mappings; i++) {
        struct walk w = {c, &c->mappings[i], (int)i, t, &st, {0}, {0}, err};

        r = apply(&w, folder);
        strbuf_done(&w.host);
        strbuf_done(&w.image);
    }
    return r;
}
