/* SPDX-License-Identifier: Apache-2.0 */
/* The schema's history. `user_version` of a database is the number of steps it has taken. */
#pragma once
#include "store/sql_internal.h"

#define STORE_APPLICATION_ID 0x564f4c54 /* "VOLT"; file(1) shows it */

extern const char *const schema_steps[]; /* append-only: what was released is never edited */
extern const size_t n_schema_steps;

/* How many steps the file has taken, 0: it is empty. Not ours, or a newer volantd's: VL_INVALID. */
int schema_version(const struct store_tx *tx, size_t n_steps, size_t *ret, struct vl_error *err);
/*
 * Takes the steps that are missing, all in one transaction or none. A file that is not ours, or that a newer volantd
 * has taken further, is VL_INVALID and not written to.
 */
int migrate(const struct store_tx *tx, const char *const *steps, size_t n_steps, struct vl_error *err);
/* Whether the tables and indices are exactly those of that version (1 to n_schema_steps). VL_INVALID names one. */
int schema_check(const struct store_tx *tx, size_t version, struct vl_error *err);
