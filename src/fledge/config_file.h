/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fledge.toml (contract 15.3): read whole and judged whole before anything is built. Every refusal begins with
 * "file:line:column: " and says what to write instead.
 */
#pragma once
#include "base/error.h"
#include "fledge/toml_shim.h"
#include "model/manifest.h"

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

struct config {
    char *file;               /* as messages name it */
    struct manifest manifest; /* settled and complete but for `initramfs`, which the build makes */
    struct mapping *mappings;
    size_t n_mappings;
    struct toml_place entrypoint_at, workdir_at;
};
void config_done(struct config *c);
#define auto_config auto_(config_done) struct config

/* `file` is what messages call it. *ret is the caller's. */
int config_parse(const char *file, const char *text, size_t len, struct config *ret, struct vl_error *err);
/* The same of a file; VL_INVALID if there is none, with how to begin one. */
int config_read(const char *path, struct config *ret, struct vl_error *err);

/* VL_INVALID with "file:line:column: " in front. */
int config_fail(const struct config *c, struct toml_place at, struct vl_error *err, const char *fmt, ...) printf_(4, 5);
