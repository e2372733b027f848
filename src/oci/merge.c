/* SPDX-License-Identifier: Apache-2.0 */
/* See merge.h. */
#include "oci/merge.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "oci/layer.h"

static size_t count(const struct oci_layers *from)
{
    return from->n + (from->extra_fd >= 0);
}

static int open_one(const struct oci_layers *from, size_t i, const struct oci_job *job, bool verify,
                    struct layer_reader **ret, struct vl_error *err)
{
    int fd;

    if (i < from->n) return layer_open(from->blobs_fd, &from->layers[i], job, verify, ret, err);
    if ((fd = fcntl(from->extra_fd, F_DUPFD_CLOEXEC, 3)) < 0) return vl_fail_errno(err, errno, "read the mappings");
    if (lseek(fd, 0, SEEK_SET) < 0) {
        (void)close(fd);
        return vl_fail_errno(err, EIO, "read the mappings");
    }
    return layer_open_fd(fd, job, ret, err);
}

static int index_one(const struct oci_layers *from, size_t i, const struct oci_job *job, struct oci_index *x,
                     struct vl_error *err)
{
    auto_(layer_closep) struct layer_reader *reader = NULL;
    struct oci_entry e;
    int r;

    if ((r = open_one(from, i, job, i < from->n, &reader, err)) < 0) return r;
    if ((r = oci_index_begin_layer(x, err)) < 0) return r;
    while ((r = layer_next(reader, &e, err)) > 0)
        if ((r = oci_index_add(x, &e, err)) < 0) break;
    if (r < 0) {
        if (i < from->n) (void)vl_wrap(err, "layer sha256:%.12s", from->layers[i].hex);
        return r;
    }
    return i < from->n ? layer_finish(reader, err) : 0;
}

int oci_index_layers(const struct oci_layers *from, const struct oci_job *job, struct oci_index **ret,
                     struct vl_error *err)
{
    auto_(oci_index_freep) struct oci_index *x = NULL;
    int r;

    if ((r = oci_index_new(job, &x, err)) < 0) return r;
    for (size_t i = 0; i < count(from); i++) {
        if (i < from->n)
            oci_job_say(job, "checking layer %zu of %zu, sha256:%.12s (%.1f MB)", i + 1, from->n, from->layers[i].hex,
                        (double)from->layers[i].size / 1e6);
        if ((r = index_one(from, i, job, x, err)) < 0) return r;
    }
    if ((r = oci_index_sort(x, err)) < 0) return r;
    *ret = take_ptr(x);
    return 0;
}

/* --- the second pass --------------------------------------------------------------------------------------------- */

struct pass {
    const struct oci_index *x;
    const struct oci_job *job;
    struct oci_sink *sink;
    struct vl_error *err;
};

/* Folders, or everything else but regular files, from `folder` down: at most OCI_DEPTH_MAX calls deep. */
static int add_tree(const struct pass *p, uint32_t folder, bool folders) /* NOLINT(misc-no-recursion) */
{
    int r;

    for (uint32_t at = oci_node(p->x, folder)->child; at != OCI_NONE; at = oci_node(p->x, at)->next) {
        const struct oci_inode *inode = oci_inode(p->x, oci_node(p->x, at)->inode);
        bool is_folder = S_ISDIR(inode->mode);

        if (is_folder ? folders : !folders && !S_ISREG(inode->mode) && inode->names == at)
            if ((r = p->sink->ops->add(p->sink, at, p->err)) < 0) return r;
        if (is_folder && (r = add_tree(p, at, folders)) < 0) return r;
    }
    return oci_job_check(p->job, p->err);
}

static int copy_data(const struct pass *p, struct layer_reader *reader, const struct oci_inode *inode)
{
    const void *data;
    uint64_t at, end = 0;
    size_t n;
    int r;

    while ((r = layer_data(reader, &data, &n, &at, p->err)) > 0) {
        if (at < end || at > inode->size || n > inode->size - at) /* the first pass saw another archive */
            return vl_fail(p->err, VL_CONFLICT, "it changed while it was being read: build again when it is complete");
        if ((r = p->sink->ops->write(p->sink, at, data, n, p->err)) < 0) return r;
        end = at + n;
    }
    return r;
}

static int add_file(const struct pass *p, struct layer_reader *reader, const struct oci_inode *inode)
{
    struct oci_entry e = {0};
    int r;

    if (inode->size > 0) {
        do {
            if ((r = layer_next(reader, &e, p->err)) < 0) return r;
        } while (r > 0 && e.ordinal < inode->ordinal);
        if (r == 0 || e.size != inode->size || !S_ISREG(e.mode))
            return vl_fail(p->err, VL_CONFLICT, "it changed while it was being read: build again when it is complete");
    }
    if ((r = p->sink->ops->add(p->sink, inode->names, p->err)) < 0) return r;
    if (inode->size > 0 && (r = copy_data(p, reader, inode)) < 0) return r;
    return p->sink->ops->end(p->sink, p->err);
}

/* The first inode from `at` on that is a wanted file of this layer or a later one. */
static uint32_t next_file(const struct oci_index *x, uint32_t at)
{
    for (; at < oci_index_inodes(x); at++)
        if (S_ISREG(oci_inode(x, at)->mode) && oci_inode(x, at)->n_names > 0) break;
    return at;
}

/* Inodes are in the order in which the first pass met them: that of layers, and of entries in each. */
static int write_one(const struct pass *p, const struct oci_layers *from, size_t i, uint32_t *at)
{
    auto_(layer_closep) struct layer_reader *reader = NULL;
    int r;

    *at = next_file(p->x, *at);
    if (*at == oci_index_inodes(p->x) || oci_inode(p->x, *at)->layer > i + 1) return 0; /* nothing is left of it */
    if (i < from->n)
        oci_job_say(p->job, "writing layer %zu of %zu, sha256:%.12s (%.1f MB)", i + 1, from->n, from->layers[i].hex,
                    (double)from->layers[i].size / 1e6);
    if ((r = open_one(from, i, p->job, false, &reader, p->err)) < 0) return r;
    while (*at < oci_index_inodes(p->x) && oci_inode(p->x, *at)->layer == i + 1) {
        if ((r = add_file(p, reader, oci_inode(p->x, *at))) < 0) {
            if (i < from->n) (void)vl_wrap(p->err, "layer sha256:%.12s", from->layers[i].hex);
            return r;
        }
        *at = next_file(p->x, *at + 1);
    }
    return 0;
}

int oci_write_layers(const struct oci_layers *from, const struct oci_index *x, const struct oci_job *job,
                     struct oci_sink *sink, struct vl_error *err)
{
    const struct pass p = {x, job, sink, err};
    uint32_t at = 0;
    int r;

    if ((r = sink->ops->add(sink, OCI_ROOT, err)) < 0) return r;
    if ((r = add_tree(&p, OCI_ROOT, true)) < 0 || (r = add_tree(&p, OCI_ROOT, false)) < 0) return r;
    for (size_t i = 0; i < count(from); i++)
        if ((r = write_one(&p, from, i, &at)) < 0) return r;
    return 0;
}
