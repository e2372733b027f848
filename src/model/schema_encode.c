/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables allow besides decoding: encoding, release, deep copies, comparison. */
#include <string.h>

#include "model/schema.h"

static const void *at(const void *obj, const struct field *f)
{
    return (const char *)obj + f->offset;
}

static bool all_empty(const struct schema *s, const void *obj);

/* Absent would decode to the same. */
static bool is_empty(const struct field *f, const void *slot)
{
    const char *text;

    switch (f->type) {
    case FIELD_STRING:
    case FIELD_JSON:
        text = *(char *const *)slot;
        return !text || !*text;
    case FIELD_BOOL:
        return *(const bool *)slot == (f->def != 0);
    case FIELD_INT:
        return *(const int64_t *)slot == f->def;
    case FIELD_STRINGS:
        return ((const struct strv *)slot)->len == 0;
    case FIELD_MAP:
        return ((const struct strmap *)slot)->len == 0;
    case FIELD_OBJECT:
        return all_empty(f->sub, slot);
    case FIELD_OBJECTS:
        return ((const struct objects *)slot)->len == 0;
    }
    return true;
}

static bool all_empty(const struct schema *s, const void *obj)
{
    for (size_t i = 0; i < s->n_fields; i++)
        if (!(s->fields[i].flags & FIELD_IGNORED) && !is_empty(&s->fields[i], at(obj, &s->fields[i]))) return false;
    return true;
}

/* `s`, or a copy in `b` with U+FFFD for what is not UTF-8, which jansson would refuse; NULL when out of memory. */
static const char *valid_utf8(const char *s, struct strbuf *b)
{
    size_t len = strlen(s), good;

    if (utf8_prefix(s, len) == len) return s;
    while ((good = utf8_prefix(s, len)) < len) {
        strbuf_add(b, s, good);
        strbuf_adds(b, "\xef\xbf\xbd");
        s += good + 1;
        len -= good + 1;
    }
    strbuf_add(b, s, len);
    return b->failed ? NULL : b->data;
}

static json_t *encode_text(const char *s)
{
    auto_strbuf b = {0};
    const char *text = valid_utf8(s ? s : "", &b);

    return text ? json_string_nocheck(text) : NULL;
}

static json_t *encode_strings(const struct strv *v)
{
    json_auto_t *list = json_array();

    for (size_t i = 0; i < v->len; i++)
        if (json_array_append_new(list, encode_text(v->items[i])) < 0) return NULL;
    return take_ptr(list);
}

static json_t *encode_map(const struct strmap *m)
{
    json_auto_t *map = json_object();

    for (size_t i = 0; i < m->len; i++) {
        auto_strbuf b = {0};
        const char *key = valid_utf8(m->items[i].key, &b);

        if (!key || json_object_set_new_nocheck(map, key, encode_text(m->items[i].value)) < 0) return NULL;
    }
    return take_ptr(map);
}

static json_t *encode_objects(const struct schema *s, const struct objects *o)
{
    json_auto_t *list = json_array();

    for (size_t i = 0; i < o->len; i++)
        if (json_array_append_new(list, schema_encode(s, (const char *)o->items + i * s->size)) < 0) return NULL;
    return take_ptr(list);
}

/* Text that a decoder made; NULL is the empty object. */
static json_t *encode_json(const char *text)
{
    return text && *text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_object();
}

static json_t *encode_field(const struct field *f, const void *slot)
{
    switch (f->type) {
    case FIELD_STRING:
        return encode_text(*(char *const *)slot);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)slot);
    case FIELD_INT:
        return json_integer(*(const int64_t *)slot);
    case FIELD_STRINGS:
        return encode_strings(slot);
    case FIELD_MAP:
        return encode_map(slot);
    case FIELD_OBJECT:
        return schema_encode(f->sub, slot);
    case FIELD_OBJECTS:
        return encode_objects(f->sub, slot);
    case FIELD_JSON:
        return encode_json(*(char *const *)slot);
    }
    return NULL;
}

json_t *schema_encode(const struct schema *s, const void *obj)
{
    json_auto_t *j = json_object();

    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];

        if (f->flags & FIELD_IGNORED) continue;
        if (!(f->flags & (FIELD_EMIT | FIELD_REQUIRED)) && is_empty(f, at(obj, f))) continue;
        if (json_object_set_new(j, f->name, encode_field(f, at(obj, f))) < 0) return NULL;
    }
    return take_ptr(j);
}

static void objects_done(const struct schema *s, struct objects *o)
{
    for (size_t i = 0; i < o->len; i++)
        schema_done(s, (char *)o->items + i * s->size);
    free(o->items);
    *o = (struct objects){0};
}

static void field_done(const struct field *f, void *slot)
{
    switch (f->type) {
    case FIELD_STRING:
    case FIELD_JSON:
        free(*(char **)slot);
        *(char **)slot = NULL;
        return;
    case FIELD_BOOL:
        *(bool *)slot = false;
        return;
    case FIELD_INT:
        *(int64_t *)slot = 0;
        return;
    case FIELD_STRINGS:
        strv_done(slot);
        return;
    case FIELD_MAP:
        strmap_done(slot);
        return;
    case FIELD_OBJECT:
        schema_done(f->sub, slot);
        return;
    case FIELD_OBJECTS:
        objects_done(f->sub, slot);
        return;
    }
}

void schema_done(const struct schema *s, void *obj)
{
    for (size_t i = 0; i < s->n_fields; i++)
        if (!(s->fields[i].flags & FIELD_IGNORED)) field_done(&s->fields[i], (char *)obj + s->fields[i].offset);
}

static int copy_strings(const struct strv *src, struct strv *dst)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < src->len; i++)
        r = strv_add(dst, src->items[i]);
    return r;
}

static int copy_map(const struct strmap *src, struct strmap *dst)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < src->len; i++)
        r = strmap_set(dst, src->items[i].key, src->items[i].value);
    return r;
}

static int copy_objects(const struct schema *s, const struct objects *src, struct objects *dst)
{
    char *items;
    int r = 0;

    if (src->len == 0) return 0;
    if (!(items = calloc(src->len, s->size))) return -ENOMEM;
    dst->items = items;
    for (size_t i = 0; r == 0 && i < src->len; i++) {
        dst->len++;
        r = schema_copy(s, (const char *)src->items + i * s->size, items + i * s->size);
    }
    return r;
}

static int copy_field(const struct field *f, const void *src, void *dst)
{
    switch (f->type) {
    case FIELD_STRING:
    case FIELD_JSON:
        return string_set(dst, *(char *const *)src);
    case FIELD_BOOL:
        *(bool *)dst = *(const bool *)src;
        return 0;
    case FIELD_INT:
        *(int64_t *)dst = *(const int64_t *)src;
        return 0;
    case FIELD_STRINGS:
        return copy_strings(src, dst);
    case FIELD_MAP:
        return copy_map(src, dst);
    case FIELD_OBJECT:
        return schema_copy(f->sub, src, dst);
    case FIELD_OBJECTS:
        return copy_objects(f->sub, src, dst);
    }
    return 0;
}

int schema_copy(const struct schema *s, const void *src, void *dst)
{
    memset(dst, 0, s->size);
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];
        int r;

        if (f->flags & FIELD_IGNORED) continue;
        if ((r = copy_field(f, at(src, f), (char *)dst + f->offset)) == 0) continue;
        schema_done(s, dst);
        return r;
    }
    return 0;
}

static bool equal_texts(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool equal_strings(const struct strv *a, const struct strv *b)
{
    if (a->len != b->len) return false;
    for (size_t i = 0; i < a->len; i++)
        if (!equal_texts(a->items[i], b->items[i])) return false;
    return true;
}

static bool equal_maps(const struct strmap *a, const struct strmap *b)
{
    if (a->len != b->len) return false;
    for (size_t i = 0; i < a->len; i++)
        if (!equal_texts(a->items[i].key, b->items[i].key) || !equal_texts(a->items[i].value, b->items[i].value))
            return false;
    return true;
}

static bool equal_objects(const struct schema *s, const struct objects *a, const struct objects *b)
{
    if (a->len != b->len) return false;
    for (size_t i = 0; i < a->len; i++)
        if (!schema_equal(s, (const char *)a->items + i * s->size, (const char *)b->items + i * s->size)) return false;
    return true;
}

static bool equal_fields(const struct field *f, const void *a, const void *b)
{
    switch (f->type) {
    case FIELD_STRING:
    case FIELD_JSON:
        return equal_texts(*(char *const *)a, *(char *const *)b);
    case FIELD_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case FIELD_INT:
        return *(const int64_t *)a == *(const int64_t *)b;
    case FIELD_STRINGS:
        return equal_strings(a, b);
    case FIELD_MAP:
        return equal_maps(a, b);
    case FIELD_OBJECT:
        return schema_equal(f->sub, a, b);
    case FIELD_OBJECTS:
        return equal_objects(f->sub, a, b);
    }
    return false;
}

bool schema_equal(const struct schema *s, const void *a, const void *b)
{
    for (size_t i = 0; i < s->n_fields; i++)
        if (!(s->fields[i].flags & FIELD_IGNORED) &&
            !equal_fields(&s->fields[i], at(a, &s->fields[i]), at(b, &s->fields[i])))
            return false;
    return true;
}
