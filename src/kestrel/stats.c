/* SPDX-License-Identifier: Apache-2.0 */
/* See stats.h and proc(5). */
#include "kestrel/stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define PROC_FILE_MAX 65536
#define KTHREADD      2 /* parent of every kernel thread */

/* The decimal number at the start of s after blanks, 0 if there is none; *ret_end is behind it. */
static int64_t number(const char *s, const char **ret_end)
{
    int64_t n = 0;

    while (*s == ' ' || *s == '\t')
        s++;
    for (; *s >= '0' && *s <= '9' && n < INT64_MAX / 10 - 9; s++)
        n = n * 10 + (*s - '0');
    *ret_end = s;
    return n;
}

static char *read_text(int dir_fd, const char *path)
{
    char *text;
    size_t len;

    return read_file_at(dir_fd, path, PROC_FILE_MAX, &text, &len) < 0 ? NULL : text;
}

static int64_t after_key(const char *text, const char *key)
{
    const char *at = strstr(text, key), *end;

    return at ? number(at + strlen(key), &end) : 0;
}

static void read_memory(int proc_fd, struct guest_stats *st)
{
    auto_free char *text = read_text(proc_fd, "meminfo");

    if (!text) return;
    st->memory_total = after_key(text, "MemTotal:") * 1024;
    st->memory_available = after_key(text, "MemAvailable:") * 1024;
}

/* The first line: "cpu user nice system idle iowait irq softirq ..." in ticks. */
static void read_cpu(int proc_fd, struct guest_stats *st)
{
    auto_free char *text = read_text(proc_fd, "stat");
    int64_t ms_per_tick = 1000 / sysconf(_SC_CLK_TCK), ticks[7];
    const char *at;

    if (!text || !str_starts(text, "cpu ")) return;
    at = text + 4;
    for (size_t i = 0; i < ARRAY_LEN(ticks); i++)
        ticks[i] = number(at, &at);
    st->cpu_user_ms = (ticks[0] + ticks[1]) * ms_per_tick;
    st->cpu_system_ms = (ticks[2] + ticks[5] + ticks[6]) * ms_per_tick;
    st->cpu_idle_ms = (ticks[3] + ticks[4]) * ms_per_tick;
}

/* Field 4 of /proc/PID/stat, counted from behind the name, which may hold anything. */
static bool is_kernel_thread(int proc_fd, const char *pid)
{
    auto_free char *text = NULL;
    const char *at;
    char path[32];

    if (strf(path, sizeof(path), "%s/stat", pid) < 0 || !(text = read_text(proc_fd, path))) return true;
    at = strrchr(text, ')');
    return !at || strlen(at) < 5 || number(at + 3, &at) == KTHREADD || str_starts(text, "2 ");
}

static int64_t count_processes(int proc_fd)
{
    int copy = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    int64_t n = 0;

    if (!d) {
        closep(&copy);
        return 0;
    }
    for (const struct dirent *e; (e = readdir(d));) /* NOLINT(concurrency-mt-unsafe): one thread */
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && !is_kernel_thread(proc_fd, e->d_name)) n++;
    (void)closedir(d);
    return n;
}

static int64_t resident_bytes(int proc_fd, pid_t pid)
{
    auto_free char *text = NULL;
    const char *at;
    char path[32];

    if (strf(path, sizeof(path), "%d/statm", pid) < 0 || !(text = read_text(proc_fd, path))) return 0;
    (void)number(text, &at);
    return number(at, &at) * sysconf(_SC_PAGESIZE);
}

void stats_read(int proc_fd, pid_t workload, struct guest_stats *ret)
{
    struct guest_stats st = {.uptime_ms = mono_ms(), .workload_pid = workload};

    read_memory(proc_fd, &st);
    read_cpu(proc_fd, &st);
    st.processes = count_processes(proc_fd);
    if (workload > 0) st.workload_rss = resident_bytes(proc_fd, workload);
    *ret = st;
}
