/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/host.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"

#define PROC_MAX (256ul * 1024)

static char *read_proc(const char *path)
{
    char *text;

    return read_file_at(AT_FDCWD, path, PROC_MAX, &text, NULL) < 0 ? NULL : text;
}

/* The decimal number at *s, past blanks; *s is behind it then. */
static uint64_t next_number(const char **s)
{
    uint64_t n = 0;

    *s += strspn(*s, " \t");
    for (; **s >= '0' && **s <= '9'; (*s)++)
        n = n * 10 + (uint64_t)(**s - '0');
    return n;
}

uint64_t host_field(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
        if (strncmp(line, key, len) != 0 || line[len] != ':') continue;
        line += len + 1;
        return next_number(&line);
    }
    return 0;
}

void host_memory_read(struct host_memory *ret)
{
    auto_free char *memory = read_proc("/proc/meminfo"), *status = read_proc("/proc/self/status");

    *ret = (struct host_memory){0};
    if (memory) {
        ret->total = host_field(memory, "MemTotal") * 1024;
        ret->available = host_field(memory, "MemAvailable") * 1024;
    }
    if (status) ret->own = host_field(status, "VmRSS") * 1024;
}

double host_memory_percent(void)
{
    struct host_memory m;

    host_memory_read(&m);
    if (m.total == 0 || m.available > m.total) return 0;
    return (double)(m.total - m.available) * 100 / (double)m.total;
}

/* user nice system idle iowait irq softirq steal; guest time is part of user. */
void host_cpu_parse(const char *text, struct host_cpu *ret)
{
    struct host_cpu now = {0};

    text += strcspn(text, " ");
    for (int i = 0; i < 8; i++) {
        uint64_t ticks = next_number(&text);

        now.total += ticks;
        if (i == 3 || i == 4) now.idle += ticks;
    }
    *ret = now;
}

double host_cpu_percent(struct host_cpu *last)
{
    auto_free char *text = read_proc("/proc/stat");
    struct host_cpu before = *last;
    uint64_t total, idle;

    if (!text) return 0;
    host_cpu_parse(text, last);
    total = last->total - before.total;
    idle = last->idle - before.idle;
    return total == 0 || idle > total ? 0 : (double)(total - idle) * 100 / (double)total;
}
