/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to the tree of its image: everything that can be wrong is found here, before a byte is written.
 */
#pragma once
#include "fledge/config_file.h"
#include "fledge/tree.h"
#include "oci/job.h"

struct image_sources {
    const char *folder;  /* of the configuration: sources are relative to it */
    const char *output;  /* where the artifact goes */
    const char *kestrel; /* becomes /init of an initramfs; NULL: it is left out, as nothing is going to be written */
    const struct oci_job *job;
};

/* Of an image: what is laid over it. */
int image_plan_layer(const struct config *c, const struct image_sources *from, struct tree **ret,
                     struct strv *ret_brought, struct vl_error *err);
/*
 * Of an initramfs without an image: all of it. ret_brought, if not NULL, gets a line for each library that came along.
 * *ret is the caller's.
 */
int image_plan(const struct config *c, const struct image_sources *from, struct tree **ret, struct strv *ret_brought,
               struct vl_error *err);
/* By the rule that volantd has for VMs: as it was loaded, as it is unpacked, in a file system of half the memory. */
#define IMAGE_ENTRY_BYTES 192 /* of an archive for each file and folder, about */
int image_check_memory(const struct config *c, uint64_t bytes, struct vl_error *err);
