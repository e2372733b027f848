/* SPDX-License-Identifier: Apache-2.0 */
/* See logs.h. A record is a header and its text, laid into the ring byte by byte, so that both may wrap. */
#include "kestrel/logs.h"

#include <string.h>

#include "base/str.h"
#include "kestrel/lines.h"

struct record {
    int64_t wall_ms;
    uint32_t n;
    uint32_t stream;
};

const char *log_stream_name(enum log_stream s)
{
    return s == LOG_STDERR ? "stderr" : "stdout";
}

int logs_init(struct logs *l, size_t size)
{
    unsigned char *data = malloc(size); /* large enough that malloc maps it: untouched pages cost nothing */

    if (!data) return -ENOMEM;
    *l = (struct logs){.data = data, .size = size};
    return 0;
}

void logs_done(struct logs *l)
{
    free(l->data);
    l->data = NULL;
}

static void put(struct logs *l, const void *data, size_t n)
{
    size_t at = (size_t)(l->head % l->size);
    size_t before_end = n < l->size - at ? n : l->size - at;

    memcpy(l->data + at, data, before_end);
    if (before_end < n) memcpy(l->data, (const unsigned char *)data + before_end, n - before_end);
    l->head += n;
}

static void get(const struct logs *l, uint64_t from, void *data, size_t n)
{
    size_t at = (size_t)(from % l->size);
    size_t before_end = n < l->size - at ? n : l->size - at;

    memcpy(data, l->data + at, before_end);
    if (before_end < n) memcpy((unsigned char *)data + before_end, l->data, n - before_end);
}

static uint64_t record_end(const struct logs *l, uint64_t at)
{
    struct record r;

    get(l, at, &r, sizeof(r));
    return at + sizeof(r) + r.n;
}

static void add_clean(struct logs *l, enum log_stream stream, int64_t wall_ms, const char *line, size_t n)
{
    struct record r = {.wall_ms = wall_ms, .n = (uint32_t)n, .stream = stream};

    while (l->head + sizeof(r) + n - l->tail > l->size) {
        l->tail = record_end(l, l->tail);
        l->first++;
    }
    put(l, &r, sizeof(r));
    if (n > 0) put(l, line, n);
    l->next++;
}

void logs_add(struct logs *l, enum log_stream stream, int64_t wall_ms, const char *line, size_t n)
{
    if (n <= LOG_LINE_MAX && utf8_prefix(line, n) == n && !memchr(line, '\0', n)) {
        add_clean(l, stream, wall_ms, line, n);
        return;
    }
    do {
        size_t taken, len = line_clean(line, n, l->clean, sizeof(l->clean), &taken);

        add_clean(l, stream, wall_ms, l->clean, len);
        line += taken;
        n -= taken;
    } while (n > 0);
}

struct logs_cursor logs_tail(const struct logs *l, int64_t n)
{
    struct logs_cursor c = {.at = l->tail, .number = l->first};

    if (n < 0) return c;
    if (n == 0) return (struct logs_cursor){.at = l->head, .number = l->next};
    for (; l->next - c.number > (uint64_t)n; c.number++)
        c.at = record_end(l, c.at);
    return c;
}

bool logs_next(const struct logs *l, struct logs_cursor *c, struct log_line *ret)
{
    uint64_t lost = 0;
    struct record r;

    if (c->number < l->first) {
        lost = l->first - c->number;
        *c = (struct logs_cursor){.at = l->tail, .number = l->first};
    }
    if (c->number == l->next) return false;
    get(l, c->at, &r, sizeof(r));
    ret->stream = r.stream;
    ret->wall_ms = r.wall_ms;
    ret->lost = lost;
    ret->n = r.n;
    get(l, c->at + sizeof(r), ret->text, r.n);
    c->at += sizeof(r) + r.n;
    c->number++;
    return true;
}
