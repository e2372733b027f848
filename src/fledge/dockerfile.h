/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Dockerfile as the source of an image: buildah builds it, without root and without a daemon, in a chroot. Base
 * images and its own settings (driver, registries) are in the user's containers-storage, where the image itself does
 * not stay.
 */
#pragma once
#include "fledge/config_file.h"
#include "oci/cache.h"

/*
 * Builds it into an OCI layout in the cache's work folder: *ret_reference names that ("oci:FOLDER:image"), the
 * caller's. Paths are relative to `folder`, that of the configuration. `mtime` is the time of everything in it.
 */
int dockerfile_build(const struct config *c, const char *folder, int64_t mtime, const struct oci_cache *cache,
                     const struct oci_job *job, char **ret_reference, struct vl_error *err);
