/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program says about the libraries it needs, read from its file and never by running it or its loader: every
 * number in it is a stranger's and is checked before use.
 */
#pragma once
#include "base/str.h"

struct elf {
    unsigned machine;      /* EM_X86_64 is 62 */
    bool x86_64;           /* 64-bit little-endian x86: all below is filled in only then */
    bool dynamic;          /* has a dynamic section: program or shared library; otherwise static, or an object file */
    bool executable;       /* ET_EXEC or ET_DYN */
    char *interpreter;     /* path of its loader; NULL: none */
    struct strv needed;    /* names of libraries, in order */
    char *rpath, *runpath; /* colon-separated folders; NULL: none */
    bool ends_threads;     /* names pthread_exit or pthread_cancel, for which glibc opens libgcc_s.so.1 */
};
void elf_done(struct elf *e);
#define auto_elf auto_(elf_done) struct elf

/*
 * -ENOEXEC: no ELF file (or cut off within its first header); -EBADMSG: one whose parts contradict each other; other
 * -errno from reading. The offset of fd is not moved.
 */
int elf_read(int fd, struct elf *ret);
/* "ARM 64-bit", ...; "another architecture" if it has no name here. */
const char *elf_machine_name(unsigned machine);
