/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's own store below $XDG_CACHE_HOME/volant (or ~/.cache/volant): layers, documents and finished images by
 * digest (blobs/, the form of src/artifact), what was built from which image with which options (results/), and a
 * folder of its own for each build that is running (work/), which nothing outlives: what a killed build left goes when
 * the next one begins.
 *
 * Builds share the store: files come into it whole, under names that say what they are. Only pruning wants it alone.
 */
#pragma once
#include "artifact/artifact.h"
#include "model/schema.h"
#include "oci/job.h"

#define OCI_CACHE_MAX (10ULL << 30) /* bytes that it is brought down to, least recently used first */

struct oci_cache {
    char *path;
    char *blobs_path; /* for skopeo */
    char *work_path;
    struct artifacts *blobs;
    int blobs_fd; /* the folder of blobs by hex */
    int results_fd;
    int works_fd, work_fd; /* the folder of all builds' and this build's own */
    int lock_fd;
};
/* `path` NULL: the user's. VL_UNAVAILABLE while it is being pruned. */
int oci_cache_open(const char *path, struct oci_cache **ret, struct vl_error *err);
/* Removes this build's work folder. */
void oci_cache_close(struct oci_cache *c); /* NULL is fine */
DEFINE_AUTO(struct oci_cache *, oci_cache_close)

/* A blob of at most `max` bytes, verified; what is damaged is removed. -ENOENT, without err: it is not there. */
int oci_blob_read(int blobs_fd, const char *hex, size_t max, char **ret, size_t *ret_len, struct vl_error *err);
bool oci_cache_has(const struct oci_cache *c, const char *hex, uint64_t size);
int oci_cache_put(struct oci_cache *c, const char *hex, const void *data, size_t n, struct vl_error *err);
void sha256_text(const void *data, size_t n, char ret_hex[static SHA256_HEX + 1]);

/* What became of an image. */
struct oci_result {
    char hex[SHA256_HEX + 1]; /* of the finished file, which is a blob */
    uint64_t size;
    uint64_t files, unpacked; /* of its content */
    char *config;             /* the image's configuration, so that a manifest can be written without it */
    struct strv notes;
};
void oci_result_done(struct oci_result *r);
#define auto_oci_result auto_(oci_result_done) struct oci_result
/* By `key` (64 hex digits); 1 if it is there, and whole. */
int oci_result_find(struct oci_cache *c, const char *key, struct oci_result *ret);
/* The file `name` of the work folder becomes the result of `key`; ret->hex and ret->size are set. */
int oci_result_keep(struct oci_cache *c, const char *key, const char *name, struct oci_result *r, struct vl_error *err);

struct oci_pruned {
    uint64_t files, bytes, left; /* removed, and bytes that stay */
};
/*
 * Brings the store down to max_bytes. With other builds running: VL_UNAVAILABLE, nothing is done. May be called while c
 * is open by its builder, after the last use of anything in it.
 */
int oci_cache_prune(struct oci_cache *c, uint64_t max_bytes, struct oci_pruned *ret, struct vl_error *err);
