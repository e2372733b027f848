/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin boots from: the rules of `initramfs` and `rootfs`. */
#include <string.h>

#include "model/manifest_rules.h"

#define SHA256_HEX 64

static int settle_url(const char *url, const char *which, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    if (!url)
        return vl_fail(err, VL_INVALID, "%s.url is missing: write the path of the %s (fledge build does)", which,
                       str_eq(which, "rootfs") ? "disk image" : "archive");
    if (url[0] == '/' || str_starts(url, "file:///")) return 0;
    for (const char *const *scheme = (const char *const[]){"http://", "https://", NULL}; *scheme; scheme++)
        if (str_starts(url, *scheme) && url[strlen(*scheme)] && url[strlen(*scheme)] != '/') return 0;
    return vl_fail(err, VL_INVALID,
                   "%s.url is %s: write an absolute path (volar plugins install makes a relative one absolute), "
                   "file:///PATH, http://HOST/... or https://HOST/...",
                   which, quoted(url, shown));
}

static int settle_checksum(char **slot, const char *which, struct vl_error *err)
{
    char shown[QUOTED_SIZE], *full;
    uint8_t digest[SHA256_HEX / 2];
    const char *hex;

    if (!*slot)
        return vl_fail(err, VL_INVALID, "%s.checksum is missing: write sha256:<hex> (fledge build does)", which);
    lower_case(*slot);
    hex = str_starts(*slot, "sha256:") ? *slot + strlen("sha256:") : *slot;
    if (hex_decode(hex, digest, sizeof(digest)) < 0)
        return vl_fail(err, VL_INVALID, "%s.checksum is %s, allowed: sha256: and %d hex digits", which,
                       quoted(*slot, shown), SHA256_HEX);
    if (hex != *slot) return 0;
    if (!(full = strf_new("sha256:%s", hex))) return vl_fail_errno(err, ENOMEM, "decode manifest");
    free(*slot);
    *slot = full;
    return 0;
}

/* fledge [H] writes the file system as the format of the disk, which is raw then. */
static int settle_format(struct rootfs_medium *r, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    lower_case(r->format);
    lower_case(r->fstype);
    if (r->format && !r->fstype && (str_eq(r->format, "squashfs") || str_eq(r->format, "ext4"))) {
        r->fstype = r->format;
        r->format = NULL;
    }
    if (!r->format && string_set(&r->format, "raw") < 0) return vl_fail_errno(err, ENOMEM, "decode manifest");
    if (!r->checksum) return 0; /* it boots from something else */
    if (!str_eq(r->format, "raw"))
        return vl_fail(err, VL_INVALID, "rootfs.format is %s, allowed: raw (convert it with `qemu-img convert -O raw`)",
                       quoted(r->format, shown));
    if (r->fstype && !str_eq(r->fstype, "squashfs") && !str_eq(r->fstype, "ext4"))
        return vl_fail(err, VL_INVALID, "rootfs.fstype is %s, allowed: squashfs, ext4", quoted(r->fstype, shown));
    return 0;
}

static int settle_init(const struct manifest *m, struct vl_error *err)
{
    const char *init = m->rootfs.init;
    char shown[QUOTED_SIZE];

    if (!init) return 0;
    if (*init != '/' || path_climbs(init))
        return vl_fail(err, VL_INVALID, "rootfs.init is %s: write an absolute path of the image without \"..\"",
                       quoted(init, shown));
    if (manifest_has_agent(m))
        return vl_fail(
            err, VL_INVALID,
            "rootfs.init is %s, and agent is kestrel, which is the init: write agent \"none\", or leave init "
            "out",
            quoted(init, shown));
    return 0;
}

int media_settle(struct manifest *m, struct vl_error *err)
{
    bool archive;
    int r;

    trim_field(&m->initramfs.checksum);
    trim_field(&m->rootfs.checksum);
    trim_field(&m->rootfs.format);
    trim_field(&m->rootfs.fstype);
    if ((r = text_settle(&m->initramfs.url, "initramfs.url", err)) < 0 ||
        (r = text_settle(&m->rootfs.url, "rootfs.url", err)) < 0 ||
        (r = text_settle(&m->rootfs.init, "rootfs.init", err)) < 0)
        return r;
    archive = m->initramfs.url || m->initramfs.checksum;
    if (!archive && !m->rootfs.url && !m->rootfs.checksum) {
        /* Without an agent a kernel may be all there is: which, a VM's kernel_override says. */
        if (!manifest_has_agent(m)) return settle_format(&m->rootfs, err);
        return vl_fail(
            err, VL_INVALID,
            "initramfs.url and rootfs.url are missing: write the path of an archive or of a disk image (fledge "
            "build does)");
    }
    if (archive) {
        if ((r = settle_url(m->initramfs.url, "initramfs", err)) < 0) return r;
        if ((r = settle_checksum(&m->initramfs.checksum, "initramfs", err)) < 0) return r;
        free(take_ptr(m->rootfs.checksum)); /* without effect, nobody shall look for its blob */
        return settle_format(&m->rootfs, err);
    }
    if ((r = settle_url(m->rootfs.url, "rootfs", err)) < 0) return r;
    if ((r = settle_checksum(&m->rootfs.checksum, "rootfs", err)) < 0) return r;
    if ((r = settle_format(&m->rootfs, err)) < 0) return r;
    return settle_init(m, err);
}
