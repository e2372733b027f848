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
#include "fledge/config_parts.h"

#define WHERE "manifest"

void config_done(struct config *c)
{
    for (size_t i = 0; i < c->n_mappings; i++) {
        free(c->mappings[i].source);
        free(c->mappings[i].dest);
    }
    free(c->mappings);
    free(c->file);
    free(c->manifest_file);
    free(c->from.image);
    free(c->from.dockerfile);
    free(c->from.context);
    free(c->from.target);
    strmap_done(&c->from.build_args);
    free(c->initramfs.busybox_sha256);
    free(c->init_path);
    free(c->kestrel);
    json_decref(c->extra);
    toml_free(c->root);
    manifest_done(&c->manifest);
    *c = (struct config){0};
}

bool config_has_image(const struct config *c)
{
    return c->from.image || c->from.dockerfile;
}

int config_fail(const struct config *c, struct toml_place at, struct vl_error *err, const char *fmt, ...)
{
    char text[448];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return vl_fail(err, VL_INVALID, "%s:%u:%u: %s", at.file ? c->manifest_file : c->file, at.line, at.column, text);
}

json_t *node_json(const struct toml_node *node)
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
    if (json_object_get(own, "entrypoint")) (void)json_object_del(j, "command_index"); /* of the image's */
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

/* Names of what is said in the file as it is in the manifest, and of what follows from it. */
static bool set_identity(const struct config *c, json_t *j, const char *name, const char *version)
{
    static const char *const keys[] = {"name", "version", "runtime", "restart"};
    const struct toml_node *plugin = toml_get(c->root, "plugin"), *node;
    bool done = true;

    for (size_t i = 0; plugin && i < ARRAY_LEN(keys); i++)
        if ((node = toml_get(plugin, keys[i]))) done &= json_object_set_new(j, keys[i], node_json(node)) == 0;
    if (!plugin) {
        done &= json_object_set_new(j, "name", json_string(name)) == 0;
        done &= json_object_set_new(j, "version", json_string(version)) == 0;
    }
    if (c->init != INIT_KESTREL) done &= json_object_set_new(j, "agent", json_string("none")) == 0;
    return done;
}

/* Nothing starts it where kestrel is not there. Of an image that is not known yet, something stands in for it. */
static bool set_workload(const struct config *c, json_t *j, const json_t *image)
{
    json_t *workload;

    if (c->init != INIT_KESTREL) {
        (void)json_object_del(j, "workload");
        return json_object_del(j, "health_check") <= 0;
    }
    workload = workload_json(c->root, image);
    if (config_has_image(c) && !image && !json_object_get(workload, "entrypoint"))
        (void)json_object_set_new(workload, "entrypoint", json_pack("[s]", "/"));
    if (config_has_image(c) && !image && !json_object_get(workload, "base_url")) /* of the health check, too */
        (void)json_object_set_new(workload, "base_url", json_string("http://127.0.0.1"));
    return json_object_set_new(j, "workload", workload) == 0;
}

/* With a stand-in for the archive, without which no manifest is valid. */
static json_t *manifest_json(const struct config *c, const json_t *image, const char *name, const char *version)
{
    static const char *const tables[] = {"resources", "health_check"};
    const struct toml_node *table;
    json_t *j = image ? json_copy((json_t *)image) : json_object();

    if (!j || !set_workload(c, j, image) || !set_identity(c, j, name, version) ||
        json_object_set_new(j, "initramfs",
                            json_pack("{s:s, s:s}", "url", "/", "checksum",
                                      "0000000000000000000000000000000000000000000000000000000000000000")) < 0)
        json_decref(take_ptr(j));
    for (size_t i = 0; j && i < ARRAY_LEN(tables); i++)
        if ((table = toml_get(c->root, tables[i])) && json_object_set_new(j, tables[i], node_json(table)) < 0)
            json_decref(take_ptr(j));
    return j;
}

/* Where the value is that a message begins with: "workload.env has ...", or "name ..." of the plugin. */
static struct toml_place place_of(const struct toml_node *root, const char *msg)
{
    struct toml_place at = {.line = 1, .column = 1};
    const struct toml_node *node = root;
    char name[64];

    if (str_starts(msg, "name ") || str_starts(msg, "version ") || str_starts(msg, "runtime "))
        node = toml_get(root, "plugin");
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
        return vl_fail(err, VL_INVALID, "the image '%s' as a plugin: %s (a fledge.toml can say otherwise)",
                       c->from.image, msg);
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

static int decode(const struct config_text *from, struct config *c, struct vl_error *err)
{
    const struct toml_node *workload, *node;
    int r;

    c->v1 = dialect_is_v1(c->root);
    if (c->v1) {
        if ((r = dialect_translate(from, c, err)) < 0) return r;
    } else if ((r = keys_check(c->file, config_keys, c->root, err)) < 0) {
        return r;
    }
    if ((r = config_decode_parts(c, err)) < 0) return r;
    if ((r = config_complete(c, NULL, NULL, NULL, err)) < 0) return r;
    workload = toml_get(c->root, "workload");
    if ((node = toml_get(workload, "entrypoint"))) c->entrypoint_at = node->items[0].at;
    if ((node = toml_get(workload, "workdir"))) c->workdir_at = node->at;
    return 0;
}

int config_parse(const struct config_text *from, struct config *ret, struct vl_error *err)
{
    auto_config c = {0};
    struct toml_problem problem = {0};
    int r;

    if (!(c.file = strdup(from->file)) || string_set(&c.manifest_file, from->manifest_file) < 0)
        return vl_fail_errno(err, ENOMEM, "read %s", from->file);
    r = toml_parse_text(from->text, from->len, &c.root, &problem);
    if (r == -EINVAL) return config_fail(&c, problem.at, err, "this is not TOML: %s", problem.text);
    if (r < 0) return vl_fail_errno(err, r, "read %s", from->file);
    if ((r = decode(from, &c, err)) < 0) return r;
    *ret = c;
    c = (struct config){0};
    return 0;
}

static int read_text(const char *path, char **ret, size_t *ret_len, struct vl_error *err)
{
    int r = read_file_at(AT_FDCWD, path, CONFIG_MAX, ret, ret_len);

    if (r == -ENOENT || r == 0) return r;
    if (r == -EFBIG)
        return vl_fail(err, VL_INVALID, "%s is larger than %lu KiB: map folders instead of files", path,
                       CONFIG_MAX / 1024);
    return vl_fail_errno(err, r, "read %s", path);
}

char *config_folder(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? strf_new("%.*s", slash == path ? 1 : (int)(slash - path), path) : strdup(".");
}

int config_read(const char *path, const char *manifest, struct config *ret, struct vl_error *err)
{
    auto_free char *text = NULL, *more = NULL, *folder = config_folder(path);
    auto_free char *beside =
        folder && !str_eq(folder, ".") ? strf_new("%s/manifest.toml", folder) : strdup("manifest.toml");
    struct config_text from = {.file = path, .manifest_file = manifest ? manifest : beside, .folder = folder};
    int r;

    if (!beside) return vl_fail_errno(err, ENOMEM, "read %s", path);
    if ((r = read_text(path, &text, &from.len, err)) == -ENOENT)
        return vl_fail(err, VL_INVALID, "there is no file '%s': name one with --config; `fledge init` writes one",
                       path);
    if (r < 0) return r;
    r = read_text(from.manifest_file, &more, &from.manifest_len, err);
    if (r == -ENOENT && manifest) return vl_fail(err, VL_INVALID, "there is no file '%s'", manifest);
    if (r < 0 && r != -ENOENT) return r;
    from.text = text;
    from.manifest = more;
    return config_parse(&from, ret, err);
}
