/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/lines.h"

#include <string.h>

#include "model/guest.h"

/* What add_line writes, for schemas. */
static const struct field told_fields[] = {
    {"name", FIELD_STRING, .flags = FIELD_EMIT, .about = "The VM's."},
    {"stream", FIELD_STRING, .flags = FIELD_EMIT, .about = "stdout, stderr, console."},
    {"line", FIELD_STRING, .flags = FIELD_EMIT},
    {"timestamp", FIELD_STRING, .flags = FIELD_EMIT, .about = "Empty for console lines."},
};
const struct schema log_line_schema = {"line", 0, told_fields, ARRAY_LEN(told_fields)};

static void add_member(struct strbuf *b, const char *key, const char *value, size_t n)
{
    strbuf_adds(b, key);
    strbuf_add_json(b, value, n);
}

static void add_line(struct strbuf *b, const char *name, const char *stream, const char *line, size_t n,
                     const char *timestamp)
{
    add_member(b, "{\"name\":", name, strlen(name));
    add_member(b, ",\"stream\":", stream, strlen(stream));
    add_member(b, ",\"line\":", line, n);
    add_member(b, ",\"timestamp\":", timestamp, strlen(timestamp));
    strbuf_adds(b, "}\n");
}

void lines_add(struct strbuf *b, const char *name, const char *stream, const char *line, const char *timestamp)
{
    add_line(b, name, stream, line, strlen(line), timestamp);
}

void lines_add_end(struct strbuf *b, const char *name, json_t *vm)
{
    json_auto_t *line = NULL;
    auto_free char *text = NULL;

    if (!vm) return;
    line = json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", name, "stream", "volantd", "line", "", "timestamp", "", "vm",
                     vm);
    if ((text = line ? json_text(line) : NULL))
        strbuf_addf(b, "%s\n", text);
    else
        b->failed = true;
}

int lines_add_guest(struct strbuf *b, const char *name, const char *json, size_t n)
{
    json_auto_t *j = NULL;
    struct guest_log log = {0};
    int r;

    if ((r = json_parse(json, n, "line", &j, NULL)) < 0 ||
        (r = schema_decode(&guest_log_schema, j, NULL, &log, NULL, NULL)) < 0)
        return r;
    lines_add(b, name, log.stream ? log.stream : "stdout", log.line ? log.line : "",
              log.timestamp ? log.timestamp : "");
    schema_done(&guest_log_schema, &log);
    return 0;
}

/* Where the last `tail` lines (at least one) begin. A newline at the very end begins none. */
static const char *tail_start(const char *text, size_t n, int64_t tail)
{
    const char *at = text + n;

    if (n > 0 && at[-1] == '\n') at--;
    for (; at > text; at--)
        if (at[-1] == '\n' && --tail == 0) break;
    return at;
}

void lines_add_console(struct strbuf *b, const char *name, const char *text, size_t n, int64_t tail)
{
    const char *end = text + n, *line = tail < 0 ? text : tail == 0 ? end : tail_start(text, n, tail);

    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *stop = newline ? newline : end;
        size_t len = (size_t)(stop - line);

        while (len > 0 && line[len - 1] == '\r')
            len--;
        if (len > LOG_LINE_MAX) len = LOG_LINE_MAX;
        add_line(b, name, "console", line, len, "");
        line = newline ? newline + 1 : end;
    }
}
