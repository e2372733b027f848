/* SPDX-License-Identifier: Apache-2.0 */
/* An initramfs archive: cpio (newc), and how it is packed. What a kernel does not unpack itself, volantd does. */
#pragma once
#include <archive.h>

#include "base/error.h"

enum packing { PACK_ZSTD, PACK_LZ4, PACK_GZIP, PACK_NONE };
extern const char *const packings[];         /* names by enum, NULL at the end */
extern const int packing_levels[];           /* the highest by enum; 0: it has none */
extern const char *const packing_suffixes[]; /* of "NAME.cpio" */

struct pack_opts {
    enum packing packing;
    int level;     /* 0: by the size */
    uint64_t size; /* bytes of the content */
};

struct pack;
/*
 * A new archive that goes to `fd`, which stays the caller's. Entries are written to pack_archive(); the same entries
 * give the same bytes.
 */
int pack_open(int fd, const struct pack_opts *opts, struct pack **ret, struct vl_error *err);
struct archive *pack_archive(const struct pack *p);
/* Writes the end. *ret_unpacked: bytes of the cpio archive. */
int pack_finish(struct pack *p, uint64_t *ret_unpacked, struct vl_error *err);
void pack_free(struct pack *p); /* NULL is fine; what is not finished stays cut off */
DEFINE_AUTO(struct pack *, pack_free)

/* What libarchive complained about: "write the archive: ...". */
int archive_fail(struct archive *a, struct vl_error *err);
/* Frees one that is being written, and leaves it cut off. */
void archive_drop(struct archive *a);
DEFINE_AUTO(struct archive *, archive_drop)
