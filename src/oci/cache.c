/* SPDX-License-Identifier: Apache-2.0 */
/* See cache.h: the folder, its lock, what a build leaves and keeps. */
#include "oci/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"

#define STALE_MS   60000 /* a work folder that is younger may not have its lock yet */
#define RESULT_MAX (8UL << 20)

static int find_path(const char *path, char **ret, struct vl_error *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    const char *home = getenv("HOME");          /* NOLINT(concurrency-mt-unsafe) */

    if (path)
        *ret = strdup(path);
    else if (xdg && *xdg == '/')
        *ret = strf_new("%s/volant", xdg);
    else if (home && *home == '/')
        *ret = strf_new("%s/.cache/volant", home);
    else
        return vl_fail(err, VL_INVALID, "there is no place for the cache: set XDG_CACHE_HOME or HOME");
    return *ret ? 0 : vl_fail_errno(err, ENOMEM, "open the cache");
}

static int open_folder(const struct oci_cache *c, const char *name, int *ret, struct vl_error *err)
{
    auto_free char *path = strf_new("%s/%s", c->path, name);
    int r;

    if (!path) return vl_fail_errno(err, ENOMEM, "open the cache");
    if ((r = mkdir_p(path, 0700)) < 0 || (r = open_dir(path)) < 0)
        return vl_fail_errno(err, r, "open the cache's folder %s", path);
    *ret = r;
    return 0;
}

static int lock_shared(struct oci_cache *c, struct vl_error *err)
{
    auto_free char *path = strf_new("%s/lock", c->path);

    if (!path) return vl_fail_errno(err, ENOMEM, "open the cache");
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0) return vl_fail_errno(err, errno, "open %s", path);
    if (flock(c->lock_fd, LOCK_SH | LOCK_NB) == 0) return 0;
    if (errno == EWOULDBLOCK)
        return vl_fail(err, VL_UNAVAILABLE, "the cache %s is being pruned: try again when that is done", c->path);
    return vl_fail_errno(err, errno, "lock %s", path);
}

/* The lock of a work folder goes with the process that made it. */
static void sweep_one(int parent_fd, const char *name)
{
    auto_close int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || wall_ms() - st.st_mtim.tv_sec * 1000 < STALE_MS) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) (void)remove_tree_at(parent_fd, name);
}

static void sweep(int work_fd)
{
    int fd = openat(work_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir && fd >= 0) (void)close(fd);
    if (!dir) return;
    while ((entry = readdir(dir))) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        if (entry->d_name[0] != '.') sweep_one(work_fd, entry->d_name);
    (void)closedir(dir);
}

static int make_work(struct oci_cache *c, struct vl_error *err)
{
    char name[32], hex[17];
    int r;

    if ((r = open_folder(c, "work", &c->works_fd, err)) < 0) return r;
    sweep(c->works_fd);
    if ((r = random_hex(hex, 8)) < 0) return vl_fail_errno(err, r, "make a folder in the cache");
    (void)strf(name, sizeof(name), "%d-%s", (int)getpid(), hex);
    if (!(c->work_path = strf_new("%s/work/%s", c->path, name))) return vl_fail_errno(err, ENOMEM, "open the cache");
    if (mkdirat(c->works_fd, name, 0700) < 0 || (c->work_fd = open_dir(c->work_path)) < 0 ||
        flock(c->work_fd, LOCK_EX | LOCK_NB) < 0)
        return vl_fail_errno(err, errno, "make the folder %s", c->work_path);
    return 0;
}

int oci_cache_open(const char *path, struct oci_cache **ret, struct vl_error *err)
{
    auto_(oci_cache_closep) struct oci_cache *c = calloc(1, sizeof(*c));
    int r;

    if (!c) return vl_fail_errno(err, ENOMEM, "open the cache");
    c->blobs_fd = c->results_fd = c->works_fd = c->work_fd = c->lock_fd = -1;
    if ((r = find_path(path, &c->path, err)) < 0) return r;
    if ((r = mkdir_p(c->path, 0700)) < 0) return vl_fail_errno(err, r, "make the cache %s", c->path);
    if ((r = lock_shared(c, err)) < 0) return r;
    if (!(c->blobs_path = strf_new("%s/blobs", c->path))) return vl_fail_errno(err, ENOMEM, "open the cache");
    if ((r = artifacts_open(c->blobs_path, &c->blobs, err)) < 0) return r;
    if ((r = open_folder(c, "blobs/sha256", &c->blobs_fd, err)) < 0) return r;
    if ((r = open_folder(c, "results", &c->results_fd, err)) < 0) return r;
    if ((r = make_work(c, err)) < 0) return r;
    *ret = take_ptr(c);
    return 0;
}

void oci_cache_close(struct oci_cache *c)
{
    if (!c) return;
    /* By its folder's descriptor: remove_tree_at stays on one file system. */
    if (c->work_fd >= 0) (void)remove_tree_at(c->works_fd, strrchr(c->work_path, '/') + 1);
    closep(&c->work_fd);
    closep(&c->works_fd);
    closep(&c->results_fd);
    closep(&c->blobs_fd);
    artifacts_close(c->blobs);
    closep(&c->lock_fd);
    free(c->work_path);
    free(c->blobs_path);
    free(c->path);
    free(c);
}

/* --- blobs ------------------------------------------------------------------------------------------------------- */

void sha256_text(const void *data, size_t n, char ret_hex[static SHA256_HEX + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};

    (void)EVP_Digest(data, n, sum, NULL, EVP_sha256(), NULL);
    hex_encode(sum, SHA256_HEX / 2, ret_hex);
}

int oci_blob_read(int blobs_fd, const char *hex, size_t max, char **ret, size_t *ret_len, struct vl_error *err)
{
    auto_close int fd = openat(blobs_fd, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    auto_free char *text = NULL;
    char found[SHA256_HEX + 1];
    struct stat st;
    size_t len;
    int r;

    if (fd < 0 && errno == ENOENT) return -ENOENT;
    if (fd < 0 || fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "read sha256:%.12s", hex);
    if (!S_ISREG(st.st_mode)) return vl_fail(err, VL_INVALID, "sha256:%.12s is no file", hex);
    if ((r = read_all(fd, max, &text, &len)) == -EFBIG)
        return vl_fail(err, VL_TOO_LARGE, "the document sha256:%.12s has more than %zu bytes", hex, max);
    if (r < 0) return vl_fail_errno(err, r, "read sha256:%.12s", hex);
    sha256_text(text, len, found);
    if (!str_eq(found, hex))
        return vl_fail(err, VL_INVALID, "sha256:%.12s has the digest sha256:%s: it was changed or damaged", hex, found);
    (void)utimensat(blobs_fd, hex, NULL, AT_SYMLINK_NOFOLLOW); /* used now; of a layout that is not ours it may fail */
    *ret = take_ptr(text);
    *ret_len = len;
    return 0;
}

bool oci_cache_has(const struct oci_cache *c, const char *hex, uint64_t size)
{
    uint64_t found;

    if (!artifact_present(c->blobs, hex, &found) || found != size) return false;
    (void)utimensat(c->blobs_fd, hex, NULL, AT_SYMLINK_NOFOLLOW);
    return true;
}

int oci_cache_put(struct oci_cache *c, const char *hex, const void *data, size_t n, struct vl_error *err)
{
    struct artifact_put *put;
    int r;

    if ((r = artifact_put_begin(c->blobs, hex, n, &put, err)) < 0) return r;
    if ((r = artifact_put_write(put, data, n, err)) < 0) {
        artifact_put_abort(put);
        return r;
    }
    return artifact_put_finish(put, err);
}

/* --- results ----------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct record, member)
struct record {
    char *image, *config;
    int64_t size, files, unpacked;
    struct strv notes;
};
static const struct field record_fields[] = {
    {"image", FIELD_STRING, FIELD_REQUIRED, .offset = AT(image), .min = SHA256_HEX, .max = SHA256_HEX},
    {"size", FIELD_INT, FIELD_REQUIRED, .offset = AT(size), .min = 1, .max = INT64_MAX},
    {"files", FIELD_INT, FIELD_REQUIRED, .offset = AT(files), .min = 0, .max = INT64_MAX},
    {"unpacked", FIELD_INT, FIELD_REQUIRED, .offset = AT(unpacked), .min = 0, .max = INT64_MAX},
    {"config", FIELD_STRING, FIELD_REQUIRED, .offset = AT(config)},
    {"notes", FIELD_STRINGS, .offset = AT(notes)},
};
static const struct schema record_schema = {"result", sizeof(struct record), record_fields, ARRAY_LEN(record_fields)};

void oci_result_done(struct oci_result *r)
{
    free(r->config);
    strv_done(&r->notes);
    *r = (struct oci_result){0};
}

/* A record that cannot be read is as good as none: it is written anew. */
int oci_result_find(struct oci_cache *c, const char *key, struct oci_result *ret)
{
    auto_free char *text = NULL;
    json_auto_t *doc = NULL;
    struct record record;
    size_t len;

    if (read_file_at(c->results_fd, key, RESULT_MAX, &text, &len) < 0) return 0;
    if (json_parse(text, len, "result", &doc, NULL) < 0) return 0;
    if (schema_decode(&record_schema, doc, NULL, &record, NULL, NULL) < 0) return 0;
    if (digest_parse(record.image, ret->hex, NULL) < 0 || !oci_cache_has(c, ret->hex, (uint64_t)record.size)) {
        schema_done(&record_schema, &record);
        return 0;
    }
    ret->size = (uint64_t)record.size;
    ret->files = (uint64_t)record.files;
    ret->unpacked = (uint64_t)record.unpacked;
    ret->config = take_ptr(record.config);
    ret->notes = record.notes;
    record.notes = (struct strv){0};
    schema_done(&record_schema, &record);
    (void)utimensat(c->results_fd, key, NULL, AT_SYMLINK_NOFOLLOW);
    return 1;
}

static int write_record(struct oci_cache *c, const char *key, const struct oci_result *r, struct vl_error *err)
{
    struct record record = {.image = (char *)r->hex,
                            .config = r->config,
                            .size = (int64_t)r->size,
                            .files = (int64_t)r->files,
                            .unpacked = (int64_t)r->unpacked,
                            .notes = r->notes};
    json_auto_t *doc = schema_encode(&record_schema, &record);
    auto_free char *text = doc ? json_text(doc) : NULL;
    int res = text ? write_file_atomic_at(c->results_fd, key, text, strlen(text), 0600) : -ENOMEM;

    return res < 0 ? vl_fail_errno(err, res, "keep the result in the cache") : 0;
}

int oci_result_keep(struct oci_cache *c, const char *key, const char *name, struct oci_result *r, struct vl_error *err)
{
    auto_close int fd = openat(c->work_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int res;

    if (fd < 0) return vl_fail_errno(err, errno, "read the image");
    if ((res = sha256_fd(fd, r->hex, &r->size, err)) < 0) return res;
    if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(c->work_fd, name, c->blobs_fd, r->hex) < 0 ||
        fsync(c->blobs_fd) < 0)
        return vl_fail_errno(err, errno, "keep the image in the cache");
    return write_record(c, key, r, err);
}
