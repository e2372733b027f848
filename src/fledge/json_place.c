/* SPDX-License-Identifier: Apache-2.0 */
/* See json_place.h. A reader of JSON that is known to be right, so that nothing but its ends has to be watched. */
#include "fledge/json_place.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

struct scan {
    const char *at, *end;
    struct json_place place; /* of `at` */
};

static char here(const struct scan *s)
{
    if (s->at == s->end) return '\0';
    return *s->at;
}

static void step(struct scan *s)
{
    if (s->at == s->end) return;
    if (*s->at == '\n') {
        s->place.line++;
        s->place.column = 1;
    } else if ((*s->at & 0xc0) != 0x80) {
        s->place.column++;
    }
    s->at++;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && strchr(" \t\r\n", *s->at))
        step(s);
}

/* With its quotes. */
static void skip_string(struct scan *s)
{
    for (step(s); s->at < s->end && *s->at != '"'; step(s))
        if (*s->at == '\\') step(s);
    step(s);
}

/* Nesting is counted, so that it costs no stack. */
static void skip_value(struct scan *s)
{
    unsigned depth = 0;

    do {
        char c = here(s);

        if (c == '"') {
            skip_string(s);
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && depth-- == 0) return; /* of what it is in */
        if (c == ',' && depth == 0) return;
        step(s);
    } while (s->at < s->end && (depth > 0 || !strchr(",]} \t\r\n", *s->at)));
}

/* How much of `path` the key takes, with what follows it; 0: it is another. Keys may have dots in them. */
static size_t takes(const char *path, const char *key, size_t len)
{
    if (strncmp(path, key, len) != 0 || !strchr(".[ :", path[len])) return 0;
    return len + (path[len] == '.');
}

/* In an object, the value of the key that path begins with: the rest of path, NULL if there is none. */
static const char *enter_object(struct scan *s, const char *path)
{
    while (s->at < s->end && here(s) != '}') {
        const char *key;
        size_t len, taken;

        step(s); /* { or , */
        skip_space(s);
        if (here(s) != '"') return NULL;
        key = s->at + 1;
        skip_string(s);
        len = (size_t)(s->at - key) - 1;
        skip_space(s);
        step(s); /* : */
        skip_space(s);
        if ((taken = takes(path, key, len)) > 0) return path + taken;
        skip_value(s);
        skip_space(s);
    }
    return NULL;
}

static const char *enter_array(struct scan *s, const char *path)
{
    size_t digits = *path == '[' ? strspn(path + 1, "0123456789") : 0;
    char text[24];
    uint64_t index;

    if (digits == 0 || strf(text, sizeof(text), "%.*s", (int)digits, path + 1) < 0) return NULL;
    if (parse_u64(text, 0, UINT32_MAX, &index) < 0 || path[1 + digits] != ']') return NULL;
    path += digits + 2;
    step(s); /* [ */
    for (skip_space(s); index > 0; index--) {
        skip_value(s);
        skip_space(s);
        if (here(s) != ',') return NULL;
        step(s);
        skip_space(s);
    }
    return here(s) == ']' ? NULL : path + (*path == '.');
}

struct json_place json_place_of(const char *text, size_t len, const char *path)
{
    struct scan s = {.at = text, .end = text + len, .place = {1, 1}};
    struct json_place found;

    do {
        skip_space(&s);
        found = s.place;
        path = here(&s) == '{' ? enter_object(&s, path) : here(&s) == '[' ? enter_array(&s, path) : NULL;
    } while (path);
    return found;
}
