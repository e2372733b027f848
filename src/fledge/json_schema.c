/* SPDX-License-Identifier: Apache-2.0 */
/* See json_schema.h. */
#include "fledge/json_schema.h"

#include "base/str.h"
#include "fledge/config_keys.h"
#include "model/manifest.h"

#define DRAFT "https://json-schema.org/draft/2020-12/schema"

const char *const json_schema_names[] = {"fledge", "manifest", "manifest-toml", NULL};

static json_t *strings(const char *const *list)
{
    json_t *array = json_array();

    for (; *list; list++)
        (void)json_array_append_new(array, json_string(*list));
    return array;
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

/* --- of TOML ------------------------------------------------------------------------------------------------------ */

static json_t *table_schema(const struct key *keys);

static json_t *key_schema(const struct key *key)
{
    switch (key->type) {
    case KEY_TEXT:
        return json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
    case KEY_TEXTS:
        return json_pack("{s:s, s:i, s:{s:s}}", "type", "array", "minItems", 1, "items", "type", "string");
    case KEY_ARGUMENTS:
        return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
    case KEY_MAP:
        return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type", "string");
    case KEY_NUMBER:
        return json_pack("{s:s, s:i}", "type", "integer", "minimum", 1);
    case KEY_COUNT:
        return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
    case KEY_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case KEY_MODE:
        return json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", 0, "maximum", 07777);
    case KEY_TABLE:
        return table_schema(key->keys);
    case KEY_TABLES:
        return json_pack("{s:s, s:o}", "type", "array", "items", table_schema(key->keys));
    case KEY_NAMED:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", table_schema(key->keys));
    case KEY_ANY:
        return json_pack("{s:s}", "type", "object");
    }
    return NULL;
}

static json_t *table_schema(const struct key *keys)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *j = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);

    for (; keys->name; keys++) {
        json_t *one = key_schema(keys);

        if (keys->choices) set(one, "enum", strings(keys->choices));
        set(one, "description", json_sprintf("Written as: %s", keys->example));
        set(properties, keys->name, one);
        if (keys->required) (void)json_array_append_new(required, json_string(keys->name));
    }
    if (json_array_size(required) > 0)
        set(j, "required", required);
    else
        json_decref(required);
    return j;
}

/* --- of JSON ------------------------------------------------------------------------------------------------------ */

static json_t *object_schema(const struct schema *s);

/* Bounds of a length or a count; a table's own numbers where it has some. */
static json_t *sized(const char *type, const char *min, const char *max, const struct field *f, int64_t most)
{
    json_t *j = json_pack("{s:s}", "type", type);

    if (f->max > 0 && f->min > 0) set(j, min, json_integer(f->min));
    if (f->max > 0 || most > 0) set(j, max, json_integer(f->max > 0 ? f->max : most));
    return j;
}

static json_t *integer_schema(const struct field *f)
{
    json_t *j = json_pack("{s:s}", "type", "integer");

    if (f->min == 0 && f->max == 0) return j;
    /* 0 stands for what is not given. */
    set(j, "minimum", json_integer(f->min > 0 && f->def == 0 && !(f->flags & FIELD_REQUIRED) ? 0 : f->min));
    if (f->max < INT64_MAX) set(j, "maximum", json_integer(f->max));
    return j;
}

static json_t *field_schema(const struct field *f)
{
    json_t *j = NULL;

    switch (f->type) {
    case FIELD_STRING:
        return sized("string", "minLength", "maxLength", f, 0);
    case FIELD_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_INT:
        return integer_schema(f);
    case FIELD_STRINGS:
        j = sized("array", "minItems", "maxItems", f, FIELD_ITEMS_MAX);
        set(j, "items", json_pack("{s:s}", "type", "string"));
        return j;
    case FIELD_MAP:
        j = sized("object", "minProperties", "maxProperties", f, FIELD_ITEMS_MAX);
        set(j, "additionalProperties", json_pack("{s:s}", "type", "string"));
        return j;
    case FIELD_OBJECT:
        return f->sub ? object_schema(f->sub) : json_pack("{s:s}", "type", "object");
    case FIELD_OBJECTS:
        j = sized("array", "minItems", "maxItems", f, FIELD_ITEMS_MAX);
        if (f->sub) set(j, "items", object_schema(f->sub));
        return j;
    case FIELD_JSON:
        return json_pack("{s:s}", "type", "object");
    }
    return j;
}

/* Keys that are not in it are kept for later versions. */
static json_t *object_schema(const struct schema *s)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *j = json_pack("{s:s, s:o}", "type", "object", "properties", properties);

    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];
        json_t *one;

        if (f->flags & FIELD_INTERNAL) continue;
        one = field_schema(f);
        if (f->choices) set(one, "enum", strings(f->choices));
        if (f->type == FIELD_INT && f->def != 0) set(one, "default", json_integer(f->def));
        if (f->type == FIELD_BOOL && f->def != 0) set(one, "default", json_true());
        if (f->flags & FIELD_IGNORED) set(one, "description", json_string("Kept; has no effect in this version."));
        set(properties, f->name, one);
        if (f->flags & FIELD_REQUIRED) (void)json_array_append_new(required, json_string(f->name));
    }
    if (json_array_size(required) > 0)
        set(j, "required", required);
    else
        json_decref(required);
    return j;
}

/* --- the documents ------------------------------------------------------------------------------------------------ */

static json_t *fledge_schema(void)
{
    return json_pack("{s:[o, o]}", "oneOf", table_schema(config_keys), table_schema(v1_keys));
}

json_t *json_schema_of(const char *name)
{
    json_t *j = json_object(), *body = NULL;
    const char *title = "";

    if (str_eq(name, "fledge")) {
        title = "fledge.toml of Volant, in both dialects";
        body = fledge_schema();
    } else if (str_eq(name, "manifest")) {
        title = "Plugin manifest of Volant";
        body = object_schema(&manifest_schema);
    } else if (str_eq(name, "manifest-toml")) {
        title = "manifest.toml of Volant, beside a fledge.toml with version = \"1\"";
        body = table_schema(v1_manifest_keys);
    }
    set(j, "$schema", json_string(DRAFT));
    set(j, "title", json_string(title));
    if (!body || json_object_update(j, body) < 0) json_decref(take_ptr(j));
    json_decref(body);
    return j;
}
