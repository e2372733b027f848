/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a folder of their own that is their working directory, files in it, and programs made of nothing. */
#pragma once
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "base/unit.h"

struct testdir {
    char path[64];
};

static inline int testdir_enter(void **state)
{
    struct testdir *d = calloc(1, sizeof(*d));

    if (!d || strf(d->path, sizeof(d->path), "/tmp/fledge-test-XXXXXX") < 0 || !mkdtemp(d->path) || chdir(d->path) < 0)
        return -1;
    (void)umask(022);
    *state = d;
    return 0;
}

static inline int testdir_leave(void **state)
{
    struct testdir *d = *state;
    int r = chdir("/") < 0 ? -1 : remove_tree_at(AT_FDCWD, d->path);

    free(d);
    return r;
}

static inline void put_bytes(const char *path, const void *data, size_t n, mode_t mode)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write_all(fd, data, n, -1), 0);
    assert_int_equal(fchmod(fd, mode), 0);
}

static inline void put_file(const char *path, const char *text, mode_t mode)
{
    put_bytes(path, text, strlen(text), mode);
}

/* A program or library for x86-64 as far as a loader would look at it. */
struct fake_elf {
    const char *interpreter, *rpath, *runpath;
    const char *needed[4];
};

static inline uint64_t fake_string(char *strings, size_t *len, const char *text)
{
    uint64_t at = *len;

    memcpy(strings + at, text, strlen(text) + 1);
    *len += strlen(text) + 1;
    return at;
}

/* Gives its size; `buf` has room for 4096 bytes, all of which are loaded at address 0x400000. */
static inline size_t fake_elf_make(const struct fake_elf *f, char buf[static 4096])
{
    enum { BASE = 0x400000, SEGMENTS = 64, TAGS = 512, STRINGS = 1024, INTERPRETER = 3072 };
    Elf64_Ehdr head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                       .e_type = ET_DYN,
                       .e_machine = EM_X86_64,
                       .e_version = 1,
                       .e_phoff = SEGMENTS,
                       .e_ehsize = sizeof(head),
                       .e_phentsize = sizeof(Elf64_Phdr)};
    Elf64_Phdr segments[3] = {{.p_type = PT_LOAD, .p_vaddr = BASE, .p_filesz = 4096, .p_memsz = 4096}};
    Elf64_Dyn tags[16] = {{.d_tag = DT_STRTAB, .d_un.d_ptr = BASE + STRINGS}};
    size_t len = 1, n_tags = 2;

    memset(buf, 0, 4096);
    for (size_t i = 0; i < ARRAY_LEN(f->needed) && f->needed[i]; i++)
        tags[n_tags++] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = fake_string(buf + STRINGS, &len, f->needed[i])};
    if (f->rpath)
        tags[n_tags++] = (Elf64_Dyn){.d_tag = DT_RPATH, .d_un.d_val = fake_string(buf + STRINGS, &len, f->rpath)};
    if (f->runpath)
        tags[n_tags++] = (Elf64_Dyn){.d_tag = DT_RUNPATH, .d_un.d_val = fake_string(buf + STRINGS, &len, f->runpath)};
    tags[1] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = len};
    head.e_phnum = 1;
    if (f->interpreter) {
        memcpy(buf + INTERPRETER, f->interpreter, strlen(f->interpreter) + 1);
        segments[head.e_phnum++] =
            (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = INTERPRETER, .p_filesz = strlen(f->interpreter) + 1};
    }
    if (f->interpreter || n_tags > 2) {
        segments[head.e_phnum++] =
            (Elf64_Phdr){.p_type = PT_DYNAMIC, .p_offset = TAGS, .p_filesz = (n_tags + 1) * sizeof(tags[0])};
        memcpy(buf + TAGS, tags, sizeof(tags));
    }
    memcpy(buf, &head, sizeof(head));
    memcpy(buf + SEGMENTS, segments, sizeof(segments));
    return 4096;
}

static inline void put_elf(const char *path, const struct fake_elf *f)
{
    char buf[4096];

    put_bytes(path, buf, fake_elf_make(f, buf), 0755);
}
