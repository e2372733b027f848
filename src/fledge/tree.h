/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image as it will be in the guest: a tree in memory of names, modes and where the bytes are on the host. Children
 * are sorted by name, so that the order in which the host lists its files does not show. Image paths are resolved here,
 * within the tree, symbolic links included: never on the host.
 */
#pragma once
#include <sys/types.h>

#include "base/error.h"

/* Of the format and of what a kernel unpacks: longer names it leaves out without a word. */
#define IMAGE_PATH_MAX  4095       /* bytes of a path without its leading slash, and of a link's target */
#define IMAGE_FILE_MAX  UINT32_MAX /* bytes of one file */
#define IMAGE_NODES_MAX 250000

enum node_type { NODE_FOLDER, NODE_FILE, NODE_LINK, NODE_DEVICE };

/* Who put it there, for messages about two that want the same place. */
enum node_origin {
    ORIGIN_BUSYBOX = -5,
    ORIGIN_PARENT = -4,
    ORIGIN_SKELETON = -3,
    ORIGIN_KESTREL = -2,
    ORIGIN_LIBRARY = -1
}; /* else: mapping */

struct node {
    char *name; /* "" for the root */
    enum node_type type;
    mode_t mode; /* permission bits */
    int origin;
    struct node *parent, **children; /* NODE_FOLDER */
    size_t n_children, cap_children;
    char *host;            /* NODE_FILE: path of the bytes on the host */
    uint64_t size;         /* NODE_FILE */
    uint64_t dev, ino;     /* NODE_FILE: which file `host` was when it was looked at */
    char *target;          /* NODE_LINK */
    unsigned major, minor; /* NODE_DEVICE: character device */
};

struct tree;
int tree_new(struct tree **ret, struct vl_error *err);
void tree_free(struct tree *t); /* NULL is fine */
DEFINE_AUTO(struct tree *, tree_free)
const struct node *tree_root(const struct tree *t);

/*
 * Adding below an absolute, clean path (see image_path). Missing folders on the way are made, links on the way
 * followed. VL_CONFLICT says who has the place already; *ret (may be NULL) is the tree's. A folder that is there stays,
 * and takes the mode if it was only made on the way.
 */
int tree_add_folder(struct tree *t, const char *path, mode_t mode, int origin, struct node **ret, struct vl_error *err);
int tree_add_link(struct tree *t, const char *path, const char *target, int origin, struct vl_error *err);
int tree_add_device(struct tree *t, const char *path, mode_t mode, unsigned major, unsigned minor, int origin,
                    struct vl_error *err);
struct stat;
/* A regular file of the host as `st` described it. */
int tree_add_file(struct tree *t, const char *path, const char *host, const struct stat *st, mode_t mode, int origin,
                  struct vl_error *err);

/* What the guest will find there, links followed (also the last); NULL if nothing. */
const struct node *tree_find(const struct tree *t, const char *path);
/* Path of a node with its leading slash, "/" for the root. -ENAMETOOLONG */
int node_path(const struct node *node, char *buf, size_t size);
/* Bytes of all files. */
uint64_t tree_size(const struct tree *t);
/* "file_mappings[2]", "a library", ... */
const char *origin_name(int origin, char buf[static 32]);

/* Depth first, folders before what is in them, siblings by name; stops at the first negative result and gives it. */
int tree_walk(const struct node *node, int (*fn)(const struct node *node, void *arg), void *arg);

/*
 * An absolute path without "//", "/./" and slashes at the end, the caller's. -EINVAL: relative or with "..",
 * -ENAMETOOLONG: too long for an image.
 */
int image_path(const char *path, char **ret);
