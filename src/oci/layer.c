/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See layer.h. Two readers of libarchive, one behind the other: the first undoes the compression ("raw" has no entries
 * of its own), we hash what it gives, the second finds the entries in it.
 *
 * fledge stays in the C locale: there libarchive gives names as the bytes that they are (and warns about it), while it
 * changes their Unicode normalisation in others.
 */
#include "oci/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"

#define CHUNK        (128UL * 1024)
#define XATTRS_MAX   (64UL * 1024) /* bytes of all of one entry, as ext4 and squashfs bound one */
#define XATTR_COUNT  64
#define STREAM_EXTRA (256ULL << 20) /* headers and padding, beside what the files may have */

struct layer_reader {
    const struct oci_layer *layer; /* NULL: nothing is verified */
    const struct oci_job *job;
    int fd;
    bool verify, compressed;
    struct archive *unpack, *tar;
    EVP_MD_CTX *blob_sha, *diff_sha;
    char *chunk;
    uint64_t blob_size, stream_size, stream_max;
    struct vl_error problem; /* of a callback, which cannot give it to libarchive */
    bool failed;
    uint32_t ordinal;
    struct strbuf xattrs;
};

/* Failures of the callbacks were told already; the first one counts. */
static int fail_read(struct layer_reader *r, struct archive *a, struct vl_error *err)
{
    if (r->failed) return vl_fail(err, r->problem.kind, "%s", r->problem.msg);
    return vl_fail(err, VL_INVALID, "the archive is damaged: %s",
                   archive_error_string(a) ? archive_error_string(a) : "?");
}

static ssize_t give_up(struct layer_reader *r, struct archive *a)
{
    r->failed = true;
    archive_set_error(a, EIO, "%s", r->problem.msg);
    return ARCHIVE_FATAL;
}

static ssize_t read_blob(struct archive *a, void *arg, const void **ret)
{
    struct layer_reader *r = arg;
    ssize_t n;

    if (oci_job_check(r->job, &r->problem) < 0) return give_up(r, a);
    while ((n = read(r->fd, r->chunk, CHUNK)) < 0 && errno == EINTR)
        ;
    if (n < 0) {
        (void)vl_fail_errno(&r->problem, errno, "read it");
        return give_up(r, a);
    }
    r->blob_size += (uint64_t)n;
    if (r->verify && EVP_DigestUpdate(r->blob_sha, r->chunk, (size_t)n) != 1) {
        (void)vl_fail(&r->problem, VL_INTERNAL, "digest");
        return give_up(r, a);
    }
    *ret = r->chunk;
    return n;
}

static ssize_t read_unpacked(struct archive *a, void *arg, const void **ret)
{
    struct layer_reader *r = arg;
    la_int64_t at;
    size_t n = 0;
    int got = archive_read_data_block(r->unpack, ret, &n, &at);

    if (got == ARCHIVE_EOF) return 0;
    if (got != ARCHIVE_OK) {
        (void)fail_read(r, r->unpack, &r->problem);
        return give_up(r, a);
    }
    r->stream_size += n;
    if (r->stream_size > r->stream_max) {
        (void)vl_fail(&r->problem, VL_TOO_LARGE, "it unpacks to more than %" PRIu64 " MB", r->stream_max >> 20);
        return give_up(r, a);
    }
    if (r->verify && EVP_DigestUpdate(r->diff_sha, *ret, n) != 1) {
        (void)vl_fail(&r->problem, VL_INTERNAL, "digest");
        return give_up(r, a);
    }
    return (ssize_t)n;
}

/* gzip (RFC 1952), zstd and its skippable frames (RFC 8878). */
static bool has_magic(int fd)
{
    unsigned char m[4] = {0};

    if (pread(fd, m, sizeof(m), 0) < 2) return false;
    if (m[0] == 0x1f && m[1] == 0x8b) return true;
    if (m[0] == 0x28 && m[1] == 0xb5 && m[2] == 0x2f && m[3] == 0xfd) return true;
    return (m[0] & 0xf0) == 0x50 && m[1] == 0x2a && m[2] == 0x4d && m[3] == 0x18;
}

static int open_unpack(struct layer_reader *r, struct vl_error *err)
{
    struct archive_entry *entry;

    if (!(r->unpack = archive_read_new())) return vl_fail_errno(err, ENOMEM, "read it");
    (void)archive_read_support_filter_gzip(r->unpack);
    (void)archive_read_support_filter_zstd(r->unpack);
    (void)archive_read_support_format_raw(r->unpack);
    (void)archive_read_support_format_empty(r->unpack);
    if (archive_read_open(r->unpack, r, NULL, read_blob, NULL) != ARCHIVE_OK) return fail_read(r, r->unpack, err);
    if (archive_read_next_header(r->unpack, &entry) != ARCHIVE_OK) return fail_read(r, r->unpack, err);
    return 0;
}

static int open_archives(struct layer_reader *r, struct vl_error *err)
{
    int res;

    r->compressed = has_magic(r->fd);
    if (!(r->chunk = malloc(CHUNK)) || !(r->tar = archive_read_new())) return vl_fail_errno(err, ENOMEM, "read it");
    if (r->verify && (!(r->blob_sha = EVP_MD_CTX_new()) || !(r->diff_sha = EVP_MD_CTX_new()) ||
                      EVP_DigestInit_ex(r->blob_sha, EVP_sha256(), NULL) != 1 ||
                      EVP_DigestInit_ex(r->diff_sha, EVP_sha256(), NULL) != 1))
        return vl_fail(err, VL_INTERNAL, "digest");
    if (r->compressed && (res = open_unpack(r, err)) < 0) return res;
    (void)archive_read_support_format_tar(r->tar);
    if (archive_read_open(r->tar, r, NULL, r->compressed ? read_unpacked : read_blob, NULL) != ARCHIVE_OK)
        return fail_read(r, r->tar, err);
    return 0;
}

static int begin(int fd, const struct oci_layer *layer, const struct oci_job *job, bool verify,
                 struct layer_reader **ret, struct vl_error *err)
{
    auto_(layer_closep) struct layer_reader *r = calloc(1, sizeof(*r));
    int res;

    if (!r) {
        (void)close(fd);
        return vl_fail_errno(err, ENOMEM, "read a layer");
    }
    r->fd = fd;
    r->layer = layer;
    r->job = job;
    r->verify = verify;
    r->stream_max = 2 * (job->max_bytes ? job->max_bytes : OCI_BYTES_MAX) + STREAM_EXTRA;
    if ((res = open_archives(r, err)) < 0) return res;
    *ret = take_ptr(r);
    return 0;
}

int layer_open(int blobs_fd, const struct oci_layer *layer, const struct oci_job *job, bool verify,
               struct layer_reader **ret, struct vl_error *err)
{
    int fd = openat(blobs_fd, layer->hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), r;
    struct stat st;

    if (fd < 0 && errno == ENOENT) return vl_fail(err, VL_NOT_FOUND, "layer sha256:%.12s is not there", layer->hex);
    if (fd < 0) return vl_fail_errno(err, errno, "layer sha256:%.12s", layer->hex);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != layer->size) {
        (void)close(fd);
        return vl_fail(err, VL_INVALID,
                       "layer sha256:%.12s has not the %" PRIu64 " bytes that the manifest says: it is "
                       "cut off or another one",
                       layer->hex, layer->size);
    }
    if ((r = begin(fd, layer, job, verify, ret, err)) < 0) (void)vl_wrap(err, "layer sha256:%.12s", layer->hex);
    return r;
}

int layer_open_fd(int fd, const struct oci_job *job, struct layer_reader **ret, struct vl_error *err)
{
    return begin(fd, NULL, job, false, ret, err);
}

void layer_close(struct layer_reader *r)
{
    if (!r) return;
    if (r->tar) (void)archive_read_free(r->tar);
    if (r->unpack) (void)archive_read_free(r->unpack);
    EVP_MD_CTX_free(r->blob_sha);
    EVP_MD_CTX_free(r->diff_sha);
    strbuf_done(&r->xattrs);
    free(r->chunk);
    (void)close(r->fd);
    free(r);
}

/* --- entries ----------------------------------------------------------------------------------------------------- */

/*
 * Those that a read-only file system of a guest can hold and that mean something there: no POSIX ACLs (which tar
 * archives of layers carry in another form, if at all), no labels of overlayfs.
 */
static bool is_kept(const char *name)
{
    return str_starts(name, "user.") || str_starts(name, "security.") ||
           (str_starts(name, "trusted.") && !str_starts(name, "trusted.overlay."));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct oci_xattr *)a)->name, ((const struct oci_xattr *)b)->name);
}

/* libarchive has one twice where an archive has it in two spellings (bsdtar writes both): the first one counts. */
static size_t list_xattrs(struct archive_entry *e, struct oci_xattr *list)
{
    struct oci_xattr x;
    const void *value;
    size_t len, n = 0;

    (void)archive_entry_xattr_reset(e);
    while (archive_entry_xattr_next(e, &x.name, &value, &len) == ARCHIVE_OK && n < XATTR_COUNT) {
        size_t same = 0;

        while (x.name && same < n && !str_eq(list[same].name, x.name))
            same++;
        if (!x.name || same < n || len > XATTRS_MAX || !is_kept(x.name)) continue;
        list[n++] = (struct oci_xattr){x.name, value, (uint32_t)len};
    }
    if (n > 1) qsort(list, n, sizeof(*list), by_name);
    return n;
}

static int take_xattrs(struct layer_reader *r, struct archive_entry *e, struct oci_entry *ret, struct vl_error *err)
{
    struct oci_xattr list[XATTR_COUNT];
    size_t n;

    r->xattrs.len = 0;
    if (archive_entry_xattr_count(e) > 0) {
        n = list_xattrs(e, list);
        for (size_t i = 0; i < n; i++) {
            strbuf_add(&r->xattrs, list[i].name, strlen(list[i].name) + 1);
            strbuf_add(&r->xattrs, &list[i].len, sizeof(list[i].len));
            strbuf_add(&r->xattrs, list[i].value, list[i].len);
        }
    }
    if (r->xattrs.failed) return vl_fail_errno(err, ENOMEM, "read it");
    if (r->xattrs.len > XATTRS_MAX)
        return vl_fail(err, VL_TOO_LARGE, "the extended attributes of '%.100s' have more than %lu bytes", ret->path,
                       XATTRS_MAX);
    ret->xattrs = r->xattrs.data;
    ret->xattrs_len = r->xattrs.len;
    return 0;
}

static int take_entry(struct layer_reader *r, struct archive_entry *e, struct oci_entry *ret, struct vl_error *err)
{
    la_int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e), size = archive_entry_size(e);

    *ret = (struct oci_entry){.path = archive_entry_pathname(e),
                              .hardlink = archive_entry_hardlink(e),
                              .symlink = archive_entry_symlink(e),
                              .mode = archive_entry_mode(e),
                              .major = (uint32_t)archive_entry_rdevmajor(e),
                              .minor = (uint32_t)archive_entry_rdevminor(e),
                              .mtime = archive_entry_mtime(e),
                              .weak = !r->layer && str_eq(archive_entry_uname(e), LAYER_WEAK),
                              .ordinal = r->ordinal++};
    if (!ret->path || !*ret->path) return vl_fail(err, VL_INVALID, "entry %u has no name", ret->ordinal);
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return vl_fail(err, VL_INVALID, "entry '%.100s' has the owner %" PRId64 ":%" PRId64 ", which no file can have",
                       ret->path, (int64_t)uid, (int64_t)gid);
    if (size < 0) return vl_fail(err, VL_INVALID, "entry '%.100s' has less than no bytes", ret->path);
    ret->uid = (uint32_t)uid;
    ret->gid = (uint32_t)gid;
    ret->size = (uint64_t)size;
    return take_xattrs(r, e, ret, err);
}

int layer_next(struct layer_reader *r, struct oci_entry *ret, struct vl_error *err)
{
    struct archive_entry *e;
    int got, res;

    if ((res = oci_job_check(r->job, err)) < 0) return res;
    got = archive_read_next_header(r->tar, &e);
    if (got == ARCHIVE_EOF) return 0;
    if (got != ARCHIVE_OK && got != ARCHIVE_WARN) return fail_read(r, r->tar, err); /* see above about warnings */
    return (res = take_entry(r, e, ret, err)) < 0 ? res : 1;
}

int layer_data(struct layer_reader *r, const void **ret, size_t *ret_len, uint64_t *ret_at, struct vl_error *err)
{
    la_int64_t at = 0;
    int got;

    do {
        got = archive_read_data_block(r->tar, ret, ret_len, &at);
        if (got == ARCHIVE_EOF) return 0;
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN) return fail_read(r, r->tar, err);
    } while (*ret_len == 0);
    *ret_at = (uint64_t)at;
    return 1;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static int check_sum(EVP_MD_CTX *sha, const char *wanted, const char *what, struct vl_error *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    char hex[SHA256_HEX + 1];
    unsigned len;

    if (EVP_DigestFinal_ex(sha, sum, &len) != 1) return vl_fail(err, VL_INTERNAL, "digest");
    hex_encode(sum, SHA256_HEX / 2, hex);
    if (str_eq(hex, wanted)) return 0;
    return vl_fail(err, VL_INVALID, "%s has the digest sha256:%s: it was changed or damaged on its way", what, hex);
}

static int drain(struct layer_reader *r, struct vl_error *err)
{
    const void *data;
    ssize_t n;

    while ((n = r->compressed ? read_unpacked(r->tar, r, &data) : read_blob(r->tar, r, &data)) > 0)
        ;
    if (n < 0) return fail_read(r, r->tar, err);
    if (!r->compressed) return 0;
    while ((n = read_blob(r->unpack, r, &data)) > 0) /* behind the last frame */
        ;
    return n < 0 ? fail_read(r, r->unpack, err) : 0;
}

int layer_finish(struct layer_reader *r, struct vl_error *err)
{
    int res = drain(r, err);

    if (res == 0) res = check_sum(r->blob_sha, r->layer->hex, "it", err);
    if (res == 0 && r->compressed)
        res = check_sum(r->diff_sha, r->layer->diff_hex, "the archive in it", err);
    else if (res == 0 && !str_eq(r->layer->hex, r->layer->diff_hex))
        res = vl_fail(err, VL_INVALID, "the archive in it is not the one that the configuration names");
    if (res < 0) (void)vl_wrap(err, "layer sha256:%.12s", r->layer->hex);
    return res;
}
