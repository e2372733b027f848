/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: JSON of strangers into structs. Where it is in the input is a list of spots on the stack, made into text
 * only when something is to be said about it. A struct that is half filled is released at the top, in one place.
 */
#include "model/schema.h"

#include <inttypes.h>
#include <string.h>

#define PATH_SIZE 256
#define SHOWN_MAX 60 /* bytes of a key or value from outside in a message */
#define NOTES_MAX 64

struct spot {
    const struct spot *up;
    const char *key; /* NULL: an element of an array */
    size_t index;
};

struct decode {
    struct vl_error *err;
    struct strv notes; /* about unknown and ignored keys */
};

/* Cut at a character, with "..." for what is missing. */
static void show(const char *s, size_t max, char *buf, size_t size)
{
    size_t len = strlen(s), in = escape_printable(buf, max + 1 < size ? max + 1 : size, s, len);

    if (in < len) (void)strf(buf + strlen(buf), size - strlen(buf), "...");
}

const char *quoted(const char *s, char buf[static QUOTED_SIZE])
{
    char text[SHOWN_MAX + 4];

    show(s, SHOWN_MAX, text, sizeof(text));
    (void)strf(buf, QUOTED_SIZE, "\"%s\"", text);
    return buf;
}

static void path_put(const struct spot *at, char *buf, size_t size)
{
    char key[SHOWN_MAX + 4];
    size_t len;

    *buf = '\0';
    if (at->up) path_put(at->up, buf, size);
    len = strlen(buf);
    if (!at->key) {
        (void)strf(buf + len, size - len, "[%zu]", at->index);
        return;
    }
    show(at->key, SHOWN_MAX, key, sizeof(key));
    (void)strf(buf + len, size - len, "%s%s", len > 0 ? "." : "", key);
}

static const char *path_text(const struct spot *at, char buf[static PATH_SIZE])
{
    path_put(at, buf, PATH_SIZE);
    return buf;
}

static const char *kind_text(const json_t *j)
{
    if (!j) return "missing";
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static bool kind_is(enum field_type type, const json_t *j)
{
    switch (type) {
    case FIELD_STRING:
        return json_is_string(j);
    case FIELD_BOOL:
        return json_is_boolean(j);
    case FIELD_INT:
        return json_is_integer(j);
    case FIELD_STRINGS:
    case FIELD_OBJECTS:
        return json_is_array(j);
    case FIELD_MAP:
    case FIELD_OBJECT:
    case FIELD_JSON:
        return json_is_object(j);
    }
    return false;
}

static const char *wanted_text(enum field_type type)
{
    switch (type) {
    case FIELD_STRING:
        return "a string";
    case FIELD_BOOL:
        return "true or false";
    case FIELD_INT:
        return "an integer";
    case FIELD_STRINGS:
        return "an array of strings";
    case FIELD_OBJECTS:
        return "an array of objects";
    case FIELD_MAP:
        return "an object of strings";
    case FIELD_OBJECT:
    case FIELD_JSON:
        break;
    }
    return "an object";
}

static int check_kind(struct decode *d, const struct spot *at, enum field_type type, const json_t *j)
{
    char path[PATH_SIZE];

    if (kind_is(type, j)) return 0;
    return vl_fail(d->err, VL_INVALID, "%s must be %s, is %s", path_text(at, path), wanted_text(type), kind_text(j));
}

static int out_of_memory(struct decode *d, const struct spot *at)
{
    char path[PATH_SIZE];

    return vl_fail_errno(d->err, ENOMEM, "decode %s", path_text(at, path));
}

static int check_range(struct decode *d, const struct spot *at, const struct field *f, int64_t n)
{
    char path[PATH_SIZE];

    if ((f->min == 0 && f->max == 0) || (n >= f->min && n <= f->max)) return 0;
    if (!(f->flags & FIELD_REQUIRED) && n == f->def) return 0;
    return vl_fail(d->err, VL_INVALID, "%s is %" PRId64 ", allowed %" PRId64 " to %" PRId64, path_text(at, path), n,
                   f->min, f->max);
}

static int check_count(struct decode *d, const struct spot *at, const struct field *f, size_t n)
{
    int64_t min = f->max > 0 ? f->min : 0, max = f->max > 0 ? f->max : FIELD_ITEMS_MAX;
    char path[PATH_SIZE];

    if ((int64_t)n >= min && (int64_t)n <= max) return 0;
    return vl_fail(d->err, VL_INVALID, "%s has %zu %s, allowed %" PRId64 " to %" PRId64, path_text(at, path), n,
                   n == 1 ? "entry" : "entries", min, max);
}

static int check_length(struct decode *d, const struct spot *at, const struct field *f, size_t n)
{
    char path[PATH_SIZE];

    if (f->max == 0 || ((int64_t)n >= f->min && (int64_t)n <= f->max)) return 0;
    return vl_fail(d->err, VL_INVALID, "%s is %zu bytes long, allowed %" PRId64 " to %" PRId64, path_text(at, path), n,
                   f->min, f->max);
}

static int check_choice(struct decode *d, const struct spot *at, const struct field *f, const char *text)
{
    char path[PATH_SIZE], shown[QUOTED_SIZE], allowed[256] = "";

    for (const char *const *choice = f->choices; *choice; choice++) {
        size_t len = strlen(allowed);

        if (strcmp(*choice, text) == 0) return 0;
        (void)strf(allowed + len, sizeof(allowed) - len, "%s%s", len > 0 ? ", " : "", *choice);
    }
    return vl_fail(d->err, VL_INVALID, "%s is %s, allowed: %s", path_text(at, path), quoted(text, shown), allowed);
}

/* A string without rules of its own, copied. */
static int decode_text(struct decode *d, const struct spot *at, const json_t *j, char **ret)
{
    char path[PATH_SIZE];
    int r;

    if ((r = check_kind(d, at, FIELD_STRING, j)) < 0) return r;
    if (memchr(json_string_value(j), '\0', json_string_length(j)))
        return vl_fail(d->err, VL_INVALID, "%s holds a NUL character: remove it", path_text(at, path));
    if (!(*ret = strdup(json_string_value(j)))) return out_of_memory(d, at);
    return 0;
}

static int decode_string(struct decode *d, const struct spot *at, const struct field *f, const json_t *j, char **slot)
{
    int r;

    if ((r = decode_text(d, at, j, slot)) < 0 || !*slot) return r;
    if (f->flags & FIELD_TOLD) return 0;
    if ((r = check_length(d, at, f, strlen(*slot))) < 0 || !f->choices) return r;
    if (**slot == '\0' && !(f->flags & FIELD_REQUIRED)) {
        free(take_ptr(*slot));
        return 0;
    }
    return check_choice(d, at, f, *slot);
}

static int decode_strings(struct decode *d, const struct spot *at, const struct field *f, const json_t *j,
                          struct strv *slot)
{
    size_t n = json_array_size(j);
    int r;

    if ((r = check_count(d, at, f, n)) < 0) return r;
    for (size_t i = 0; i < n; i++) {
        struct spot here = {.up = at, .index = i};
        auto_free char *text = NULL;

        if ((r = decode_text(d, &here, json_array_get(j, i), &text)) < 0) return r;
        if (strv_add(slot, text) < 0) return out_of_memory(d, &here);
    }
    return 0;
}

/* JSON's keys are unique already, so that nothing is looked up and time stays linear. */
static int decode_map(struct decode *d, const struct spot *at, const struct field *f, const json_t *j,
                      struct strmap *slot)
{
    const char *key;
    json_t *value;
    int r;

    if ((r = check_count(d, at, f, json_object_size(j))) < 0) return r;
    if (json_object_size(j) == 0) return 0;
    if (!(slot->items = calloc(json_object_size(j), sizeof(*slot->items)))) return out_of_memory(d, at);
    json_object_foreach((json_t *)j, key, value)
    {
        struct spot here = {.up = at, .key = key};
        struct strpair *pair = &slot->items[slot->len];

        if (json_is_null(value)) continue;
        slot->len++; /* first, as schema_done looks at no more than len */
        if (!(pair->key = strdup(key))) return out_of_memory(d, &here);
        if ((r = decode_text(d, &here, value, &pair->value)) < 0) return r;
    }
    return 0;
}

static int decode_json(struct decode *d, const struct spot *at, const struct field *f, const json_t *j, char **slot)
{
    if (!(*slot = json_text(j))) return out_of_memory(d, at);
    return check_length(d, at, f, strlen(*slot));
}

static int decode_struct(struct decode *d, const struct spot *at, const struct schema *s, const json_t *j, void *ret);

static int decode_objects(struct decode *d, const struct spot *at, const struct field *f, const json_t *j,
                          struct objects *slot)
{
    size_t n = json_array_size(j);
    int r;

    if ((r = check_count(d, at, f, n)) < 0) return r;
    if (n == 0) return 0;
    if (!(slot->items = calloc(n, f->sub->size))) return out_of_memory(d, at);
    for (size_t i = 0; i < n; i++) {
        struct spot here = {.up = at, .index = i};
        const json_t *item = json_array_get(j, i);

        if ((r = check_kind(d, &here, FIELD_OBJECT, item)) < 0) return r;
        slot->len++;
        if ((r = decode_struct(d, &here, f->sub, item, (char *)slot->items + i * f->sub->size)) < 0) return r;
    }
    return 0;
}

static int decode_field(struct decode *d, const struct spot *at, const struct field *f, const json_t *j, void *slot)
{
    int r = check_kind(d, at, f->type, j);

    if (r < 0 || (f->flags & FIELD_IGNORED)) return r;
    switch (f->type) {
    case FIELD_STRING:
        return decode_string(d, at, f, j, slot);
    case FIELD_BOOL:
        *(bool *)slot = json_is_true(j);
        return 0;
    case FIELD_INT:
        *(int64_t *)slot = json_integer_value(j);
        return check_range(d, at, f, json_integer_value(j));
    case FIELD_STRINGS:
        return decode_strings(d, at, f, j, slot);
    case FIELD_MAP:
        return decode_map(d, at, f, j, slot);
    case FIELD_OBJECT:
        return decode_struct(d, at, f->sub, j, slot);
    case FIELD_OBJECTS:
        return decode_objects(d, at, f, j, slot);
    case FIELD_JSON:
        return decode_json(d, at, f, j, slot);
    }
    return 0;
}

/* Nothing in it that anybody could have meant: as the original writes fields that were never set. */
static bool is_blank(const json_t *j)
{
    const char *key;
    json_t *value;
    size_t i;

    switch (json_typeof(j)) {
    case JSON_OBJECT:
        json_object_foreach((json_t *)j, key, value) if (!is_blank(value)) return false;
        return true;
    case JSON_ARRAY:
        json_array_foreach(j, i, value) if (!is_blank(value)) return false;
        return true;
    case JSON_STRING:
        return json_string_length(j) == 0;
    case JSON_INTEGER:
        return json_integer_value(j) == 0;
    case JSON_REAL:
    case JSON_TRUE:
        return false;
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return true;
}

static const struct field *find_field(const struct schema *s, const char *key)
{
    for (size_t i = 0; i < s->n_fields; i++)
        if (strcmp(s->fields[i].name, key) == 0) return s->fields[i].flags & FIELD_INTERNAL ? NULL : &s->fields[i];
    return NULL;
}

static int note_keys(struct decode *d, const struct spot *at, const struct schema *s, const json_t *j)
{
    char path[PATH_SIZE];
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)j, key, value)
    {
        struct spot here = {.up = at, .key = key};
        const struct field *f = find_field(s, key);
        const char *what = f ? "has no effect in this version" : "is unknown and ignored";

        if (f && (!(f->flags & (FIELD_IGNORED | FIELD_KEPT)) || is_blank(value))) continue;
        if (d->notes.len >= NOTES_MAX) return 0;
        if (strv_addf(&d->notes, "'%s' %s", path_text(&here, path), what) < 0) return out_of_memory(d, &here);
    }
    return 0;
}

/* Into zeroed memory. */
static void set_defaults(const struct schema *s, void *ret)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];
        void *slot = (char *)ret + f->offset;

        if (f->flags & FIELD_IGNORED) continue;
        if (f->type == FIELD_INT) *(int64_t *)slot = f->def;
        if (f->type == FIELD_BOOL) *(bool *)slot = f->def != 0;
        if (f->type == FIELD_OBJECT) set_defaults(f->sub, slot);
    }
}

/* `j` is an object, *ret zeroed. What was decoded stays there on failure. */
static int decode_struct(struct decode *d, const struct spot *at, const struct schema *s, const json_t *j, void *ret)
{
    char path[PATH_SIZE];
    int r;

    set_defaults(s, ret);
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];
        const json_t *value = f->flags & FIELD_INTERNAL ? NULL : json_object_get(j, f->name);
        struct spot here = {.up = at, .key = f->name};

        if (value && !json_is_null(value)) {
            if ((r = decode_field(d, &here, f, value, (char *)ret + f->offset)) < 0) return r;
        } else if (f->flags & FIELD_REQUIRED) {
            return vl_fail(d->err, VL_INVALID, "%s is missing", path_text(&here, path));
        }
    }
    return note_keys(d, at, s, j);
}

int schema_decode(const struct schema *s, const json_t *obj, const char *prefix, void *ret, struct strv *unknown,
                  struct vl_error *err)
{
    struct spot root = {.key = prefix ? prefix : s->name};
    struct spot named = {.key = *root.key ? root.key : s->name};
    struct decode d = {.err = err};
    int r;

    memset(ret, 0, s->size);
    if ((r = check_kind(&d, &named, FIELD_OBJECT, obj)) < 0) return r;
    r = decode_struct(&d, &root, s, obj, ret);
    for (size_t i = 0; r == 0 && unknown && i < d.notes.len; i++)
        if (strv_add(unknown, d.notes.items[i]) < 0) r = out_of_memory(&d, &named);
    strv_done(&d.notes);
    if (r < 0) schema_done(s, ret);
    return r;
}
