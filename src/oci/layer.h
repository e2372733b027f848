/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's archive, entry by entry, out of its blob: a tar archive as it is, or compressed with gzip or zstd, whatever
 * its media type says (builders have been known to err there). Bytes are hashed on the way, so that reading a layer to
 * its end is verifying it: the blob's digest and size, and the digest of the archive in it.
 */
#pragma once
#include "oci/image.h"
#include "oci/index.h"

struct layer_reader;
/*
 * `blobs_fd` is a folder of blobs named by their hex digest. verify: layer_finish is going to be called, so everything
 * is hashed. *ret is the caller's and borrows `layer` and `job`.
 */
int layer_open(int blobs_fd, const struct oci_layer *layer, const struct oci_job *job, bool verify,
               struct layer_reader **ret, struct vl_error *err);
/* User name of an entry of ours (of a descriptor) that is left out where the layers below have something in its place.
 */
#define LAYER_WEAK "volant-weak"
/* The same of a descriptor, which becomes the reader's in any case; nothing is verified. */
int layer_open_fd(int fd, const struct oci_job *job, struct layer_reader **ret, struct vl_error *err);
void layer_close(struct layer_reader *r); /* NULL is fine */
DEFINE_AUTO(struct layer_reader *, layer_close)

/* 1 and the next entry, which lasts until the next call; 0 at the end of the archive. */
int layer_next(struct layer_reader *r, struct oci_entry *ret, struct vl_error *err);
/* 1 and the next piece of the entry's bytes with its place (holes are left out); 0 at the end of the entry. */
int layer_data(struct layer_reader *r, const void **ret, size_t *ret_len, uint64_t *ret_at, struct vl_error *err);
/* Reads the rest and judges all of it. */
int layer_finish(struct layer_reader *r, struct vl_error *err);
