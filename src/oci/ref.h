/* SPDX-License-Identifier: Apache-2.0 */
/* How people name an image, taken apart. */
#pragma once
#include "artifact/artifact.h"

#define OCI_REF_MAX 1024 /* bytes */

enum oci_transport {
    OCI_REGISTRY, /* "nginx:alpine", "docker.io/library/nginx@sha256:...", "localhost:5000/x"; "docker://..." too */
    OCI_LAYOUT,   /* a folder: "./layout", "oci:layout:tag" */
    OCI_ARCHIVE,  /* that folder in a tar archive: "oci-archive:FILE[:TAG]" */
    OCI_DOCKER_ARCHIVE, /* what `docker save` writes: "docker-archive:FILE[:NAME:TAG]" */
};

struct oci_ref {
    enum oci_transport transport;
    char *text;               /* as it was given */
    char *name;               /* registry: name without tag and digest, as skopeo takes it; else the path */
    char *tag;                /* NULL: none given */
    char hex[SHA256_HEX + 1]; /* "": no digest given */
    bool plain_http;          /* a registry on this machine's loopback: TLS is not asked for */
};
void oci_ref_done(struct oci_ref *r);
#define auto_oci_ref auto_(oci_ref_done) struct oci_ref

/* Relative paths begin at `folder`. VL_INVALID says what is allowed. */
int oci_ref_parse(const char *text, const char *folder, struct oci_ref *ret, struct vl_error *err);
/* A name for what is built of it, and a version: of "docker.io/library/nginx:alpine" "nginx" and "alpine". The
 * caller's. */
char *oci_ref_plugin_name(const struct oci_ref *r);
char *oci_ref_version(const struct oci_ref *r);
