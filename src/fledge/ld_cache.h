/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/ld.so.cache: where this host's loader finds libraries that no program says the folder of. */
#pragma once
#include "base/defs.h"

struct ld_cache {
    char *data; /* NULL: none, or in a form not understood; then nothing is found */
    size_t len;
};

/* -ENOMEM at most: a cache that is not there or broken is an empty one. */
int ld_cache_load(const char *path, struct ld_cache *ret);
void ld_cache_done(struct ld_cache *c);
/* The path of a library for x86-64 that any CPU of it can run; borrowed, NULL if there is none. */
const char *ld_cache_find(const struct ld_cache *c, const char *name);
