/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI layout in a tar archive: the blobs that the cache lacks are copied into it, verified; the others are skipped
 * without reading them. (skopeo would unpack all of it each time.)
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/source_internal.h"

#define CHUNK     (128UL * 1024)
#define BLOBS_MAX 4096
#define BLOBS     "blobs/sha256/"

struct import {
    struct oci_source *s;
    struct archive *a;
    const char *path;
    char *chunk;
    uint64_t left; /* bytes that all blobs together may still have */
    int n_blobs;
    struct vl_error *err;
};

static void import_done(struct import *i)
{
    if (i->a) (void)archive_read_free(i->a);
    free(i->chunk);
}

static int fail_archive(const struct import *i)
{
    const char *why = archive_error_string(i->a);

    return vl_fail(i->err, VL_INVALID, "the archive '%s' is damaged, or none: %s", i->path, why ? why : "?");
}

static int take_index(struct import *i)
{
    auto_(strbuf_done) struct strbuf text = {0};
    la_ssize_t n;

    while ((n = archive_read_data(i->a, i->chunk, CHUNK)) > 0) {
        strbuf_add(&text, i->chunk, (size_t)n);
        if (text.len > OCI_DOCUMENT_MAX) return vl_fail(i->err, VL_TOO_LARGE, "%s: index.json is too large", i->path);
    }
    if (n < 0) return fail_archive(i);
    free(i->s->top);
    i->s->top_len = text.len;
    i->s->top = strbuf_take(&text);
    return i->s->top ? 0 : vl_fail_errno(i->err, ENOMEM, "read '%s'", i->path);
}

static int copy_blob(struct import *i, const char *hex, uint64_t size)
{
    struct artifact_put *put;
    la_ssize_t n;
    int r;

    if ((r = artifact_put_begin(i->s->cache->blobs, hex, size, &put, i->err)) < 0) return r;
    while (r == 0 && (n = archive_read_data(i->a, i->chunk, CHUNK)) != 0) {
        r = n < 0 ? fail_archive(i) : artifact_put_write(put, i->chunk, (size_t)n, i->err);
        if (r == 0) r = oci_job_check(i->s->job, i->err);
    }
    if (r == 0) return artifact_put_finish(put, i->err);
    artifact_put_abort(put);
    return r;
}

static int take_blob(struct import *i, const char *name, struct archive_entry *e)
{
    la_int64_t size = archive_entry_size(e);
    char hex[SHA256_HEX + 1];
    int r;

    if (digest_parse(name, hex, NULL) < 0) return 0; /* of another kind: nothing can refer to it */
    if (++i->n_blobs > BLOBS_MAX) return vl_fail(i->err, VL_TOO_LARGE, "%s: more than %d blobs", i->path, BLOBS_MAX);
    if (size < 0 || (uint64_t)size > i->left)
        return vl_fail(i->err, VL_TOO_LARGE, "%s: its blobs are too large: allow more with --max-size", i->path);
    i->left -= (uint64_t)size;
    if (oci_cache_has(i->s->cache, hex, (uint64_t)size)) return 0;
    if ((r = copy_blob(i, hex, (uint64_t)size)) < 0) return vl_wrap(i->err, "%s: sha256:%.12s", i->path, hex);
    return 0;
}

static int take_entry(struct import *i, struct archive_entry *e)
{
    const char *path = archive_entry_pathname(e);

    if (!path || archive_entry_hardlink(e) || !S_ISREG(archive_entry_mode(e))) return 0;
    if (str_starts(path, "./")) path += 2;
    if (str_eq(path, "index.json")) return take_index(i);
    return str_starts(path, BLOBS) ? take_blob(i, path + strlen(BLOBS), e) : 0;
}

static int open_archive(struct import *i)
{
    struct stat st;

    if (stat(i->path, &st) < 0 && errno == ENOENT)
        return vl_fail(i->err, VL_INVALID, "there is no archive '%s'", i->path);
    if (stat(i->path, &st) < 0) return vl_fail_errno(i->err, errno, "open '%s'", i->path);
    if (!S_ISREG(st.st_mode)) return vl_fail(i->err, VL_INVALID, "'%s' is no file: name the archive itself", i->path);
    if (!(i->chunk = malloc(CHUNK)) || !(i->a = archive_read_new())) return vl_fail_errno(i->err, ENOMEM, "read it");
    (void)archive_read_support_filter_gzip(i->a);
    (void)archive_read_support_filter_zstd(i->a);
    (void)archive_read_support_format_tar(i->a);
    return archive_read_open_filename(i->a, i->path, CHUNK) == ARCHIVE_OK ? 0 : fail_archive(i);
}

int import_archive(struct oci_source *s, struct vl_error *err)
{
    const struct oci_job *job = s->job;
    auto_(import_done) struct import i = {
        .s = s, .path = s->ref->name, .left = 2 * (job->max_bytes ? job->max_bytes : OCI_BYTES_MAX), .err = err};
    struct archive_entry *e;
    int got, r;

    if ((r = open_archive(&i)) < 0) return r;
    while ((got = archive_read_next_header(i.a, &e)) == ARCHIVE_OK || got == ARCHIVE_WARN) {
        if ((r = oci_job_check(job, err)) < 0) return r;
        if ((r = take_entry(&i, e)) < 0) return r;
    }
    if (got != ARCHIVE_EOF) return fail_archive(&i);
    if (!s->top) return vl_fail(err, VL_INVALID, "'%s' holds no OCI layout: it has no index.json", i.path);
    return 0;
}
