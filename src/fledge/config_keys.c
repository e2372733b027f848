/* SPDX-License-Identifier: Apache-2.0 */
/* See config_keys.h. The first mistake in the file's order is the one that is told. */
#include "fledge/config_keys.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/schema.h"

#define PATH_SIZE 160 /* of "file_mappings[12].mode" as messages show it */
#define NAME_SIZE 24  /* longest key that near misses are looked for, and its NUL */

struct check {
    const char *file;
    const struct key *top; /* of the whole file */
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
static const struct key *key_owner(const struct key *top, const char *name)
{
    for (const struct key *k = top; k->name; k++)
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
    const struct key *near = near_key(keys, item->key), *owner = key_owner(c->top, item->key);
    char shown[QUOTED_SIZE], all[PATH_SIZE], within[PATH_SIZE + 8] = "";

    if (*path) (void)strf(within, sizeof(within), " in '%s'", path);
    (void)quoted(item->key, shown);
    if (near) return fail_at(c, item->key_at, "unknown key %s%s: did you mean '%s'?", shown, within, near->name);
    if (owner) return fail_at(c, item->key_at, "unknown key %s%s: it belongs below %s", shown, within, owner->example);
    if ((owner = find_key(c->top, item->key)))
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
        return fail_type(c, path, key, node,
                         key->type == KEY_TEXTS || key->type == KEY_ARGUMENTS ? "strings" : "a string");
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
    if (node->n_items == 0 && key->type == KEY_TEXTS)
        return fail_at(c, node->at, "%s is empty: write %s", path, key->example);
    for (size_t i = 0; i < node->n_items; i++) {
        (void)strf(item_path, sizeof(item_path), "%s[%zu]", path, i);
        r = check_string(c, item_path, key, &node->items[i], i > 0 || key->type == KEY_ARGUMENTS);
        if (r < 0) return r;
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

static int check_named(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    char item_path[PATH_SIZE], shown[QUOTED_SIZE];
    int r;

    if (node->type != TOML_TABLE) return fail_type(c, path, key, node, "a table of tables");
    for (size_t i = 0; i < node->n_items; i++) {
        (void)strf(item_path, sizeof(item_path), "%s.%s", path, quoted(node->items[i].key, shown));
        if (node->items[i].type != TOML_TABLE) return fail_type(c, item_path, key, &node->items[i], "a table");
        if ((r = check_table(c, item_path, key->keys, &node->items[i])) < 0) return r;
    }
    return 0;
}

/* What goes into JSON as it is; the depth is bounded by TOML_DEPTH_MAX. */
static int check_any(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    int r;

    if (node->type == TOML_FLOAT || node->type == TOML_DATE)
        return fail_type(c, path, key, node, "strings, integers, booleans, arrays and tables");
    if (node->type == TOML_STRING) return check_string(c, path, key, node, true);
    for (size_t i = 0; i < node->n_items; i++)
        if ((r = check_any(c, path, key, &node->items[i])) < 0) return r;
    return 0;
}

static int check_value(const struct check *c, const char *path, const struct key *key, const struct toml_node *node)
{
    switch (key->type) {
    case KEY_TEXT:
        return check_text(c, path, key, node);
    case KEY_TEXTS:
    case KEY_ARGUMENTS:
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
    case KEY_NAMED:
        return check_named(c, path, key, node);
    case KEY_ANY:
        if (node->type != TOML_TABLE) return fail_type(c, path, key, node, "a table");
        return check_any(c, path, key, node);
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

int keys_check(const char *file, const struct key *keys, const struct toml_node *root, struct vl_error *err)
{
    const struct check c = {file, keys, err};

    return check_table(&c, "", keys, root);
}
