/* SPDX-License-Identifier: Apache-2.0 */
/* See rootfs.h. */
#include "fledge/rootfs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "fledge/archive.h"
#include "fledge/cpio_sink.h"
#include "fledge/dockerfile.h"
#include "fledge/image.h"
#include "fledge/image_config.h"
#include "oci/ext4.h"
#include "oci/merge.h"
#include "oci/source.h"

#define FORMAT   3 /* of what is made of an image: a change makes all results in caches void */
#define MAPPINGS "mappings.tar"
#define IMAGE    "image"
#define MIB      ((uint64_t)1 << 20)

struct work {
    const struct build_opts *opts;
    struct config *c;
    const struct image_sources *from;
    struct oci_job job;
    const char *name; /* of the image, for people */
    struct oci_ref ref;
    struct oci_source *source;
    struct rootfs rootfs;
    int mappings_fd; /* -1: there are none */
    char key[SHA256_HEX + 1];
    struct vl_error *err;
};

void rootfs_done(struct rootfs *r)
{
    oci_result_done(&r->result);
    oci_cache_close(r->cache);
    *r = (struct rootfs){0};
}

static void work_done(struct work *w)
{
    closep(&w->mappings_fd);
    oci_source_close(w->source);
    oci_ref_done(&w->ref);
    rootfs_done(&w->rootfs);
}

/* --- what goes over the image ------------------------------------------------------------------------------------ */

static int write_mappings(struct work *w, struct strv *brought)
{
    const struct archive_opts opts = {.mtime = w->opts->mtime, .layer = true, .stop = w->opts->stop};
    auto_(tree_freep) struct tree *tree = NULL;
    uint64_t size;
    int r;

    if (w->c->rootfs && w->c->n_mappings == 0) return 0;
    if ((r = image_plan_layer(w->c, w->from, &tree, brought, w->err)) < 0) return r;
    w->mappings_fd = openat(w->rootfs.cache->work_fd, MAPPINGS, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->mappings_fd < 0) return vl_fail_errno(w->err, errno, "write the mapped files");
    return archive_write_tree(tree, w->mappings_fd, &opts, &size, w->err);
}

/* All that the bytes of the result depend on. */
static int make_key(struct work *w)
{
    const struct filesystem *fs = &w->c->fs;
    const struct initramfs *i = &w->c->initramfs;
    char mappings[SHA256_HEX + 1] = "";
    auto_(strbuf_done) struct strbuf text = {0};
    int r;

    if (w->mappings_fd >= 0 && (r = sha256_fd(w->mappings_fd, mappings, NULL, w->err)) < 0) return r;
    strbuf_addf(&text, "%d %s %s ", FORMAT, w->rootfs.hex, mappings);
    if (w->c->rootfs)
        strbuf_addf(&text, "%d %d %d %" PRIu64 " %" PRIu64 " %d", (int)fs->type, (int)fs->packing, fs->level,
                    fs->size_mb, fs->free_mb, fs->preallocate);
    else
        strbuf_addf(&text, "cpio %d %d", (int)i->packing, i->level);
    strbuf_addf(&text, " %d %s", (int)w->c->init, w->c->init_path ? w->c->init_path : "");
    if (text.failed) return vl_fail_errno(w->err, ENOMEM, "name the result");
    sha256_text(text.data, text.len, w->key);
    return 0;
}

/* --- what the image says ----------------------------------------------------------------------------------------- */

static int complete(struct work *w, const struct oci_image *image)
{
    auto_free char *name = oci_ref_plugin_name(&w->ref), *version = oci_ref_version(&w->ref);
    json_auto_t *said = NULL;
    int r;

    if (!name || !version) return vl_fail_errno(w->err, ENOMEM, "name the plugin");
    if (w->c->init == INIT_KESTREL && image->config.entrypoint.len + image->config.cmd.len == 0 &&
        w->c->entrypoint_at.line == 0)
        return vl_fail(w->err, VL_INVALID,
                       "the image '%s' names no program to start: write entrypoint = [...] below [workload]%s", w->name,
                       w->c->root ? "" : " of a fledge.toml (fledge init)");
    if ((r = image_config_json(image, w->name, &said, w->err)) < 0) return r;
    return config_complete(w->c, said, name, version, w->err);
}

/* Of a rootfs whose PID 1 is not kestrel: the program of the image that becomes it. */
static int set_init(struct work *w, const char *path)
{
    if (!w->c->rootfs || w->c->init == INIT_KESTREL) return 0;
    return string_set(&w->c->manifest.rootfs.init, path) < 0 ? vl_fail_errno(w->err, ENOMEM, "write the manifest") : 0;
}

/* The configuration is in the record, so that neither source nor layers are asked. */
static int complete_from_record(struct work *w)
{
    auto_oci_image image = {0};
    json_auto_t *doc = NULL;
    const char *text = w->rootfs.result.config;
    const struct oci_image *listed = oci_source_image(w->source);
    int r;

    memcpy(image.hex, w->rootfs.hex, sizeof(image.hex));
    if (!(image.layers = calloc(listed->n_layers + 1, sizeof(*image.layers))))
        return vl_fail_errno(w->err, ENOMEM, "read the result");
    image.n_layers = listed->n_layers;
    if ((r = json_parse(text, strlen(text), "the image's configuration", &doc, w->err)) < 0) return r;
    if ((r = oci_config_decode(doc, "the image's configuration", &image, w->err)) < 0) return r;
    if ((r = complete(w, &image)) < 0) return r;
    return set_init(w, w->rootfs.result.notes.len > 0 ? w->rootfs.result.notes.items[0] : NULL);
}

/* --- making it --------------------------------------------------------------------------------------------------- */

/* Layers that an earlier build left and that turn out to be damaged are got again, once. */
static int index_layers(struct work *w, struct oci_layers *layers, struct oci_index **ret)
{
    int r;

    if ((r = oci_source_layers(w->source, &layers->blobs_fd, w->err)) < 0) return r;
    r = oci_index_layers(layers, &w->job, ret, w->err);
    if (r == 0 || w->err->kind != VL_INVALID || !oci_source_forget(w->source)) return r;
    if ((r = oci_source_layers(w->source, &layers->blobs_fd, w->err)) < 0) return r;
    return oci_index_layers(layers, &w->job, ret, w->err);
}

static int write_cpio(struct work *w, const struct oci_layers *layers, const struct oci_index *x, int fd)
{
    const struct initramfs *i = &w->c->initramfs;
    struct oci_totals totals;
    uint64_t heads;
    int r;

    oci_index_totals(x, &totals);
    heads = IMAGE_ENTRY_BYTES * (totals.files + totals.folders + totals.others);
    if ((r = image_check_memory(w->c, totals.bytes + heads, w->err)) < 0) return r;
    const struct pack_opts opts = {.packing = i->packing, .level = i->level, .size = totals.bytes};
    return cpio_write(layers, x, &opts, fd, &w->job, &w->rootfs.result.unpacked, w->err);
}

static int write_image(struct work *w, const struct oci_layers *layers, const struct oci_index *x)
{
    auto_free char *path = strf_new("%s/" IMAGE, w->rootfs.cache->work_path);
    const struct filesystem *fs = &w->c->fs;
    const struct ext4_opts ext4 = {
        .size = fs->size_mb * MIB, .free_bytes = fs->free_mb * MIB, .preallocate = fs->preallocate, .seed_hex = w->key};
    const struct sqfs_opts sqfs = {.packing = fs->packing,
                                   .level = fs->level                  ? fs->level
                                            : fs->packing == SQFS_ZSTD ? FILESYSTEM_LEVEL
                                                                       : 0};
    auto_close int fd = openat(w->rootfs.cache->work_fd, IMAGE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (!path) return vl_fail_errno(w->err, ENOMEM, "write the image");
    if (fd < 0) return vl_fail_errno(w->err, errno, "make %s", path);
    if (!w->c->rootfs) return write_cpio(w, layers, x, fd);
    return fs->type == FS_EXT4 ? ext4_write(layers, x, &ext4, path, &w->job, w->err)
                               : sqfs_write(layers, x, &sqfs, path, &w->job, w->err);
}

/* What is started has to be there: PID 1, or what kestrel starts. */
static int check_program(struct work *w, const struct oci_index *x)
{
    static const char *const usual[] = {"/sbin/init", "/etc/init", "/bin/init", NULL}; /* as kernels look for it */
    const char *const of_archive[] = {"/init", NULL}, *const chosen[] = {w->c->init_path, NULL};
    const char *const *paths = !w->c->rootfs ? of_archive : w->c->init == INIT_CUSTOM ? chosen : usual;
    int r;

    if (w->c->init == INIT_KESTREL) return image_program_check(x, &w->c->manifest.workload, w->name, w->err);
    for (; *paths; paths++) {
        if (!image_is_program(x, *paths)) continue;
        if ((r = set_init(w, *paths)) < 0) return r;
        return strv_add(&w->rootfs.result.notes, *paths) < 0 ? vl_fail_errno(w->err, ENOMEM, "keep the result") : 0;
    }
    return config_fail(w->c, w->c->init_at, w->err, "the image '%s' holds no program %s: %s", w->name,
                       !w->c->rootfs               ? "/init"
                       : w->c->init == INIT_CUSTOM ? w->c->init_path
                                                   : "/sbin/init, /etc/init or /bin/init",
                       w->c->init == INIT_CUSTOM ? "correct init.path" : "map one there, or write init.path");
}

static int make(struct work *w)
{
    const struct oci_image *image = oci_source_image(w->source);
    struct oci_layers layers = {
        .blobs_fd = -1, .layers = image->layers, .n = image->n_layers, .extra_fd = w->mappings_fd};
    auto_(oci_index_freep) struct oci_index *x = NULL;
    struct oci_totals totals;
    const char *config;
    int r;

    if ((r = oci_source_config(w->source, &config, w->err)) < 0) return r;
    if ((r = complete(w, image)) < 0) return r;
    if ((r = index_layers(w, &layers, &x)) < 0) return r;
    if ((r = check_program(w, x)) < 0) return r;
    if ((r = write_image(w, &layers, x)) < 0) return r;
    oci_index_totals(x, &totals);
    w->rootfs.result.files = totals.files + totals.others;
    if (w->c->rootfs) w->rootfs.result.unpacked = totals.bytes;
    if (!(w->rootfs.result.config = strdup(config))) return vl_fail_errno(w->err, ENOMEM, "keep the result");
    return oci_result_keep(w->rootfs.cache, w->key, IMAGE, &w->rootfs.result, w->err);
}

static int find_image(struct work *w)
{
    const struct oci_from *f = &w->c->from;
    auto_free char *built = NULL;
    int r;

    if ((r = oci_cache_open(NULL, &w->rootfs.cache, w->err)) < 0) return r;
    w->name = f->image ? f->image : f->dockerfile;
    if (f->dockerfile) {
        r = dockerfile_build(w->c, w->from->folder, w->opts->mtime, w->rootfs.cache, &w->job, &built, w->err);
        return r < 0 ? r : oci_ref_parse(built, ".", &w->ref, w->err);
    }
    if ((r = oci_ref_parse(f->image, w->from->folder, &w->ref, w->err)) < 0 && w->c->root)
        return config_fail(w->c, f->at, w->err, "%s", strdupa(w->err->msg));
    return r;
}

static int run(struct work *w, struct strv *brought)
{
    int r;

    if ((r = find_image(w)) < 0) return r;
    if ((r = write_mappings(w, brought)) < 0) return r;
    if ((r = oci_source_open(w->rootfs.cache, &w->ref, &w->job, &w->source, w->err)) < 0) return r;
    memcpy(w->rootfs.hex, oci_source_image(w->source)->hex, sizeof(w->rootfs.hex));
    w->rootfs.n_layers = oci_source_image(w->source)->n_layers;
    if ((r = make_key(w)) < 0) return r;
    w->rootfs.cached = oci_result_find(w->rootfs.cache, w->key, &w->rootfs.result) == 1;
    if ((r = w->rootfs.cached ? complete_from_record(w) : make(w)) < 0 || w->c->rootfs) return r;
    return image_check_memory(w->c, w->rootfs.result.unpacked, w->err);
}

int rootfs_build(const struct build_opts *opts, struct config *c, const struct image_sources *from, struct rootfs *ret,
                 struct strv *brought, struct vl_error *err)
{
    auto_(work_done) struct work w = {.opts = opts, .c = c, .from = from, .mappings_fd = -1, .err = err};
    int r;

    w.job = *from->job;
    if ((r = run(&w, brought)) < 0) return r;
    *ret = w.rootfs;
    w.rootfs = (struct rootfs){0};
    return 0;
}
