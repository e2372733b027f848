/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Deadlines are CLOCK_MONOTONIC milliseconds; wall-clock time is only ever shown. */
#pragma once
#include "base/defs.h"

int64_t mono_ms(void);
int64_t mono_us(void);
/* CLOCK_REALTIME in milliseconds since 1970. */
int64_t wall_ms(void);
/* RFC 3339 in UTC with `Z`: milliseconds where ms % 1000 != 0, else whole seconds. buf holds 32 bytes. */
void format_time(int64_t wall_ms, char buf[static 32]);
/* Sleeps so long, or until a signal: between two looks at something that nobody tells of. */
void pause_ms(int64_t ms);
/* Milliseconds left until the deadline, never below 0. A negative deadline ("none") gives -1, as poll(2) wants it. */
int deadline_left(int64_t deadline_ms);
