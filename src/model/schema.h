/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs described by field tables, from which decoder, encoder, validation and JSON Schemas are derived. A decoded
 * struct owns all its memory; schema_done releases it.
 */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

struct schema;

enum field_type {
    FIELD_STRING,  /* char *; NULL when absent. min/max bound its length in bytes where max > 0 */
    FIELD_BOOL,    /* bool */
    FIELD_INT,     /* int64_t within [min, max]; any where both are 0 */
    FIELD_STRINGS, /* struct strv; min/max bound the count where max > 0, else 0 to FIELD_ITEMS_MAX */
    FIELD_MAP,     /* struct strmap; counted as FIELD_STRINGS */
    FIELD_OBJECT,  /* the struct of `sub`, in place; a required one must be present */
    FIELD_OBJECTS, /* struct objects of `sub`; counted as FIELD_STRINGS */
    FIELD_JSON, /* any JSON object, kept as compact text in a char *; NULL when absent. max bounds the text's bytes */
};
#define FIELD_ITEMS_MAX 1024

enum field_flags {
    FIELD_REQUIRED = 1, /* absent or null is an error; encoded even when empty */
    FIELD_EMIT = 2,     /* encoded even when empty (NULL as "", 0, false, [] or {}) */
    FIELD_IGNORED = 4,  /* a key of the contract that this version accepts (by type) and does nothing with; no offset */
    FIELD_INTERNAL = 8, /* encoded but never accepted from outside: in input it counts as unknown */
    FIELD_KEPT = 32,    /* FIELD_JSON: likewise without effect, but kept and given back */
    FIELD_TOLD = 16,    /* FIELD_STRING: min, max and choices are for schemas: a rule behind the table judges */
};

struct field {
    const char *name;
    enum field_type type;
    unsigned flags;
    size_t offset;
    int64_t min, max;
    int64_t def; /* FIELD_INT, FIELD_BOOL: value when absent; unless required, allowed outside [min, max] too */
    const char *const
        *choices;             /* FIELD_STRING: NULL-terminated; NULL: anything. Unless required, "" counts as absent */
    const struct schema *sub; /* may be NULL with FIELD_IGNORED */
    const char *about;        /* a sentence for JSON Schemas; NULL: the name says it */
    const char *pattern; /* FIELD_STRING: what a rule behind the table asks for, as schemas tell it; NULL: nothing */
    const char *format;  /* likewise, as in "date-time" */
};

struct schema {
    const char *name; /* "manifest": begins error paths only where the caller gives no prefix */
    size_t size;
    const struct field *fields;
    size_t n_fields;
};

/* String to string, in the order of the input; keys are unique. All zero is empty. */
struct strmap {
    struct strpair {
        char *key, *value;
    } * items;
    size_t len;
};
void strmap_done(struct strmap *m);
int strmap_set(struct strmap *m, const char *key, const char *value); /* copies; replaces; -ENOMEM */
const char *strmap_get(const struct strmap *m, const char *key);      /* borrowed; NULL if absent */

/* *slot becomes a copy of `text` (NULL stays NULL) and what was there is freed; -ENOMEM leaves it. */
int string_set(char **slot, const char *text);

/* A vector of structs of one schema. */
struct objects {
    void *items;
    size_t len;
};

/*
 * Fills *ret (any content; overwritten) from a JSON object. VL_INVALID names the whole path, what was found and what is
 * allowed: "config.expose[1].port is 70000, allowed 1 to 65535". `prefix` begins paths: NULL is the schema's name, ""
 * is nothing. null counts as absent. Unknown and ignored keys are accepted; a text about each ("'config.foo' is unknown
 * and ignored"; at most 64 of them, and of ignored keys only those that carry something) is added to `unknown` where it
 * is not NULL. On failure *ret is all zero.
 */
int schema_decode(const struct schema *s, const json_t *obj, const char *prefix, void *ret, struct strv *unknown,
                  struct vl_error *err);
/*
 * A new object with the fields in table order, those left out that decode the same when absent (unless FIELD_EMIT or
 * FIELD_REQUIRED); NULL when out of memory. Bytes that are not UTF-8 become U+FFFD.
 */
json_t *schema_encode(const struct schema *s, const void *obj);
/*
 * The JSON Schema (2020-12, in the subset that OpenAPI 3.0 shares: no $ref, no null) of what schema_decode accepts or
 * schema_encode gives. NULL when out of memory.
 */
enum schema_use {
    SCHEMA_INPUT,
    SCHEMA_INPUT_CLOSED, /* unknown keys are refused, as those do who ask schema_decode for them */
    SCHEMA_OUTPUT,       /* what is always encoded is required */
};
json_t *schema_json(const struct schema *s, enum schema_use use);
/* Releases and zeroes what the table describes; all zero is fine. */
void schema_done(const struct schema *s, void *obj);
/* A deep copy of what the table describes over *dst (any content; overwritten); -ENOMEM (then *dst is all zero). */
int schema_copy(const struct schema *s, const void *src, void *dst);
/* Whether the two have the same content, and so are encoded alike; NULL is as "". */
bool schema_equal(const struct schema *s, const void *a, const void *b);

/* Text to JSON with duplicates rejected and depth bounded (64); VL_INVALID says where. `what` begins the message. */
int json_parse(const char *text, size_t len, const char *what, json_t **ret, struct vl_error *err);
/* Compact text, the caller's; NULL when out of memory. */
char *json_text(const json_t *j);

/* Text from outside as messages show it: in double quotes, control bytes escaped, cut after 60 bytes. Gives buf. */
#define QUOTED_SIZE 68
const char *quoted(const char *s, char buf[static QUOTED_SIZE]);
