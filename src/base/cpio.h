/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "newc" cpio format of Linux' initramfs (Documentation/driver-api/early-userspace/buffer-format.rst): just enough
 * to append a few generated files to an archive that exists. fledge writes whole archives with libarchive.
 */
#pragma once
#include "base/str.h"

/* A folder or regular file owned by root, mtime 0. `path` is relative, without a leading slash. */
void cpio_add_dir(struct strbuf *b, const char *path, unsigned mode);
void cpio_add_file(struct strbuf *b, const char *path, unsigned mode, const void *data, size_t n);
/* The trailer, padded to 512 bytes. An archive before this one is padded (zeros) to a multiple of 4 by the caller. */
void cpio_end(struct strbuf *b);
