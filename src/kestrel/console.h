/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's console as a place to put lines: it never blocks PID 1. A slow console gets a bounded queue, out of
 * which the oldest whole lines are left out: how many is said there, and the last words are what stays. Loop thread
 * only.
 */
#pragma once
#include "base/loop.h"
#include "base/str.h"

#define CONSOLE_QUEUE_MAX 65536UL /* bytes that wait for a slow console */

struct console {
    int fd; /* borrowed, non-blocking; -1: nowhere */
    struct loop *loop;
    struct watch watch;  /* armed only while something waits */
    struct strbuf going; /* private: being written, up to the end of a line */
    struct strbuf kept;  /* private: behind that, lines of what was left out */
    struct strbuf queue; /* private: then whole lines, each behind a byte that says whether it matters */
    uint64_t left_out;   /* lines between `going` and `queue` */
};

/* `fd` (borrowed; made non-blocking) may be -1: then lines go nowhere. */
void console_init(struct console *c, struct loop *l, int fd);
void console_done(struct console *c);
#define auto_console auto_(console_done) struct console
/* One line of n bytes without a newline, which is added; other foreign bytes go out as they are. */
void console_line(struct console *c, bool matters, const char *line, size_t n);
/* Something still waits for a slow console. */
bool console_busy(const struct console *c);
/* Of what waits, only the last lines of `max` bytes together: there is little time left. */
void console_keep_end(struct console *c, size_t max);

/* "volant: ..." straight to `fd`, for the time before and after a loop; waits at most `wait_ms` for a slow console. */
void console_say(int fd, int wait_ms, const char *fmt, ...) printf_(3, 4);
/* Waits until the console's driver has handed everything to the device, at most `wait_ms`. */
void console_flush(int fd, int wait_ms);
