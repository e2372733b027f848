/* SPDX-License-Identifier: Apache-2.0 */
/* See build.h. First everything is planned and judged, then it is written. */
#include "fledge/build.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact/artifact.h"
#include "base/io.h"
#include "base/path.h"
#include "fledge/archive.h"
#include "fledge/image.h"
#include "fledge/manifest.h"
#include "fledge/output.h"
#include "fledge/rootfs.h"

#define PATH_SIZE 4096
#define NAME_SIZE 96

struct build {
    const struct build_opts *opts;
    struct config config;
    struct tree *tree; /* without an image */
    struct rootfs rootfs;
    struct oci_job job;
    struct image_sources from;
    char *folder; /* of the configuration */
    char kestrel[PATH_SIZE];
    char archive_name[NAME_SIZE], manifest_name[NAME_SIZE];
    struct output output;
    struct build_result result;
};

void build_result_done(struct build_result *r)
{
    free(r->name);
    free(r->version);
    free(r->archive);
    free(r->manifest);
    free(r->digest);
    strv_done(&r->libraries);
    *r = (struct build_result){0};
}

static void build_done(struct build *b)
{
    free(b->folder);
    config_done(&b->config);
    tree_free(b->tree);
    rootfs_done(&b->rootfs);
    output_done(&b->output);
    build_result_done(&b->result);
}

static int count_file(const struct node *n, void *arg)
{
    *(size_t *)arg += n->type != NODE_FOLDER;
    return 0;
}

static int open_sources(struct build *b, const char *output, struct vl_error *err)
{
    const char *kestrel = b->opts->kestrel ? b->opts->kestrel : b->config.kestrel;
    int r;

    b->job = (struct oci_job){.max_bytes = b->opts->max_bytes,
                              .timeout_s = b->opts->timeout_s,
                              .stop = b->opts->stop,
                              .progress = b->opts->progress};
    b->from = (struct image_sources){.folder = b->folder, .output = output, .job = &b->job};
    if (!b->config.rootfs && b->config.init == INIT_KESTREL) {
        if ((r = find_installed("kestrel", kestrel, b->kestrel, sizeof(b->kestrel), err)) < 0) return r;
        b->from.kestrel = b->kestrel;
    }
    return output_open(output, &b->output, err);
}

static int plan_files(struct build *b, struct vl_error *err)
{
    int r;

    if ((r = image_plan(&b->config, &b->from, &b->tree, &b->result.libraries, err)) < 0) return r;
    (void)tree_walk(tree_root(b->tree), count_file, &b->result.n_files);
    return 0;
}

static int plan_image(struct build *b, struct vl_error *err)
{
    int r;

    r = rootfs_build(b->opts, &b->config, &b->from, &b->rootfs, &b->result.libraries, err);
    if (r < 0) return r;
    b->result.n_files = b->rootfs.result.files;
    b->result.unpacked = b->rootfs.result.unpacked;
    b->result.packed = b->rootfs.result.size;
    b->result.n_layers = b->rootfs.n_layers;
    b->result.cached = b->rootfs.cached;
    if (!(b->result.digest = strf_new("sha256:%s", b->rootfs.hex))) return vl_fail_errno(err, ENOMEM, "build");
    return 0;
}

/* An image by its name alone. */
static int config_of_reference(struct build *b, struct vl_error *err)
{
    b->config.rootfs = true;
    if (!(b->config.file = strdup(b->opts->reference)) || !(b->config.from.image = strdup(b->opts->reference)))
        return vl_fail_errno(err, ENOMEM, "build");
    return 0;
}

static int choose(const char *option, const char *value, const char *const *names, int *ret, struct vl_error *err)
{
    for (int i = 0; value && names[i]; i++)
        if (str_eq(names[i], value)) {
            *ret = i;
            return 0;
        }
    if (!value) return 0;
    return vl_fail(err, VL_INVALID, "--%s is '%.60s': see `fledge build --help` for what is allowed", option, value);
}

static int apply_fs_options(struct build *b, struct vl_error *err)
{
    static const char *const types[] = {[FS_SQUASHFS] = "squashfs", [FS_EXT4] = "ext4", NULL};
    const struct build_opts *o = b->opts;
    struct filesystem *fs = &b->config.fs;
    int type = (int)fs->type, packing = (int)fs->packing, r;

    if ((r = choose("filesystem", o->fs_type, types, &type, err)) < 0) return r;
    if ((r = choose("compression", o->packing, sqfs_packings, &packing, err)) < 0) return r;
    fs->type = (enum fs_type)type;
    fs->packing = (enum sqfs_packing)packing;
    if (o->level) fs->level = (int)o->level;
    if (o->size_mb) fs->size_mb = o->size_mb;
    if (o->free_mb) fs->free_mb = o->free_mb;
    if (fs->type == FS_EXT4 && (o->packing || o->level))
        return vl_fail(err, VL_INVALID, "ext4 is not compressed: leave --compression and --compression-level out");
    if (fs->type != FS_EXT4 && (o->size_mb || o->free_mb))
        return vl_fail(err, VL_INVALID, "squashfs is as large as its content: leave --size and --free out");
    return 0;
}

static int apply_options(struct build *b, struct vl_error *err)
{
    const struct build_opts *o = b->opts;
    struct initramfs *i = &b->config.initramfs;
    int packing = (int)i->packing, r;

    if (b->config.rootfs) return apply_fs_options(b, err);
    if (o->fs_type || o->size_mb || o->free_mb)
        return vl_fail(err, VL_INVALID, "%s has strategy \"initramfs\": options of file systems are of \"oci_rootfs\"",
                       b->config.file);
    if ((r = choose("compression", o->packing, packings, &packing, err)) < 0) return r;
    if (o->packing && packing != (int)i->packing) i->level = 0;
    i->packing = (enum packing)packing;
    if (o->level > (uint64_t)packing_levels[packing])
        return vl_fail(err, VL_INVALID, "--compression-level is %llu, allowed of %s: at most %d",
                       (unsigned long long)o->level, packings[packing], packing_levels[packing]);
    if (o->level) i->level = (int)o->level;
    return 0;
}

static int plan(struct build *b, struct vl_error *err)
{
    const char *output = b->opts->output;
    int r;

    if (!(b->folder = b->opts->reference ? strdup(".") : config_folder(b->opts->config)))
        return vl_fail_errno(err, ENOMEM, "build");
    r = b->opts->reference ? config_of_reference(b, err)
                           : config_read(b->opts->config, b->opts->manifest, &b->config, err);
    if (r < 0 || (r = apply_options(b, err)) < 0) return r;
    /* Its folder too is judged before anything is fetched. */
    if ((r = open_sources(b, output ? output : b->folder, err)) < 0) return r;
    return config_has_image(&b->config) ? plan_image(b, err) : plan_files(b, err);
}

static const char *fs_name(const struct build *b)
{
    return b->config.fs.type == FS_EXT4 ? "ext4" : "squashfs";
}

static int name_files(struct build *b, struct vl_error *err)
{
    const char *folder = b->output.folder, *name = b->config.manifest.name;
    const char *between = str_ends(folder, "/") ? "" : "/";
    const char *kind = b->config.rootfs ? fs_name(b) : "cpio";
    const char *suffix = b->config.rootfs ? "" : packing_suffixes[b->config.initramfs.packing];

    if (!name) return vl_fail(err, VL_INTERNAL, "the plugin has no name");
    if (str_eq(folder, ".")) folder = between = "";
    if (strf(b->archive_name, NAME_SIZE, "%s.%s%s", name, kind, suffix) < 0 ||
        strf(b->manifest_name, NAME_SIZE, "%s.manifest.json", name) < 0)
        return vl_fail_errno(err, ENAMETOOLONG, "name the files of '%s'", name);
    b->result.name = strdup(name);
    b->result.version = strdup(b->config.manifest.version);
    b->result.archive = strf_new("%s%s%s", folder, between, b->archive_name);
    b->result.manifest = strf_new("%s%s%s", folder, between, b->manifest_name);
    if (!b->result.name || !b->result.version || !b->result.archive || !b->result.manifest)
        return vl_fail_errno(err, ENOMEM, "name the files of '%s'", name);
    return 0;
}

static int write_archive(struct build *b, int fd, char hex[static SHA256_HEX + 1], struct vl_error *err)
{
    const struct archive_opts opts = {.packing = b->config.initramfs.packing,
                                      .level = b->config.initramfs.level,
                                      .mtime = b->opts->mtime,
                                      .stop = b->opts->stop};
    int r = archive_write_tree(b->tree, fd, &opts, &b->result.unpacked, err);

    if (r == 0) r = image_check_memory(&b->config, b->result.unpacked, err); /* with its headers */
    return r < 0 ? r : sha256_fd(fd, hex, &b->result.packed, err);
}

/* The finished image out of the cache, shared with it where the file system can. */
static int copy_image(struct build *b, int fd, char hex[static SHA256_HEX + 1], struct vl_error *err)
{
    auto_close int from = openat(b->rootfs.cache->blobs_fd, b->rootfs.result.hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int r;

    if (from < 0) return vl_fail_errno(err, errno, "read the image in the cache");
    memcpy(hex, b->rootfs.result.hex, SHA256_HEX + 1);
    return (r = copy_fd(fd, from)) < 0 ? vl_fail_errno(err, r, "write '%s'", b->result.archive) : 0;
}

/* It lies there already, byte for byte: reading it is faster than writing it to a disk. */
static bool image_is_there(const struct build *b)
{
    const struct oci_result *result = &b->rootfs.result;
    auto_close int fd = openat(b->output.dir_fd, b->archive_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char hex[SHA256_HEX + 1];
    struct stat st;

    if (!b->rootfs.cache || fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) return false;
    return (uint64_t)st.st_size == result->size && sha256_fd(fd, hex, NULL, NULL) == 0 && str_eq(hex, result->hex);
}

static int write_files(struct build *b, struct vl_error *err)
{
    char hex[SHA256_HEX + 1];
    auto_free char *text = NULL;
    int archive_fd = -1, manifest_fd = -1, r;

    if (image_is_there(b)) {
        memcpy(hex, b->rootfs.result.hex, sizeof(hex));
    } else {
        if ((r = output_add(&b->output, b->archive_name, &archive_fd, err)) < 0) return r;
        r = b->rootfs.cache ? copy_image(b, archive_fd, hex, err) : write_archive(b, archive_fd, hex, err);
        if (r < 0) return r;
    }
    if ((r = output_add(&b->output, b->manifest_name, &manifest_fd, err)) < 0) return r;
    const struct built built = {.url = b->archive_name,
                                .hex = hex,
                                .size = b->result.packed,
                                .fstype = b->config.rootfs ? fs_name(b) : NULL,
                                .extra = b->config.extra};
    if ((r = manifest_write(&b->config.manifest, &built, &text, err)) < 0) return r;
    if ((r = write_all(manifest_fd, text, strlen(text), -1)) < 0)
        return vl_fail_errno(err, r, "write '%s'", b->result.manifest);
    return output_commit(&b->output, err);
}

/* It goes on growing only if somebody else is building: who ends last makes it fit. */
static void bound_cache(struct build *b)
{
    struct oci_pruned pruned;

    if (b->rootfs.cache && !b->rootfs.cached) (void)oci_cache_prune(b->rootfs.cache, OCI_CACHE_MAX, &pruned, NULL);
}

int build_run(const struct build_opts *opts, struct build_result *ret, struct vl_error *err)
{
    auto_(build_done) struct build b = {.opts = opts};
    int r;

    if ((r = plan(&b, err)) < 0) return r;
    if ((r = name_files(&b, err)) < 0) return r;
    if ((r = write_files(&b, err)) < 0) {
        (void)vl_wrap(err, "build %s", b.result.archive);
        return r;
    }
    bound_cache(&b);
    *ret = b.result;
    b.result = (struct build_result){0};
    return 0;
}
