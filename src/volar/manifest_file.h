/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest, made ready to be sent: an artifact on this machine found, checked and named by digest. */
#pragma once
#include <jansson.h>

#include "base/error.h"

struct manifest_file {
    json_t *json;       /* url absolute, checksum present */
    char artifact[512]; /* path; "": none is sent */
    int fd;             /* of the artifact, at its start */
    uint64_t size;
    char hex[65]; /* of its SHA-256 */
    bool remote;  /* volantd gets it by http(s) */
    char name[64], version[64];
};
/* VL_INVALID names file and field: not JSON, a bad manifest, no artifact, another checksum. */
int manifest_file_read(const char *path, struct manifest_file *ret, struct vl_error *err);
/* "http://..." or "https://...". */
bool is_web_url(const char *s);
/*
 * The same of a manifest that is got from there; relative URLs in it are beside it. VL_UNAVAILABLE: the server cannot
 * be reached. Messages do not show user, password and query.
 */
int manifest_url_read(const char *url, struct manifest_file *ret, struct vl_error *err);
/*
 * An archive alone, as an option names it (messages begin with that): json is {"initramfs": {"url", "checksum"}}. A URL
 * of the web needs the checksum (NULL: none is given), a file is looked at.
 */
int archive_file_read(const char *option, const char *file, const char *checksum, struct manifest_file *ret,
                      struct vl_error *err);
struct volar;
/* Sends the artifact, unless volantd has it or `artifact` is "". */
int artifact_send(struct volar *v, const struct manifest_file *m, struct vl_error *err);
/* The same, and then the manifest. */
int plugin_install_file(struct volar *v, const struct manifest_file *m, struct vl_error *err);
void manifest_file_done(struct manifest_file *m);
#define auto_manifest_file auto_(manifest_file_done) struct manifest_file
