/* SPDX-License-Identifier: Apache-2.0 */
/* What a modern client repeats in headers, so that something between may route without reading bodies. */
#include <string.h>
#include <strings.h>

#include "mcp/internal.h"

#define MARK_BEGIN "=?base64?"
#define MARK_END   "?="

static size_t skip_space(const char **s)
{
    size_t n;

    while (**s == ' ' || **s == '\t')
        (*s)++;
    for (n = strlen(*s); n > 0 && ((*s)[n - 1] == ' ' || (*s)[n - 1] == '\t'); n--)
        ;
    return n;
}

bool header_is(const char *header, const char *value)
{
    size_t n = header ? skip_space(&header) : 0;

    return header && n == strlen(value) && memcmp(header, value, n) == 0;
}

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Whole groups of four with their padding, and no bits left over. NULL: it is not that, or no UTF-8. */
static char *decode_base64(const char *s, size_t n)
{
    auto_free char *out = malloc(n / 4 * 3 + 1);
    size_t len = 0, digits = n;
    unsigned bits = 0, have = 0;

    if (!out || n % 4 != 0) return NULL;
    while (digits > 0 && n - digits < 2 && s[digits - 1] == '=')
        digits--;
    for (size_t i = 0; i < digits; i++) {
        int d = digit(s[i]);

        if (d < 0) return NULL;
        bits = bits << 6 | (unsigned)d;
        if ((have += 6) < 8) continue;
        have -= 8;
        out[len++] = (char)(bits >> have & 0xff);
        bits &= (1u << have) - 1;
    }
    if (bits != 0) return NULL;
    out[len] = '\0';
    return strlen(out) == len && utf8_prefix(out, len) == len ? take_ptr(out) : NULL;
}

bool header_names(const char *header, const char *value)
{
    const size_t begin = sizeof(MARK_BEGIN) - 1, end = sizeof(MARK_END) - 1;
    auto_free char *decoded = NULL;
    size_t n;

    if (!header) return false;
    n = skip_space(&header);
    if (n < begin + end || memcmp(header, MARK_BEGIN, begin) != 0 || memcmp(header + n - end, MARK_END, end) != 0)
        return header_is(header, value);
    decoded = decode_base64(header + begin, n - begin - end);
    return str_eq(decoded, value);
}

/* The first n bytes, without their case. */
static bool is_word(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(s, word, n) == 0;
}

bool is_json_type(const char *content_type)
{
    size_t n;

    if (!content_type) return false;
    (void)skip_space(&content_type);
    n = strcspn(content_type, "; \t");
    return is_word(content_type, n, "application/json");
}

bool accepts(const char *accept, const char *type)
{
    size_t major = strcspn(type, "/");

    while (accept && *accept) {
        size_t whole = strcspn(accept, ","), n;
        const char *s = accept;

        (void)skip_space(&s);
        n = strcspn(s, ",; \t");
        if (is_word(s, n, type) || is_word(s, n, "*/*")) return true;
        if (n == major + 2 && strncasecmp(s, type, major + 1) == 0 && s[n - 1] == '*') return true;
        accept += whole + (accept[whole] == ',');
    }
    return !accept;
}
