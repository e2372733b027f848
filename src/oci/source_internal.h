/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that get images. */
#pragma once
#include "oci/source.h"

struct oci_source {
    struct oci_cache *cache;
    const struct oci_ref *ref;
    const struct oci_job *job;
    int blobs_fd;  /* borrowed: the cache's or layout_fd */
    int layout_fd; /* -1: the image is no layout */
    char *top;     /* the document at the top */
    size_t top_len;
    char *config;
    bool reused; /* some layers were in the cache before */
    struct oci_image image;
};

/* fetch.c: by skopeo. Documents are verified where their digest is known, and kept in the cache. */
int fetch_top(struct oci_source *s, struct vl_error *err);
int fetch_document(struct oci_source *s, const char *hex, char **ret, size_t *ret_len, struct vl_error *err);
int fetch_config(struct oci_source *s, char **ret, size_t *ret_len, struct vl_error *err);
int fetch_layers(struct oci_source *s, struct vl_error *err);

/* import.c: an archive of a layout, its blobs into the cache and its index into s->top. */
int import_archive(struct oci_source *s, struct vl_error *err);
