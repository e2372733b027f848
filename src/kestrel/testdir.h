/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder as a stand-in for the machine's root; for this folder's tests only. */
#pragma once
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/unit.h"

struct testdir {
    char path[64];
    int fd;
};

static inline void testdir_make(struct testdir *t)
{
    (void)snprintf(t->path, sizeof(t->path), "/tmp/kestrel-test-XXXXXX");
    assert_non_null(mkdtemp(t->path));
    t->fd = open_dir(t->path);
    assert_true(t->fd >= 0);
}

static inline void testdir_remove(struct testdir *t)
{
    (void)close(t->fd);
    assert_int_equal(remove_tree_at(AT_FDCWD, t->path), 0);
}

/* A file with a text; its folders are made. */
static inline void testdir_write(const struct testdir *t, const char *path, const char *text)
{
    char folder[128];
    int fd;

    for (const char *at = path; (at = strchr(at, '/')); at++) {
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(at - path), path);
        (void)mkdirat(t->fd, folder, 0755);
    }
    fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

/* The caller's; NULL if it is not there. */
static inline char *testdir_read(const struct testdir *t, const char *path)
{
    char *text;
    size_t len;

    return read_file_at(t->fd, path, 1 << 20, &text, &len) < 0 ? NULL : text;
}
