/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pack.h. Kernels unpack lz4 in its legacy form alone (Documentation/driver-api/early-userspace, lib/decompress_
 * unlz4.c), which libarchive does not write: a magic number, then blocks of 8 MiB, each with its packed size before it.
 */
#include "fledge/pack.h"

#include <lz4hc.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"

/*
 * Levels of zstd, measured with libzstd 1.5.4 on one core. nginx (10.8 MB): 9 gives 4.16 MB in 0.4 s, 15 gives 4.11
 * in 2.1, 19 gives 3.69 in 4.3, 22 the same. caddy (40.7 MB): 9 gives 13.0 MB in 1.1 s, 19 gives 11.5 in 16. So what is
 * small is made as small as can be, and nobody waits long for the rest.
 */
#define SMALL            (16UL * 1024 * 1024)
#define ZSTD_LEVEL_SMALL 19
#define ZSTD_LEVEL_LARGE 9
#define GZIP_LEVEL       9
#define LZ4_LEVEL        9
#define LZ4_MAGIC        0x184c2102u
#define LZ4_BLOCK        (8 << 20)

const char *const packings[] = {
    [PACK_ZSTD] = "zstd", [PACK_LZ4] = "lz4", [PACK_GZIP] = "gzip", [PACK_NONE] = "none", NULL};
const int packing_levels[] = {[PACK_ZSTD] = 22, [PACK_LZ4] = LZ4HC_CLEVEL_MAX, [PACK_GZIP] = 9, [PACK_NONE] = 0};
const char *const packing_suffixes[] = {
    [PACK_ZSTD] = ".zst", [PACK_LZ4] = ".lz4", [PACK_GZIP] = ".gz", [PACK_NONE] = ""};

struct pack {
    struct archive *archive;
    int fd, level;
    char *block, *packed; /* lz4 */
    int n;                /* bytes in the block */
};

void archive_drop(struct archive *a)
{
    if (!a) return;
    (void)archive_write_fail(a);  /* first, or what is left of the present file would be filled up with zeros */
    (void)archive_write_close(a); /* or it would leak */
    (void)archive_write_free(a);
}

void pack_free(struct pack *p)
{
    if (!p) return;
    archive_drop(p->archive);
    free(p->block);
    free(p->packed);
    free(p);
}

struct archive *pack_archive(const struct pack *p)
{
    return p->archive;
}

int archive_fail(struct archive *a, struct vl_error *err)
{
    int errnum = archive_errno(a);
    const char *why = archive_error_string(a);

    if (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG || errnum == EIO)
        return vl_fail_errno(err, errnum, "write the archive");
    return vl_fail(err, VL_INTERNAL, "write the archive: %s", why ? why : "out of memory");
}

/* --- lz4 ---------------------------------------------------------------------------------------------------------- */

static void put_le32(char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(value >> (8 * i));
}

static int put(struct pack *p, struct archive *a, const void *data, size_t n)
{
    int r = write_all(p->fd, data, n, -1);

    if (r < 0) archive_set_error(a, -r, "%s", vl_strerror(r));
    return r;
}

static int put_block(struct pack *p, struct archive *a)
{
    int n;

    if (p->n == 0) return 0;
    n = LZ4_compress_HC(p->block, p->packed + 4, p->n, LZ4_COMPRESSBOUND(LZ4_BLOCK), p->level);
    if (n <= 0) {
        archive_set_error(a, ENOMEM, "lz4");
        return -ENOMEM;
    }
    put_le32(p->packed, (uint32_t)n);
    p->n = 0;
    return put(p, a, p->packed, (size_t)n + 4);
}

static int open_lz4(struct archive *a, void *arg)
{
    char magic[4];

    put_le32(magic, LZ4_MAGIC);
    return put(arg, a, magic, sizeof(magic)) < 0 ? ARCHIVE_FATAL : ARCHIVE_OK;
}

static ssize_t write_lz4(struct archive *a, void *arg, const void *data, size_t n)
{
    struct pack *p = arg;
    size_t done = 0;

    while (done < n) {
        size_t part = n - done < (size_t)(LZ4_BLOCK - p->n) ? n - done : (size_t)(LZ4_BLOCK - p->n);

        memcpy(p->block + p->n, (const char *)data + done, part);
        p->n += (int)part;
        done += part;
        if (p->n == LZ4_BLOCK && put_block(p, a) < 0) return -1;
    }
    return (ssize_t)n;
}

static int close_lz4(struct archive *a, void *arg)
{
    return put_block(arg, a) < 0 ? ARCHIVE_FATAL : ARCHIVE_OK;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static int begin(struct pack *p, const struct pack_opts *opts)
{
    int levels[] = {opts->size <= SMALL ? ZSTD_LEVEL_SMALL : ZSTD_LEVEL_LARGE, LZ4_LEVEL, GZIP_LEVEL, 0};
    struct archive *a = p->archive;
    char options[64];

    p->level = opts->level > 0 ? opts->level : levels[opts->packing];
    if (archive_write_set_format_cpio_newc(a) != ARCHIVE_OK) return -1;
    if (archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK) return -1;
    switch (opts->packing) {
    case PACK_LZ4:
        p->block = malloc(LZ4_BLOCK);
        p->packed = malloc(4 + LZ4_COMPRESSBOUND(LZ4_BLOCK));
        if (!p->block || !p->packed) return -1;
        return archive_write_open(a, p, open_lz4, write_lz4, close_lz4) == ARCHIVE_OK ? 0 : -1;
    case PACK_NONE:
        return archive_write_open_fd(a, p->fd) == ARCHIVE_OK ? 0 : -1;
    case PACK_GZIP: /* without the time in its head */
        (void)strf(options, sizeof(options), "gzip:compression-level=%d,gzip:!timestamp", p->level);
        if (archive_write_add_filter_gzip(a) != ARCHIVE_OK) return -1;
        break;
    case PACK_ZSTD:
        (void)strf(options, sizeof(options), "zstd:compression-level=%d", p->level);
        if (archive_write_add_filter_zstd(a) != ARCHIVE_OK) return -1;
        break;
    }
    return archive_write_set_options(a, options) == ARCHIVE_OK && archive_write_open_fd(a, p->fd) == ARCHIVE_OK ? 0
                                                                                                                : -1;
}

int pack_open(int fd, const struct pack_opts *opts, struct pack **ret, struct vl_error *err)
{
    auto_(pack_freep) struct pack *p = calloc(1, sizeof(*p));

    if (!p || !(p->archive = archive_write_new())) return vl_fail_errno(err, ENOMEM, "write the archive");
    p->fd = fd;
    if (begin(p, opts) < 0) return archive_fail(p->archive, err);
    *ret = take_ptr(p);
    return 0;
}

int pack_finish(struct pack *p, uint64_t *ret_unpacked, struct vl_error *err)
{
    if (archive_write_close(p->archive) != ARCHIVE_OK) return archive_fail(p->archive, err);
    *ret_unpacked = (uint64_t)archive_filter_bytes(p->archive, 0);
    (void)archive_write_free(take_ptr(p->archive));
    return 0;
}
