/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image tree as a newc cpio archive, packed. The same tree gives the same bytes: order, owner (root),
 * times and inode numbers come from here, not from the host. Files are streamed.
 *
 * Or, `layer`, as a plain tar archive to be laid over an image: without folders that are only on the way to something,
 * as the image has a say in those. What is of no mapping is weak (layer.h): it is taken where the image has nothing.
 */
#pragma once
#include <signal.h>

#include "base/error.h"
#include "fledge/pack.h"
#include "fledge/tree.h"

struct archive_opts {
    enum packing packing;
    int level;     /* of the packing; 0: its own default */
    int64_t mtime; /* of everything, seconds since 1970; 0 to UINT32_MAX */
    bool layer;
    const volatile sig_atomic_t *stop; /* becomes a signal's number when the build is to end; NULL: never */
};
/* Writes to fd from its present offset. A file that is no longer what the tree says is VL_CONFLICT. */
int archive_write_tree(const struct tree *t, int fd, const struct archive_opts *opts, uint64_t *ret_unpacked,
                       struct vl_error *err);
