/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See config_file.h. The rules for what becomes part of the manifest are the manifest's own (model/manifest.h): the
 * same decoder that volantd will use judges it here, and what it says is given the place in the file that it speaks of.
 */
#include "fledge/config_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"
#include "fledge/config_keys.h"

#define WHERE "manifest"

void config_done(struct config *c)
{
    for (size_t i = 0; i < c->n_mappings; i++) {
        free(c->mappings[i].source);
        free(c->mappings[i].dest);
    }
    free(c->mappings);
    free(c->file);
    free(c->image);
    toml_free(c->root);
    manifest_done(&c->manifest);
    *c = (struct config){0};
}

int config_fail(const struct config *c, struct toml_place at, struct vl_error *err, const char *fmt, ...)
{
    char text[448];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return vl_fail(err, VL_INVALID, "%s:%u:%u: %s", c->file, at.line, at.column, text);
}

static json_t *node_json(const struct toml_node *node)
{
    json_t *j;

    switch (node->type) {
    case TOML_STRING:
        return json_stringn(node->text, node->text_len);
    case TOML_INTEGER:
        return json_integer(node->number);
    case TOML_BOOL:
        return json_boolean(node->number);
    case TOML_ARRAY:
        j = json_array();
        for (size_t i = 0; j && i < node->n_items; i++)
            if (json_array_append_new(j, node_json(&node->items[i])) < 0) json_decref(take_ptr(j));
        return j;
    case TOML_TABLE:
        j = json_object();
        for (size_t i = 0; j && i < node->n_items; i++)
            if (json_object_set_new(j, node->items[i].key, node_json(&node->items[i])) < 0) json_decref(take_ptr(j));
        return j;
    default: /* keys_check let nothing else through */
        return NULL;
    }
}

/* What the image says, and the file's word over it; of environment variables each by itself. */
static json_t *workload_json(const struct toml_node *root, const json_t *image)
{
    const struct toml_node *given = toml_get(root, "workload");
    json_t *j = json_deep_copy(json_object_get(image, "workload")), *own = given ? node_json(given) : json_object(),
           *env;

    if (!j) j = json_object();
    if (json_object_get(own, "type") && !json_object_get(own, "base_url")) (void)json_object_del(j, "base_url");
    if (json_object_get(own, "base_url") && !json_object_get(own, "type")) (void)json_object_del(j, "type");
    env = json_incref(json_object_get(j, "env"));
    if (!j || !own || json_object_update(j, own) < 0 ||
        (env && json_object_get(own, "env") &&
         (json_object_update(env, json_object_get(own, "env")) < 0 || json_object_set(j, "env", env) < 0)))
        json_decref(take_ptr(j));
    json_decref(own);
    json_decref(env);
    return j;
}

/* With stand-ins for what is not known yet: the archive, without which no manifest is valid, and the image's program.
 */
static json_t *manifest_json(const struct config *c, const json_t *image, const char *name, const char *version)
{
    static const char *const tables[] = {"resources", "health_check"};
    const struct toml_node *table, *plugin = toml_get(c->root, "plugin"), *restart = toml_get(plugin, "restart");
    json_t *j = image ? json_copy((json_t *)image) : json_object(), *workload = workload_json(c->root, image);

    if (c->rootfs && !image && !json_object_get(workload, "entrypoint"))
        (void)json_object_set_new(workload, "entrypoint", json_pack("[s]", "/"));
    if (c->rootfs && !image && !json_object_get(workload, "base_url")) /* of which the health check may be, too */
        (void)json_object_set_new(workload, "base_url", json_string("http://127.0.0.1"));
    if (!j || !workload || json_object_set_new(j, "workload", workload) < 0 ||
        json_object_set_new(j, "name", plugin ? node_json(toml_get(plugin, "name")) : json_string(name)) < 0 ||
        json_object_set_new(j, "version", plugin ? node_json(toml_get(plugin, "version")) : json_string(version)) < 0 ||
        json_object_set_new(j, "initramfs",
                            json_pack("{s:s, s:s}", "url", "/", "checksum",
                                      "0000000000000000000000000000000000000000000000000000000000000000")) < 0 ||
        (restart && json_object_set_new(j, "restart", node_json(restart)) < 0))
        json_decref(take_ptr(j));
    for (size_t i = 0; j && i < ARRAY_LEN(tables); i++)
        if ((table = toml_get(c->root, tables[i])) && json_object_set_new(j, tables[i], node_json(table)) < 0)
            json_decref(take_ptr(j));
    return j;
}

/* Where the value is that a message begins with: "workload.env has ...", or "name ..." of the plugin. */
static struct toml_place place_of(const struct toml_node *root, const char *msg)
{
    struct toml_place at = {1, 1};
    const struct toml_node *node = root;
    char name[64];

    if (str_starts(msg, "name ") || str_starts(msg, "version ")) node = toml_get(root, "plugin");
    while (node) {
        size_t len = strcspn(msg, ".[ ");

        at = node->at;
        if (strf(name, sizeof(name), "%.*s", (int)len, msg) < 0) break;
        node = toml_get(node, name);
        msg += len + (msg[len] != '\0');
    }
    return at;
}

/* Of what the image says the file has no line: then the image is named. */
static int fail_manifest(const struct config *c, const char *msg, struct vl_error *err)
{
    struct toml_place at;

    if (str_starts(msg, WHERE ": ")) msg += strlen(WHERE ": ");
    at = place_of(c->root, msg);
    if (!c->root)
        return vl_fail(err, VL_INVALID, "the image '%s' as a plugin: %s (a fledge.toml can say otherwise)", c->image,
                       msg);
    return config_fail(c, at, err, "%s", msg);
}

int config_complete(struct config *c, const json_t *image, const char *name, const char *version, struct vl_error *err)
{
    json_auto_t *j = manifest_json(c, image, name, version);
    struct vl_error reason = {0};
    struct manifest m;

    if (!j) return vl_fail_errno(err, ENOMEM, "read %s", c->file);
    if (manifest_decode(j, WHERE, &m, NULL, NULL, &reason) < 0) {
        if (reason.kind != VL_INVALID) return vl_fail(err, reason.kind, "%s: %s", c->file, reason.msg);
        return fail_manifest(c, reason.msg, err);
    }
    manifest_done(&c->manifest);
    c->manifest = m;
    free(take_ptr(c->manifest.initramfs.url));
    free(take_ptr(c->manifest.initramfs.checksum));
    if (c->manifest.resources.cpu_cores == 0) c->manifest.resources.cpu_cores = CPU_CORES_DEFAULT;
    if (c->manifest.resources.memory_mb == 0) c->manifest.resources.memory_mb = MEMORY_MB_DEFAULT;
    return 0;
}

static int decode_mapping(const struct toml_node *table, struct mapping *m)
{
    const struct toml_node *source = toml_get(table, "source"), *dest = toml_get(table, "dest");
    const struct toml_node *mode = toml_get(table, "mode"), *libraries = toml_get(table, "libraries");

    m->at = table->at;
    m->source_at = source->at;
    m->dest_at = dest->at;
    m->mode = mode ? (int)mode->number : -1;
    if (libraries) m->libraries = str_eq(libraries->text, "auto") ? LIBRARIES_AUTO : LIBRARIES_NONE;
    if (!(m->source = strdup(source->text)) || !(m->dest = strdup(dest->text))) return -ENOMEM;
    return 0;
}

static int decode_mappings(const struct toml_node *array, struct config *c, struct vl_error *err)
{
    int r = 0;

    if (!array || array->n_items == 0) return 0;
    if (array->n_items > MAPPINGS_MAX)
        return config_fail(c, array->items[MAPPINGS_MAX].at, err,
                           "there are %zu file_mappings, allowed %d: map folders", array->n_items, MAPPINGS_MAX);
    if (!(c->mappings = calloc(array->n_items, sizeof(*c->mappings))))
        return vl_fail_errno(err, ENOMEM, "read %s", c->file);
    c->n_mappings = array->n_items;
    for (size_t i = 0; r == 0 && i < array->n_items; i++)
        r = decode_mapping(&array->items[i], &c->mappings[i]);
    return r < 0 ? vl_fail_errno(err, r, "read %s", c->file) : 0;
}

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
    if (size && size->number > 16LL << 20)
        return config_fail(c, size->at, err, "filesystem.size_mb is %lld, allowed 8 to %lld", (long long)size->number,
                           16LL << 20);
    c->fs.level = (int)number_of(level);
    c->fs.size_mb = number_of(size);
    c->fs.free_mb = number_of(toml_get(t, "size_buffer_mb"));
    c->fs.preallocate = number_of(toml_get(t, "preallocate")) != 0;
    return 0;
}

static int decode_source(struct config *c, struct vl_error *err)
{
    const struct toml_node *image = toml_get(toml_get(c->root, "oci_source"), "image");

    if (!(c->image = strdup(image->text))) return vl_fail_errno(err, ENOMEM, "read %s", c->file);
    c->image_at = image->at;
    return decode_filesystem(toml_get(c->root, "filesystem"), c, err);
}

static int decode(struct config *c, struct vl_error *err)
{
    const struct toml_node *workload = toml_get(c->root, "workload"), *node;
    int r;

    if ((r = keys_check(c->file, c->root, err)) < 0) return r;
    c->rootfs = keys_say_rootfs(c->root);
    if (c->rootfs && (r = decode_source(c, err)) < 0) return r;
    if ((r = config_complete(c, NULL, NULL, NULL, err)) < 0) return r;
    if ((node = toml_get(workload, "entrypoint"))) c->entrypoint_at = node->items[0].at;
    if ((node = toml_get(workload, "workdir"))) c->workdir_at = node->at;
    return decode_mappings(toml_get(c->root, "file_mappings"), c, err);
}

int config_parse(const char *file, const char *text, size_t len, struct config *ret, struct vl_error *err)
{
    auto_config c = {0};
    struct toml_problem problem = {0};
    int r;

    if (!(c.file = strdup(file))) return vl_fail_errno(err, ENOMEM, "read %s", file);
    r = toml_parse_text(text, len, &c.root, &problem);
    if (r == -EINVAL) return config_fail(&c, problem.at, err, "this is not TOML: %s", problem.text);
    if (r < 0) return vl_fail_errno(err, r, "read %s", file);
    if ((r = decode(&c, err)) < 0) return r;
    *ret = c;
    c = (struct config){0};
    return 0;
}

int config_read(const char *path, struct config *ret, struct vl_error *err)
{
    auto_free char *text = NULL;
    size_t len;
    int r = read_file_at(AT_FDCWD, path, CONFIG_MAX, &text, &len);

    if (r == -ENOENT)
        return vl_fail(err, VL_INVALID,
                       "there is no file '%s': name one with --config; 'fledge build --help' shows one", path);
    if (r == -EFBIG)
        return vl_fail(err, VL_INVALID, "%s is larger than %lu KiB: map folders instead of files", path,
                       CONFIG_MAX / 1024);
    if (r < 0) return vl_fail_errno(err, r, "read %s", path);
    return config_parse(path, text, len, ret, err);
}
