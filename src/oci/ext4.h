/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writable ext4 image: mke2fs makes the empty file system, libext2fs fills it. Owners, modes and attributes come from
 * the layers, so that no root is needed. The same image and the same size give the same bytes: identifiers come from
 * the image's digest, times are those of the files.
 */
#pragma once
#include "oci/merge.h"

struct ext4_opts {
    uint64_t size;        /* bytes of the whole image; 0: what it takes and free space */
    uint64_t free_bytes;  /* with size 0; 0: a quarter of the content, at least 64 MiB and at most 1 GiB */
    bool preallocate;     /* its blocks belong to it at once */
    const char *seed_hex; /* 64 hex digits */
};

/* `path` is an empty file that is there. */
int ext4_write(const struct oci_layers *from, const struct oci_index *x, const struct ext4_opts *opts, const char *path,
               const struct oci_job *job, struct vl_error *err);
