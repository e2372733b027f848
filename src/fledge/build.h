/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `fledge build`: from fledge.toml, or from an image alone, to an artifact (<name>.cpio[.zst...], .squashfs, .ext4) and
 * <name>.manifest.json, both or neither.
 */
#pragma once
#include <signal.h>

#include "base/error.h"
#include "base/str.h"

struct build_opts {
    const char *config;    /* path of fledge.toml */
    const char *manifest;  /* of the other dialect: path of manifest.toml; NULL: beside it, if it is there */
    const char *reference; /* an image: there is no fledge.toml */
    const char *output;    /* folder of the artifact; NULL: the configuration's, with a reference the current one */
    const char *kestrel;   /* NULL: the installed one */
    int64_t mtime;         /* of all files that come from here */
    /* Over what the file says: as in [filesystem] and [initramfs]; NULL and 0 are nothing. */
    const char *fs_type, *packing;
    uint64_t level, size_mb, free_mb;
    uint64_t max_bytes; /* of its content; 0: as job.h has it */
    int timeout_s;
    const volatile sig_atomic_t *stop;             /* as archive.h has it */
    void (*progress)(void *arg, const char *line); /* NULL: nobody looks */
};

struct build_result {
    char *name, *version, *archive, *manifest; /* the latter two: paths */
    size_t n_files;                            /* in the image, folders not counted */
    struct strv libraries;                     /* that came along, a line each */
    uint64_t unpacked, packed;                 /* bytes */
    char *digest;                              /* of the OCI image; NULL: an initramfs */
    size_t n_layers;
    bool cached; /* it was built before */
};
void build_result_done(struct build_result *r);
#define auto_build_result auto_(build_result_done) struct build_result

int build_run(const struct build_opts *opts, struct build_result *ret, struct vl_error *err);
