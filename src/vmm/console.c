/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the console log says of a guest's end. The text is the guest's, and a hostile one may say anything: it decides
 * over its own VM's story and nothing else.
 */
#include "vmm/console.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"

#define END_MAX        32768 /* bytes of the log's end in which the last line is looked for; a panic's trace is shorter */
#define PANIC_TEXT     "Kernel panic - not syncing: "
#define SETUP_LINE     "volant: " /* of kestrel */
#define SETUP_CODE     125
#define NOT_FOUND_CODE 127

/* mm/oom_kill.c of Linux: who was killed for it, and the panic where nobody was left to be. */
static const char *const memory_texts[] = {"Out of memory: Killed process", "System is deadlocked on memory"};

/* The last `max` bytes of a file into `ret`; a missing file has none. */
static int read_tail(int dir_fd, const char *name, size_t max, struct strbuf *ret)
{
    auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    auto_free char *text = NULL;
    struct stat st;
    size_t len;
    int r;

    if (fd < 0) return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0) return -errno;
    if ((uint64_t)st.st_size > max && lseek(fd, st.st_size - (off_t)max, SEEK_SET) < 0) return -errno;
    if ((r = read_all(fd, max + END_MAX, &text, &len)) < 0) return r; /* it may grow meanwhile */
    if (len > max)
        strbuf_add(ret, text + len - max, max);
    else
        strbuf_add(ret, text, len);
    return ret->failed ? -ENOMEM : 0;
}

int vmm_console_tail(const char *dir, size_t max, char **ret, size_t *ret_len)
{
    auto_close int fd = open_dir(dir);
    auto_strbuf newer = {0}, all = {0};
    char *text;
    size_t len;
    int r;

    if (fd < 0) return fd;
    if ((r = read_tail(fd, "console.log", max, &newer)) < 0) return r;
    if (newer.len < max && (r = read_tail(fd, "console.log.1", max - newer.len, &all)) < 0) return r;
    strbuf_add(&all, newer.data ? newer.data : "", newer.len);
    len = all.len;
    if (!(text = strbuf_take(&all))) return -ENOMEM;
    *ret = text;
    *ret_len = len;
    return 0;
}

/* The last place of `what`; NULL if none. */
static const char *find_last(const char *text, size_t len, const char *what)
{
    const char *found = NULL, *at = text;
    size_t n = strlen(what);

    while ((at = memmem(at, len - (size_t)(at - text), what, n))) {
        found = at;
        at += n;
    }
    return found;
}

static bool at_line_start(const char *text, const char *at)
{
    return at == text || at[-1] == '\n' || at[-1] == '\r';
}

/* Digits up to the line's end: a line cut off by a kill tells nothing. */
static bool exit_code(const char *text, size_t len, const char *at, int *ret)
{
    const char *digits = at + strlen(WORKLOAD_EXIT_LINE), *end = digits;
    uint64_t code;
    char number[8];

    if (!at_line_start(text, at)) return false;
    while (end < text + len && *end >= '0' && *end <= '9')
        end++;
    if (end == text + len || (*end != '\r' && *end != '\n')) return false;
    if (strf(number, sizeof(number), "%.*s", (int)(end - digits), digits) < 0) return false;
    if (parse_u64(number, 0, 255, &code) < 0) return false;
    *ret = (int)code;
    return true;
}

/* From `at` to the end of its line, printable. */
static void keep_line(const char *text, size_t len, const char *at, char *ret, size_t size)
{
    auto_strbuf shown = {0};
    const char *end = at;

    while (end < text + len && *end != '\r' && *end != '\n')
        end++;
    strbuf_add_printable(&shown, at, (size_t)(end - at));
    if (shown.failed || !shown.data) return;
    (void)strf(ret, size, "%.*s", utf8_cut(shown.data, size - 1), shown.data);
}

/* Where kestrel could not start the workload its last line says why; with code 125 it did not even get there. */
static void say_setup(const char *text, const char *exit_line, struct console_end *ret)
{
    const char *line = find_last(text, (size_t)(exit_line - text), SETUP_LINE);

    if (ret->code < SETUP_CODE || ret->code > NOT_FOUND_CODE || !line || !at_line_start(text, line)) return;
    if (ret->code == SETUP_CODE) ret->verdict = CONSOLE_NO_SETUP;
    keep_line(text, (size_t)(exit_line - text), line + strlen(SETUP_LINE), ret->text, sizeof(ret->text));
}

void console_end_of(const char *text, size_t len, struct console_end *ret)
{
    const char *line = find_last(text, len, WORKLOAD_EXIT_LINE), *panic = find_last(text, len, PANIC_TEXT);

    *ret = (struct console_end){0};
    for (size_t i = 0; i < ARRAY_LEN(memory_texts); i++)
        ret->out_of_memory |= find_last(text, len, memory_texts[i]) != NULL;
    if (line && (!panic || line > panic) && exit_code(text, len, line, &ret->code)) {
        ret->verdict = CONSOLE_EXIT_CODE;
        say_setup(text, line, ret);
        return;
    }
    if (!panic) return;
    ret->verdict = CONSOLE_PANIC;
    keep_line(text, len, panic + strlen(PANIC_TEXT), ret->text, sizeof(ret->text));
}

void vmm_console_end(const char *dir, struct console_end *ret)
{
    auto_free char *text = NULL;
    size_t len;

    *ret = (struct console_end){0};
    if (vmm_console_tail(dir, END_MAX, &text, &len) == 0) console_end_of(text, len, ret);
}
