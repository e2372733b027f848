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

static void toml_node_freep(struct toml_node **p)
{
    toml_free(*p);
}

void config_done(struct config *c)
{
    for (size_t i = 0; i < c->n_mappings; i++) {
        free(c->mappings[i].source);
        free(c->mappings[i].dest);
    }
    free(c->mappings);
    free(c->file);
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

/* The manifest as far as the file says it; a stand-in for the archive, without which none is valid. */
static json_t *manifest_json(const struct toml_node *root)
{
    static const char *const tables[] = {"resources", "health_check"};
    const struct toml_node *plugin = toml_get(root, "plugin"), *restart = toml_get(plugin, "restart"), *table;
    json_t *j;

    j = json_pack("{s:o, s:o, s:o, s:{s:s, s:s}}", "name", node_json(toml_get(plugin, "name")), "version",
                  node_json(toml_get(plugin, "version")), "workload", node_json(toml_get(root, "workload")),
                  "initramfs", "url", "/", "checksum",
                  "0000000000000000000000000000000000000000000000000000000000000000");
    for (size_t i = 0; j && i < ARRAY_LEN(tables); i++)
        if ((table = toml_get(root, tables[i])) && json_object_set_new(j, tables[i], node_json(table)) < 0)
            json_decref(take_ptr(j));
    if (j && restart && json_object_set_new(j, "restart", node_json(restart)) < 0) json_decref(take_ptr(j));
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

static int decode_manifest(const struct toml_node *root, struct config *c, struct vl_error *err)
{
    json_auto_t *j = manifest_json(root);
    struct vl_error reason = {0};
    const char *msg = reason.msg;

    if (!j) return vl_fail_errno(err, ENOMEM, "read %s", c->file);
    if (manifest_decode(j, WHERE, &c->manifest, NULL, NULL, &reason) < 0) {
        if (reason.kind != VL_INVALID) return vl_fail(err, reason.kind, "%s: %s", c->file, msg);
        if (str_starts(msg, WHERE ": ")) msg += strlen(WHERE ": ");
        return config_fail(c, place_of(root, msg), err, "%s", msg);
    }
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

static int decode(const struct toml_node *root, struct config *c, struct vl_error *err)
{
    const struct toml_node *workload = toml_get(root, "workload"), *workdir;
    int r;

    if ((r = keys_check(c->file, root, err)) < 0) return r;
    if ((r = decode_manifest(root, c, err)) < 0) return r;
    c->entrypoint_at = toml_get(workload, "entrypoint")->items[0].at;
    if ((workdir = toml_get(workload, "workdir"))) c->workdir_at = workdir->at;
    return decode_mappings(toml_get(root, "file_mappings"), c, err);
}

int config_parse(const char *file, const char *text, size_t len, struct config *ret, struct vl_error *err)
{
    auto_(toml_node_freep) struct toml_node *root = NULL;
    auto_config c = {0};
    struct toml_problem problem = {0};
    int r;

    if (!(c.file = strdup(file))) return vl_fail_errno(err, ENOMEM, "read %s", file);
    r = toml_parse_text(text, len, &root, &problem);
    if (r == -EINVAL) return config_fail(&c, problem.at, err, "this is not TOML: %s", problem.text);
    if (r < 0) return vl_fail_errno(err, r, "read %s", file);
    if ((r = decode(root, &c, err)) < 0) return r;
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
