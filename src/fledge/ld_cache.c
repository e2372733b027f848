/* SPDX-License-Identifier: Apache-2.0 */
/* See ld_cache.h. The form is that of glibc 2.2 and later (sysdeps/generic/dl-cache.h), alone in the file since 2.32.
 */
#include "fledge/ld_cache.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"

#define CACHE_MAX    (16UL * 1024 * 1024)
#define MAGIC        "glibc-ld.so.cache1.1"
#define FLAGS_X86_64 0x0303 /* FLAG_X8664_LIB64 | FLAG_ELF_LIBC6 */

struct header {
    char magic[20];
    uint32_t n_entries, strings_len;
    uint8_t flags, unused[3];
    uint32_t extension_offset, unused_too[3];
};

struct entry {
    int32_t flags;
    uint32_t name, path; /* offsets of texts from the file's begin */
    uint32_t os_version;
    uint64_t hwcap; /* not 0: only for some CPUs, and the guest's may be another */
};

int ld_cache_load(const char *path, struct ld_cache *ret)
{
    struct ld_cache c = {0};
    struct header head;
    int r = read_file_at(AT_FDCWD, path, CACHE_MAX, &c.data, &c.len);

    if (r == -ENOMEM) return r;
    if (r == 0 && c.len >= sizeof(head)) {
        memcpy(&head, c.data, sizeof(head));
        if (memcmp(head.magic, MAGIC, sizeof(head.magic)) == 0 &&
            head.n_entries <= (c.len - sizeof(head)) / sizeof(struct entry)) {
            *ret = c;
            return 0;
        }
    }
    ld_cache_done(&c);
    *ret = c;
    return 0;
}

void ld_cache_done(struct ld_cache *c)
{
    free(c->data);
    *c = (struct ld_cache){0};
}

/* The buffer has a NUL behind it, so that every offset within it begins a text. */
static const char *text_at(const struct ld_cache *c, uint32_t offset)
{
    return offset < c->len ? c->data + offset : "";
}

const char *ld_cache_find(const struct ld_cache *c, const char *name)
{
    struct header head;
    struct entry e;

    if (!c->data) return NULL;
    memcpy(&head, c->data, sizeof(head));
    for (uint32_t i = 0; i < head.n_entries; i++) {
        memcpy(&e, c->data + sizeof(head) + i * sizeof(e), sizeof(e));
        if (e.flags == FLAGS_X86_64 && e.hwcap == 0 && str_eq(text_at(c, e.name), name)) return text_at(c, e.path);
    }
    return NULL;
}
