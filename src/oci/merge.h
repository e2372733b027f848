/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers become one file system in two passes over their archives: the first (verifying) makes the index of what is
 * wanted, the second gives the bytes of exactly that to a writer, each layer once and in order. The same image gives
 * the same calls in the same order: all folders by name, then links and devices by name, then files by layer.
 */
#pragma once
#include "oci/image.h"
#include "oci/index.h"

/* Where the layers of an image are, and perhaps one more above them. */
struct oci_layers {
    int blobs_fd; /* folder of blobs by hex digest */
    const struct oci_layer *layers;
    size_t n;
    int extra_fd; /* -1, or a tar archive of ours: read from its beginning, not verified */
};

/* *ret is the caller's. Errors name the layer and the entry. */
int oci_index_layers(const struct oci_layers *from, const struct oci_job *job, struct oci_index **ret,
                     struct vl_error *err);

/* A writer of file systems. */
struct oci_sink {
    const struct oci_sink_ops *ops;
};
struct oci_sink_ops {
    /* A file, folder, link or device under its first name; parents come before. Hard links are the index's business. */
    int (*add)(struct oci_sink *s, uint32_t node, struct vl_error *err);
    /* Bytes of the regular file that was added last, from lower to higher places; what is left out is zero. */
    int (*write)(struct oci_sink *s, uint64_t at, const void *data, size_t n, struct vl_error *err);
    /* It is complete. Called for regular files alone. */
    int (*end)(struct oci_sink *s, struct vl_error *err);
};

int oci_write_layers(const struct oci_layers *from, const struct oci_index *x, const struct oci_job *job,
                     struct oci_sink *sink, struct vl_error *err);
