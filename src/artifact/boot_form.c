/* SPDX-License-Identifier: Apache-2.0 */
/* The form VMs boot from: what ships as zstd is unpacked once, as the kernel boots an uncompressed archive fastest. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "artifact/internal.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/str.h"

#define MAGIC      6
#define WINDOW_LOG 27 /* 128 MiB, zstd's own limit without --long */

static bool has_magic(const unsigned char *head, size_t n, const char *magic, size_t len)
{
    return n >= len && memcmp(head, magic, len) == 0;
}

static bool is_zstd(const unsigned char *head, size_t n)
{
    return has_magic(head, n, "\x28\xb5\x2f\xfd", 4);
}

/* cpio "newc", or what the kernel unpacks itself. */
static bool is_archive(const unsigned char *head, size_t n)
{
    return has_magic(head, n, "070701", 6) || has_magic(head, n, "070702", 6) || has_magic(head, n, "\x1f\x8b", 2) ||
           has_magic(head, n, "\x02\x21\x4c\x18", 4);
}

static int no_archive(const char *hex, struct vl_error *err)
{
    return vl_fail(err, VL_INVALID,
                   "artifact sha256:%s is no initramfs archive: a cpio (newc) is expected, as it is or "
                   "compressed with zstd, gzip or lz4",
                   hex);
}

struct unpacking {
    struct artifacts *artifacts;
    const char *hex;
    ZSTD_DStream *stream;
    char *in, *out;
    size_t in_size, out_size;
    int from;
    struct staged file;
    uint64_t size, max;
};

static void unpacking_done(struct unpacking *u)
{
    (void)ZSTD_freeDStream(u->stream);
    staged_drop(&u->file);
    free(u->in);
    free(u->out);
}

static int unpack_write(struct unpacking *u, size_t n, struct vl_error *err)
{
    int r;

    if (!n) return 0;
    if (u->size == 0 && !is_archive((unsigned char *)u->out, n)) return no_archive(u->hex, err);
    u->size += n;
    if (u->size > u->max)
        return vl_fail(err, VL_INVALID, "artifact sha256:%s unpacks to more than %llu bytes: too large to boot from",
                       u->hex, (unsigned long long)u->max);
    if ((r = space_check(u->artifacts, n, err)) < 0) return r;
    if ((r = write_all(u->file.fd, u->out, n, -1)) < 0) return vl_fail_errno(err, r, "unpack artifact %s", u->hex);
    return 0;
}

/* `*ret_left`: what zstd still expects, 0 at the end of a frame. */
static int unpack_chunk(struct unpacking *u, size_t n, size_t *ret_left, struct vl_error *err)
{
    ZSTD_inBuffer in = {.src = u->in, .size = n};
    int r;

    while (in.pos < in.size) {
        ZSTD_outBuffer out = {.dst = u->out, .size = u->out_size};
        size_t left = ZSTD_decompressStream(u->stream, &out, &in);

        if (ZSTD_isError(left))
            return vl_fail(err, VL_INVALID, "artifact sha256:%s is damaged: %s", u->hex, ZSTD_getErrorName(left));
        if ((r = unpack_write(u, out.pos, err)) < 0) return r;
        *ret_left = left;
    }
    return 0;
}

/* A full output buffer may leave more behind although all input was taken. */
static int unpack_rest(struct unpacking *u, size_t *left, struct vl_error *err)
{
    size_t got;
    int r;

    do {
        ZSTD_inBuffer in = {.src = u->in, .size = 0};
        ZSTD_outBuffer out = {.dst = u->out, .size = u->out_size};
        size_t code = *left ? ZSTD_decompressStream(u->stream, &out, &in) : 0;

        if (ZSTD_isError(code))
            return vl_fail(err, VL_INVALID, "artifact sha256:%s is damaged: %s", u->hex, ZSTD_getErrorName(code));
        if (*left) *left = code;
        got = out.pos;
        if ((r = unpack_write(u, got, err)) < 0) return r;
    } while (got);
    if (!*left && u->size == 0) return no_archive(u->hex, err);
    return *left ? vl_fail(err, VL_INVALID, "artifact sha256:%s is cut short", u->hex) : 0;
}

static int unpack_all(struct unpacking *u, struct vl_error *err)
{
    size_t left = 1;
    ssize_t n;
    int r;

    while ((n = read(u->from, u->in, u->in_size)) > 0)
        if ((r = unpack_chunk(u, (size_t)n, &left, err)) < 0) return r;
    if (n < 0) return vl_fail_errno(err, errno, "read artifact %s", u->hex);
    return unpack_rest(u, &left, err);
}

static int unpack(struct artifacts *a, const char *hex, int from, uint64_t max, struct vl_error *err)
{
    auto_(unpacking_done) struct unpacking u = {
        .artifacts = a,
        .hex = hex,
        .from = from,
        .max = max,
        .file.fd = -1,
        .stream = ZSTD_createDStream(),
        .in_size = ZSTD_DStreamInSize(),
        .out_size = ZSTD_DStreamOutSize(),
    };
    int r;

    u.in = malloc(u.in_size);
    u.out = malloc(u.out_size);
    if (!u.stream || !u.in || !u.out || ZSTD_isError(ZSTD_DCtx_setParameter(u.stream, ZSTD_d_windowLogMax, WINDOW_LOG)))
        return vl_fail_errno(err, ENOMEM, "unpack artifact %s", hex);
    if ((r = staged_open(a, &u.file)) < 0) return vl_fail_errno(err, r, "unpack artifact %s", hex);
    if ((r = unpack_all(&u, err)) < 0) return r;
    CRASH_POINT("install.unpacked");
    if ((r = staged_commit(&u.file, a->boot_fd, hex)) < 0) return vl_fail_errno(err, r, "unpack artifact %s", hex);
    return 0;
}

static int form_path(const struct artifacts *a, const char *form, const char *hex, char **ret, struct vl_error *err)
{
    if (!(*ret = strf_new("%s/%s/%s", a->path, form, hex))) return vl_fail_errno(err, ENOMEM, "artifact %s", hex);
    return 0;
}

int artifact_boot_form(struct artifacts *a, const char *hex, uint64_t max_bytes, char **ret_path, struct vl_error *err)
{
    unsigned char head[MAGIC] = {0};
    auto_close int fd = -1;
    ssize_t n;
    int r;

    if (faccessat(a->boot_fd, hex, R_OK, 0) == 0) return form_path(a, "boot", hex, ret_path, err);
    fd = openat(a->blob_fd, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return vl_fail(err, VL_INTERNAL, "artifact sha256:%s is gone: install its plugin again", hex);
    if (fd < 0) return vl_fail_errno(err, errno, "open artifact %s", hex);
    if ((n = pread(fd, head, sizeof(head), 0)) < 0) return vl_fail_errno(err, errno, "read artifact %s", hex);
    if (is_archive(head, (size_t)n)) return form_path(a, "sha256", hex, ret_path, err);
    if (!is_zstd(head, (size_t)n)) return no_archive(hex, err);
    if ((r = unpack(a, hex, fd, max_bytes, err)) < 0) return r;
    return form_path(a, "boot", hex, ret_path, err);
}

int artifact_path(struct artifacts *a, const char *hex, char **ret_path, struct vl_error *err)
{
    if (faccessat(a->blob_fd, hex, R_OK, 0) < 0)
        return vl_fail(err, VL_NOT_FOUND, "the artifact sha256:%s is not here: install its plugin again", hex);
    return form_path(a, "sha256", hex, ret_path, err);
}

uint64_t artifact_boot_size(struct artifacts *a, const char *hex)
{
    struct stat st;

    if (fstatat(a->boot_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
        fstatat(a->blob_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (uint64_t)st.st_size;
}
