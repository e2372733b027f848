/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of an ext4 image, block by block: everything that is in them is known, so that none is searched for a free
 * place as ext2fs_link would (which takes minutes for some ten thousand files in one folder).
 */
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "oci/ext4_internal.h"

#define LINKS_MAX 65000 /* of a folder: more are not counted (feature dir_nlink) */

struct folder {
    struct ext4 *e;
    ext2_ino_t number;
    struct ext2_inode_large inode;
    char block[EXT4_BLOCK];
    size_t room, at; /* bytes for entries in a block, and up to where it is filled */
    size_t last;     /* place of the last entry, which reaches to the end */
    uint64_t n_blocks;
};

static uint8_t type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return EXT2_FT_DIR;
    case S_IFLNK:
        return EXT2_FT_SYMLINK;
    case S_IFCHR:
        return EXT2_FT_CHRDEV;
    case S_IFBLK:
        return EXT2_FT_BLKDEV;
    case S_IFIFO:
        return EXT2_FT_FIFO;
    default:
        return EXT2_FT_REG_FILE;
    }
}

static void begin_block(struct folder *f)
{
    memset(f->block, 0, sizeof(f->block));
    f->at = f->last = 0;
}

static errcode_t end_block(struct folder *f)
{
    struct ext2_dir_entry *last = (struct ext2_dir_entry *)(f->block + f->last);
    struct ext4 *e = f->e;
    errcode_t code;
    blk64_t block;

    last->rec_len = (uint16_t)(f->room - f->last);
    if (f->room < EXT4_BLOCK) ext2fs_initialize_dirent_tail(e->fs, EXT2_DIRENT_TAIL(f->block, e->fs->blocksize));
    code = ext2fs_bmap2(e->fs, f->number, (struct ext2_inode *)&f->inode, NULL, BMAP_ALLOC, f->n_blocks, NULL, &block);
    if (!code) code = ext2fs_write_dir_block4(e->fs, block, f->block, 0, f->number);
    f->n_blocks++;
    begin_block(f);
    return code;
}

static errcode_t put_entry(struct folder *f, ext2_ino_t number, const char *name, uint8_t type)
{
    size_t len = strlen(name), need = (8 + len + 3) & ~(size_t)3;
    struct ext2_dir_entry *entry;
    errcode_t code;

    if (f->at + need > f->room && (code = end_block(f))) return code;
    entry = (struct ext2_dir_entry *)(f->block + f->at);
    entry->inode = number;
    entry->rec_len = (uint16_t)need;
    entry->name_len = (uint16_t)(len | (size_t)type << 8);
    memcpy(entry->name, name, len);
    f->last = f->at;
    f->at += need;
    return 0;
}

static errcode_t put_children(struct folder *f, uint32_t node, unsigned *links)
{
    const struct oci_index *x = f->e->x;
    errcode_t code = 0;

    for (uint32_t at = oci_node(x, node)->child; !code && at != OCI_NONE; at = oci_node(x, at)->next) {
        uint32_t inode = oci_node(x, at)->inode;
        mode_t mode = oci_inode(x, inode)->mode;

        *links += S_ISDIR(mode);
        code = put_entry(f, f->e->numbers[inode], oci_pool(x, oci_node(x, at)->name), type_of(mode));
    }
    return code;
}

static ext2_ino_t number_of(const struct ext4 *e, uint32_t node)
{
    return e->numbers[oci_node(e->x, node)->inode];
}

/* The image's own lost+found took over that of mke2fs; without one the root keeps it. */
static errcode_t put_lost_found(struct folder *f, unsigned *links)
{
    if (oci_index_find(f->e->x, EXT4_LOST_FOUND) != OCI_NONE) return 0;
    ++*links;
    return put_entry(f, EXT4_LOST_FOUND_INO, EXT4_LOST_FOUND, EXT2_FT_DIR);
}

static errcode_t write_folder(struct ext4 *e, uint32_t node)
{
    struct folder f = {.e = e, .number = number_of(e, node)};
    uint32_t parent = node == OCI_ROOT ? OCI_ROOT : oci_node(e->x, node)->parent;
    unsigned links = 2;
    uint64_t old_blocks;
    errcode_t code = ext2fs_read_inode_full(e->fs, f.number, (struct ext2_inode *)&f.inode, sizeof(f.inode));

    if (code) return code;
    old_blocks = EXT2_I_SIZE(&f.inode) / EXT4_BLOCK;
    f.room = EXT4_BLOCK - (ext2fs_has_feature_metadata_csum(e->fs->super) ? sizeof(struct ext2_dir_entry_tail) : 0);
    if (old_blocks == 0) ext4_init_extents(&f.inode);
    begin_block(&f);
    code = put_entry(&f, f.number, ".", EXT2_FT_DIR);
    if (!code) code = put_entry(&f, number_of(e, parent), "..", EXT2_FT_DIR);
    if (!code && node == OCI_ROOT) code = put_lost_found(&f, &links);
    if (!code) code = put_children(&f, node, &links);
    do {
        if (!code) code = end_block(&f);
    } while (!code && f.n_blocks < old_blocks);
    f.inode.i_links_count = (uint16_t)(links > LINKS_MAX ? 1 : links);
    f.inode.i_size = (uint32_t)(f.n_blocks * EXT4_BLOCK);
    f.inode.i_size_high = (uint32_t)(f.n_blocks * EXT4_BLOCK >> 32);
    return code ? code : ext2fs_write_inode_full(e->fs, f.number, (struct ext2_inode *)&f.inode, sizeof(f.inode));
}

int ext4_write_folders(struct ext4 *e, struct vl_error *err)
{
    errcode_t code;

    for (uint32_t i = 0; i < oci_index_inodes(e->x); i++) {
        const struct oci_inode *inode = oci_inode(e->x, i);

        if (!inode->n_names || !S_ISDIR(inode->mode)) continue;
        if ((code = write_folder(e, inode->names))) return ext4_fail(code, "the folders", err);
    }
    return 0;
}
