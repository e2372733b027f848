/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge build`: from fledge.toml to <name>.cpio.zst and <name>.manifest.json, both or neither. */
#pragma once
#include <signal.h>

#include "base/error.h"
#include "base/str.h"

struct build_opts {
    const char *config;                /* path of fledge.toml */
    const char *output;                /* folder of the artifact; NULL: the configuration's */
    const char *kestrel;               /* NULL: the installed one */
    int64_t mtime;                     /* of all files in the image */
    const volatile sig_atomic_t *stop; /* as archive.h has it */
};

struct build_result {
    char *name, *version, *archive, *manifest; /* the latter two: paths */
    size_t n_files;                            /* in the image, folders not counted */
    struct strv libraries;                     /* that came along, a line each */
    uint64_t unpacked, packed;                 /* bytes */
};
void build_result_done(struct build_result *r);
#define auto_build_result auto_(build_result_done) struct build_result

int build_run(const struct build_opts *opts, struct build_result *ret, struct vl_error *err);
