/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One URL onto a descriptor, over as many connections as it takes. What is written is what follows what was written
 * before, whatever the server does: whether the whole is right, its digest tells whoever asked for it.
 */
#pragma once
#include "base/error.h"

struct download_options {
    const char *url; /* http or https, as are those it redirects to */
    int64_t deadline_ms;
    int stall_s; /* a connection that brings nothing for so long is given up, and another one made */
    int out_fd;
};
/*
 * First a line with the size in decimal, or "-" where the server does not say; then the bytes. VL_UNAVAILABLE: trying
 * later may help; VL_INVALID: another URL would. Messages name the host and have no secret of the URL's in them.
 */
int download(const struct download_options *o, struct vl_error *err);
