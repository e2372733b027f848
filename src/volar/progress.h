/* SPDX-License-Identifier: Apache-2.0 */
/* One line on stderr that says that something goes on: only on a terminal, only after a moment. */
#pragma once
#include "base/defs.h"

struct progress {
    char label[96];
    uint64_t total; /* 0: a spinner, else a bar */
    int64_t began_ms, shown_ms;
    unsigned turn;
};
void progress_begin(struct progress *p, const char *label, uint64_t total);
/* Call often; draws at most ten times a second. */
void progress_tick(struct progress *p, uint64_t done);
/* Clears the line if there is one. */
void progress_end(struct progress *p);
