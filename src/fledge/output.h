/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a build under temporary names (`.fledge-<hex>`), all of which get their real names together at the end,
 * or none: what an earlier build left stays whole until then.
 */
#pragma once
#include "base/error.h"

#define OUTPUT_FILES 2

struct output {
    int dir_fd;
    const char *folder; /* for messages, borrowed */
    struct output_file {
        int fd;
        char temp[32];
        char name[96];
    } files[OUTPUT_FILES];
    size_t n_files;
};

/* Opens the folder, which must be there and writable; creates nothing. *ret must be zero, and ends with output_done. */
int output_open(const char *folder, struct output *ret, struct vl_error *err);
/* A new file, readable and writable, mode 0644 whatever the umask; the descriptor stays the output's. */
int output_add(struct output *o, const char *name, int *ret_fd, struct vl_error *err);
/* To disk, then to their names. */
int output_commit(struct output *o, struct vl_error *err);
/* Removes what was not committed; errors are left behind. */
void output_done(struct output *o);
#define auto_output auto_(output_done) struct output
