/* SPDX-License-Identifier: Apache-2.0 */
/* newc headers: six bytes of magic and 13 numbers of eight hex digits; header with name, and data, each padded to 4. */
#include "base/cpio.h"

#include <string.h>
#include <sys/stat.h>

static void pad(struct strbuf *b, size_t start, size_t to)
{
    static const char zeros[512];
    size_t over = (b->len - start) % to;

    if (over) strbuf_add(b, zeros, to - over);
}

/* The inode number stays 0: with a link count below 2 the kernel never looks for hard links. */
static void add_entry(struct strbuf *b, const char *path, unsigned mode, unsigned links, const void *data, size_t n)
{
    size_t start = b->len;

    if (n > UINT32_MAX) {
        b->failed = true;
        return;
    }
    strbuf_addf(b, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0u, mode, 0u, 0u, links, 0u, n, 0u,
                0u, 0u, 0u, strlen(path) + 1, 0u);
    strbuf_add(b, path, strlen(path) + 1);
    pad(b, start, 4);
    strbuf_add(b, data, n);
    pad(b, start, 4);
}

void cpio_add_dir(struct strbuf *b, const char *path, unsigned mode)
{
    add_entry(b, path, S_IFDIR | (mode & 07777), 2, NULL, 0);
}

void cpio_add_file(struct strbuf *b, const char *path, unsigned mode, const void *data, size_t n)
{
    add_entry(b, path, S_IFREG | (mode & 07777), 1, data, n);
}

void cpio_end(struct strbuf *b)
{
    add_entry(b, "TRAILER!!!", 0, 1, NULL, 0);
    pad(b, 0, 512);
}
