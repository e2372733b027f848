/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of fledge.toml as tables, and the pass that holds a file to them: afterwards reading it cannot go wrong. */
#pragma once
#include "base/error.h"
#include "fledge/toml_shim.h"

enum key_type {
    KEY_TEXT,      /* a string that is not empty */
    KEY_TEXTS,     /* an array of strings, not empty */
    KEY_ARGUMENTS, /* the same, which may be empty, as may be each */
    KEY_MAP,       /* a table of strings, empty ones too */
    KEY_NUMBER,    /* an integer above 0; its range is the manifest's business */
    KEY_COUNT,     /* the same, and 0 */
    KEY_BOOL,      /* true or false */
    KEY_MODE,      /* permission bits, written in octal */
    KEY_TABLE,     /* [name] with `keys` */
    KEY_TABLES,    /* [[name]] with `keys` each */
    KEY_NAMED,     /* [name.ANY] with `keys` each */
    KEY_ANY,       /* a table of anything but floats and dates */
};

struct key {
    const char *name; /* NULL ends the table */
    enum key_type type;
    bool required;
    const char *example; /* how to write it, in messages */
    const struct key *keys;
    const char *const *choices; /* KEY_TEXT: NULL-terminated; NULL: any */
};
extern const struct key config_keys[];      /* fledge.toml that begins with [plugin] */
extern const struct key v1_keys[];          /* fledge.toml with version = "1" (contract 15.4) */
extern const struct key v1_manifest_keys[]; /* manifest.toml beside the latter (15.5) */

/* Unknown keys, wrong types, what is missing: VL_INVALID begins with "file:line:column: ". */
int keys_check(const char *file, const struct key *keys, const struct toml_node *root, struct vl_error *err);
/* NULL if the table is NULL or has no such key. */
const struct toml_node *toml_get(const struct toml_node *table, const char *key);
