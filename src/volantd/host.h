/* SPDX-License-Identifier: Apache-2.0 */
/* How busy the host is, from /proc; reading it does not block. What cannot be read is 0. */
#pragma once
#include "base/defs.h"

struct host_memory {
    uint64_t total, available; /* bytes, of the host */
    uint64_t own;              /* resident, of this process */
};
void host_memory_read(struct host_memory *ret);
double host_memory_percent(void); /* used */

struct host_cpu {
    uint64_t total, idle; /* ticks at the last question; all zero before the first */
};
/* Since the last question, or since boot. */
double host_cpu_percent(struct host_cpu *last);

/* The number behind "Key:" in a text like /proc/meminfo (in kB there), or 0. */
uint64_t host_field(const char *text, const char *key);
/* The first line of /proc/stat. */
void host_cpu_parse(const char *text, struct host_cpu *ret);
