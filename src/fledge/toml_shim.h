/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML as a tree of plain C structs, each with its place in the file: Debian has no C library for TOML, so this is a
 * thin cover over toml++ (toml_shim.cc, the only C++ here).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TOML_DEPTH_MAX 32 /* tables and arrays within each other */

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOL, TOML_DATE };

struct toml_place {
    unsigned line, column; /* from 1 */
    unsigned file;         /* 0, or what toml_set_file said */
};

struct toml_node {
    enum toml_type type;
    struct toml_place at;     /* of the value */
    struct toml_place key_at; /* of the key, where there is one */
    char *key;                /* NULL outside a table */
    char *text;               /* TOML_STRING; may contain NUL bytes: compare text_len */
    size_t text_len;
    int64_t number;          /* TOML_INTEGER; TOML_BOOL as 0 or 1 */
    unsigned base;           /* TOML_INTEGER: it was written in: 2, 8, 10 or 16 */
    struct toml_node *items; /* TOML_TABLE and TOML_ARRAY, in the order of the file */
    size_t n_items;
};

struct toml_problem {
    struct toml_place at;
    char text[200];
};

/*
 * The document as its root table, the caller's (toml_free). -EINVAL: not TOML, nested too deeply, and *problem says
 * what and where; -ENOMEM.
 */
int toml_parse_text(const char *text, size_t len, struct toml_node **ret, struct toml_problem *problem);
void toml_free(struct toml_node *root); /* NULL is fine */
/* Of all places in it. */
void toml_set_file(struct toml_node *root, unsigned file);

#ifdef __cplusplus
}
#endif
