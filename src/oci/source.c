/* SPDX-License-Identifier: Apache-2.0 */
/* See source.h: which document leads where. How documents come is fetch.c's and import.c's business. */
#include "oci/source.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "oci/source_internal.h"

#define NESTED_MAX 4 /* indexes within each other */

void oci_source_close(struct oci_source *s)
{
    if (!s) return;
    oci_image_done(&s->image);
    closep(&s->layout_fd);
    free(s->top);
    free(s->config);
    free(s);
}

const struct oci_image *oci_source_image(const struct oci_source *s)
{
    return &s->image;
}

/* A document by digest: of the layout, of the cache, or got now. */
static int read_document(struct oci_source *s, const char *hex, uint64_t size, char **ret, size_t *ret_len,
                         struct vl_error *err)
{
    int r;

    if (size > OCI_DOCUMENT_MAX)
        return vl_fail(err, VL_TOO_LARGE, "the document sha256:%.12s has %llu bytes, allowed %lu", hex,
                       (unsigned long long)size, OCI_DOCUMENT_MAX);
    if ((r = oci_blob_read(s->blobs_fd, hex, OCI_DOCUMENT_MAX, ret, ret_len, err)) == -ENOENT) {
        if (s->ref->transport != OCI_REGISTRY)
            return vl_fail(err, VL_INVALID, "the document sha256:%s is missing: the image is not complete", hex);
        r = fetch_document(s, hex, ret, ret_len, err);
    }
    if (r < 0) return r;
    if (size > 0 && *ret_len != size) {
        free(take_ptr(*ret));
        return vl_fail(err, VL_INVALID, "the document sha256:%.12s has %zu bytes, announced were %llu", hex, *ret_len,
                       (unsigned long long)size);
    }
    return 0;
}

/* From the document at the top down to an image's manifest, whose digest becomes the image's. */
static int descend(struct oci_source *s, char *text, size_t len, const char *hex, struct vl_error *err)
{
    const char *name = s->ref->transport == OCI_REGISTRY ? NULL : s->ref->tag;
    const char *wanted = s->ref->transport == OCI_REGISTRY ? NULL : s->ref->hex;
    auto_free char *next = NULL;
    struct oci_listed listed = {0};
    int r;

    if (hex) (void)strf(listed.hex, sizeof(listed.hex), "%s", hex);
    for (int depth = 0; depth < NESTED_MAX; depth++) {
        json_auto_t *doc = NULL;
        enum oci_document kind;

        if ((r = json_parse(text, len, s->ref->text, &doc, err)) < 0) return r;
        if ((r = oci_document_kind(doc, s->ref->text, &kind, err)) < 0) return r;
        if (kind == OCI_MANIFEST) {
            memcpy(s->image.hex, listed.hex, sizeof(listed.hex));
            return oci_manifest_decode(doc, s->ref->text, &s->image, err);
        }
        r = oci_index_choose(doc, s->ref->text, name, wanted && *wanted ? wanted : NULL, &listed, err);
        if (r < 0) return r;
        name = wanted = NULL;
        free(take_ptr(next));
        if ((r = read_document(s, listed.hex, listed.size, &next, &len, err)) < 0) return r;
        text = next;
    }
    return vl_fail(err, VL_INVALID, "%s: more than %d indexes within each other", s->ref->text, NESTED_MAX);
}

static int open_layout(struct oci_source *s, struct vl_error *err)
{
    const char *path = s->ref->name;
    auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    int r;

    if (fd < 0 && errno == ENOTDIR)
        return vl_fail(err, VL_INVALID, "'%s' is a file: write oci-archive:%s or docker-archive:%s", path, path, path);
    if (fd < 0 && errno == ENOENT) return vl_fail(err, VL_INVALID, "there is no folder '%s'", path);
    if (fd < 0) return vl_fail_errno(err, errno, "open '%s'", path);
    if (fstatat(fd, "index.json", &st, 0) < 0 || !S_ISREG(st.st_mode) || /* a FIFO could keep us for ever */
        (r = read_file_at(fd, "index.json", OCI_DOCUMENT_MAX, &s->top, &s->top_len)) == -ENOENT)
        return vl_fail(err, VL_INVALID, "'%s' is no OCI layout: it has no index.json", path);
    if (r < 0) return vl_fail_errno(err, r, "read '%s/index.json'", path);
    s->layout_fd = s->blobs_fd = openat(fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->blobs_fd < 0) return vl_fail(err, VL_INVALID, "'%s' is no OCI layout: it has no blobs/sha256", path);
    return 0;
}

/* The document at the top, and its digest where it has one. */
static int open_top(struct oci_source *s, char hex[static SHA256_HEX + 1], struct vl_error *err)
{
    int r;

    switch (s->ref->transport) {
    case OCI_LAYOUT:
        return open_layout(s, err);
    case OCI_ARCHIVE:
        return import_archive(s, err);
    case OCI_REGISTRY:
        if (*s->ref->hex) {
            memcpy(hex, s->ref->hex, SHA256_HEX + 1);
            return read_document(s, hex, 0, &s->top, &s->top_len, err);
        }
        break;
    case OCI_DOCKER_ARCHIVE:
        break;
    }
    if ((r = fetch_top(s, err)) < 0) return r;
    sha256_text(s->top, s->top_len, hex);
    return 0;
}

int oci_source_open(struct oci_cache *cache, const struct oci_ref *ref, const struct oci_job *job,
                    struct oci_source **ret, struct vl_error *err)
{
    auto_(oci_source_closep) struct oci_source *s = calloc(1, sizeof(*s));
    char hex[SHA256_HEX + 1] = "";
    int r;

    if (!s) return vl_fail_errno(err, ENOMEM, "get the image");
    *s = (struct oci_source){.cache = cache, .ref = ref, .job = job, .blobs_fd = cache->blobs_fd, .layout_fd = -1};
    if ((r = open_top(s, hex, err)) < 0) return r;
    if ((r = descend(s, s->top, s->top_len, *hex ? hex : NULL, err)) < 0) return r;
    *ret = take_ptr(s);
    return 0;
}

int oci_source_config(struct oci_source *s, const char **ret_text, struct vl_error *err)
{
    json_auto_t *doc = NULL;
    const struct oci_image *image = &s->image;
    size_t len;
    int r;

    if (s->config) {
        *ret_text = s->config;
        return 0;
    }
    r = oci_blob_read(s->blobs_fd, image->config_hex, OCI_DOCUMENT_MAX, &s->config, &len, err);
    if (r == -ENOENT) {
        if (s->ref->transport == OCI_LAYOUT || s->ref->transport == OCI_ARCHIVE)
            return vl_fail(err, VL_INVALID, "the configuration sha256:%s is missing: the image is not complete",
                           image->config_hex);
        r = fetch_config(s, &s->config, &len, err);
    }
    if (r < 0) return r;
    if (len != image->config_size)
        r = vl_fail(err, VL_INVALID, "the configuration has %zu bytes, announced were %llu", len,
                    (unsigned long long)image->config_size);
    if (r == 0) r = json_parse(s->config, len, "the image's configuration", &doc, err);
    if (r == 0) r = oci_config_decode(doc, "the image's configuration", &s->image, err);
    if (r < 0) {
        free(take_ptr(s->config));
        return r;
    }
    *ret_text = s->config;
    return 0;
}

static size_t missing(const struct oci_source *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->image.n_layers; i++)
        n += !oci_cache_has(s->cache, s->image.layers[i].hex, s->image.layers[i].size);
    return n;
}

int oci_source_layers(struct oci_source *s, int *ret_blobs_fd, struct vl_error *err)
{
    size_t n;
    int r;

    if (s->ref->transport == OCI_REGISTRY || s->ref->transport == OCI_DOCKER_ARCHIVE) {
        n = missing(s);
        s->reused = n < s->image.n_layers;
        oci_job_say(s->job, "%zu layers, of which %zu are to be fetched", s->image.n_layers, n);
        if (n > 0 && (r = fetch_layers(s, err)) < 0) return r;
    }
    *ret_blobs_fd = s->blobs_fd;
    return 0;
}

bool oci_source_forget(struct oci_source *s)
{
    if (!s->reused || s->layout_fd >= 0) return false;
    for (size_t i = 0; i < s->image.n_layers; i++)
        (void)unlinkat(s->cache->blobs_fd, s->image.layers[i].hex, 0);
    s->reused = false;
    return true;
}
