/* SPDX-License-Identifier: Apache-2.0 */
/* See config_keys.h. The first mistake in the file's order is the one that is told. */
#include "fledge/config_keys.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/schema.h"

#define PATH_SIZE 160 /* of "file_mappings[12].mode" as messages show it */
#define NAME_SIZE 24  /* longest key that near misses are looked for, and its NUL */

static const char *const strategies[] = {"initramfs", "oci_rootfs", NULL};
static const char *const file_systems[] = {"squashfs", "ext4", NULL};
static const char *const packings[] = {"zstd", "lz4", "gzip", "xz", NULL};
static const char *const library_choices[] = {"auto", "none", NULL};
static const char *const types[] = {"http", "exec", NULL};

static const char *const restarts[] = {"no", "on-failure", "always", NULL};
static const char *const checks[] = {"http", "tcp", "exec", NULL};

static const struct key plugin_keys[] = {
    {"name", KEY_TEXT, true, "name = \"web\"", NULL, NULL},
    {"version", KEY_TEXT, true, "version = \"1.0.0\"", NULL, NULL},
    {"strategy", KEY_TEXT, true, "strategy = \"initramfs\"", NULL, strategies},
    {"restart", KEY_TEXT, false, "restart = \"on-failure\"", NULL, restarts},
    {0},
};
static const struct key source_keys[] = {
    {"image", KEY_TEXT, true, "image = \"docker.io/library/nginx:alpine\"", NULL, NULL},
    {0},
};
static const struct key filesystem_keys[] = {
    {"type", KEY_TEXT, false, "type = \"squashfs\"", NULL, file_systems},
    {"compression", KEY_TEXT, false, "compression = \"zstd\"", NULL, packings},
    {"compression_level", KEY_COUNT, false, "compression_level = 15", NULL, NULL},
    {"size_mb", KEY_NUMBER, false, "size_mb = 2048", NULL, NULL},
    {"size_buffer_mb", KEY_COUNT, false, "size_buffer_mb = 256", NULL, NULL},
    {"preallocate", KEY_BOOL, false, "preallocate = true", NULL, NULL},
    {0},
};
static const struct key mapping_keys[] = {
    {"source", KEY_TEXT, true, "source = \"./program\"", NULL, NULL},
    {"dest", KEY_TEXT, true, "dest = \"/usr/local/bin/program\"", NULL, NULL},
    {"mode", KEY_MODE, false, "mode = 0o755", NULL, NULL},
    {"libraries", KEY_TEXT, false, "libraries = \"auto\"", NULL, library_choices},
    {0},
};
static const struct key workload_keys[] = {
    {"entrypoint", KEY_TEXTS, false, "entrypoint = [\"/usr/local/bin/program\", \"--option\"]", NULL, NULL},
    {"env", KEY_MAP, false, "env = { NAME = \"value\" }", NULL, NULL},
    {"workdir", KEY_TEXT, false, "workdir = \"/srv\"", NULL, NULL},
    {"user", KEY_TEXT, false, "user = \"1000:1000\"", NULL, NULL},
    {"type", KEY_TEXT, false, "type = \"exec\"", NULL, types},
    {"base_url", KEY_TEXT, false, "base_url = \"http://127.0.0.1:80\"", NULL, NULL},
    {"stop_signal", KEY_TEXT, false, "stop_signal = \"SIGQUIT\"", NULL, NULL},
    {0},
};
static const struct key resources_keys[] = {
    {"cpu_cores", KEY_NUMBER, false, "cpu_cores = 1", NULL, NULL},
    {"memory_mb", KEY_NUMBER, false, "memory_mb = 256", NULL, NULL},
    {0},
};
static const struct key health_check_keys[] = {
    {"type", KEY_TEXT, false, "type = \"http\"", NULL, checks},
    {"endpoint", KEY_TEXT, false, "endpoint = \"/healthz\"", NULL, NULL},
    {"port", KEY_NUMBER, false, "port = 8080", NULL, NULL},
    {"command", KEY_TEXTS, false, "command = [\"/usr/local/bin/check\"]", NULL, NULL},
    {"timeout_ms", KEY_COUNT, false, "timeout_ms = 120000", NULL, NULL},
    {"interval_ms", KEY_NUMBER, false, "interval_ms = 10000", NULL, NULL},
    {"check_timeout_ms", KEY_NUMBER, false, "check_timeout_ms = 2000", NULL, NULL},
    {"retries", KEY_NUMBER, false, "retries = 3", NULL, NULL},
    {"start_period_ms", KEY_COUNT, false, "start_period_ms = 5000", NULL, NULL},
    {0},
};
const struct key config_keys[] = {
    {"plugin", KEY_TABLE, true, "[plugin]", plugin_keys, NULL},
    {"oci_source", KEY_TABLE, false, "[oci_source]", source_keys, NULL},
    {"filesystem", KEY_TABLE, false, "[filesystem]", filesystem_keys, NULL},
    {"file_mappings", KEY_TABLES, false, "[[file_mappings]]", mapping_keys, NULL},
    {"workload", KEY_TABLE, false, "[workload]", workload_keys, NULL},
    {"resources", KEY_TABLE, false, "[resources]", resources_keys, NULL},
    {"health_check", KEY_TABLE, false, "[health_check]", health_check_keys, NULL},
    {0},
};

struct check {
    const char *file;
    struct vl_error *err;
};

static int fail_at(const struct check *c, struct toml_place at, const char *fmt, ...) printf_(3, 4);

static int fail_at(const struct check *c, struct toml_place at, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return vl_fail(c->err, VL_INVALID, "%s:%u:%u: %s", c->file, at.line, at.column, text);
}

const struct toml_node *toml_get(const struct toml_node *table, const char *key)
{
    for (size_t i = 0; table && table->type == TOML_TABLE && i < table->n_items; i++)
        if (str_eq(table->items[i].key, key)) return &table->items[i];
    return NULL;
}

static const char *type_name(const struct toml_node *node)
{
    static const char *const names[] = {"a table", "an array",  "a string",      "an integer",
                                        "a float", "a boolean", "a date or time"};

    return names[node->type];
}

static const struct key *find_key(const struct key *keys, const char *name)
{
    for (; keys && keys->name; keys++)
        if (str_eq(keys->name, name)) return keys;
    return NULL;
}

/* Insertions, deletions and replacements that make b of a; both shorter than NAME_SIZE. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_SIZE], b_len = strlen(b);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t cost = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < cost) cost = row[j] + 1;
            if (row[j - 1] + 1 < cost) cost = row[j - 1] + 1;
            row[j] = cost;
        }
    }
    return row[b_len];
}

/* The key that was probably meant; NULL if none is near. */
static const struct key *near_key(const struct key *keys, const char *name)
{
    const struct key *best = NULL;
    size_t best_distance = strlen(name) / 2 < 3 ? strlen(name) / 2 : 3;

    if (strlen(name) >= NAME_SIZE) return NULL;
    for (; keys && keys->name; keys++) {
        size_t d = distance(name, keys->name);

        if (d <= best_distance && (!best || d < best_distance)) {
            best = keys;
            best_distance = d;
        }
    }
    return best;
}

/* The table that has a key of this name, for one that stands in the wrong place. */
static const struct key *key_owner(const char *name)
{
    for (const struct key *k = config_keys; k->name; k++)
        if (find_key(k->keys, name)) return k;
    return NULL;
}

static void list_keys(const struct key *keys, char *buf, size_t size)
{
    size_t n = 0;

    buf[0] = '\0';
    for (; keys->name; keys++) {
        int len = strf(buf + n, size - n, "%s%s", n ? ", " : "", keys->name);

        if (len > 0) n += (size_t)len;
    }
}

static int fail_unknown(const struct check *c, const char *path, const struct key *keys, const struct toml_node *item)
{
    const struct key *near = near_key(keys, item->key), *owner = key_owner(item->key);
    char shown[QUOTED_SIZE], all[PATH_SIZE], within[PATH_SIZE + 8] = "";

    if (*path) (void)strf(within, sizeof(within), " in '%s'", path);
    (void)quoted(item->key, shown);
    if (near) return fail_at(c, item->key_at, "unknown key %s%s: did you mean '%s'?", shown, within, near->name);
    if (owner) return fail_at(c, item->key_at, "unknown key %s%s: it belongs below %s", shown, within, owner->example);
    if ((owner = find_key(config_keys, item->key)))
        return fail_at(c, item->key_at, "unknown key %s%s: write it as %s", shown, within, owner->example);
    list_keys(keys, all, sizeof(all));
    return fail_at(c, item->key_at, "unknown key %s%s: remove it; the keys here are %s", shown, within, all);
}

static int fail_type(const struct check *c, const char *path, const struct key *key, const struct toml_node *node,
                     const char *expected)
{
    return fail_at(c, node->at, "%s is %s, expected %s: write %s", path, type_name(node), expected, key->example);
}

/* A string as C can hold it. */
static int check_string(const struct check *c, const char *path, const struct key *key, const struct toml_node *node,
                        bool allow_empty)
{
    if (node->type != TOML_STRING)
        return fail_type(c, path, key, node, key->type == KEY_TEXTS ? "strings" : "a string");
    if (strlen(node->text) != node->text_len)
        return fail_at(c, node->at, "%s contains a NUL character: remove it", path);
    if (!allow_empty && node->text_len == 0) return fail_at(c, node->at, "%s is empty: write %s", path, key->example);
    return 0;
}

static int check_text(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    char shown[QUOTED_SIZE], all[PATH_SIZE];
    size_t n = 0;
    int r;

    if ((r = check_string(c, path, key, node, false)) < 0 || !key->choices) return r;
    for (const char *const *choice = key->choices; *choice; choice++) {
        if (str_eq(node->text, *choice)) return 0;
        if ((r = strf(all + n, sizeof(all) - n, "%s\"%s\"", n ? ", " : "", *choice)) > 0) n += (size_t)r;
    }
    return fail_at(c, node->at, "%s is %s, allowed: %s", path, quoted(node->text, shown), all);
}

static int check_texts(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    char item_path[PATH_SIZE];
    int r;

    if (node->type != TOML_ARRAY) return fail_type(c, path, key, node, "an array of strings");
    if (node->n_items == 0) return fail_at(c, node->at, "%s is empty: write %s", path, key->example);
    for (size_t i = 0; i < node->n_items; i++) {
        (void)strf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        if ((r = check_string(c, item_path, key, &node->items[i], i > 0)) < 0) return r;
    }
    return 0;
}

static int check_map(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    char item_path[PATH_SIZE], shown[QUOTED_SIZE];
    int r;

    if (node->type != TOML_TABLE) return fail_type(c, path, key, node, "a table of strings");
    for (size_t i = 0; i < node->n_items; i++) {
        (void)strf(item_path, sizeof(item_path), "%s.%s", path, quoted(node->items[i].key, shown));
        if ((r = check_string(c, item_path, key, &node->items[i], true)) < 0) return r;
    }
    return 0;
}

/* 755 without 0o is what people write, and something else. */
static int check_mode(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    char digits[24];

    if (node->type != TOML_INTEGER) return fail_type(c, path, key, node, "an octal integer");
    (void)strf(digits, sizeof(digits), "%lld", (long long)node->number);
    if (node->base == 10 && node->number > 7 && strlen(digits) <= 4 && !digits[strspn(digits, "01234567")])
        return fail_at(c, node->at, "%s is %s in decimal: write 0o%s", path, digits, digits);
    if (node->base != 8 && node->number > 7)
        return fail_at(c, node->at, "%s is not written in octal, where it can be read as permissions: write %s", path,
                       key->example);
    if (node->number < 0 || node->number > 07777)
        return fail_at(c, node->at, "%s is out of range, allowed: 0o000 to 0o7777", path);
    return 0;
}

/* The manifest takes 0 for "not given"; who writes it has something else in mind. */
static int check_number(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    if (node->type != TOML_INTEGER) return fail_type(c, path, key, node, "an integer");
    if (node->number > 0 || (node->number == 0 && key->type == KEY_COUNT)) return 0;
    return fail_at(c, node->at, "%s is %lld: write %s", path, (long long)node->number, key->example);
}

static int check_table(const struct check *c, const char *path, const struct key *keys, const struct toml_node *table);

static int check_tables(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    char item_path[PATH_SIZE];
    int r;

    if (node->type != TOML_ARRAY) return fail_type(c, path, key, node, "an array of tables");
    for (size_t i = 0; i < node->n_items; i++) {
        (void)strf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        if (node->items[i].type != TOML_TABLE) return fail_type(c, item_path, key, &node->items[i], "a table");
        if ((r = check_table(c, item_path, key->keys, &node->items[i])) < 0) return r;
    }
    return 0;
}

static int check_value(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    switch (key->type) {
    case KEY_TEXT:
        return check_text(c, path, key, node);
    case KEY_TEXTS:
        return check_texts(c, path, key, node);
    case KEY_MAP:
        return check_map(c, path, key, node);
    case KEY_NUMBER:
    case KEY_COUNT:
        return check_number(c, path, key, node);
    case KEY_BOOL:
        return node->type == TOML_BOOL ? 0 : fail_type(c, path, key, node, "true or false");
    case KEY_MODE:
        return check_mode(c, path, key, node);
    case KEY_TABLE:
        if (node->type != TOML_TABLE) return fail_type(c, path, key, node, "a table");
        return check_table(c, path, key->keys, node);
    case KEY_TABLES:
        return check_tables(c, path, key, node);
    }
    return 0;
}

static int check_table(const struct check *c, const char *path, const struct key *keys, const struct toml_node *table)
{
    char item_path[PATH_SIZE];
    int r;

    for (size_t i = 0; i < table->n_items; i++) {
        const struct toml_node *item = &table->items[i];
        const struct key *key = find_key(keys, item->key);

        if (!key) return fail_unknown(c, path, keys, item);
        (void)strf(item_path, sizeof(item_path), "%s%s%s", path, *path ? "." : "", key->name);
        if ((r = check_value(c, item_path, key, item)) < 0) return r;
    }
    for (; keys->name; keys++)
        if (keys->required && !toml_get(table, keys->name))
            return fail_at(c, table->at, "%s%s%s is missing: add %s", path, *path ? "." : "", keys->name,
                           keys->example);
    return 0;
}

/* What one strategy needs and the other has no use for. */
static int check_strategy(const struct check *c, const struct toml_node *root)
{
    const struct toml_node *source = toml_get(root, "oci_source"), *fs = toml_get(root, "filesystem");
    const struct toml_node *workload = toml_get(root, "workload");
    bool rootfs = keys_say_rootfs(root);

    if (rootfs && !source)
        return fail_at(c, root->at, "oci_source is missing: add [oci_source] with %s", source_keys[0].example);
    if (!rootfs && (source || fs))
        return fail_at(c, (source ? source : fs)->key_at,
                       "'%s' is of strategy = \"oci_rootfs\": remove it, or write that strategy",
                       source ? "oci_source" : "filesystem");
    if (rootfs) return 0;
    if (!workload) return fail_at(c, root->at, "workload is missing: add [workload]");
    if (toml_get(workload, "entrypoint")) return 0;
    return fail_at(c, workload->at, "workload.entrypoint is missing: add %s", workload_keys[0].example);
}

bool keys_say_rootfs(const struct toml_node *root)
{
    const struct toml_node *strategy = toml_get(toml_get(root, "plugin"), "strategy");

    return strategy && strategy->type == TOML_STRING && str_eq(strategy->text, "oci_rootfs");
}

int keys_check(const char *file, const struct toml_node *root, struct vl_error *err)
{
    const struct check c = {file, err};
    int r;

    if ((r = check_table(&c, "", config_keys, root)) < 0) return r;
    return check_strategy(&c, root);
}
