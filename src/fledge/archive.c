/* SPDX-License-Identifier: Apache-2.0 */
/* See archive.h. */
#include "fledge/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "oci/layer.h"

#define CHUNK (128UL * 1024)

struct writer {
    struct archive *archive;
    const struct archive_opts *opts;
    char *chunk;
    struct vl_error *err;
};

static void entry_freep(struct archive_entry **e)
{
    if (*e) archive_entry_free(*e);
}

static int fail_archive(const struct writer *w)
{
    return archive_fail(w->archive, w->err);
}

static int check_stop(const struct writer *w)
{
    if (!w->opts->stop || !*w->opts->stop) return 0;
    return vl_fail(w->err, VL_UNAVAILABLE, "interrupted by signal %d: nothing was kept", (int)*w->opts->stop);
}

static int fail_changed(const struct writer *w, const struct node *n)
{
    return vl_fail(w->err, VL_CONFLICT, "'%s' changed while it was being read: build again when it is complete",
                   n->host);
}

static int copy_bytes(const struct writer *w, const struct node *n, int fd)
{
    uint64_t left = n->size;
    int r;

    while (left > 0) {
        ssize_t got = read(fd, w->chunk, left < CHUNK ? (size_t)left : CHUNK);

        if ((r = check_stop(w)) < 0) return r;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return vl_fail_errno(w->err, errno, "read '%s'", n->host);
        if (got == 0) return fail_changed(w, n);
        if (archive_write_data(w->archive, w->chunk, (size_t)got) != got) return fail_archive(w);
        left -= (uint64_t)got;
    }
    return 0;
}

static int copy_file(const struct writer *w, const struct node *n)
{
    auto_close int fd = open(n->host, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st, after;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0) return vl_fail_errno(w->err, errno, "read '%s'", n->host);
    if (!S_ISREG(st.st_mode) || st.st_dev != n->dev || st.st_ino != n->ino || (uint64_t)st.st_size != n->size)
        return fail_changed(w, n);
    if ((r = copy_bytes(w, n, fd)) < 0) return r;
    if (fstat(fd, &after) < 0 || after.st_size != st.st_size || after.st_mtim.tv_sec != st.st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != st.st_mtim.tv_nsec)
        return fail_changed(w, n);
    return 0;
}

static void describe(struct archive_entry *e, const struct node *n, const char *path, int64_t mtime)
{
    static const mode_t types[] = {AE_IFDIR, AE_IFREG, AE_IFLNK, AE_IFCHR};

    archive_entry_copy_pathname(e, path);
    archive_entry_set_mode(e, types[n->type] | n->mode);
    archive_entry_set_uid(e, 0);
    archive_entry_set_gid(e, 0);
    archive_entry_set_mtime(e, mtime, 0);
    archive_entry_set_nlink(e, n->type == NODE_FOLDER ? 2 : 1);
    archive_entry_set_size(e, n->type == NODE_FILE ? (int64_t)n->size : 0);
    if (n->type == NODE_LINK) archive_entry_copy_symlink(e, n->target);
    if (n->type == NODE_DEVICE) {
        archive_entry_set_rdevmajor(e, n->major);
        archive_entry_set_rdevminor(e, n->minor);
    }
}

static int write_node(const struct node *n, void *arg)
{
    const struct writer *w = arg;
    auto_(entry_freep) struct archive_entry *e = NULL;
    char path[IMAGE_PATH_MAX + 2];
    int r;

    if (!n->parent) return 0; /* the guest has its root already */
    if (w->opts->layer && n->type == NODE_FOLDER && (n->origin == ORIGIN_PARENT || n->n_children > 0)) return 0;
    if ((r = check_stop(w)) < 0) return r;
    if ((r = node_path(n, path, sizeof(path))) < 0) return vl_fail_errno(w->err, r, "write the archive");
    if (!(e = archive_entry_new2(w->archive))) return vl_fail_errno(w->err, ENOMEM, "write the archive");
    describe(e, n, path + 1, w->opts->mtime);
    if (w->opts->layer && n->origin <= ORIGIN_SKELETON) archive_entry_set_uname(e, LAYER_WEAK);
    if (archive_write_header(w->archive, e) != ARCHIVE_OK) return fail_archive(w);
    if (n->type == NODE_FILE && (r = copy_file(w, n)) < 0) return r;
    return archive_write_finish_entry(w->archive) == ARCHIVE_OK ? 0 : fail_archive(w);
}

static int write_nodes(struct archive *a, const struct tree *t, const struct archive_opts *opts, struct vl_error *err)
{
    auto_free char *chunk = malloc(CHUNK);
    struct writer w = {a, opts, chunk, err};

    return chunk ? tree_walk(tree_root(t), write_node, &w) : vl_fail_errno(err, ENOMEM, "write the archive");
}

static int write_layer(const struct tree *t, int fd, const struct archive_opts *opts, uint64_t *ret_unpacked,
                       struct vl_error *err)
{
    auto_(archive_dropp) struct archive *a = archive_write_new();
    int r;

    if (!a) return vl_fail_errno(err, ENOMEM, "write the archive");
    if (archive_write_set_format_pax_restricted(a) != ARCHIVE_OK ||
        archive_write_set_options(a, "hdrcharset=BINARY") != ARCHIVE_OK || archive_write_open_fd(a, fd) != ARCHIVE_OK)
        return archive_fail(a, err);
    if ((r = write_nodes(a, t, opts, err)) < 0) return r;
    if (archive_write_close(a) != ARCHIVE_OK) return archive_fail(a, err);
    *ret_unpacked = (uint64_t)archive_filter_bytes(a, 0);
    (void)archive_write_free(take_ptr(a));
    return 0;
}

int archive_write_tree(const struct tree *t, int fd, const struct archive_opts *opts, uint64_t *ret_unpacked,
                       struct vl_error *err)
{
    const struct pack_opts how = {.packing = opts->packing, .level = opts->level, .size = tree_size(t)};
    auto_(pack_freep) struct pack *p = NULL;
    int r;

    if (opts->layer) return write_layer(t, fd, opts, ret_unpacked, err);
    if ((r = pack_open(fd, &how, &p, err)) < 0) return r;
    if ((r = write_nodes(pack_archive(p), t, opts, err)) < 0) return r;
    return pack_finish(p, ret_unpacked, err);
}
