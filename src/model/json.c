/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text in and out. The parser recurses, so that depth is bounded before it sees the text. */
#include <string.h>

#include "model/schema.h"

#define DEPTH_MAX 64

struct text_place {
    size_t line, column, byte; /* line and column count from 1 */
};

/* Brackets outside strings; whether they match is the parser's business. False, and where, if they nest too deeply. */
static bool depth_fits(const char *text, size_t len, struct text_place *ret_at)
{
    size_t depth = 0, line = 1, line_start = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '\n') {
            line++;
            line_start = i + 1;
        }
        if (in_string) {
            if (c == '\\') i++;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth <= DEPTH_MAX) continue;
            *ret_at = (struct text_place){.line = line, .column = i - line_start + 1, .byte = i + 1};
            return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

int json_parse(const char *text, size_t len, const char *what, json_t **ret, struct vl_error *err)
{
    struct text_place deep;
    char shown[200];
    json_error_t je;
    json_t *j;

    if (len == 0) return vl_fail(err, VL_INVALID, "%s is empty, JSON is expected", what);
    if (!depth_fits(text, len, &deep))
        return vl_fail(err, VL_INVALID, "%s nests deeper than %d levels at line %zu, column %zu (byte %zu)", what,
                       DEPTH_MAX, deep.line, deep.column, deep.byte);
    if ((j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je))) {
        *ret = j;
        return 0;
    }
    if (json_error_code(&je) == json_error_out_of_memory) return vl_fail_errno(err, ENOMEM, "read %s", what);
    (void)escape_printable(shown, sizeof(shown), je.text, strlen(je.text));
    return vl_fail(err, VL_INVALID, "%s is not JSON: %s at line %d, column %d (byte %d)", what, shown, je.line,
                   je.column, je.position);
}

/*
 * Not json_dumps: jansson 2.14 does not look whether a key could be added to its growing text, and where memory runs
 * out there the text is not JSON. Into a buffer that has room nothing can fail.
 */
char *json_text(const json_t *j)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t size = json_dumpb(j, NULL, 0, flags);
    char *text = size > 0 ? malloc(size + 1) : NULL;

    if (!text) return NULL;
    if (json_dumpb(j, text, size, flags) != size) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}
