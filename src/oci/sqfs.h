/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A squashfs image by tar2sqfs, which takes one merged tar archive from us. (sqfstar of squashfs-tools gives the root
 * folder the builder's owner and today's time.)
 */
#pragma once
#include "oci/merge.h"

enum sqfs_packing { SQFS_ZSTD, SQFS_LZ4, SQFS_GZIP, SQFS_XZ };

struct sqfs_opts {
    enum sqfs_packing packing;
    int level;      /* zstd: 1 to 22; gzip: 1 to 9; 0: the packing's own */
    unsigned block; /* bytes of a block, a power of two; 0: tar2sqfs' own, 128 KiB */
};
extern const char *const sqfs_packings[]; /* names by enum, NULL at the end */

/* `path` is a file that is there, which becomes the image. */
int sqfs_write(const struct oci_layers *from, const struct oci_index *x, const struct sqfs_opts *opts, const char *path,
               const struct oci_job *job, struct vl_error *err);
