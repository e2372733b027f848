/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `libraries = "auto"`: the shared libraries and the loader that mapped programs need, found as the host's loader would
 * find them, and put where the guest's loader will look. What a program opens by itself while it runs (dlopen) nobody
 * can see from outside, and has to be mapped; but what the C library opens comes along where this host has it:
 * libgcc_s.so.1 for programs that end threads, and the NSS modules that a mapped /etc/nsswitch.conf names (files and
 * dns are in the C library itself).
 */
#pragma once
#include "base/str.h"
#include "fledge/config_file.h"
#include "fledge/tree.h"

/*
 * Adds them to the tree. ret_brought, if not NULL, gets a line "IMAGE PATH (from HOST PATH)" for each. VL_INVALID names
 * the program, the library, and where it was looked for.
 */
int libraries_add(const struct config *c, struct tree *t, struct strv *ret_brought, struct vl_error *err);
