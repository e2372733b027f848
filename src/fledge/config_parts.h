/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that read fledge.toml: the parts of it that do not go into the manifest, and the other dialect. */
#pragma once
#include "fledge/config_file.h"

/* Of c->root, which has passed keys_check of the first dialect (or was translated to it): everything but the manifest.
 */
int config_decode_parts(struct config *c, struct vl_error *err);

/* Whoever begins with [plugin] means the first dialect. */
bool dialect_is_v1(const struct toml_node *root);
/* c->root, in the other dialect, and manifest.toml become one tree of the first one. Places stay those of the files. */
int dialect_translate(const struct config_text *from, struct config *c, struct vl_error *err);

/* As JSON; keys_check lets neither floats nor dates through. */
json_t *node_json(const struct toml_node *node);
