/* SPDX-License-Identifier: Apache-2.0 */
/* The native protocol, as a line on stderr would lose its level, its thread, and what it is about. */
#include "volantd/journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#define SD_JOURNAL_SUPPRESS_LOCATION /* which would be ours: this file */
#include <systemd/sd-journal.h>

#include "base/str.h"

#define FIELDS_MAX 8
#define FIELD_MAX  4200 /* a line has at most 4 KiB */

bool journal_is_stream(const char *stream, int fd)
{
    const char *colon = stream ? strchr(stream, ':') : NULL;
    uint64_t device, inode;
    char digits[24];
    struct stat st;

    if (!colon || strf(digits, sizeof(digits), "%.*s", (int)(colon - stream), stream) < 0) return false;
    if (parse_u64(digits, 0, UINT64_MAX, &device) < 0 || parse_u64(colon + 1, 0, UINT64_MAX, &inode) < 0) return false;
    return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Only at the beginning: further on may be text of a guest's. */
size_t journal_vm_of(const char *text, const char **ret)
{
    if (!str_starts(text, "vm=")) return 0;
    *ret = text + strlen("vm=");
    return strcspn(*ret, " :,");
}

struct entry {
    struct iovec fields[FIELDS_MAX];
    int n;
    size_t used;
    char text[FIELD_MAX + 1024]; /* of all fields */
};

static void add(struct entry *e, const char *fmt, ...) printf_(2, 3);
static void add(struct entry *e, const char *fmt, ...)
{
    char *at = e->text + e->used;
    size_t room = sizeof(e->text) - e->used;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(at, room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room || e->n == FIELDS_MAX) return;
    e->fields[e->n++] = (struct iovec){at, (size_t)n};
    e->used += (size_t)n;
}

/* As seen from the sources, wherever the build folder is. */
static const char *source_path(const char *file)
{
    while (str_starts(file, "../"))
        file += 3;
    return file;
}

static bool send_entry(const struct log_entry *l)
{
    static const int priorities[] = {
        [LOG_LEVEL_ERR] = 3, [LOG_LEVEL_WARN] = 4, [LOG_LEVEL_INFO] = 6, [LOG_LEVEL_DEBUG] = 7}; /* of syslog(3), whose
                                                                                                    names are those of
                                                                                                    our macros */
    struct entry e = {.n = 0};
    const char *vm;
    size_t n = journal_vm_of(l->text, &vm);

    add(&e, "MESSAGE=%s", l->text);
    add(&e, "PRIORITY=%d", priorities[l->level]);
    add(&e, "SYSLOG_IDENTIFIER=volantd");
    add(&e, "CODE_FILE=%s", source_path(l->place->file));
    add(&e, "CODE_LINE=%d", l->place->line);
    add(&e, "CODE_FUNC=%s", l->place->func);
    add(&e, "VOLANT_THREAD=%s", l->thread);
    if (n > 0) add(&e, "VOLANT_VM=%.*s", (int)n, vm);
    return sd_journal_sendv(e.fields, e.n) >= 0;
}

void journal_begin(void)
{
    if (journal_is_stream(secure_getenv("JOURNAL_STREAM"), STDERR_FILENO)) log_set_sink(send_entry);
}
