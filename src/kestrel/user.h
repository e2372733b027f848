/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `workload.user` looked up in the image's own /etc/passwd and /etc/group, read here line by line: the C library's
 * lookups load code that is not in the image.
 */
#pragma once
#include <sys/types.h>

#include "base/error.h"

#define USER_GROUPS_MAX 64

struct user {
    uid_t uid;
    gid_t gid;
    size_t n_groups; /* supplementary ones, not with gid among them */
    gid_t groups[USER_GROUPS_MAX];
    char home[256]; /* "/" where /etc/passwd does not say */
};

/*
 * `spec` is "uid", "uid:gid", "name" or "name:group", mixed as one likes. Without a group: the one of /etc/passwd and
 * those that list the user; a number that has no entry there is its own group. With a group: that one alone. VL_INVALID
 * names the part that was not found.
 */
int user_find(int root_fd, const char *spec, struct user *ret, struct vl_error *err);
