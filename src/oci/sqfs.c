/* SPDX-License-Identifier: Apache-2.0 */
/* See sqfs.h. The archive has pax headers where ustar's do not suffice; names go into them as the bytes they are. */
#include "oci/sqfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "oci/tool.h"

#define BLOCK_SIZE 65536 /* of the archive, as it goes into the pipe */

const char *const sqfs_packings[] = {
    [SQFS_ZSTD] = "zstd", [SQFS_LZ4] = "lz4", [SQFS_GZIP] = "gzip", [SQFS_XZ] = "xz", NULL};

struct sqfs {
    struct oci_sink sink;
    const struct oci_index *x;
    const struct oci_job *job;
    struct tool tool;
    struct archive *archive;
    struct archive_entry *entry;
    uint64_t at; /* bytes of the present file so far */
    uint32_t inode;
    struct vl_error problem; /* of the callback */
    bool failed;
};

static ssize_t put(struct archive *a, void *arg, const void *data, size_t n)
{
    struct sqfs *s = arg;

    if (!s->failed && tool_feed(&s->tool, s->job, data, n, &s->problem) == 0) return (ssize_t)n;
    s->failed = true;
    archive_set_error(a, EIO, "%s", s->problem.msg);
    return -1;
}

/* Where tar2sqfs went away, it says why. */
static int fail_write(struct sqfs *s, struct vl_error *err)
{
    int r;

    if (!s->failed) return vl_fail(err, VL_INTERNAL, "write the archive: %s", archive_error_string(s->archive));
    if (s->problem.errnum == EPIPE && (r = tool_finish(&s->tool, s->job, 0, NULL, NULL, err)) < 0) return r;
    return s->problem.errnum ? vl_fail_errno(err, s->problem.errnum, "feed tar2sqfs")
                             : vl_fail(err, s->problem.kind, "%s", s->problem.msg);
}

static void describe(struct sqfs *s, const struct oci_inode *inode)
{
    const char *at;
    struct oci_xattr xattr;
    size_t left;

    archive_entry_set_mode(s->entry, inode->mode);
    archive_entry_set_uid(s->entry, inode->uid);
    archive_entry_set_gid(s->entry, inode->gid);
    archive_entry_set_mtime(s->entry, inode->mtime, 0);
    archive_entry_set_size(s->entry, S_ISREG(inode->mode) ? (la_int64_t)inode->size : 0);
    if (S_ISLNK(inode->mode)) archive_entry_copy_symlink(s->entry, oci_pool(s->x, (uint32_t)inode->size));
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
        archive_entry_set_rdevmajor(s->entry, (dev_t)(inode->size >> 32));
        archive_entry_set_rdevminor(s->entry, (dev_t)(uint32_t)inode->size);
    }
    at = oci_xattrs_of(s->x, inode, &left);
    while (oci_xattr_next(&at, &left, &xattr))
        archive_entry_xattr_add_entry(s->entry, xattr.name, xattr.value, xattr.len);
}

static int add_links(struct sqfs *s, const struct oci_inode *inode, struct vl_error *err)
{
    char first[OCI_PATH_MAX + 1], path[OCI_PATH_MAX + 1];

    oci_node_path(s->x, inode->names, first);
    for (uint32_t at = oci_node(s->x, inode->names)->next_name; at != OCI_NONE; at = oci_node(s->x, at)->next_name) {
        oci_node_path(s->x, at, path);
        archive_entry_clear(s->entry);
        archive_entry_copy_pathname(s->entry, path);
        archive_entry_set_mode(s->entry, S_IFREG | (inode->mode & 07777));
        archive_entry_copy_hardlink(s->entry, first);
        if (archive_write_header(s->archive, s->entry) != ARCHIVE_OK) return fail_write(s, err);
    }
    return 0;
}

static int add(struct oci_sink *sink, uint32_t node, struct vl_error *err)
{
    struct sqfs *s = (struct sqfs *)sink;
    const struct oci_inode *inode;
    char path[OCI_PATH_MAX + 1];

    s->inode = oci_node(s->x, node)->inode;
    s->at = 0;
    inode = oci_inode(s->x, s->inode);
    oci_node_path(s->x, node, path);
    archive_entry_clear(s->entry);
    archive_entry_copy_pathname(s->entry, node == OCI_ROOT ? "./" : path);
    describe(s, inode);
    if (archive_write_header(s->archive, s->entry) != ARCHIVE_OK) return fail_write(s, err);
    return S_ISDIR(inode->mode) || S_ISREG(inode->mode) ? 0 : add_links(s, inode, err);
}

/* tar2sqfs finds the zeros again, and keeps no block of them. */
static int add_zeros(struct sqfs *s, uint64_t to, struct vl_error *err)
{
    static const char zeros[BLOCK_SIZE];

    while (s->at < to) {
        size_t n = to - s->at < sizeof(zeros) ? (size_t)(to - s->at) : sizeof(zeros);

        if (archive_write_data(s->archive, zeros, n) != (la_ssize_t)n) return fail_write(s, err);
        s->at += n;
    }
    return 0;
}

static int add_data(struct oci_sink *sink, uint64_t at, const void *data, size_t n, struct vl_error *err)
{
    struct sqfs *s = (struct sqfs *)sink;
    int r;

    if ((r = add_zeros(s, at, err)) < 0) return r;
    if (archive_write_data(s->archive, data, n) != (la_ssize_t)n) return fail_write(s, err);
    s->at += n;
    return 0;
}

static int end(struct oci_sink *sink, struct vl_error *err)
{
    struct sqfs *s = (struct sqfs *)sink;
    const struct oci_inode *inode = oci_inode(s->x, s->inode);
    int r;

    if ((r = add_zeros(s, inode->size, err)) < 0) return r;
    if (archive_write_finish_entry(s->archive) != ARCHIVE_OK) return fail_write(s, err);
    return add_links(s, inode, err);
}

static const struct oci_sink_ops ops = {add, add_data, end};

static int start_tool(struct sqfs *s, const struct sqfs_opts *opts, const char *path, struct vl_error *err)
{
    char level[32], block[16], jobs[16];
    const char *argv[24] = {"tar2sqfs",     "--quiet",
                            "--no-skip",    "--force",
                            "--defaults",   "uid=0,gid=0,mode=0755,mtime=0",
                            "--compressor", sqfs_packings[opts->packing],
                            "--num-jobs",   jobs,
                            "--block-size", block};
    size_t n = 12;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    (void)strf(jobs, sizeof(jobs), "%ld", cpus < 1 ? 1 : cpus > 64 ? 64 : cpus);
    (void)strf(block, sizeof(block), "%u", opts->block ? opts->block : 131072);
    if (opts->level > 0 && (opts->packing == SQFS_ZSTD || opts->packing == SQFS_GZIP)) {
        (void)strf(level, sizeof(level), "level=%d", opts->level);
        argv[n++] = "--comp-extra";
        argv[n++] = level;
    }
    argv[n] = path;
    return tool_start(argv, "squashfs-tools-ng", NULL, true, &s->tool, err);
}

static void sqfs_done(struct sqfs *s)
{
    if (s->archive) {
        (void)archive_write_fail(s->archive);  /* or the rest of the present file would be filled up with zeros */
        (void)archive_write_close(s->archive); /* or it would leak */
        (void)archive_write_free(s->archive);
    }
    if (s->entry) archive_entry_free(s->entry);
    tool_abort(&s->tool);
}

int sqfs_write(const struct oci_layers *from, const struct oci_index *x, const struct sqfs_opts *opts, const char *path,
               const struct oci_job *job, struct vl_error *err)
{
    auto_(sqfs_done) struct sqfs s = {.sink = {&ops}, .x = x, .job = job};
    int r;

    if (!(s.archive = archive_write_new()) || !(s.entry = archive_entry_new2(s.archive)))
        return vl_fail_errno(err, ENOMEM, "write the archive");
    if ((r = start_tool(&s, opts, path, err)) < 0) return r;
    if (archive_write_set_format_pax(s.archive) != ARCHIVE_OK ||
        archive_write_set_options(s.archive, "xattrheader=SCHILY,hdrcharset=BINARY") != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(s.archive, BLOCK_SIZE) != ARCHIVE_OK ||
        archive_write_open(s.archive, &s, NULL, put, NULL) != ARCHIVE_OK)
        return fail_write(&s, err);
    if ((r = oci_write_layers(from, x, job, &s.sink, err)) < 0) return r;
    if (archive_write_close(s.archive) != ARCHIVE_OK) return fail_write(&s, err);
    return tool_finish(&s.tool, job, 0, NULL, NULL, err);
}
