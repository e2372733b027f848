/* SPDX-License-Identifier: Apache-2.0 */
/* See lines.h. A line that arrives whole is handed on from where it lies; only torn ones are copied. */
#include "kestrel/lines.h"

#include <string.h>

#include "base/str.h"

/* Where to cut n (full) bytes: not inside a character, unless what is there is no text anyway. */
static size_t cut_at(const char *s, size_t n)
{
    size_t whole = utf8_prefix(s, n);

    return n - whole < 4 && whole > 0 ? whole : n;
}

/* Adds to what is waiting, as much as fits; how much that was. */
static size_t keep(struct splitter *s, const char *data, size_t n)
{
    size_t room = sizeof(s->buf) - s->len;
    size_t taken = n < room ? n : room;

    memcpy(s->buf + s->len, data, taken);
    s->len += taken;
    return taken;
}

static void hand_on_full(struct splitter *s)
{
    size_t cut = cut_at(s->buf, s->len);

    s->line(s->arg, s->buf, cut);
    s->len -= cut;
    memmove(s->buf, s->buf + cut, s->len);
}

void splitter_feed(struct splitter *s, const char *data, size_t n)
{
    while (n > 0) {
        const char *newline = memchr(data, '\n', n);
        size_t len = newline ? (size_t)(newline - data) : n;

        if (newline && s->len == 0 && len <= sizeof(s->buf)) {
            s->line(s->arg, data, len);
        } else {
            for (size_t taken = 0; taken < len;) {
                if (s->len == sizeof(s->buf)) hand_on_full(s);
                taken += keep(s, data + taken, len - taken);
            }
            if (newline) splitter_end(s);
        }
        if (newline) len++;
        data += len;
        n -= len;
    }
}

void splitter_end(struct splitter *s)
{
    if (s->len == 0) return;
    s->line(s->arg, s->buf, s->len);
    s->len = 0;
}

/* Bytes of the valid character that s begins with; 0 if there is none, or a NUL. */
static size_t char_bytes(const char *s, size_t n)
{
    unsigned char lead = (unsigned char)s[0];
    size_t want = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    return lead != 0 && want <= n && utf8_prefix(s, want) == want ? want : 0;
}

size_t line_clean(const char *line, size_t n, char *buf, size_t size, size_t *ret_taken)
{
    static const char replacement[] = {'\xef', '\xbf', '\xbd'};
    size_t taken = 0, len = 0;

    while (taken < n) {
        size_t bytes = char_bytes(line + taken, n - taken);
        size_t need = bytes > 0 ? bytes : sizeof(replacement);

        if (need > size - len) break;
        memcpy(buf + len, bytes > 0 ? line + taken : replacement, need);
        len += need;
        taken += bytes > 0 ? bytes : 1;
    }
    *ret_taken = taken;
    return len;
}
