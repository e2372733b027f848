/* SPDX-License-Identifier: Apache-2.0 */
/* See elf.h. The format is that of elf(5); only what the loader itself would look at is read. */
#include "fledge/elf.h"

#include <elf.h>
#include <string.h>

#define SEGMENTS_MAX 256
#define TAGS_MAX     4096
#define NAMES_MAX    (16UL * 1024 * 1024) /* bytes of the table of names */
#define NEEDED_MAX   1024
#define TEXT_MAX     4096 /* a path or a list of folders, with its NUL */

struct image {
    int fd;
    Elf64_Phdr *segments;
    size_t n_segments;
    uint64_t strings, strings_size; /* DT_STRTAB as an address, DT_STRSZ */
};

void elf_done(struct elf *e)
{
    free(e->interpreter);
    free(e->rpath);
    free(e->runpath);
    strv_done(&e->needed);
    *e = (struct elf){0};
}

const char *elf_machine_name(unsigned machine)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {{EM_386, "x86 32-bit"},   {EM_AARCH64, "ARM 64-bit"},   {EM_ARM, "ARM 32-bit"},
                 {EM_RISCV, "RISC-V"},     {EM_PPC64, "PowerPC 64-bit"}, {EM_S390, "IBM Z"},
                 {EM_X86_64, "x86 64-bit"}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].machine == machine) return names[i].name;
    return "another architecture";
}

/* All n bytes at `offset`, or -EBADMSG where the file has them not. */
static int read_at(int fd, uint64_t offset, void *buf, size_t n)
{
    char *to = buf;

    if (offset > INT64_MAX - n) return -EBADMSG;
    while (n > 0) {
        ssize_t got = pread(fd, to, n, (off_t)offset);

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) return -EBADMSG;
        to += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

/* A NUL-terminated text of at most `limit` bytes with its NUL. */
static int read_text(int fd, uint64_t offset, uint64_t limit, char **ret)
{
    char buf[TEXT_MAX];
    size_t n = 0, want = limit < sizeof(buf) ? (size_t)limit : sizeof(buf);

    if (offset > INT64_MAX - sizeof(buf)) return -EBADMSG;
    while (n < want) {
        ssize_t got = pread(fd, buf + n, want - n, (off_t)(offset + n));

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0 || memchr(buf + n, '\0', (size_t)got)) {
            n += (size_t)got;
            break;
        }
        n += (size_t)got;
    }
    if (!memchr(buf, '\0', n)) return -EBADMSG;
    return (*ret = strdup(buf)) ? 0 : -ENOMEM;
}

static int read_segments(struct image *im, const Elf64_Ehdr *head)
{
    int r;

    if (head->e_phnum == 0) return 0;
    if (head->e_phentsize != sizeof(Elf64_Phdr) || head->e_phnum > SEGMENTS_MAX) return -EBADMSG;
    if (!(im->segments = calloc(head->e_phnum, sizeof(Elf64_Phdr)))) return -ENOMEM;
    if ((r = read_at(im->fd, head->e_phoff, im->segments, head->e_phnum * sizeof(Elf64_Phdr))) < 0) return r;
    im->n_segments = head->e_phnum;
    return 0;
}

static const Elf64_Phdr *find_segment(const struct image *im, uint32_t type)
{
    for (size_t i = 0; i < im->n_segments; i++)
        if (im->segments[i].p_type == type) return &im->segments[i];
    return NULL;
}

/* Where in the file the byte is that would be loaded at `address`, and how many follow it there. */
static int offset_of(const struct image *im, uint64_t address, uint64_t *ret, uint64_t *ret_left)
{
    for (size_t i = 0; i < im->n_segments; i++) {
        const Elf64_Phdr *s = &im->segments[i];

        if (s->p_type != PT_LOAD || address < s->p_vaddr || address - s->p_vaddr >= s->p_filesz) continue;
        if (s->p_offset > INT64_MAX || address - s->p_vaddr > INT64_MAX - s->p_offset) return -EBADMSG;
        *ret = s->p_offset + (address - s->p_vaddr);
        *ret_left = s->p_filesz - (address - s->p_vaddr);
        return 0;
    }
    return -EBADMSG;
}

/* The text at `at` in the string table. */
static int read_string(const struct image *im, uint64_t at, char **ret)
{
    uint64_t offset, left;
    int r;

    if (at >= im->strings_size || im->strings > UINT64_MAX - at) return -EBADMSG;
    if ((r = offset_of(im, im->strings + at, &offset, &left)) < 0) return r;
    if (left > im->strings_size - at) left = im->strings_size - at;
    return read_text(im->fd, offset, left, ret);
}

static int replace_string(const struct image *im, uint64_t at, char **slot)
{
    char *text = NULL;
    int r = read_string(im, at, &text);

    if (r < 0) return r;
    free(*slot);
    *slot = text;
    return 0;
}

static int add_needed(const struct image *im, uint64_t at, struct elf *e)
{
    auto_free char *name = NULL;
    int r;

    if (e->needed.len >= NEEDED_MAX) return -EBADMSG;
    if ((r = read_string(im, at, &name)) < 0) return r;
    if (!*name) return -EBADMSG;
    return strv_add(&e->needed, name);
}

/* In its table of names, which those of symbols are in too. What is too large to look through names nothing. */
static int find_names(const struct image *im, struct elf *e)
{
    static const char *const names[] = {"pthread_exit", "pthread_cancel"};
    auto_free char *text = NULL;
    uint64_t offset, left;
    int r;

    if (im->strings_size == 0 || im->strings_size > NAMES_MAX) return 0;
    if (offset_of(im, im->strings, &offset, &left) < 0 || left < im->strings_size) return 0;
    if (!(text = malloc(im->strings_size))) return -ENOMEM;
    if ((r = read_at(im->fd, offset, text, im->strings_size)) < 0) return r == -EBADMSG ? 0 : r;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        e->ends_threads |= memmem(text, im->strings_size, names[i], strlen(names[i]) + 1) != NULL;
    return 0;
}

static int read_tags(struct image *im, const Elf64_Dyn *tags, size_t n, struct elf *e)
{
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        if (tags[i].d_tag == DT_STRTAB) im->strings = tags[i].d_un.d_ptr;
        if (tags[i].d_tag == DT_STRSZ) im->strings_size = tags[i].d_un.d_val;
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (tags[i].d_tag == DT_NEEDED) r = add_needed(im, tags[i].d_un.d_val, e);
        if (tags[i].d_tag == DT_RPATH) r = replace_string(im, tags[i].d_un.d_val, &e->rpath);
        if (tags[i].d_tag == DT_RUNPATH) r = replace_string(im, tags[i].d_un.d_val, &e->runpath);
    }
    return r < 0 ? r : find_names(im, e);
}

static int read_dynamic(struct image *im, struct elf *e)
{
    const Elf64_Phdr *segment = find_segment(im, PT_DYNAMIC);
    auto_free Elf64_Dyn *tags = NULL;
    size_t n = 0, max;
    int r;

    if (!segment) return 0;
    e->dynamic = true;
    max = segment->p_filesz / sizeof(*tags) < TAGS_MAX ? (size_t)(segment->p_filesz / sizeof(*tags)) : TAGS_MAX;
    if (max == 0) return -EBADMSG;
    if (!(tags = calloc(max, sizeof(*tags)))) return -ENOMEM;
    if ((r = read_at(im->fd, segment->p_offset, tags, max * sizeof(*tags))) < 0) return r;
    while (n < max && tags[n].d_tag != DT_NULL)
        n++;
    return read_tags(im, tags, n, e);
}

static int read_parts(struct image *im, const Elf64_Ehdr *head, struct elf *e)
{
    const Elf64_Phdr *interpreter;
    int r;

    if ((r = read_segments(im, head)) < 0) return r;
    if ((interpreter = find_segment(im, PT_INTERP)) &&
        (r = read_text(im->fd, interpreter->p_offset, interpreter->p_filesz, &e->interpreter)) < 0)
        return r;
    return read_dynamic(im, e);
}

int elf_read(int fd, struct elf *ret)
{
    struct image im = {.fd = fd};
    auto_elf e = {0};
    Elf64_Ehdr head;
    int r = read_at(fd, 0, &head, sizeof(head));

    if (r == -EBADMSG || (r == 0 && memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)) return -ENOEXEC;
    if (r < 0) return r;
    e.machine = head.e_ident[EI_DATA] == ELFDATA2MSB ? __builtin_bswap16(head.e_machine) : head.e_machine;
    e.x86_64 =
        head.e_ident[EI_CLASS] == ELFCLASS64 && head.e_ident[EI_DATA] == ELFDATA2LSB && head.e_machine == EM_X86_64;
    if (e.x86_64) {
        e.executable = head.e_type == ET_EXEC || head.e_type == ET_DYN;
        r = read_parts(&im, &head, &e);
        free(im.segments);
        if (r < 0) return r;
    }
    *ret = e;
    e = (struct elf){0};
    return 0;
}
