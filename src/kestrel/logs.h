/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last of the workload's output: a ring of lines, numbered from 0, that any number of readers follow by a cursor of
 * their own. Adding never fails: the oldest lines go. Loop thread only.
 */
#pragma once
#include "base/defs.h"
#include "model/guest.h"

#define LOGS_BYTES (1024UL * 1024) /* address space; pages are touched only as output comes */

enum log_stream { LOG_STDOUT, LOG_STDERR };
const char *log_stream_name(enum log_stream s);

struct logs {
    unsigned char *data;
    size_t size;
    uint64_t head, tail;      /* byte positions, ever growing: where the next line goes, where the oldest one is */
    uint64_t first, next;     /* numbers of those lines */
    char clean[LOG_LINE_MAX]; /* scratch */
};

int logs_init(struct logs *l, size_t size); /* size: more than 2 * LOG_LINE_MAX; -ENOMEM */
void logs_done(struct logs *l);
/* n may be 0; what is no valid UTF-8 is replaced, and what grows past LOG_LINE_MAX by that becomes two lines. */
void logs_add(struct logs *l, enum log_stream stream, int64_t wall_ms, const char *line, size_t n);

struct logs_cursor {
    uint64_t at, number;
};
/* Where the last n lines begin; n < 0: all that is kept. */
struct logs_cursor logs_tail(const struct logs *l, int64_t n);

struct log_line {
    enum log_stream stream;
    int64_t wall_ms;
    uint64_t lost; /* lines that went before the cursor could read them */
    size_t n;
    char text[LOG_LINE_MAX]; /* valid UTF-8, not terminated */
};
/* Copies the line at the cursor and moves it on; false if there is none yet. */
bool logs_next(const struct logs *l, struct logs_cursor *c, struct log_line *ret);
