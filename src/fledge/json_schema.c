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
        body = schema_json(&manifest_schema, SCHEMA_INPUT); /* unknown keys are kept for later versions */
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
