/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving blobs: hashed while they are written, renamed into place only if the digest is right. */
#include <openssl/evp.h>
#include <poll.h>
#include <sys/stat.h>

#include "artifact/internal.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/str.h"

#define CHUNK      (128UL * 1024)
#define CHECK_STEP (1UL << 20) /* of a blob whose size is not known */

struct artifact_put {
    struct artifacts *artifacts;
    struct staged file;
    EVP_MD_CTX *sha;
    char hex[SHA256_HEX + 1];
    uint64_t size;
    uint64_t checked; /* up to here the free space was judged */
};

void artifact_put_abort(struct artifact_put *p)
{
    if (!p) return;
    staged_drop(&p->file);
    EVP_MD_CTX_free(p->sha);
    free(p);
}

static int sha_begin(EVP_MD_CTX **ret)
{
    if (!(*ret = EVP_MD_CTX_new())) return -ENOMEM;
    return EVP_DigestInit_ex(*ret, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

static int sha_end(EVP_MD_CTX *sha, char hex[static SHA256_HEX + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len;

    if (EVP_DigestFinal_ex(sha, sum, &len) != 1) return -EIO;
    hex_encode(sum, SHA256_HEX / 2, hex);
    return 0;
}

int artifact_put_begin(struct artifacts *a, const char *hex, uint64_t expected_size, struct artifact_put **ret,
                       struct vl_error *err)
{
    auto_(artifact_put_abortp) struct artifact_put *p = calloc(1, sizeof(*p));
    int r;

    if (!p) return vl_fail_errno(err, ENOMEM, "receive artifact");
    p->artifacts = a;
    p->file.fd = -1;
    p->checked = expected_size;
    if ((r = digest_parse(hex, p->hex, err)) < 0) return r; /* it becomes a file name */
    if ((r = space_check(a, expected_size, err)) < 0) return r;
    if ((r = sha_begin(&p->sha)) < 0 || (r = staged_open(a, &p->file)) < 0)
        return vl_fail_errno(err, r, "receive artifact");
    *ret = take_ptr(p);
    CRASH_POINT("install.blob_begun");
    return 0;
}

int artifact_put_write(struct artifact_put *p, const void *data, size_t n, struct vl_error *err)
{
    int r;

    if (p->size + n > p->checked) {
        if ((r = space_check(p->artifacts, n + CHECK_STEP, err)) < 0) return r;
        p->checked = p->size + n + CHECK_STEP;
    }
    if (EVP_DigestUpdate(p->sha, data, n) != 1) return vl_fail_errno(err, EIO, "digest");
    if ((r = write_all(p->file.fd, data, n, -1)) < 0) return vl_fail_errno(err, r, "write artifact %s", p->hex);
    p->size += n;
    CRASH_POINT("install.blob_written");
    return 0;
}

int artifact_put_finish(struct artifact_put *p, struct vl_error *err)
{
    char hex[SHA256_HEX + 1];
    int r;

    if ((r = sha_end(p->sha, hex)) < 0)
        r = vl_fail_errno(err, r, "digest");
    else if (!str_eq(hex, p->hex))
        r = vl_fail(err, VL_INVALID,
                    "the bytes have digest sha256:%s, not sha256:%s: the file was changed or damaged on its way", hex,
                    p->hex);
    else if ((r = staged_commit(&p->file, p->artifacts->blob_fd, p->hex)) < 0)
        r = vl_fail_errno(err, r, "store artifact %s", p->hex);
    artifact_put_abort(p);
    return r;
}

static bool is_stopped(int stop_fd)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};

    return stop_fd >= 0 && poll(&p, 1, 0) > 0;
}

int artifact_put_fd(struct artifacts *a, const char *hex, int fd, int stop_fd, struct vl_error *err)
{
    auto_(artifact_put_abortp) struct artifact_put *p = NULL;
    auto_free char *buf = malloc(CHUNK);
    struct stat st;
    ssize_t n = 0;
    int r;

    if (!buf) return vl_fail_errno(err, ENOMEM, "copy artifact");
    if (fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "read artifact %s", hex);
    if (!S_ISREG(st.st_mode)) /* a FIFO could keep a worker for ever */
        return vl_fail(err, VL_INVALID, "artifact %s: what was named is no regular file: name the archive itself", hex);
    r = artifact_put_begin(a, hex, (uint64_t)st.st_size, &p, err);
    if (r < 0 || !p) return r;
    if (lseek(fd, 0, SEEK_SET) < 0) return vl_fail_errno(err, errno, "read artifact %s", hex);
    /* One that grows meanwhile is another one, as its digest will tell: it is not run after. */
    while (p->size <= (uint64_t)st.st_size && (n = read(fd, buf, CHUNK)) > 0) {
        if (is_stopped(stop_fd)) return vl_fail(err, VL_UNAVAILABLE, "volantd is stopping: install it again later");
        if ((r = artifact_put_write(p, buf, (size_t)n, err)) < 0) return r;
    }
    if (n < 0) return vl_fail_errno(err, errno, "read artifact %s", hex);
    return artifact_put_finish(take_ptr(p), err);
}

int sha256_fd(int fd, char ret_hex[static SHA256_HEX + 1], uint64_t *ret_size, struct vl_error *err)
{
    auto_free char *buf = malloc(CHUNK);
    EVP_MD_CTX *sha = NULL;
    uint64_t size = 0;
    ssize_t n = 0;
    int r = buf ? sha_begin(&sha) : -ENOMEM;

    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0) r = -errno;
    while (r == 0 && (n = read(fd, buf, CHUNK)) > 0) {
        size += (uint64_t)n;
        if (EVP_DigestUpdate(sha, buf, (size_t)n) != 1) r = -EIO;
    }
    if (r == 0 && n < 0) r = -errno;
    if (r == 0) r = sha_end(sha, ret_hex);
    EVP_MD_CTX_free(sha);
    if (r < 0) return vl_fail_errno(err, r, "digest");
    if (ret_size) *ret_size = size;
    return 0;
}
