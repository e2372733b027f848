/* SPDX-License-Identifier: Apache-2.0 */
/* <name>.manifest.json (contract section 3 and 15.9). */
#pragma once
#include "base/error.h"
#include "model/manifest.h"

/*
 * The manifest as indented JSON, the caller's. `url` is the archive's name, beside the manifest; `hex` its sha256;
 * `size` its bytes.
 */
int manifest_write(const struct manifest *m, const char *url, const char *hex, uint64_t size, char **ret,
                   struct vl_error *err);
