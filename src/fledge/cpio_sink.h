/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of an image as an initramfs archive. Such an archive knows no extended attributes (so no file
 * capabilities), and its owners are numbers: they stay as the image has them.
 */
#pragma once
#include "fledge/pack.h"
#include "oci/merge.h"

/* *ret_unpacked: bytes of the archive before it is packed. */
int cpio_write(const struct oci_layers *from, const struct oci_index *x, const struct pack_opts *opts, int fd,
               const struct oci_job *job, uint64_t *ret_unpacked, struct vl_error *err);
