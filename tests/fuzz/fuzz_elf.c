/* SPDX-License-Identifier: Apache-2.0 */
/* What fledge reads of a program: texts that end, names that are not empty, and nothing of what it refused. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "fledge/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_close int fd = memfd_create("elf", MFD_CLOEXEC);
    auto_elf e = {0};

    must(fd >= 0 && write_all(fd, data, size, -1) == 0);
    if (elf_read(fd, &e) < 0) {
        must(!e.x86_64 && !e.interpreter && e.needed.len == 0);
        return 0;
    }
    must(e.x86_64 || (!e.interpreter && !e.rpath && !e.runpath && e.needed.len == 0));
    for (size_t i = 0; i < e.needed.len; i++)
        must(*e.needed.items[i] && strlen(e.needed.items[i]) < 4096);
    return 0;
}
