/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to the tree of its image: everything that can be wrong is found here, before a byte is written.
 */
#pragma once
#include "fledge/config_file.h"
#include "fledge/tree.h"

struct image_sources {
    const char *folder;  /* of the configuration: sources are relative to it */
    const char *output;  /* where the artifact goes */
    const char *kestrel; /* becomes /init */
};

/* Of a rootfs: its mappings alone, to be laid over what is in the image. */
int image_plan_layer(const struct config *c, const struct image_sources *from, struct tree **ret,
                     struct strv *ret_brought, struct vl_error *err);
/* ret_brought, if not NULL, gets a line for each library that came along. *ret is the caller's. */
int image_plan(const struct config *c, const struct image_sources *from, struct tree **ret, struct strv *ret_brought,
               struct vl_error *err);
