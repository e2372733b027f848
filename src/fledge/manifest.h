/* SPDX-License-Identifier: Apache-2.0 */
/* <name>.manifest.json (contract section 3 and 15.9). */
#pragma once
#include "base/error.h"
#include "model/manifest.h"

/* What was built, beside the manifest: its name, its sha256, its bytes. */
struct built {
    const char *url, *hex;
    uint64_t size;
    const char *fstype;  /* NULL: an initramfs; else the file system of the disk image */
    const json_t *extra; /* keys that only later versions understand; NULL: none */
};
/* The manifest as indented JSON, the caller's. */
int manifest_write(const struct manifest *m, const struct built *b, char **ret, struct vl_error *err);
