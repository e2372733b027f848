/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image's layers make together, as a tree of names in memory and without a byte of their content. Layers are
 * added from the lowest up, each entry as its archive has it; what an upper layer hides, replaces or removes is gone
 * from the tree at once, so that afterwards each entry's bytes are either wanted or not. Names are bytes, not text.
 *
 * About 120 bytes a file, names apart: 50,000 files take 6 MB.
 *
 * Nothing can lead out: names are taken apart here, links on the way are followed within the tree, and there is nothing
 * else. Links can lead in circles: at most 40 are followed.
 */
#pragma once
#include <sys/types.h>

#include "oci/job.h"

#define OCI_NONE UINT32_MAX
#define OCI_ROOT 0 /* the node that is always there */

/* An entry of a layer. */
struct oci_entry {
    const char *path;     /* as the archive has it */
    const char *hardlink; /* it is another name of what is there; NULL: it is something of its own */
    const char *symlink;  /* S_IFLNK: its target */
    mode_t mode;          /* type and permission bits */
    uint32_t uid, gid;
    uint32_t major, minor; /* S_IFCHR and S_IFBLK */
    uint64_t size;         /* S_IFREG */
    int64_t mtime;
    const char *xattrs; /* as oci_xattr_next reads them; xattrs_len 0: none */
    size_t xattrs_len;
    uint32_t ordinal; /* its place in the archive */
    bool weak;        /* what is there stays */
};

/* What names stand for: something that has a mode, an owner and perhaps bytes in entry `ordinal` of `layer`. */
struct oci_inode {
    uint32_t names, n_names; /* the first node and how many; 0: nothing is left of it */
    uint32_t layer, ordinal;
    uint32_t uid, gid;
    uint32_t xattrs; /* place in the pool; 0: none */
    uint16_t mode;
    uint64_t size;  /* S_IFREG: bytes; S_IFLNK: place of the target in the pool; devices: major << 32 | minor */
    uint32_t mtime; /* what lies outside 1970 to 2106 is moved to the nearer end */
};

struct oci_node {
    uint32_t parent, child, prev, next;   /* next is also the list of free nodes */
    uint32_t inode, next_name, prev_name; /* the other nodes with that inode */
    uint32_t hash_next;
    uint32_t name; /* place in the pool */
    uint16_t layer, depth, path_len;
};

struct oci_index;
int oci_index_new(const struct oci_job *job, struct oci_index **ret, struct vl_error *err);
void oci_index_free(struct oci_index *x); /* NULL is fine */
DEFINE_AUTO(struct oci_index *, oci_index_free)

/* Entries that come now belong to the layer above all before. */
int oci_index_begin_layer(struct oci_index *x, struct vl_error *err);
/* VL_INVALID names the entry and what is wrong with it; VL_TOO_LARGE the bound. After a failure: only oci_index_free.
 */
int oci_index_add(struct oci_index *x, const struct oci_entry *e, struct vl_error *err);
/* When all layers are in: children in the order of their names, byte by byte. */
int oci_index_sort(struct oci_index *x, struct vl_error *err);

/* Borrowed until the next change. */
const struct oci_node *oci_node(const struct oci_index *x, uint32_t node);
const struct oci_inode *oci_inode(const struct oci_index *x, uint32_t inode);
uint32_t oci_index_inodes(const struct oci_index *x); /* numbers below this one, dead ones too */
const char *oci_pool(const struct oci_index *x, uint32_t at);
/* Without its leading slash; "" of the root. */
void oci_node_path(const struct oci_index *x, uint32_t node, char buf[static OCI_PATH_MAX + 1]);
/* A path in the guest, links followed (the last one too); OCI_NONE if there is nothing. */
uint32_t oci_index_find(const struct oci_index *x, const char *path);

struct oci_totals {
    uint64_t files, folders, others; /* files: regular ones, each once */
    uint64_t bytes;                  /* of regular files */
    uint64_t blocks;                 /* of 4096 bytes that their bytes, long link targets and folders take */
};
void oci_index_totals(const struct oci_index *x, struct oci_totals *ret);

/* Extended attributes as one string of bytes: name, NUL, length (4 bytes, ours), value, and again. */
struct oci_xattr {
    const char *name, *value;
    uint32_t len;
};
/* *at begins as oci_xattrs_of(); false at the end. */
bool oci_xattr_next(const char **at, size_t *left, struct oci_xattr *ret);
const char *oci_xattrs_of(const struct oci_index *x, const struct oci_inode *inode, size_t *ret_len);
