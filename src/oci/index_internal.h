/* SPDX-License-Identifier: Apache-2.0 */
/* The tree itself, for the files that build it. */
#pragma once
#include "base/str.h"
#include "oci/index.h"

#define LINKS_MAX 40 /* as many as Linux follows */

struct oci_index {
    struct oci_node *nodes;
    struct oci_inode *inodes;
    uint32_t n_nodes, cap_nodes, free_node, n_inodes, cap_inodes;
    uint32_t *buckets;              /* of (parent, name) */
    uint32_t n_buckets, used, seed; /* seed: nobody can choose names that all share a bucket */
    struct strbuf pool;             /* names, targets, attributes; begins with a NUL, so that no place is 0 */
    uint32_t layer;                 /* the present one, from 1; 0 before */
    uint32_t entries, max_entries;
    uint64_t bytes, max_bytes; /* of all entries, hidden ones too */
    struct vl_error *err;      /* of the call that is running */
};

uint32_t index_child(const struct oci_index *x, uint32_t parent, const char *name, size_t len);
/* A new node without inode, by which it is known as one of the present layer. OCI_NONE: x->err says why. */
uint32_t index_add_node(struct oci_index *x, uint32_t parent, const char *name, size_t len);
uint32_t index_add_inode(struct oci_index *x, const struct oci_inode *inode);
void index_set_inode(struct oci_index *x, uint32_t node, uint32_t inode);
/* With all below it. */
void index_remove(struct oci_index *x, uint32_t node);
/* 0: x->err says why. */
uint32_t index_pool_add(struct oci_index *x, const void *data, size_t n);
bool index_is_folder(const struct oci_index *x, uint32_t node);

/*
 * Where a path of a layer leads: the folder (made where it is missing and `make` is set; else OCI_NONE in *ret_parent)
 * and the last name, which points into `clean`. An empty name is the root itself.
 */
struct place {
    uint32_t parent;
    const char *name;
    size_t len;
};
int index_place(struct oci_index *x, const char *path, bool make, char clean[static OCI_PATH_MAX + 1],
                struct place *ret);
