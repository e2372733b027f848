/* SPDX-License-Identifier: Apache-2.0 */
/* See cpio_sink.h. Names of one file have its inode number; the first one carries its bytes, as kernels want it. */
#include "fledge/cpio_sink.h"

#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

#define BLOCK 65536
#define END   "TRAILER!!!"

struct sink {
    struct oci_sink sink;
    const struct oci_index *x;
    struct pack *pack;
    struct archive_entry *entry;
    uint32_t inode;
    uint64_t at; /* bytes of the present file so far */
};

static int put_header(struct sink *s, uint32_t node, const struct oci_inode *inode, uint64_t size, struct vl_error *err)
{
    char path[OCI_PATH_MAX + 1];

    oci_node_path(s->x, node, path);
    if (str_eq(path, END))
        return vl_fail(err, VL_INVALID, "the image has the file /" END ", which would end the archive there");
    if (size > UINT32_MAX)
        return vl_fail(err, VL_INVALID,
                       "'%.200s' has more than 4 GB, which an initramfs cannot hold: write strategy = \"oci_rootfs\"",
                       path);
    archive_entry_clear(s->entry);
    archive_entry_copy_pathname(s->entry, path);
    archive_entry_set_mode(s->entry, inode->mode);
    archive_entry_set_uid(s->entry, inode->uid);
    archive_entry_set_gid(s->entry, inode->gid);
    archive_entry_set_mtime(s->entry, inode->mtime, 0);
    archive_entry_set_ino(s->entry, s->inode + 1);
    archive_entry_set_nlink(s->entry, S_ISDIR(inode->mode) ? 2 : inode->n_names);
    archive_entry_set_size(s->entry, (la_int64_t)size);
    if (S_ISLNK(inode->mode)) archive_entry_copy_symlink(s->entry, oci_pool(s->x, (uint32_t)inode->size));
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
        archive_entry_set_rdevmajor(s->entry, (dev_t)(inode->size >> 32));
        archive_entry_set_rdevminor(s->entry, (dev_t)(uint32_t)inode->size);
    }
    return archive_write_header(pack_archive(s->pack), s->entry) == ARCHIVE_OK
               ? 0
               : archive_fail(pack_archive(s->pack), err);
}

static int add_links(struct sink *s, const struct oci_inode *inode, struct vl_error *err)
{
    int r = 0;

    for (uint32_t at = oci_node(s->x, inode->names)->next_name; r == 0 && at != OCI_NONE;
         at = oci_node(s->x, at)->next_name)
        r = put_header(s, at, inode, 0, err);
    return r;
}

static int add(struct oci_sink *sink, uint32_t node, struct vl_error *err)
{
    struct sink *s = (struct sink *)sink;
    const struct oci_inode *inode;
    int r;

    if (node == OCI_ROOT) return 0; /* the guest has its root already */
    s->inode = oci_node(s->x, node)->inode;
    s->at = 0;
    inode = oci_inode(s->x, s->inode);
    if ((r = put_header(s, node, inode, S_ISREG(inode->mode) ? inode->size : 0, err)) < 0) return r;
    return S_ISDIR(inode->mode) || S_ISREG(inode->mode) ? 0 : add_links(s, inode, err);
}

static int add_zeros(struct sink *s, uint64_t to, struct vl_error *err)
{
    static const char zeros[BLOCK];

    while (s->at < to) {
        size_t n = to - s->at < sizeof(zeros) ? (size_t)(to - s->at) : sizeof(zeros);

        if (archive_write_data(pack_archive(s->pack), zeros, n) != (la_ssize_t)n)
            return archive_fail(pack_archive(s->pack), err);
        s->at += n;
    }
    return 0;
}

static int add_data(struct oci_sink *sink, uint64_t at, const void *data, size_t n, struct vl_error *err)
{
    struct sink *s = (struct sink *)sink;
    int r;

    if ((r = add_zeros(s, at, err)) < 0) return r;
    if (archive_write_data(pack_archive(s->pack), data, n) != (la_ssize_t)n)
        return archive_fail(pack_archive(s->pack), err);
    s->at += n;
    return 0;
}

static int end(struct oci_sink *sink, struct vl_error *err)
{
    struct sink *s = (struct sink *)sink;
    const struct oci_inode *inode = oci_inode(s->x, s->inode);
    int r;

    if ((r = add_zeros(s, inode->size, err)) < 0) return r;
    if (archive_write_finish_entry(pack_archive(s->pack)) != ARCHIVE_OK)
        return archive_fail(pack_archive(s->pack), err);
    return add_links(s, inode, err);
}

static const struct oci_sink_ops ops = {add, add_data, end};

static void sink_done(struct sink *s)
{
    pack_free(s->pack);
    if (s->entry) archive_entry_free(s->entry);
}

int cpio_write(const struct oci_layers *from, const struct oci_index *x, const struct pack_opts *opts, int fd,
               const struct oci_job *job, uint64_t *ret_unpacked, struct vl_error *err)
{
    auto_(sink_done) struct sink s = {.sink = {&ops}, .x = x};
    int r;

    if ((r = pack_open(fd, opts, &s.pack, err)) < 0) return r;
    if (!(s.entry = archive_entry_new2(pack_archive(s.pack)))) return vl_fail_errno(err, ENOMEM, "write the archive");
    if ((r = oci_write_layers(from, x, job, &s.sink, err)) < 0) return r;
    return pack_finish(s.pack, ret_unpacked, err);
}
