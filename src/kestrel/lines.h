/* SPDX-License-Identifier: Apache-2.0 */
/* A byte stream cut into lines of at most LOG_LINE_MAX bytes; longer ones come in pieces. No allocation. */
#pragma once
#include "base/defs.h"
#include "model/guest.h"

struct splitter {
    void (*line)(void *arg, const char *line, size_t n); /* without its newline; any bytes */
    void *arg;
    size_t len; /* of what has no newline yet */
    char buf[LOG_LINE_MAX];
};

void splitter_feed(struct splitter *s, const char *data, size_t n);
/* The stream ended: an unfinished line is a line. */
void splitter_end(struct splitter *s);

/*
 * `line` with every byte that is not part of valid UTF-8, and every NUL, replaced by U+FFFD, into `buf` of `size` bytes
 * (at least 4), no further than fits. Returns the length in buf; *ret_taken is how much of the line that is.
 */
size_t line_clean(const char *line, size_t n, char *buf, size_t size, size_t *ret_taken);
