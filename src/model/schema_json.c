/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema out of a field table: what decoder and encoder do, told to those who must know it before. */
#include "model/schema.h"

static void set(json_t *j, const char *key, json_t *steal)
{
    if (j)
        (void)json_object_set_new(j, key, steal);
    else
        json_decref(steal);
}

static json_t *typed(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static void set_bounds(json_t *j, const struct field *f, const char *min, const char *max)
{
    if (f->max <= 0) return;
    if (f->min > 0) set(j, min, json_integer(f->min));
    set(j, max, json_integer(f->max));
}

static json_t *string_schema(const struct field *f)
{
    json_t *j = typed("string"), *choices;

    set_bounds(j, f, "minLength", "maxLength");
    if (f->pattern) set(j, "pattern", json_string(f->pattern));
    if (f->format) set(j, "format", json_string(f->format));
    if (!f->choices || !j) return j;
    choices = json_array();
    for (size_t i = 0; choices && f->choices[i]; i++)
        (void)json_array_append_new(choices, json_string(f->choices[i]));
    set(j, "enum", choices);
    return j;
}

static json_t *int_schema(const struct field *f)
{
    json_t *j = typed("integer");
    bool bounded = f->min != 0 || f->max != 0;

    if (bounded) set(j, "minimum", json_integer(f->min));
    if (bounded && f->max != INT64_MAX) set(j, "maximum", json_integer(f->max));
    if (f->def != 0 && bounded && f->def >= f->min && f->def <= f->max) set(j, "default", json_integer(f->def));
    return j;
}

/* What is counted has a bound in input, whatever the table says. */
static void set_counts(json_t *j, const struct field *f, enum schema_use use, const char *min, const char *max)
{
    if (f->max > 0)
        set_bounds(j, f, min, max);
    else if (use != SCHEMA_OUTPUT)
        set(j, max, json_integer(FIELD_ITEMS_MAX));
}

static json_t *list_schema(const struct field *f, enum schema_use use, json_t *items)
{
    json_t *j = typed("array");

    set(j, "items", items);
    set_counts(j, f, use, "minItems", "maxItems");
    return j;
}

static json_t *map_schema(const struct field *f, enum schema_use use)
{
    json_t *j = typed("object");

    set(j, "additionalProperties", typed("string"));
    set_counts(j, f, use, "minProperties", "maxProperties");
    return j;
}

static json_t *bool_schema(const struct field *f)
{
    json_t *j = typed("boolean");

    if (f->def) set(j, "default", json_true());
    return j;
}

static json_t *field_schema(const struct field *f, enum schema_use use)
{
    switch (f->type) {
    case FIELD_STRING:
        return string_schema(f);
    case FIELD_BOOL:
        return bool_schema(f);
    case FIELD_INT:
        return int_schema(f);
    case FIELD_STRINGS:
        return list_schema(f, use, typed("string"));
    case FIELD_MAP:
        return map_schema(f, use);
    case FIELD_OBJECT:
        return f->sub ? schema_json(f->sub, use) : typed("object");
    case FIELD_OBJECTS:
        return list_schema(f, use, f->sub ? schema_json(f->sub, use) : typed("object"));
    case FIELD_JSON:
        return typed("object");
    }
    return NULL;
}

static bool is_required(const struct field *f, enum schema_use use)
{
    return (f->flags & FIELD_REQUIRED) || (use == SCHEMA_OUTPUT && (f->flags & FIELD_EMIT));
}

json_t *schema_json(const struct schema *s, enum schema_use use)
{
    const unsigned hidden = FIELD_IGNORED | (use == SCHEMA_OUTPUT ? 0 : FIELD_INTERNAL);
    json_t *j = typed("object"), *properties = json_object(), *required = json_array();

    for (size_t i = 0; i < s->n_fields; i++) {
        const struct field *f = &s->fields[i];
        json_t *property;

        if (f->flags & hidden) continue;
        property = field_schema(f, use);
        if (f->about) set(property, "description", json_string(f->about));
        set(properties, f->name, property);
        if (required && is_required(f, use)) (void)json_array_append_new(required, json_string(f->name));
    }
    set(j, "properties", properties);
    if (json_array_size(required) > 0)
        set(j, "required", required);
    else
        json_decref(required);
    if (use == SCHEMA_INPUT_CLOSED) set(j, "additionalProperties", json_false());
    return j;
}
