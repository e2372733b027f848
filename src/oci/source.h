/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting an image: its documents first (which say whether the rest is needed at all), then its layers. What comes from
 * a registry or an archive goes through skopeo, with the user's credentials, mirrors and proxies, into the cache; a
 * layout is read where it lies. Whatever comes, its digest is checked here.
 */
#pragma once
#include "oci/cache.h"
#include "oci/image.h"
#include "oci/ref.h"

struct oci_source;
/* Finds the image for this platform: image->hex, its layers and its configuration's digest are known then. */
int oci_source_open(struct oci_cache *cache, const struct oci_ref *ref, const struct oci_job *job,
                    struct oci_source **ret, struct vl_error *err);
void oci_source_close(struct oci_source *s); /* NULL is fine */
DEFINE_AUTO(struct oci_source *, oci_source_close)
const struct oci_image *oci_source_image(const struct oci_source *s);

/* The configuration is decoded into the image. The text is the source's. */
int oci_source_config(struct oci_source *s, const char **ret_text, struct vl_error *err);
/* All layers are in the folder of blobs *ret_blobs_fd, which is borrowed. */
int oci_source_layers(struct oci_source *s, int *ret_blobs_fd, struct vl_error *err);
/* Some layers come from an earlier build and turned out to be damaged: they are removed, to be got again. False: none.
 */
bool oci_source_forget(struct oci_source *s);
