/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's blob, applied twice: as the lowest layer and over itself. Whatever it holds, the tree is one, its names are
 * those of files, and the second pass gives each file the bytes that the first announced.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "oci/layer.h"
#include "oci/merge.h"

static const struct oci_job job = {.max_bytes = 1 << 20, .max_entries = 2000};

struct sink {
    struct oci_sink sink;
    const struct oci_index *x;
    uint64_t at, size;
    uint32_t added;
};

static int add(struct oci_sink *sink, uint32_t node, struct vl_error *err)
{
    struct sink *s = (struct sink *)sink;
    char path[OCI_PATH_MAX + 1];

    (void)err;
    oci_node_path(s->x, node, path);
    must(strlen(path) == oci_node(s->x, node)->path_len && !strstr(path, "//"));
    must(!str_starts(path, "../") && !strstr(path, "/../") && !str_ends(path, "/.."));
    s->at = 0;
    s->size = oci_inode(s->x, oci_node(s->x, node)->inode)->size;
    s->added++;
    return 0;
}

static int put(struct oci_sink *sink, uint64_t at, const void *data, size_t n, struct vl_error *err)
{
    struct sink *s = (struct sink *)sink;

    (void)data;
    (void)err;
    must(at >= s->at && at + n <= s->size);
    s->at = at + n;
    return 0;
}

static int end(struct oci_sink *sink, struct vl_error *err)
{
    (void)sink;
    (void)err;
    return 0;
}

static uint32_t check_tree(const struct oci_index *x, uint32_t folder)
{
    uint32_t n = 0;

    for (uint32_t at = oci_node(x, folder)->child; at != OCI_NONE; at = oci_node(x, at)->next) {
        const struct oci_node *node = oci_node(x, at);
        const struct oci_inode *inode = oci_inode(x, node->inode);

        must(node->parent == folder && node->depth == oci_node(x, folder)->depth + 1);
        must(inode->n_names > 0 && (!S_ISDIR(inode->mode) || inode->n_names == 1));
        must(S_ISDIR(inode->mode) || node->child == OCI_NONE);
        n += 1 + check_tree(x, at);
    }
    return n;
}

static int apply(struct oci_index *x, int fd)
{
    auto_(layer_closep) struct layer_reader *reader = NULL;
    struct oci_entry e;
    struct vl_error err = {0};
    int r;

    must(lseek(fd, 0, SEEK_SET) == 0);
    if (layer_open_fd(dup(fd), &job, &reader, &err) < 0) return -1;
    must(oci_index_begin_layer(x, &err) == 0);
    while ((r = layer_next(reader, &e, &err)) > 0)
        if ((r = oci_index_add(x, &e, &err)) < 0) break;
    must(r == 0 || (*err.msg && err.kind != VL_INTERNAL));
    return r;
}

static void write_once(int fd)
{
    static const struct oci_sink_ops ops = {add, put, end};
    const struct oci_layers layers = {.blobs_fd = -1, .extra_fd = fd};
    auto_(oci_index_freep) struct oci_index *x = NULL;
    struct sink s = {.sink = {&ops}};
    struct vl_error err = {0};
    struct oci_totals totals;

    if (oci_index_layers(&layers, &job, &x, &err) < 0) return;
    s.x = x;
    if (oci_write_layers(&layers, x, &job, &s.sink, &err) < 0) return;
    oci_index_totals(x, &totals);
    must(s.added == totals.files + totals.folders + totals.others);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_(oci_index_freep) struct oci_index *x = NULL;
    auto_close int fd = memfd_create("layer", MFD_CLOEXEC);
    struct vl_error err = {0};

    must(fd >= 0 && write_all(fd, data, size, -1) == 0);
    must(oci_index_new(&job, &x, &err) == 0);
    if (apply(x, fd) == 0 && apply(x, fd) == 0) {
        must(oci_index_sort(x, &err) == 0);
        (void)check_tree(x, OCI_ROOT);
    }
    write_once(fd);
    return 0;
}
