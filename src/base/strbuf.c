/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable bytes and string vectors: a failed allocation is remembered, so that a long row of appends is checked once.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define STRBUF_FIRST 64

void strbuf_done(struct strbuf *b)
{
    free(b->data);
    *b = (struct strbuf){0};
}

/* Room for n more bytes and the NUL behind them. */
static bool reserve(struct strbuf *b, size_t n)
{
    size_t need, cap = b->cap ? b->cap : STRBUF_FIRST;
    char *grown;

    if (b->failed) return false;
    if (__builtin_add_overflow(b->len, n, &need) || need >= SIZE_MAX / 2) {
        b->failed = true;
        return false;
    }
    if (need < b->cap) return true;
    while (cap <= need)
        cap *= 2;
    if (!(grown = realloc(b->data, cap))) {
        b->failed = true;
        return false;
    }
    b->data = grown;
    b->cap = cap;
    b->data[b->len] = '\0';
    return true;
}

void strbuf_add(struct strbuf *b, const void *data, size_t n)
{
    if (n == 0 || !reserve(b, n)) return;
    memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) b->failed = true;
    if (n < 0 || !reserve(b, (size_t)n)) return;
    va_start(ap, fmt);
    (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

/* What a JSON string needs escaped: the text after the backslash, or NULL. */
static const char *json_escape(unsigned char c, char buf[static 8])
{
    switch (c) {
    case '"':
        return "\"";
    case '\\':
        return "\\";
    case '\n':
        return "n";
    case '\r':
        return "r";
    case '\t':
        return "t";
    case '\0':
        return "ufffd"; /* legal as \u0000, but jansson and other C readers refuse that */
    default:
        if (c >= 0x20) return NULL;
        (void)snprintf(buf, 8, "u%04x", c);
        return buf;
    }
}

/* n bytes of valid UTF-8 */
static void add_json_run(struct strbuf *b, const char *s, size_t n)
{
    const char *escape;
    size_t start = 0;
    char buf[8];

    for (size_t i = 0; i < n; i++) {
        if (!(escape = json_escape((unsigned char)s[i], buf))) continue;
        strbuf_add(b, s + start, i - start);
        strbuf_add(b, "\\", 1);
        strbuf_adds(b, escape);
        start = i + 1;
    }
    strbuf_add(b, s + start, n - start);
}

void strbuf_add_json(struct strbuf *b, const char *s, size_t n)
{
    strbuf_add(b, "\"", 1);
    while (n > 0) {
        size_t run = utf8_prefix(s, n);

        add_json_run(b, s, run);
        if (run < n) {
            strbuf_adds(b, "\\ufffd");
            run++;
        }
        s += run;
        n -= run;
    }
    strbuf_add(b, "\"", 1);
}

void strbuf_add_printable(struct strbuf *b, const char *s, size_t n)
{
    size_t room;

    if (n == 0) return;
    if (__builtin_mul_overflow(n, 4, &room) || room > SIZE_MAX - 8) {
        b->failed = true;
        return;
    }
    if (!reserve(b, room)) return;
    (void)escape_printable(b->data + b->len, room + 1, s, n);
    b->len += strlen(b->data + b->len);
}

void strbuf_consume(struct strbuf *b, size_t n)
{
    if (n > b->len) n = b->len;
    if (n == 0) return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len + 1);
}

char *strbuf_take(struct strbuf *b)
{
    char *data;

    (void)reserve(b, 0);
    data = b->failed ? NULL : take_ptr(b->data);
    strbuf_done(b);
    return data;
}

void strv_done(struct strv *v)
{
    for (size_t i = 0; i < v->len; i++)
        free(v->items[i]);
    free(v->items);
    *v = (struct strv){0};
}

/* Takes ownership of s also when it fails; NULL is a failed allocation of the caller. */
static int strv_push(struct strv *v, char *s)
{
    char **items = s ? reallocarray(v->items, v->len + 2, sizeof(*items)) : NULL;

    if (!items) {
        free(s);
        return -ENOMEM;
    }
    items[v->len++] = s;
    items[v->len] = NULL;
    v->items = items;
    return 0;
}

int strv_add(struct strv *v, const char *s)
{
    return strv_push(v, strdup(s));
}

int strbuf_each_line(struct strbuf *b, int (*line)(void *arg, const char *text, size_t n), void *arg)
{
    size_t start = 0;
    char *newline;
    int r = 0;

    while (r == 0 && start < b->len && (newline = memchr(b->data + start, '\n', b->len - start))) {
        char *text = b->data + start;
        size_t n = (size_t)(newline - text);

        *newline = '\0';
        start += n + 1;
        r = line(arg, text, n);
    }
    strbuf_consume(b, start);
    return r;
}

void strv_cut(struct strv *v, size_t len)
{
    for (; v->len > len; v->len--)
        free(take_ptr(v->items[v->len - 1]));
}

int strv_addf(struct strv *v, const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return strv_push(v, n < 0 ? NULL : s);
}
