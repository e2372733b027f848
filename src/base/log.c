/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one write(2) each, so that lines of several threads and processes on one stderr never mix. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define LINE_MAX_BYTES 4096

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int max_level = LOG_LEVEL_INFO;
static _Thread_local char thread_name[16] = "main";
static bool (*sink)(const struct log_entry *e);

void log_set_sink(bool (*new_sink)(const struct log_entry *e))
{
    sink = new_sink;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

int log_parse_level(const char *s, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
        if (str_eq(s, level_names[i])) {
            *ret = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

void log_set_thread(const char *name)
{
    (void)snprintf(thread_name, sizeof(thread_name), "%s", name);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* "2026-01-02T03:04:05.678Z warn  loop   ": milliseconds always, so that lines stay aligned. */
static size_t add_prefix(char *line, size_t size, enum log_level level)
{
    int64_t now = wall_ms();
    char when[32];
    int n;

    format_time(now - now % 1000, when);
    n = snprintf(line, size, "%.19s.%03dZ %-5s %-6s ", when, (int)(now % 1000), level_names[level], thread_name);
    return n < 0 ? 0 : (size_t)n;
}

/* Escaped, and where it was cut it says so: its length. */
static size_t add_text(char *line, size_t size, const char *fmt, va_list ap) printf_(3, 0);
static size_t add_text(char *line, size_t size, const char *fmt, va_list ap)
{
    static const char cut_mark[] = "...";
    char text[LINE_MAX_BYTES];
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    size_t len, used;

    if (n < 0) text[0] = '\0';
    used = escape_printable(line, size - sizeof(cut_mark), text, strlen(text));
    len = strlen(line);
    if (n > 0 && used < (size_t)n) {
        memcpy(line + len, cut_mark, sizeof(cut_mark));
        len += sizeof(cut_mark) - 1;
    }
    return len;
}

void log_line(enum log_level level, const struct log_place *place, const char *fmt, ...)
{
    int saved = errno;
    char line[LINE_MAX_BYTES];
    size_t prefix = add_prefix(line, sizeof(line), level), len;
    va_list ap;

    va_start(ap, fmt);
    len = prefix + add_text(line + prefix, sizeof(line) - prefix - 1, fmt, ap);
    va_end(ap);
    if (!sink || !sink(&(struct log_entry){level, place, thread_name, line + prefix})) {
        line[len++] = '\n';
        (void)!write(STDERR_FILENO, line, len);
    }
    errno = saved;
}
