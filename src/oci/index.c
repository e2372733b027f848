/* SPDX-License-Identifier: Apache-2.0 */
/* See index.h: nodes, inodes and names, and what can be asked of them. Which entries make them is apply.c's business.
 */
#include "oci/index.h"

#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "oci/index_internal.h"

#define BUCKETS_MIN 1024
#define BLOCK       4096
#define FAST_LINK   60 /* a shorter target is in the inode */
#define POOL_MAX    (256U << 20)

static uint32_t hash_of(const struct oci_index *x, uint32_t parent, const char *name, size_t len)
{
    uint32_t h = x->seed ^ (parent * 2654435761U);

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619U;
    return h ^ (h >> 15);
}

static const char *name_of(const struct oci_index *x, uint32_t node)
{
    return x->pool.data + x->nodes[node].name;
}

static int grow_buckets(struct oci_index *x)
{
    uint32_t n = x->n_buckets ? x->n_buckets * 2 : BUCKETS_MIN;
    uint32_t *grown = reallocarray(NULL, n, sizeof(*grown));

    if (!grown) return vl_fail_errno(x->err, ENOMEM, "index the layers");
    memset(grown, 0xff, n * sizeof(*grown));
    for (uint32_t i = 0; i < x->n_buckets; i++)
        for (uint32_t at = x->buckets[i], next; at != OCI_NONE; at = next) {
            uint32_t slot = hash_of(x, x->nodes[at].parent, name_of(x, at), strlen(name_of(x, at))) & (n - 1);

            next = x->nodes[at].hash_next;
            x->nodes[at].hash_next = grown[slot];
            grown[slot] = at;
        }
    free(x->buckets);
    x->buckets = grown;
    x->n_buckets = n;
    return 0;
}

uint32_t index_pool_add(struct oci_index *x, const void *data, size_t n)
{
    size_t at = x->pool.len;

    if (n >= POOL_MAX || at > POOL_MAX - n - 1) {
        (void)vl_fail(x->err, VL_TOO_LARGE, "names and attributes of the image take more than 256 MiB");
        return 0;
    }
    strbuf_add(&x->pool, data, n);
    strbuf_add(&x->pool, "", 1);
    if (!x->pool.failed) return (uint32_t)at;
    (void)vl_fail_errno(x->err, ENOMEM, "index the layers");
    return 0;
}

int oci_index_new(const struct oci_job *job, struct oci_index **ret, struct vl_error *err)
{
    static const struct oci_inode root = {.mode = S_IFDIR | 0755};
    auto_(oci_index_freep) struct oci_index *x = calloc(1, sizeof(*x));

    if (!x) return vl_fail_errno(err, ENOMEM, "index the layers");
    x->err = err;
    if (getrandom(&x->seed, sizeof(x->seed), 0) < 0)
        x->seed = 2166136261U; /* the order of things depends on it nowhere */
    x->free_node = OCI_NONE;
    x->max_bytes = job->max_bytes ? job->max_bytes : OCI_BYTES_MAX;
    x->max_entries = job->max_entries ? job->max_entries : OCI_ENTRIES_MAX;
    strbuf_add(&x->pool, "", 1);
    if (grow_buckets(x) < 0 || index_add_node(x, OCI_NONE, "", 0) == OCI_NONE) return -ENOMEM;
    uint32_t inode = index_add_inode(x, &root);
    if (inode == OCI_NONE) return -ENOMEM;
    index_set_inode(x, OCI_ROOT, inode);
    *ret = take_ptr(x);
    return 0;
}

void oci_index_free(struct oci_index *x)
{
    if (!x) return;
    free(x->nodes);
    free(x->inodes);
    free(x->buckets);
    strbuf_done(&x->pool);
    free(x);
}

uint32_t index_child(const struct oci_index *x, uint32_t parent, const char *name, size_t len)
{
    uint32_t at = x->buckets[hash_of(x, parent, name, len) & (x->n_buckets - 1)];

    for (; at != OCI_NONE; at = x->nodes[at].hash_next) {
        const char *its = name_of(x, at);

        if (x->nodes[at].parent == parent && strncmp(its, name, len) == 0 && !its[len]) return at;
    }
    return OCI_NONE;
}

static uint32_t take_node(struct oci_index *x)
{
    uint32_t at = x->free_node, cap = x->cap_nodes ? x->cap_nodes + x->cap_nodes / 2 : 1024;
    struct oci_node *grown;

    if (at != OCI_NONE) {
        x->free_node = x->nodes[at].next;
        return at;
    }
    if (x->n_nodes == x->cap_nodes) {
        if (!(grown = reallocarray(x->nodes, cap, sizeof(*grown)))) return OCI_NONE;
        x->nodes = grown;
        x->cap_nodes = cap;
    }
    return x->n_nodes++;
}

uint32_t index_add_node(struct oci_index *x, uint32_t parent, const char *name, size_t len)
{
    uint32_t text = index_pool_add(x, name, len), at, *bucket;
    unsigned depth = parent == OCI_NONE ? 0 : x->nodes[parent].depth + 1U;
    size_t path_len = parent == OCI_NONE ? 0 : x->nodes[parent].path_len + (parent != OCI_ROOT) + len;

    if (!text) return OCI_NONE;
    if (depth > OCI_DEPTH_MAX) {
        (void)vl_fail(x->err, VL_TOO_LARGE, "folders are more than %d deep", OCI_DEPTH_MAX);
        return OCI_NONE;
    }
    if (path_len > OCI_PATH_MAX) {
        (void)vl_fail(x->err, VL_TOO_LARGE, "its path has more than %d bytes", OCI_PATH_MAX);
        return OCI_NONE;
    }
    if ((x->used >= x->n_buckets && grow_buckets(x) < 0) || (at = take_node(x)) == OCI_NONE) {
        (void)vl_fail_errno(x->err, ENOMEM, "index the layers");
        return OCI_NONE;
    }
    bucket = &x->buckets[hash_of(x, parent, name, len) & (x->n_buckets - 1)];
    x->nodes[at] = (struct oci_node){.parent = parent,
                                     .child = OCI_NONE,
                                     .prev = OCI_NONE,
                                     .next = OCI_NONE,
                                     .inode = OCI_NONE,
                                     .next_name = OCI_NONE,
                                     .prev_name = OCI_NONE,
                                     .hash_next = *bucket,
                                     .name = text,
                                     .layer = (uint16_t)x->layer,
                                     .depth = (uint16_t)depth,
                                     .path_len = (uint16_t)path_len};
    *bucket = at;
    x->used++;
    if (parent == OCI_NONE) return at;
    x->nodes[at].next = x->nodes[parent].child;
    if (x->nodes[at].next != OCI_NONE) x->nodes[x->nodes[at].next].prev = at;
    x->nodes[parent].child = at;
    return at;
}

uint32_t index_add_inode(struct oci_index *x, const struct oci_inode *inode)
{
    uint32_t cap = x->cap_inodes ? x->cap_inodes + x->cap_inodes / 2 : 1024;
    struct oci_inode *grown;

    if (x->n_inodes == x->cap_inodes) {
        if (!(grown = reallocarray(x->inodes, cap, sizeof(*grown)))) {
            (void)vl_fail_errno(x->err, ENOMEM, "index the layers");
            return OCI_NONE;
        }
        x->inodes = grown;
        x->cap_inodes = cap;
    }
    x->inodes[x->n_inodes] = *inode;
    x->inodes[x->n_inodes].names = OCI_NONE;
    x->inodes[x->n_inodes].n_names = 0;
    return x->n_inodes++;
}

static void drop_name(struct oci_index *x, uint32_t node)
{
    struct oci_node *n = &x->nodes[node];
    struct oci_inode *inode;

    if (n->inode == OCI_NONE) return;
    inode = &x->inodes[n->inode];
    if (n->prev_name != OCI_NONE)
        x->nodes[n->prev_name].next_name = n->next_name;
    else
        inode->names = n->next_name;
    if (n->next_name != OCI_NONE) x->nodes[n->next_name].prev_name = n->prev_name;
    inode->n_names--;
    n->inode = OCI_NONE;
}

void index_set_inode(struct oci_index *x, uint32_t node, uint32_t inode)
{
    struct oci_node *n = &x->nodes[node];

    drop_name(x, node);
    n->inode = inode;
    n->prev_name = OCI_NONE;
    n->next_name = x->inodes[inode].names;
    if (n->next_name != OCI_NONE) x->nodes[n->next_name].prev_name = node;
    x->inodes[inode].names = node;
    x->inodes[inode].n_names++;
}

static void remove_leaf(struct oci_index *x, uint32_t node)
{
    struct oci_node *n = &x->nodes[node];
    const char *name = name_of(x, node);
    uint32_t *link = &x->buckets[hash_of(x, n->parent, name, strlen(name)) & (x->n_buckets - 1)];

    while (*link != node)
        link = &x->nodes[*link].hash_next;
    *link = n->hash_next;
    x->used--;
    drop_name(x, node);
    if (n->prev != OCI_NONE)
        x->nodes[n->prev].next = n->next;
    else
        x->nodes[n->parent].child = n->next;
    if (n->next != OCI_NONE) x->nodes[n->next].prev = n->prev;
    n->next = x->free_node;
    x->free_node = node;
}

/* At most OCI_DEPTH_MAX calls deep. */
void index_remove(struct oci_index *x, uint32_t node) /* NOLINT(misc-no-recursion) */
{
    while (x->nodes[node].child != OCI_NONE)
        index_remove(x, x->nodes[node].child);
    remove_leaf(x, node);
}

bool index_is_folder(const struct oci_index *x, uint32_t node)
{
    return S_ISDIR(x->inodes[x->nodes[node].inode].mode);
}

const struct oci_node *oci_node(const struct oci_index *x, uint32_t node)
{
    return &x->nodes[node];
}

const struct oci_inode *oci_inode(const struct oci_index *x, uint32_t inode)
{
    return &x->inodes[inode];
}

uint32_t oci_index_inodes(const struct oci_index *x)
{
    return x->n_inodes;
}

const char *oci_pool(const struct oci_index *x, uint32_t at)
{
    return x->pool.data + at;
}

void oci_node_path(const struct oci_index *x, uint32_t node, char buf[static OCI_PATH_MAX + 1])
{
    size_t at = x->nodes[node].path_len; /* which index_add_node bounds */

    buf[at] = '\0';
    for (; node != OCI_ROOT; node = x->nodes[node].parent) {
        const char *name = name_of(x, node);
        size_t len = strlen(name);

        memcpy(buf + (at -= len), name, len);
        if (at > 0) buf[--at] = '/';
    }
}

struct by_name {
    const char *name;
    uint32_t node;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct by_name *)a)->name, ((const struct by_name *)b)->name);
}

static int sort_children(struct oci_index *x, uint32_t folder, struct by_name *list)
{
    uint32_t n = 0, prev = OCI_NONE;

    for (uint32_t at = x->nodes[folder].child; at != OCI_NONE; at = x->nodes[at].next)
        list[n++] = (struct by_name){name_of(x, at), at};
    qsort(list, n, sizeof(*list), compare);
    for (uint32_t i = 0; i < n; i++) {
        x->nodes[list[i].node].prev = prev;
        if (prev != OCI_NONE) x->nodes[prev].next = list[i].node;
        prev = list[i].node;
        x->nodes[prev].next = OCI_NONE;
    }
    if (n > 0) x->nodes[folder].child = list[0].node;
    return 0;
}

int oci_index_sort(struct oci_index *x, struct vl_error *err)
{
    auto_free struct by_name *list = reallocarray(NULL, x->n_nodes, sizeof(*list));

    if (!list) return vl_fail_errno(err, ENOMEM, "index the layers");
    for (uint32_t i = 0; i < x->n_inodes; i++)
        if (x->inodes[i].n_names && S_ISDIR(x->inodes[i].mode)) (void)sort_children(x, x->inodes[i].names, list);
    return 0;
}

static uint64_t folder_blocks(const struct oci_index *x, uint32_t folder)
{
    uint64_t bytes = 24 + 12; /* "." and "..", the checksum at the end of a block */

    for (uint32_t at = x->nodes[folder].child; at != OCI_NONE; at = x->nodes[at].next)
        bytes += 8 + ((strlen(name_of(x, at)) + 3) & ~(size_t)3);
    return bytes / (BLOCK - 12 - OCI_NAME_MAX - 9) + 1; /* the last entry of a block may not fit */
}

void oci_index_totals(const struct oci_index *x, struct oci_totals *ret)
{
    struct oci_totals t = {0};

    for (uint32_t i = 0; i < x->n_inodes; i++) {
        const struct oci_inode *inode = &x->inodes[i];

        if (!inode->n_names) continue;
        if (S_ISREG(inode->mode)) {
            t.files++;
            t.bytes += inode->size;
            t.blocks += (inode->size + BLOCK - 1) / BLOCK;
        } else if (S_ISDIR(inode->mode)) {
            t.folders++;
            t.blocks += folder_blocks(x, inode->names);
        } else {
            t.others++;
            t.blocks += S_ISLNK(inode->mode) && strlen(oci_pool(x, (uint32_t)inode->size)) >= FAST_LINK;
        }
    }
    *ret = t;
}

bool oci_xattr_next(const char **at, size_t *left, struct oci_xattr *ret)
{
    size_t name_len;

    if (*left == 0) return false;
    ret->name = *at;
    name_len = strlen(*at) + 1;
    memcpy(&ret->len, *at + name_len, sizeof(ret->len));
    ret->value = *at + name_len + sizeof(ret->len);
    *left -= name_len + sizeof(ret->len) + ret->len;
    *at = ret->value + ret->len;
    return true;
}

const char *oci_xattrs_of(const struct oci_index *x, const struct oci_inode *inode, size_t *ret_len)
{
    uint32_t len = 0;

    if (inode->xattrs) memcpy(&len, x->pool.data + inode->xattrs, sizeof(len));
    *ret_len = len;
    return x->pool.data + inode->xattrs + sizeof(len);
}
