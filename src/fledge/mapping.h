/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [[file_mappings]] into the image tree, in the order of the file. Nothing is read yet but the names.
 *
 * A file goes to `dest`, or into it under its own name where `dest` ends with "/". Of a folder the content goes to
 * `dest`, whole and deep. A source that is a symbolic link is followed; links within a folder stay links. Everything
 * belongs to root.
 *
 * Permissions: `mode` where it is given (folders get x wherever it has r). Within a folder else those of the host. A
 * single file else: executable ones keep theirs and get x wherever they have r; 0755 below a bin or sbin folder and for
 * shared libraries below a lib folder; 0644.
 */
#pragma once
#include "fledge/config_file.h"
#include "fledge/tree.h"

/*
 * `folder` is that of the configuration, `output` that of the artifact (both as the process may open them). VL_INVALID
 * begins with "file:line:column: ".
 */
int mappings_apply(const struct config *c, const char *folder, const char *output, struct tree *t,
                   struct vl_error *err);
/* The permissions of a single file without `mode`; `from` are those of the host. */
mode_t mapping_mode(const char *image_path, mode_t from);
