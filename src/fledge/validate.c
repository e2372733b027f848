/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge validate`: all that can be said of a fledge.toml or a manifest without fetching or writing anything. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "artifact/artifact.h"
#include "base/io.h"
#include "base/str.h"
#include "fledge/command.h"
#include "fledge/config_file.h"
#include "fledge/image.h"
#include "fledge/json_place.h"
#include "model/manifest.h"
#include "oci/ref.h"

static const char *manifest_file;
const struct opt validate_opts[] = {
    {"manifest", 'm', OPT_STRING, "FILE", "Of version = \"1\" alone (default: manifest.toml beside FILE)", 0, 0,
     &manifest_file},
    GLOBAL,
    {0},
};

static int validate(const char *file, struct config *c, struct vl_error *err)
{
    const struct oci_job job = {.stop = &cli_stop};
    auto_free char *folder = config_folder(file);
    auto_(tree_freep) struct tree *tree = NULL;
    auto_oci_ref ref = {0};
    struct vl_error reason = {0};
    int r;

    if (!folder) return vl_fail_errno(err, ENOMEM, "read %s", file);
    if ((r = config_read(file, manifest_file, c, err)) < 0) return r;
    if (c->from.image && oci_ref_parse(c->from.image, folder, &ref, &reason) < 0)
        return config_fail(c, c->from.at, err, "%s", reason.msg);
    const struct image_sources from = {.folder = folder, .output = folder, .job = &job};
    return config_has_image(c) ? image_plan_layer(c, &from, &tree, NULL, err) : image_plan(c, &from, &tree, NULL, err);
}

/* --- a manifest --------------------------------------------------------------------------------------------------- */

struct document {
    const char *file;
    char *text;
    size_t len;
    json_t *j;
};

static void document_done(struct document *d)
{
    free(d->text);
    json_decref(d->j);
}

/* `msg` begins with the path of what it is about. */
static int fail_at(const struct document *d, const char *msg, struct vl_error *err)
{
    struct json_place at = json_place_of(d->text, d->len, msg);

    return vl_fail(err, VL_INVALID, "%s:%u:%u: %s", d->file, at.line, at.column, msg);
}

/* An artifact beside its manifest is compared with it; elsewhere it is volantd's business. */
static int check_artifact(const struct document *d, const char *key, struct vl_error *err)
{
    const json_t *medium = json_object_get(d->j, key);
    const char *url = json_string_value(json_object_get(medium, "url"));
    const char *checksum = json_string_value(json_object_get(medium, "checksum"));
    auto_free char *folder = config_folder(d->file), *path = NULL;
    char wanted[SHA256_HEX + 1], found[SHA256_HEX + 1], msg[400];
    auto_close int fd = -1;
    int r;

    if (!url || !checksum || *url == '/' || strstr(url, "://") || digest_parse(checksum, wanted, NULL) < 0) return 0;
    if (!(path = folder ? strf_new("%s/%s", folder, url) : NULL)) return vl_fail_errno(err, ENOMEM, "read it");
    if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
        (void)strf(msg, sizeof(msg), "%s.url: there is no '%.200s' (%s): build it, or correct the path", key, path,
                   vl_strerror(errno));
        return fail_at(d, msg, err);
    }
    if ((r = sha256_fd(fd, found, NULL, err)) < 0) return r;
    if (str_eq(found, wanted)) return 0;
    (void)strf(msg, sizeof(msg), "%s.checksum is not that of '%.200s', which is sha256:%s: build it again", key, path,
               found);
    return fail_at(d, msg, err);
}

/* A relative URL is right in a file: who sends it makes it absolute. */
static void make_absolute(json_t *j, const char *key)
{
    json_t *medium = json_object_get(j, key);
    const char *url = json_string_value(json_object_get(medium, "url"));

    if (url && *url && *url != '/' && !strstr(url, "://"))
        (void)json_object_set_new(medium, "url", json_sprintf("/%s", url));
}

static int judge(const struct document *d, struct manifest *m, struct strv *warnings, struct vl_error *err)
{
    static const char where[] = "manifest";
    json_auto_t *copy = json_deep_copy(d->j);
    struct vl_error reason = {0};
    const char *msg = reason.msg;

    make_absolute(copy, "initramfs");
    make_absolute(copy, "rootfs");
    if (manifest_decode(copy, where, m, NULL, warnings, &reason) == 0) return 0;
    if (reason.kind != VL_INVALID) return vl_fail(err, reason.kind, "%s: %s", d->file, reason.msg);
    if (str_starts(msg, "manifest: ")) msg += strlen("manifest: ");
    return fail_at(d, msg, err);
}

static void print_warnings(const struct document *d, const struct strv *warnings)
{
    static const char before[] = "manifest key '";

    for (size_t i = 0; i < warnings->len; i++) {
        const char *text = warnings->items[i], *path = str_starts(text, before) ? text + strlen(before) : text;
        auto_free char *name = strf_new("%.*s", (int)strcspn(path, "'"), path);
        struct json_place at = json_place_of(d->text, d->len, name ? name : "");
        auto_strbuf shown = {0};

        strbuf_addf(&shown, "%s:%u:%u: ", d->file, at.line, at.column);
        strbuf_add_printable(&shown, text, strlen(text));
        (void)printf("%s\n", shown.data ? shown.data : text);
    }
}

static int validate_manifest(const char *file, struct vl_error *err)
{
    auto_(document_done) struct document d = {.file = file};
    auto_manifest m = {0};
    auto_strv warnings = {0};
    int r = read_file_at(AT_FDCWD, file, MANIFEST_MAX, &d.text, &d.len);

    if (r < 0) return vl_fail_errno(err, r, "read %s", file);
    if ((r = json_parse(d.text, d.len, file, &d.j, err)) < 0) return r;
    if ((r = judge(&d, &m, &warnings, err)) < 0) return r;
    if ((r = check_artifact(&d, "initramfs", err)) < 0 || (r = check_artifact(&d, "rootfs", err)) < 0) return r;
    if (cli_quiet) return 0;
    print_warnings(&d, &warnings);
    (void)printf("%s is good: %s %s\n", file, m.name, m.version);
    return 0;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static int validate_config(const char *file, struct vl_error *err)
{
    auto_config c = {0};
    int r;

    if ((r = validate(file, &c, err)) < 0) return r;
    if (!cli_quiet)
        (void)printf("%s is good: %s %s, %s\n", file, c.manifest.name, c.manifest.version,
                     c.from.image        ? c.from.image
                     : c.from.dockerfile ? c.from.dockerfile
                                         : "an initramfs");
    return 0;
}

int command_validate(void *ctx, int argc, char *const *argv)
{
    const char *file = "fledge.toml";
    struct vl_error err = {0};
    int code;

    if ((code = cli_parse(ctx, argc, argv, &file)) >= 0) return code;
    if ((str_ends(file, ".json") ? validate_manifest(file, &err) : validate_config(file, &err)) < 0)
        return cli_report(err.msg, EXIT_FAILED);
    return EXIT_DONE;
}
