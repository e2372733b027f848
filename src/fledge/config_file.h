/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fledge.toml (contract 15.3): read whole and judged whole before anything is built. Every refusal begins with
 * "file:line:column: " and says what to write instead.
 */
#pragma once
#include "base/error.h"
#include "fledge/toml_shim.h"
#include "model/manifest.h"
#include "oci/sqfs.h"

#define CONFIG_MAX   (256UL * 1024) /* bytes of fledge.toml */
#define MAPPINGS_MAX 2048

enum libraries {
    LIBRARIES_DEFAULT, /* as "auto", but not for a program whose loader another mapping brings */
    LIBRARIES_AUTO,
    LIBRARIES_NONE,
};

/* One [[file_mappings]]: a file or folder of the host and where it goes. */
struct mapping {
    char *source; /* as written: relative to the configuration's folder, or absolute */
    char *dest;   /* as written */
    int mode;     /* -1: by the rules of mapping.h */
    enum libraries libraries;
    struct toml_place at, source_at, dest_at;
};

enum fs_type { FS_SQUASHFS, FS_EXT4 };

/* [filesystem], of a rootfs. */
struct filesystem {
    enum fs_type type;
    enum sqfs_packing packing;
    int level;                 /* of the packing; 0: its own default */
    uint64_t size_mb, free_mb; /* ext4; 0: as ext4.h has it */
    bool preallocate;          /* ext4 */
};
/*
 * Of zstd, where nothing else is said. Measured with tests/bench/build on Debian's python3 (2 processors): 3 gives 37.3
 * MB in 1.3 s, 6 34.6 in 1.7, 9 34.1 in 1.9, 15 32.0 in 7.6; lz4 52.2 in 1.4. Reading takes the same time at every
 * level.
 */
#define FILESYSTEM_LEVEL 6

struct config {
    char *file;               /* as messages name it */
    bool rootfs;              /* strategy "oci_rootfs" */
    char *image;              /* rootfs: [oci_source] */
    struct filesystem fs;     /* rootfs */
    struct manifest manifest; /* settled and complete but for `initramfs` or `rootfs`, which the build makes */
    struct toml_node *root;   /* the file; NULL: there is none */
    struct mapping *mappings;
    size_t n_mappings;
    struct toml_place image_at, entrypoint_at, workdir_at;
};
void config_done(struct config *c);
#define auto_config auto_(config_done) struct config

/* `file` is what messages call it. *ret is the caller's. */
int config_parse(const char *file, const char *text, size_t len, struct config *ret, struct vl_error *err);
/* The same of a file; VL_INVALID if there is none, with how to begin one. */
int config_read(const char *path, struct config *ret, struct vl_error *err);

/*
 * For a rootfs: the manifest once more, over what the image says ({"workload": {...}, "health_check": {...}, ...};
 * NULL: not known yet, then nothing is missed that it may say). What the file says wins. Without a file, of name and
 * version given (else NULL).
 */
int config_complete(struct config *c, const json_t *image, const char *name, const char *version, struct vl_error *err);

/* VL_INVALID with "file:line:column: " in front. */
int config_fail(const struct config *c, struct toml_place at, struct vl_error *err, const char *fmt, ...) printf_(4, 5);
