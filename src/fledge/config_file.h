/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fledge.toml (contract 15.3, and 15.4 with manifest.toml): read whole and judged whole before anything is built. Every
 * refusal begins with "file:line:column: " and says what to write instead.
 */
#pragma once
#include "base/error.h"
#include "fledge/pack.h"
#include "fledge/toml_shim.h"
#include "model/manifest.h"
#include "oci/sqfs.h"

#define CONFIG_MAX   (256UL * 1024) /* bytes of fledge.toml, and of manifest.toml */
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
    char source_name[40], dest_name[40]; /* as messages name the two */
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

/* [oci_source]: an image, or how to build one. */
struct oci_from {
    char *image; /* NULL: of a dockerfile, or of nothing at all (an initramfs of mappings alone) */
    char *dockerfile, *context, *target;
    struct strmap build_args;
    struct toml_place at; /* of image or dockerfile */
};

/* What gets PID 1. */
enum init_mode {
    INIT_KESTREL, /* the agent, which supervises the workload */
    INIT_CUSTOM,  /* initramfs: a file of the host becomes /init; rootfs: a program of the image */
    INIT_NONE,    /* what is there anyway: /init, or the image's /sbin/init */
};

/* [initramfs] */
struct initramfs {
    bool busybox;
    char *busybox_sha256; /* NULL: whatever this host has */
    enum packing packing;
    int level; /* of the packing; 0: its own default */
};

struct config {
    char *file;          /* as messages name it */
    char *manifest_file; /* of the other dialect: manifest.toml, where there is one */
    bool v1;             /* version = "1" */
    bool rootfs;         /* strategy "oci_rootfs" */
    struct oci_from from;
    struct filesystem fs; /* rootfs */
    struct initramfs initramfs;
    enum init_mode init;
    char *init_path; /* INIT_CUSTOM of a rootfs; of an initramfs it is the last mapping */
    char *kestrel;   /* [agent] of the other dialect: a path from the current folder; NULL: the installed one */
    struct manifest manifest; /* settled and complete but for `initramfs` or `rootfs`, which the build makes */
    json_t *extra;            /* keys of the manifest that only later versions understand; NULL: none */
    struct toml_node *root;   /* the file, in the first dialect's shape; NULL: there is none */
    struct mapping *mappings;
    size_t n_mappings;
    struct toml_place entrypoint_at, workdir_at, init_at;
};
bool config_has_image(const struct config *c); /* else the mappings are all there is */
void config_done(struct config *c);
#define auto_config auto_(config_done) struct config

/* A file and the one beside it, which only the other dialect has (manifest NULL: it is not there). */
struct config_text {
    const char *file, *text; /* file: what messages call it */
    size_t len;
    const char *manifest_file, *manifest;
    size_t manifest_len;
    const char *folder; /* its name becomes the plugin's where nothing else says one */
};
/* *ret is the caller's. */
int config_parse(const struct config_text *from, struct config *ret, struct vl_error *err);
/*
 * The same of files; VL_INVALID if there is none, with how to begin one. `manifest` NULL: manifest.toml beside it,
 * which may be missing.
 */
int config_read(const char *path, const char *manifest, struct config *ret, struct vl_error *err);
/* "web/fledge.toml" to "web", "fledge.toml" to "."; the caller's. */
char *config_folder(const char *path);

/*
 * Where there is an image: the manifest once more, over what the image says ({"workload": {...}, "health_check": {...},
 * ...}; NULL: not known yet, then nothing is missed that it may say). What the file says wins. Without a file, of name
 * and version given (else NULL).
 */
int config_complete(struct config *c, const json_t *image, const char *name, const char *version, struct vl_error *err);

/* VL_INVALID with "file:line:column: " in front. */
int config_fail(const struct config *c, struct toml_place at, struct vl_error *err, const char *fmt, ...) printf_(4, 5);
