/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#pragma once
#include "artifact/artifact.h"

struct artifacts {
    char *path;                           /* absolute */
    int dir_fd, blob_fd, boot_fd, tmp_fd; /* <dir>, sha256/, boot/, tmp/ */
};

/* A file in tmp/ that becomes one of `to` by its digest, or nothing. */
struct staged {
    int dir_fd; /* tmp/, borrowed */
    int fd;
    char name[64];
};
int staged_open(struct artifacts *a, struct staged *ret);
/* fsync, rename to `hex` below to_fd, fsync of that folder. */
int staged_commit(struct staged *s, int to_fd, const char *hex);
void staged_drop(struct staged *s); /* also after commit */

/* VL_NO_SPACE if `more` bytes would not leave the floor. */
int space_check(struct artifacts *a, uint64_t more, struct vl_error *err);
