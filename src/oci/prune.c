/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the cache within its bound: what was not used for longest goes first, and results whose image is gone. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"
#include "oci/cache.h"

struct item {
    char name[SHA256_HEX + 1]; /* blobs and results have no others */
    int dir_fd;
    uint64_t size;
    int64_t used_ns;
};

struct items {
    struct item *list;
    size_t n, cap;
    uint64_t bytes;
};

static void items_done(struct items *i)
{
    free(i->list);
}

static int add_item(struct items *i, int dir_fd, const char *name, const struct stat *st)
{
    size_t cap = i->cap ? i->cap * 2 : 64;
    struct item *grown, *item;

    if (i->n == i->cap) {
        if (!(grown = reallocarray(i->list, cap, sizeof(*grown)))) return -ENOMEM;
        i->list = grown;
        i->cap = cap;
    }
    item = &i->list[i->n];
    if (strf(item->name, sizeof(item->name), "%s", name) < 0) return 0;
    item->dir_fd = dir_fd;
    item->size = (uint64_t)st->st_blocks * 512;
    item->used_ns = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec;
    i->n++;
    i->bytes += (uint64_t)st->st_blocks * 512;
    return 0;
}

static int list_folder(int dir_fd, struct items *ret)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    struct stat st;

    if (!dir) {
        r = -errno;
        if (fd >= 0) (void)close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir))) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            r = add_item(ret, dir_fd, entry->d_name, &st);
    (void)closedir(dir);
    return r;
}

static int by_use(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

static int prune(struct oci_cache *c, uint64_t max_bytes, struct oci_pruned *ret, struct vl_error *err)
{
    auto_(items_done) struct items items = {0};
    struct oci_pruned done = {0};
    int r;

    if ((r = list_folder(c->blobs_fd, &items)) < 0 || (r = list_folder(c->results_fd, &items)) < 0)
        return vl_fail_errno(err, r, "list the cache %s", c->path);
    if (items.n > 1) qsort(items.list, items.n, sizeof(*items.list), by_use);
    for (size_t i = 0; i < items.n && items.bytes > max_bytes; i++) {
        const struct item *item = &items.list[i];

        if (unlinkat(item->dir_fd, item->name, 0) < 0 && errno != ENOENT)
            return vl_fail_errno(err, errno, "remove %s from the cache", item->name);
        items.bytes -= item->size;
        done.bytes += item->size;
        done.files++;
    }
    done.left = items.bytes;
    *ret = done;
    return 0;
}

int oci_cache_prune(struct oci_cache *c, uint64_t max_bytes, struct oci_pruned *ret, struct vl_error *err)
{
    int r;

    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK
                ? vl_fail(err, VL_UNAVAILABLE, "builds are using the cache %s: prune it when they have ended", c->path)
                : vl_fail_errno(err, errno, "lock the cache %s", c->path);
    } else {
        r = prune(c, max_bytes, ret, err);
    }
    (void)flock(c->lock_fd, LOCK_SH | LOCK_NB); /* changing a lock may lose it: then nobody needs ours any more */
    return r;
}
