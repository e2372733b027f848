/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an OCI image to an artifact in the cache, by its digest and the options: made once. Of strategy "oci_rootfs"
 * that is a disk image, of "initramfs" an archive.
 */
#pragma once
#include "fledge/build.h"
#include "fledge/config_file.h"
#include "fledge/image.h"
#include "oci/cache.h"

struct rootfs {
    struct oci_cache *cache;
    struct oci_result result; /* what is in the cache */
    char hex[SHA256_HEX + 1]; /* of the image's manifest */
    bool cached;              /* it was there */
    size_t n_layers;
};
void rootfs_done(struct rootfs *r);
#define auto_rootfs auto_(rootfs_done) struct rootfs

/*
 * The configuration's manifest is completed by what the image says; name and version are taken where there is no file.
 * brought: as image.h.
 */
int rootfs_build(const struct build_opts *opts, struct config *c, const struct image_sources *from, struct rootfs *ret,
                 struct strv *brought, struct vl_error *err);
