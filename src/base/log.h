/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on stderr: `2026-01-02T03:04:05.678Z info  loop   vm=web msg...`. Texts are escaped, errno is
 * kept, what is longer than 4 KiB is cut and ends in "...". The level is `info` until it is set. Tokens, environment
 * values and bodies are never logged.
 */
#pragma once
#include "base/defs.h"

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* "error", "warn", "info", "debug"; -EINVAL otherwise. */
int log_parse_level(const char *s, enum log_level *ret);
/* The calling thread's name in its lines (at most 15 bytes, copied). */
void log_set_thread(const char *name);
bool log_enabled(enum log_level level);

/* Where in the source a line is written. */
struct log_place {
    const char *file, *func;
    int line;
};
void log_line(enum log_level level, const struct log_place *place, const char *fmt, ...) printf_(3, 4);

/* A line for something better than stderr; all of it is borrowed. */
struct log_entry {
    enum log_level level;
    const struct log_place *place;
    const char *thread;
    const char *text; /* escaped, without time, level, thread and newline */
};
/*
 * Set before the second thread begins; NULL takes it away. Called from every thread, must not log. False: it could not
 * take the line, which then goes to stderr.
 */
void log_set_sink(bool (*sink)(const struct log_entry *e));

#define log_at_(level, ...)                                                                                            \
    do {                                                                                                               \
        static const struct log_place log_place_ = {__FILE__, __func__, __LINE__};                                     \
        if (log_enabled(level)) log_line(level, &log_place_, __VA_ARGS__);                                             \
    } while (0)
#define log_err(...)   log_at_(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...)  log_at_(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at_(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at_(LOG_LEVEL_DEBUG, __VA_ARGS__)
