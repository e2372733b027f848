/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image's JSON documents say: index, manifest and configuration of OCI and of Docker (version 2, schema 2),
 * decoded by tables, bounded, and held against each other.
 */
#pragma once
#include "artifact/artifact.h"
#include "model/schema.h"
#include "oci/job.h"

#define OCI_DOCUMENT_MAX (4UL << 20) /* bytes of one document, as registries bound it */

struct oci_health {
    struct strv test;
    int64_t interval, timeout, start_period, retries; /* nanoseconds; 0: not given */
};

/* The image's `config`: how its program is meant to run. */
struct oci_config {
    struct strv entrypoint, cmd, env, volumes, exposed_ports; /* the latter two sorted; "80/tcp" */
    char *user, *workdir, *stop_signal;
    struct strmap labels;
    struct oci_health health;
};

struct oci_layer {
    char hex[SHA256_HEX + 1];      /* of the blob */
    char diff_hex[SHA256_HEX + 1]; /* of the archive that is in it */
    uint64_t size;                 /* of the blob */
};

struct oci_image {
    char hex[SHA256_HEX + 1];        /* of the manifest for this platform */
    char config_hex[SHA256_HEX + 1]; /* of the configuration */
    uint64_t config_size;
    bool config_is_docker;    /* what skopeo makes of it on its way is another document */
    struct oci_layer *layers; /* the lowest first */
    size_t n_layers;
    struct oci_config config;
    char *architecture, *os, *created;
};
void oci_image_done(struct oci_image *i);
#define auto_oci_image auto_(oci_image_done) struct oci_image

/* A document by its digest, as an index lists it. */
struct oci_listed {
    char hex[SHA256_HEX + 1];
    uint64_t size;
};

enum oci_document { OCI_INDEX, OCI_MANIFEST };
/* Which of the two a document is; VL_INVALID for neither, both, and the formats that came before. `where` is its name.
 */
int oci_document_kind(const json_t *doc, const char *where, enum oci_document *ret, struct vl_error *err);
/*
 * The one of an index that is meant: named `name` (NULL: any) or of digest `hex` (NULL: any), for linux/amd64 where it
 * says a platform. VL_INVALID says what there is instead.
 */
int oci_index_choose(const json_t *doc, const char *where, const char *name, const char *hex, struct oci_listed *ret,
                     struct vl_error *err);
/* Everything but what is in the configuration. *ret must be zero. */
int oci_manifest_decode(const json_t *doc, const char *where, struct oci_image *ret, struct vl_error *err);
/* The rest: VL_INVALID also for another platform and where the layers are not those of the manifest. */
int oci_config_decode(const json_t *doc, const char *where, struct oci_image *image, struct vl_error *err);
