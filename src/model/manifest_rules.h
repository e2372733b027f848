/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the manifest: shapes of older builders, the tables, the rules that no table can say. */
#pragma once
#include "model/manifest.h"

/*
 * Brings `doc` (a copy of the input, changed in place) to the one shape that the tables describe: entrypoint string +
 * args of fledge [H] become an array, top-level `env` moves into the workload, `$schema` goes, objects that the
 * original always writes are there. VL_INVALID where a part cannot be moved.
 */
int manifest_reshape(json_t *doc, struct vl_error *err);
/* Trims, defaults, validates. */
int manifest_settle(struct manifest *m, struct vl_error *err);
/* The same of its media: an archive, or a disk image, by URL and checksum. */
int media_settle(struct manifest *m, struct vl_error *err);
/* The same of health_check, once the workload is settled. */
int health_check_settle(struct manifest *m, struct vl_error *err);

/* The parts of http://HOST[:PORT][/path][?query][#fragment], within the URL. */
struct base_url {
    const char *host; /* with the brackets of an IPv6 address */
    size_t host_len;
    int64_t port;     /* 80 where it names none */
    const char *path; /* up to the end: may be empty, or begin with '?' or '#' */
};
int base_url_parse(const char *url, struct base_url *ret); /* -EINVAL for any other form */

bool has_control(const char *s);
/* Trimmed; NULL if that leaves nothing. VL_INVALID for control characters, `path` names the field. */
int text_settle(char **slot, const char *path, struct vl_error *err);
/* Names that can be in an environment; `where` is what the message calls the map. */
int env_check(const struct strmap *env, const char *where, struct vl_error *err);

/* The keys of the workload that say what an image's builder meant: signal, volumes, ports. */
int image_keys_settle(struct workload *w, struct vl_error *err);
/* Trimmed; VL_INVALID for what is no word, or would change what the VM boots from. `field` is its path. */
int kernel_cmdline_settle(char **slot, const char *field, struct vl_error *err);
/* ".." as a part of the path. */
bool path_climbs(const char *path);

/* Takes the white space off both ends, in place. */
void trim_text(char *s);
/* The same; a string that is empty then becomes NULL, as NULL stays. */
void trim_field(char **slot);
/* A to Z become a to z, in place; NULL is fine. */
void lower_case(char *s);
