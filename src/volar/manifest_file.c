/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/manifest_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "model/manifest.h"

void manifest_file_done(struct manifest_file *m)
{
    json_decref(m->json);
    if (m->fd >= 0 && m->json) (void)close(m->fd);
    *m = (struct manifest_file){0};
}

static int read_json(const char *path, json_t **ret, struct vl_error *err)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    auto_free char *text = NULL;
    size_t len;
    int r;

    if (fd < 0)
        return vl_fail(err, VL_INVALID, "manifest %s: %s: name the .manifest.json that `fledge build` wrote", path,
                       vl_strerror(errno));
    if ((r = read_all(fd, MANIFEST_MAX, &text, &len)) == -EFBIG)
        return vl_fail(err, VL_INVALID, "%s is too large for a manifest: name the .manifest.json of `fledge build`",
                       path);
    if (r < 0) return vl_fail(err, VL_INVALID, "manifest %s: %s", path, vl_strerror(r));
    if (str_ends(path, ".toml"))
        return vl_fail(err, VL_INVALID, "%s is no manifest: `fledge build` makes one of it, named .manifest.json",
                       path);
    return json_parse(text, len, path, ret, err);
}

/* What it boots from: an archive, or a disk image. */
static const char *medium_key(const struct manifest_file *m)
{
    const json_t *initramfs = json_object_get(m->json, "initramfs");
    const char *url = json_string_value(json_object_get(initramfs, "url"));
    const char *disk = json_string_value(json_object_get(json_object_get(m->json, "rootfs"), "url"));

    return (!url || !*url) && disk && *disk ? "rootfs" : "initramfs";
}

/* A relative url is relative to the manifest's folder. */
static int settle_artifact(const char *path, struct manifest_file *m, struct vl_error *err)
{
    const char *key = medium_key(m);
    json_t *medium = json_object_get(m->json, key);
    const char *url = json_string_value(json_object_get(medium, "url"));
    const char *slash = strrchr(path, '/');
    auto_free char *full = NULL;

    if (!url || !*url) return 0; /* manifest_decode says it better */
    if (is_web_url(url)) {
        m->remote = true;
        return 0;
    }
    if (strstr(url, "://") && !str_starts(url, "file://"))
        return vl_fail(err, VL_INVALID, "%s: %s.url is '%s': write a path, file://, http:// or https://", path, key,
                       url);
    if (str_starts(url, "file://")) url += strlen("file://");
    if (*url == '/')
        full = strdup(url);
    else
        full = strf_new("%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, url);
    if (!full || strf(m->artifact, sizeof(m->artifact), "%s", full) < 0)
        return vl_fail(err, VL_INVALID, "%s: %s.url is too long", path, key);
    if (*m->artifact != '/') {
        char *real = realpath(m->artifact, NULL);

        if (!real) return vl_fail(err, VL_INVALID, "%s: %s.url '%s': %s", path, key, url, vl_strerror(errno));
        if (strf(m->artifact, sizeof(m->artifact), "%s", real) < 0) m->artifact[0] = '\0';
        free(real);
    }
    if (json_object_set_new(medium, "url", json_string(m->artifact)) < 0) return vl_fail_errno(err, ENOMEM, "%s", path);
    return 0;
}

static int digest(int fd, char hex[static 65])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sum[EVP_MAX_MD_SIZE], buf[65536];
    ssize_t n = -1;
    unsigned len;
    int r = -EIO;

    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1) {
        while ((n = read(fd, buf, sizeof(buf))) > 0)
            if (EVP_DigestUpdate(ctx, buf, (size_t)n) != 1) break;
        if (n == 0 && EVP_DigestFinal_ex(ctx, sum, &len) == 1) {
            hex_encode(sum, 32, hex);
            r = 0;
        }
    }
    EVP_MD_CTX_free(ctx);
    return r < 0 ? r : lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

static int open_artifact(const char *path, struct manifest_file *m, struct vl_error *err)
{
    struct stat st;
    int r;

    m->fd = open(m->artifact, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (m->fd < 0 || fstat(m->fd, &st) < 0)
        return vl_fail(err, VL_INVALID, "%s: %s.url: %s: %s: build it again with `fledge build`", path, medium_key(m),
                       m->artifact, vl_strerror(errno));
    if (!S_ISREG(st.st_mode))
        return vl_fail(err, VL_INVALID, "%s: %s.url: %s is no regular file", path, medium_key(m), m->artifact);
    m->size = (uint64_t)st.st_size;
    if ((r = digest(m->fd, m->hex)) < 0) return vl_fail_errno(err, r, "read %s", m->artifact);
    return 0;
}

static int settle_checksum(const char *path, struct manifest_file *m, struct vl_error *err)
{
    json_t *medium = json_object_get(m->json, medium_key(m));
    const char *said = json_string_value(json_object_get(medium, "checksum"));
    char full[80];

    (void)strf(full, sizeof(full), "sha256:%s", m->hex);
    if (!said || !*said)
        return json_object_set_new(medium, "checksum", json_string(full)) < 0 ? vl_fail_errno(err, ENOMEM, "%s", path)
                                                                              : 0;
    if (strcasecmp(str_starts(said, "sha256:") ? said + 7 : said, m->hex) != 0)
        return vl_fail(err, VL_INVALID, "%s: %s.checksum is %s, but %s has %s: build it again with `fledge build`",
                       path, medium_key(m), said, m->artifact, full);
    return 0;
}

int archive_file_read(const char *option, const char *file, const char *checksum, struct manifest_file *ret,
                      struct vl_error *err)
{
    auto_manifest_file m = {.fd = -1};
    int r;

    if (!(m.json = json_pack("{s:{s:s, s:s*}}", "initramfs", "url", file, "checksum", checksum)))
        return vl_fail(err, VL_INVALID, "%s: the name must be UTF-8", option);
    if ((r = settle_artifact("", &m, err)) < 0) return vl_wrap(err, "%s", option);
    if (m.remote && !checksum) return vl_fail(err, VL_INVALID, "%s is a URL: its checksum is needed beside it", option);
    if (!m.remote && ((r = open_artifact(option, &m, err)) < 0 || (r = settle_checksum(option, &m, err)) < 0)) return r;
    (void)strf(m.name, sizeof(m.name), "archive");
    *ret = m;
    m = (struct manifest_file){.fd = -1};
    return 0;
}

int manifest_file_read(const char *path, struct manifest_file *ret, struct vl_error *err)
{
    auto_manifest_file m = {.fd = -1};
    auto_manifest decoded = {0};
    int r;

    if ((r = read_json(path, &m.json, err)) < 0 || (r = settle_artifact(path, &m, err)) < 0) return r;
    if (*m.artifact && ((r = open_artifact(path, &m, err)) < 0 || (r = settle_checksum(path, &m, err)) < 0)) return r;
    if ((r = manifest_decode(m.json, path, &decoded, NULL, NULL, err)) < 0) return r;
    (void)strf(m.name, sizeof(m.name), "%s", decoded.name);
    (void)strf(m.version, sizeof(m.version), "%s", decoded.version);
    *ret = m;
    m = (struct manifest_file){.fd = -1};
    return 0;
}
