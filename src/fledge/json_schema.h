/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Schemas (draft 2020-12) of what fledge reads and writes, made of the very tables that judge it: an editor that
 * knows them says what `fledge validate` would say.
 */
#pragma once
#include <jansson.h>

/* By name: "fledge", "manifest", "manifest-toml"; the caller's. NULL: no such name, or out of memory. */
json_t *json_schema_of(const char *name);
extern const char *const json_schema_names[]; /* NULL at the end */
