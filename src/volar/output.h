/* SPDX-License-Identifier: Apache-2.0 */
/* What commands print: tables for people, JSON for scripts. Foreign text is made safe for a terminal. */
#pragma once
#include <jansson.h>
#include <stdio.h>

#include "model/vm.h"

#define TABLE_COLUMNS 10

/* Rows of cells; columns become as wide as their widest cell, two spaces between. */
struct table {
    size_t n_columns, n_cells;
    char **cells; /* n_columns a row, the header first */
    bool failed;
};
void table_begin(struct table *t, const char *const *header, size_t n_columns);
void table_add(struct table *t, const char *cell); /* copies, escaped; NULL and "" become "-" */
void table_addf(struct table *t, const char *fmt, ...) printf_(2, 3);
int table_print(struct table *t, FILE *out); /* -ENOMEM if a cell was lost */
void table_done(struct table *t);
#define auto_table auto_(table_done) struct table

/* Indented JSON and a newline on stdout. */
int print_json(const json_t *j);
/* Where --output takes a file too: whether it is one, and no form. NULL is none. */
bool output_is_file(const char *output);
/* What print_json prints, into a file: whole or not at all. */
int write_json(const json_t *j, const char *file, struct vl_error *err);
/* "127.0.0.1:8080->80/tcp, ..."; "" without ports. The caller's, NULL when out of memory. */
char *ports_text(const struct objects *ports);
/* "12.3 MB" */
void size_text(uint64_t bytes, char buf[static 24]);
/* A text of volantd's or a guest's on stdout, safe for a terminal. */
void print_field(const char *label, const char *value);
/* The string at `key` of j, or of its member `object` where that is not NULL; "" if there is none. Borrowed. */
const char *text_at(const json_t *j, const char *object, const char *key);
/* The same of a number; 0 if there is none. */
long long number_at(const json_t *j, const char *object, const char *key);
