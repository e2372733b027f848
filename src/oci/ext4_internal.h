/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that fill an ext4 image. */
#pragma once
#include <ext2fs/ext2fs.h>
#include <ext2fs/ext3_extents.h>

#include "oci/ext4.h"

#define EXT4_BLOCK          4096
#define EXT4_LOST_FOUND     "lost+found" /* which mke2fs makes, and e2fsck wants to find */
#define EXT4_LOST_FOUND_INO 11

struct ext4 {
    struct oci_sink sink;
    const struct oci_index *x;
    ext2_filsys fs;
    ext2_ino_t *numbers; /* by inode of the index; 0: not there */
    ext2_file_t file;    /* the regular file that is being written */
    uint64_t size;       /* its bytes */
    char *pending;       /* a block of it that is not full yet */
    uint64_t pending_at;
    size_t pending_len;
};

/* An empty tree of extents: without it no kernel takes the inode. */
void ext4_init_extents(struct ext2_inode_large *inode);
int ext4_fail(errcode_t code, const char *what, struct vl_error *err);
/* Folders have inodes, but nothing in them until now: after everything has been added. */
int ext4_write_folders(struct ext4 *e, struct vl_error *err);
