/* SPDX-License-Identifier: Apache-2.0 */
/* An artifact folder in a temporary one; for this folder's tests only. */
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact/artifact.h"
#include "base/io.h"
#include "base/unit.h"

struct testdir {
    char path[64];
    struct artifacts *a;
    struct vl_error err;
};

static inline void testdir_make(struct testdir *t)
{
    *t = (struct testdir){0};
    (void)snprintf(t->path, sizeof(t->path), "/tmp/volant-artifact-XXXXXX");
    assert_non_null(mkdtemp(t->path));
    if (artifacts_open(t->path, &t->a, &t->err) < 0) fail_msg("%s", t->err.msg);
}

static inline void testdir_remove(struct testdir *t)
{
    artifacts_close(t->a);
    assert_int_equal(remove_tree_at(AT_FDCWD, t->path), 0);
}

/* How many entries a folder below t->path has. */
static inline size_t testdir_entries(const struct testdir *t, const char *folder)
{
    char path[128];
    size_t n = 0;
    DIR *d;

    (void)snprintf(path, sizeof(path), "%s/%s", t->path, folder);
    assert_non_null(d = opendir(path));
    while (readdir(d)) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        n++;
    (void)closedir(d);
    return n - 2;
}

/* A nameless file with these bytes, its offset at their end. */
static inline int testdir_file(const void *data, size_t n)
{
    int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write_all(fd, data, n, -1), 0);
    return fd;
}

/* Puts the bytes under their own digest, which hex becomes. */
static inline void testdir_put(struct testdir *t, const void *data, size_t n, char hex[static SHA256_HEX + 1])
{
    auto_close int fd = testdir_file(data, n);

    assert_int_equal(sha256_fd(fd, hex, NULL, &t->err), 0);
    if (artifact_put_fd(t->a, hex, fd, -1, &t->err) < 0) fail_msg("%s", t->err.msg);
}

#define fails_with(call, t, wanted_kind, part)                                                                         \
    do {                                                                                                               \
        assert_true((call) < 0);                                                                                       \
        assert_int_equal((t).err.kind, (wanted_kind));                                                                 \
        if (!strstr((t).err.msg, (part))) fail_msg("'%s' is not in: %s", (part), (t).err.msg);                         \
    } while (0)
