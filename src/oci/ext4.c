/* SPDX-License-Identifier: Apache-2.0 */
/* See ext4.h: the sink. Folders are written at the end, by ext4_folder.c. */
#include "oci/ext4.h"

#include <et/com_err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "oci/ext4_internal.h"
#include "oci/tool.h"

#define MIB         ((uint64_t)1 << 20)
#define FREE_MIN    (64 * MIB)
#define FREE_MAX    (1024 * MIB)
#define SIZE_MIN    (16 * MIB) /* a journal has at least 4 */
#define SIZE_MAX_   (1ULL << 44)
#define INODE_SIZE  256
#define INLINE_LINK 60
/* As mke2fs would choose for a file system of its kind, written out: a host's mke2fs.conf has no say. */
#define FEATURES                                                                                                       \
    ("none,has_journal,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,"        \
     "extra_isize,metadata_csum,64bit")

int ext4_fail(errcode_t code, const char *what, struct vl_error *err)
{
    if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL)
        return vl_fail(err, VL_INVALID,
                       "the ext4 image has no room for %s: give it a larger size, or none, so that it fits", what);
    if (code > 0 && code < 4096) return vl_fail_errno(err, (int)code, "ext4 image: %s", what);
    return vl_fail(err, VL_INTERNAL, "ext4 image: %s: %s", what, error_message(code));
}

void ext4_init_extents(struct ext2_inode_large *inode)
{
    const struct ext3_extent_header head = {
        .eh_magic = EXT3_EXT_MAGIC,
        .eh_max = (sizeof(inode->i_block) - sizeof(head)) / sizeof(struct ext3_extent),
    };

    inode->i_flags |= EXT4_EXTENTS_FL;
    memcpy(inode->i_block, &head, sizeof(head));
}

/* --- the sink ---------------------------------------------------------------------------------------------------- */

static void set_owner(struct ext2_inode_large *to, const struct oci_inode *from)
{
    to->i_mode = from->mode;
    to->i_uid = (uint16_t)from->uid;
    to->osd2.linux2.l_i_uid_high = (uint16_t)(from->uid >> 16);
    to->i_gid = (uint16_t)from->gid;
    to->osd2.linux2.l_i_gid_high = (uint16_t)(from->gid >> 16);
    to->i_atime = to->i_ctime = to->i_mtime = to->i_crtime = from->mtime;
    /* The field is signed for a kernel; the two low bits of the extra field count what lies beyond 2038. */
    to->i_atime_extra = to->i_ctime_extra = to->i_mtime_extra = to->i_crtime_extra = from->mtime > INT32_MAX;
    to->i_extra_isize = sizeof(*to) - EXT2_GOOD_OLD_INODE_SIZE;
}

static int add_xattrs(struct ext4 *e, ext2_ino_t number, const struct oci_inode *inode, struct vl_error *err)
{
    struct ext2_xattr_handle *handle;
    struct oci_xattr xattr;
    size_t left;
    const char *at = oci_xattrs_of(e->x, inode, &left);
    errcode_t code;

    if (left == 0) return 0;
    if ((code = ext2fs_xattrs_open(e->fs, number, &handle))) return ext4_fail(code, "extended attributes", err);
    code = ext2fs_xattrs_read(handle);
    while (!code && oci_xattr_next(&at, &left, &xattr))
        code = ext2fs_xattr_set(handle, xattr.name, xattr.value, xattr.len);
    (void)ext2fs_xattrs_close(&handle);
    return code ? ext4_fail(code, "extended attributes", err) : 0;
}

static errcode_t write_target(struct ext4 *e, ext2_ino_t number, struct ext2_inode_large *inode, const char *target)
{
    size_t len = strlen(target);
    char block[EXT4_BLOCK] = {0};
    errcode_t code;
    blk64_t at;

    inode->i_size = (uint32_t)len;
    if (len < INLINE_LINK) {
        memcpy(inode->i_block, target, len + 1);
        return 0;
    }
    memcpy(block, target, len + 1); /* at most OCI_PATH_MAX and its NUL */
    ext4_init_extents(inode);
    if ((code = ext2fs_bmap2(e->fs, number, (struct ext2_inode *)inode, NULL, BMAP_ALLOC, 0, NULL, &at))) return code;
    return io_channel_write_blk64(e->fs->io, at, 1, block);
}

static void set_device(struct ext2_inode_large *inode, uint64_t device)
{
    uint32_t major = (uint32_t)(device >> 32), minor = (uint32_t)device;

    if (major < 256 && minor < 256)
        inode->i_block[0] = major << 8 | minor;
    else
        inode->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

/* The two folders that mke2fs made stay, and become what the image says of them. */
static int choose_number(struct ext4 *e, uint32_t node, mode_t mode, ext2_ino_t *ret, struct vl_error *err)
{
    const struct oci_node *n = oci_node(e->x, node);
    ext2_ino_t number = EXT2_ROOT_INO;
    errcode_t code;

    if (node != OCI_ROOT && n->parent == OCI_ROOT && str_eq(oci_pool(e->x, n->name), EXT4_LOST_FOUND)) {
        if (!S_ISDIR(mode))
            return vl_fail(err, VL_INVALID,
                           "/" EXT4_LOST_FOUND " of the image is no folder, which ext4 needs it to be: "
                           "choose squashfs");
        number = EXT4_LOST_FOUND_INO;
    } else if (node != OCI_ROOT) {
        if ((code = ext2fs_new_inode(e->fs, EXT2_ROOT_INO, (int)mode, NULL, &number)))
            return ext4_fail(code, "one more file", err);
        ext2fs_inode_alloc_stats2(e->fs, number, 1, S_ISDIR(mode));
    }
    *ret = number;
    return 0;
}

static errcode_t make_inode(struct ext4 *e, ext2_ino_t number, const struct oci_inode *from)
{
    struct ext2_inode_large inode = {0};
    errcode_t code = 0;

    if (number <= EXT4_LOST_FOUND_INO)
        code = ext2fs_read_inode_full(e->fs, number, (struct ext2_inode *)&inode, sizeof(inode));
    set_owner(&inode, from);
    inode.i_links_count = (uint16_t)from->n_names;
    if (S_ISREG(from->mode)) ext4_init_extents(&inode);
    if (S_ISCHR(from->mode) || S_ISBLK(from->mode)) set_device(&inode, from->size);
    if (!code) code = ext2fs_write_inode_full(e->fs, number, (struct ext2_inode *)&inode, sizeof(inode));
    if (code || !S_ISLNK(from->mode)) return code;
    if ((code = write_target(e, number, &inode, oci_pool(e->x, (uint32_t)from->size)))) return code;
    return ext2fs_write_inode_full(e->fs, number, (struct ext2_inode *)&inode, sizeof(inode));
}

static int add(struct oci_sink *sink, uint32_t node, struct vl_error *err)
{
    struct ext4 *e = (struct ext4 *)sink;
    uint32_t which = oci_node(e->x, node)->inode;
    const struct oci_inode *from = oci_inode(e->x, which);
    ext2_ino_t number = 0;
    errcode_t code;
    int r;

    if ((r = choose_number(e, node, from->mode, &number, err)) < 0) return r;
    e->numbers[which] = number;
    if ((code = make_inode(e, number, from))) return ext4_fail(code, "a file", err);
    e->pending_len = 0;
    e->size = from->size;
    if (S_ISREG(from->mode) && from->size > 0 && (code = ext2fs_file_open(e->fs, number, EXT2_FILE_WRITE, &e->file)))
        return ext4_fail(code, "a file", err);
    return add_xattrs(e, number, from, err);
}

static errcode_t flush(struct ext4 *e)
{
    unsigned written;
    size_t n = e->pending_len;
    errcode_t code;

    if (n == 0) return 0;
    e->pending_len = 0;
    if ((code = ext2fs_file_llseek(e->file, e->pending_at, EXT2_SEEK_SET, NULL))) return code;
    return ext2fs_file_write(e->file, e->pending, (unsigned)n, &written);
}

/* Whole blocks at a time, and none that is all zeros. */
static errcode_t put(struct ext4 *e, uint64_t at, const char *data, size_t n)
{
    static const char zeros[EXT4_BLOCK];
    errcode_t code;

    while (n > 0) {
        uint64_t block = at / EXT4_BLOCK * EXT4_BLOCK;
        size_t from = (size_t)(at - block), len = EXT4_BLOCK - from < n ? EXT4_BLOCK - from : n;

        if (e->pending_len > 0 && e->pending_at != block && (code = flush(e))) return code;
        if (e->pending_len == 0) memset(e->pending, 0, EXT4_BLOCK);
        e->pending_at = block;
        memcpy(e->pending + from, data, len);
        e->pending_len = from + len;
        if (e->pending_len == EXT4_BLOCK && memcmp(e->pending, zeros, EXT4_BLOCK) == 0) e->pending_len = 0;
        if (e->pending_len == EXT4_BLOCK && (code = flush(e))) return code;
        at += len;
        data += len;
        n -= len;
    }
    return 0;
}

static int add_data(struct oci_sink *sink, uint64_t at, const void *data, size_t n, struct vl_error *err)
{
    struct ext4 *e = (struct ext4 *)sink;
    errcode_t code = put(e, at, data, n);

    return code ? ext4_fail(code, "the content of the files", err) : 0;
}

static int end(struct oci_sink *sink, struct vl_error *err)
{
    struct ext4 *e = (struct ext4 *)sink;
    errcode_t code;

    if (!e->file) return 0;
    code = flush(e);
    if (!code) code = ext2fs_file_set_size2(e->file, (ext2_off64_t)e->size);
    if (!code)
        code = ext2fs_file_close(e->file);
    else
        (void)ext2fs_file_close(e->file);
    e->file = NULL;
    return code ? ext4_fail(code, "the content of the files", err) : 0;
}

static const struct oci_sink_ops ops = {add, add_data, end};

/* --- the empty file system --------------------------------------------------------------------------------------- */

static uint64_t journal_mib(uint64_t bytes)
{
    return bytes < 256 * MIB ? 4 : bytes < 1024 * MIB ? 16 : 64;
}

static uint64_t inodes_for(const struct oci_totals *t)
{
    uint64_t n = t->files + t->folders + t->others;

    return n + n / 2 + 4096;
}

/* What the content takes, with what the file system itself needs, in bytes. */
static uint64_t content_size(const struct oci_totals *t)
{
    uint64_t blocks = t->blocks + t->files / 4; /* extents and attributes in blocks of their own */

    return blocks * EXT4_BLOCK + inodes_for(t) * INODE_SIZE + blocks * EXT4_BLOCK / 256;
}

static uint64_t choose_size(const struct ext4_opts *opts, const struct oci_totals *t)
{
    uint64_t content = content_size(t), extra = opts->free_bytes;

    if (opts->size) return opts->size / EXT4_BLOCK * EXT4_BLOCK;
    if (!extra) extra = t->bytes / 4 < FREE_MIN ? FREE_MIN : t->bytes / 4 > FREE_MAX ? FREE_MAX : t->bytes / 4;
    content += extra;
    content += journal_mib(content) * MIB;
    return (content + MIB - 1) / MIB * MIB;
}

static int reserve(const char *path, uint64_t size, bool preallocate, struct vl_error *err)
{
    auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = 0;

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return vl_fail_errno(err, errno, "make an image of %" PRIu64 " MB", size >> 20);
    if (preallocate) r = posix_fallocate(fd, 0, (off_t)size);
    return r ? vl_fail_errno(err, r, "reserve %" PRIu64 " MB for the image", size >> 20) : 0;
}

static int make_empty(const struct ext4_opts *opts, const struct oci_totals *t, const char *path,
                      const struct oci_job *job, struct vl_error *err)
{
    static const char *const env[] = {"MKE2FS_CONFIG=/dev/null", "E2FSPROGS_FAKE_TIME=1", "MKE2FS_SYNC=0", NULL};
    uint64_t size = choose_size(opts, t);
    char uuid[40], extended[160], journal[24], inodes[24];
    const char *s = opts->seed_hex;
    int r;

    if (size < SIZE_MIN || size > SIZE_MAX_)
        return vl_fail(err, VL_INVALID, "an ext4 image of %" PRIu64 " MB: allowed are 16 MB to 16 TB", size >> 20);
    (void)strf(uuid, sizeof(uuid), "%.8s-%.4s-4%.3s-8%.3s-%.12s", s, s + 8, s + 12, s + 15, s + 18);
    (void)strf(extended, sizeof(extended), "hash_seed=%s,root_owner=0:0,nodiscard,assume_storage_prezeroed=1", uuid);
    (void)strf(journal, sizeof(journal), "size=%" PRIu64, journal_mib(size));
    (void)strf(inodes, sizeof(inodes), "%" PRIu64, inodes_for(t));
    const char *const argv[] = {"mke2fs", "-q", "-F",     "-b", "4096",   "-I", "256",   "-m",
                                "0",      "-N", inodes,   "-G", "16",     "-J", journal, "-U",
                                uuid,     "-O", FEATURES, "-E", extended, "--", path,    NULL};
    if ((r = reserve(path, size, opts->preallocate, err)) < 0) return r;
    return tool_run(argv, "e2fsprogs", env, job, 0, NULL, NULL, err);
}

static void ext4_done(struct ext4 *e)
{
    if (e->file) (void)ext2fs_file_close(e->file);
    if (e->fs) ext2fs_free(e->fs);
    free(e->numbers);
    free(e->pending);
}

static int check_room(const struct ext4 *e, const struct oci_totals *t, struct vl_error *err)
{
    uint64_t have = ext2fs_free_blocks_count(e->fs->super), need = t->blocks + t->blocks / 256;

    if (have >= need) return 0;
    return vl_fail(err, VL_INVALID,
                   "the content takes %" PRIu64 " MB and the ext4 image has room for %" PRIu64
                   " MB: give it a larger size, or none, so that it fits",
                   need * EXT4_BLOCK / MIB + 1, have * EXT4_BLOCK / MIB);
}

int ext4_write(const struct oci_layers *from, const struct oci_index *x, const struct ext4_opts *opts, const char *path,
               const struct oci_job *job, struct vl_error *err)
{
    auto_(ext4_done) struct ext4 e = {.sink = {&ops}, .x = x};
    struct oci_totals totals;
    errcode_t code;
    int r;

    oci_index_totals(x, &totals);
    if ((r = make_empty(opts, &totals, path, job, err)) < 0) return r;
    e.numbers = calloc(oci_index_inodes(x), sizeof(*e.numbers));
    e.pending = malloc(EXT4_BLOCK);
    if (!e.numbers || !e.pending) return vl_fail_errno(err, ENOMEM, "write the ext4 image");
    code = ext2fs_open(path, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &e.fs);
    if (!code) code = ext2fs_read_bitmaps(e.fs);
    if (code) return ext4_fail(code, "open it", err);
    e.fs->now = 1; /* as mke2fs was told */
    if ((r = check_room(&e, &totals, err)) < 0) return r;
    if ((r = oci_write_layers(from, x, job, &e.sink, err)) < 0) return r;
    if ((r = ext4_write_folders(&e, err)) < 0) return r;
    if ((code = ext2fs_close_free(&e.fs))) return ext4_fail(code, "complete it", err);
    return 0;
}
