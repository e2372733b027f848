/* SPDX-License-Identifier: Apache-2.0 */
/* See config_parts.h. */
#include "fledge/config_parts.h"

#include <string.h>

#include "base/str.h"
#include "fledge/config_keys.h"
#include "fledge/tree.h"

#define SIZE_MB_MAX (16LL << 20)

static int no_memory(const struct config *c, struct vl_error *err)
{
    return vl_fail_errno(err, ENOMEM, "read %s", c->file);
}

static int copy_text(const struct toml_node *node, char **ret)
{
    return node ? string_set(ret, node->text) : 0;
}

static bool is_true(const struct toml_node *node)
{
    return node && node->number != 0;
}

/* --- [[file_mappings]] ------------------------------------------------------------------------------------------- */

static int decode_mapping(const struct config *c, const struct toml_node *table, size_t i, struct mapping *m)
{
    const struct toml_node *source = toml_get(table, "source"), *dest = toml_get(table, "dest");
    const struct toml_node *mode = toml_get(table, "mode"), *libraries = toml_get(table, "libraries");

    m->at = table->at;
    m->source_at = source->at;
    m->dest_at = dest->at;
    (void)strf(m->source_name, sizeof(m->source_name), c->v1 ? "mappings" : "file_mappings[%zu].source", i);
    (void)strf(m->dest_name, sizeof(m->dest_name), c->v1 ? "mappings" : "file_mappings[%zu].dest", i);
    m->mode = mode ? (int)mode->number : -1;
    if (libraries) m->libraries = str_eq(libraries->text, "auto") ? LIBRARIES_AUTO : LIBRARIES_NONE;
    if (!(m->source = strdup(source->text)) || !(m->dest = strdup(dest->text))) return -ENOMEM;
    return 0;
}

/* With room for one more, which [init] may be. */
static int decode_mappings(const struct toml_node *array, struct config *c, struct vl_error *err)
{
    size_t n = array ? array->n_items : 0;

    if (n > MAPPINGS_MAX)
        return config_fail(c, array->items[MAPPINGS_MAX].at, err,
                           "there are %zu file_mappings, allowed %d: map folders", n, MAPPINGS_MAX);
    if (!(c->mappings = calloc(n + 1, sizeof(*c->mappings)))) return no_memory(c, err);
    c->n_mappings = n;
    for (size_t i = 0; i < n; i++)
        if (decode_mapping(c, &array->items[i], i, &c->mappings[i]) < 0) return no_memory(c, err);
    return 0;
}

/* --- [filesystem], [initramfs] ------------------------------------------------------------------------------------ */

static int index_of(const char *const *names, const struct toml_node *node)
{
    for (int i = 0; node && names[i]; i++)
        if (str_eq(names[i], node->text)) return i;
    return 0;
}

static uint64_t number_of(const struct toml_node *node)
{
    return node ? (uint64_t)node->number : 0;
}

static int decode_filesystem(const struct toml_node *t, struct config *c, struct vl_error *err)
{
    static const char *const types[] = {[FS_SQUASHFS] = "squashfs", [FS_EXT4] = "ext4", NULL};
    static const char *const of_ext4[] = {"size_mb", "size_buffer_mb", "preallocate", NULL};
    static const char *const of_squashfs[] = {"compression", "compression_level", NULL};
    const struct toml_node *node, *level = toml_get(t, "compression_level"), *size = toml_get(t, "size_mb");

    c->fs.type = (enum fs_type)index_of(types, toml_get(t, "type"));
    c->fs.packing = (enum sqfs_packing)index_of(sqfs_packings, toml_get(t, "compression"));
    for (const char *const *key = c->fs.type == FS_EXT4 ? of_squashfs : of_ext4; *key; key++)
        if ((node = toml_get(t, *key)))
            return config_fail(c, node->key_at, err, "filesystem.%s is of type = \"%s\": remove it, or write that type",
                               *key, types[c->fs.type == FS_EXT4 ? FS_SQUASHFS : FS_EXT4]);
    if (level && level->number > 22)
        return config_fail(c, level->at, err, "filesystem.compression_level is %lld, allowed 0 to 22",
                           (long long)level->number);
    if (size && size->number > SIZE_MB_MAX)
        return config_fail(c, size->at, err, "filesystem.size_mb is %lld, allowed 8 to %lld", (long long)size->number,
                           SIZE_MB_MAX);
    c->fs.level = (int)number_of(level);
    c->fs.size_mb = number_of(size);
    c->fs.free_mb = number_of(toml_get(t, "size_buffer_mb"));
    c->fs.preallocate = number_of(toml_get(t, "preallocate")) != 0;
    return 0;
}

static int decode_initramfs(const struct toml_node *t, struct config *c, struct vl_error *err)
{
    const struct toml_node *level = toml_get(t, "compression_level"), *sha = toml_get(t, "busybox_sha256");
    struct initramfs *i = &c->initramfs;
    int max;

    i->packing = (enum packing)index_of(packings, toml_get(t, "compression"));
    i->busybox = is_true(toml_get(t, "busybox"));
    i->level = (int)number_of(level);
    max = packing_levels[i->packing];
    if (level && max == 0)
        return config_fail(c, level->key_at, err, "initramfs.compression_level: \"%s\" has none: remove it",
                           packings[i->packing]);
    if (level && level->number > max)
        return config_fail(c, level->at, err, "initramfs.compression_level is %lld, allowed 0 to %d of \"%s\"",
                           (long long)level->number, max, packings[i->packing]);
    if (sha && !i->busybox)
        return config_fail(c, sha->key_at, err, "initramfs.busybox_sha256 without busybox = true: remove it");
    return copy_text(sha, &i->busybox_sha256) < 0 ? no_memory(c, err) : 0;
}

/* --- [oci_source] ------------------------------------------------------------------------------------------------- */

static const char *source_name(const struct config *c)
{
    return c->v1 ? "source" : "oci_source";
}

static int decode_source(const struct toml_node *t, struct config *c, struct vl_error *err)
{
    static const char *const of_dockerfile[] = {"context", "target", "build_args", NULL};
    const struct toml_node *image = toml_get(t, "image"), *dockerfile = toml_get(t, "dockerfile"), *node;
    struct oci_from *f = &c->from;
    int r;

    if (!t) return 0;
    if (image && dockerfile)
        return config_fail(c, dockerfile->key_at, err, "%s.image and dockerfile exclude each other: remove one of them",
                           source_name(c));
    if (!image && !dockerfile)
        return config_fail(c, t->at, err,
                           "%s.image is missing: add image = \"docker.io/library/nginx:alpine\", or "
                           "dockerfile = \"./Dockerfile\"",
                           source_name(c));
    for (const char *const *key = of_dockerfile; !dockerfile && *key; key++)
        if ((node = toml_get(t, *key)))
            return config_fail(c, node->key_at, err, "%s.%s is of a dockerfile: remove it, or name one", source_name(c),
                               *key);
    f->at = (image ? image : dockerfile)->at;
    r = copy_text(image, &f->image) | copy_text(dockerfile, &f->dockerfile) |
        copy_text(toml_get(t, "context"), &f->context) | copy_text(toml_get(t, "target"), &f->target);
    node = toml_get(t, "build_args");
    for (size_t i = 0; node && i < node->n_items; i++)
        r |= strmap_set(&f->build_args, node->items[i].key, node->items[i].text);
    return r < 0 ? no_memory(c, err) : 0;
}

/* --- [init] ------------------------------------------------------------------------------------------------------- */

/* A file of the host becomes /init, as if it were mapped last. */
static int map_init(const struct toml_node *path, struct config *c, struct vl_error *err)
{
    struct mapping *m = &c->mappings[c->n_mappings];

    *m = (struct mapping){.mode = 0755,
                          .at = path->at,
                          .source_at = path->at,
                          .dest_at = path->at,
                          .source_name = "init.path",
                          .dest_name = "init.path"};
    c->n_mappings++;
    if (!(m->source = strdup(path->text)) || !(m->dest = strdup("/init"))) return no_memory(c, err);
    return 0;
}

static int decode_init(const struct toml_node *t, struct config *c, struct vl_error *err)
{
    const struct toml_node *path = toml_get(t, "path"), *none = toml_get(t, "none"), *node;

    if (!t) return 0;
    if (path && is_true(none))
        return config_fail(c, none->key_at, err, "init.path and init.none exclude each other: remove one of them");
    if (!path && !is_true(none))
        return config_fail(c, t->at, err,
                           "init.path is missing: add path = \"./init\" or none = true, or remove [init]");
    c->init = path ? INIT_CUSTOM : INIT_NONE;
    c->init_at = (path ? path : none)->at;
    for (const char *const *key = (const char *const[]){"workload", "health_check", NULL}; *key; key++)
        if ((node = toml_get(c->root, *key)))
            return config_fail(c, node->key_at, err,
                               "'%s' is kestrel's business, which [init] replaces: remove one of the two", *key);
    if (!path) return 0;
    if (!c->rootfs) return map_init(path, c, err);
    if (*path->text != '/' || strlen(path->text) > IMAGE_PATH_MAX)
        return config_fail(c, path->at, err,
                           "init.path '%.100s' is not absolute: name a program of the image, such as "
                           "/sbin/init",
                           path->text);
    return copy_text(path, &c->init_path) < 0 ? no_memory(c, err) : 0;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int check_strategy(struct config *c, struct vl_error *err)
{
    const struct toml_node *other = toml_get(c->root, c->rootfs ? "initramfs" : "filesystem");
    const struct toml_node *workload = toml_get(c->root, "workload");

    if (c->rootfs && !toml_get(c->root, "oci_source"))
        return config_fail(c, c->root->at, err,
                           "%s is missing: add [%s] with image = \"docker.io/library/nginx:alpine\"", source_name(c),
                           source_name(c));
    if (other)
        return config_fail(c, other->key_at, err, "'%s' is of strategy = \"%s\": remove it, or write that strategy",
                           other->key, c->rootfs ? "initramfs" : "oci_rootfs");
    if (config_has_image(c) || c->init != INIT_KESTREL) return 0;
    if (!workload)
        return config_fail(c, c->root->at, err, "workload is missing: add [workload]%s",
                           c->v1 ? " to a manifest.toml beside it" : "");
    if (toml_get(workload, "entrypoint")) return 0;
    return config_fail(c, workload->at, err, "workload.entrypoint is missing: add entrypoint = %s",
                       c->v1 ? "\"/usr/local/bin/program\"" : "[\"/usr/local/bin/program\", \"--option\"]");
}

int config_decode_parts(struct config *c, struct vl_error *err)
{
    const struct toml_node *strategy = toml_get(toml_get(c->root, "plugin"), "strategy");
    int r;

    c->rootfs = str_eq(strategy->text, "oci_rootfs");
    if ((r = decode_source(toml_get(c->root, "oci_source"), c, err)) < 0) return r;
    if ((r = decode_mappings(toml_get(c->root, "file_mappings"), c, err)) < 0) return r;
    if ((r = decode_init(toml_get(c->root, "init"), c, err)) < 0) return r;
    if ((r = check_strategy(c, err)) < 0) return r;
    if (c->rootfs) return decode_filesystem(toml_get(c->root, "filesystem"), c, err);
    return decode_initramfs(toml_get(c->root, "initramfs"), c, err);
}
