/* SPDX-License-Identifier: Apache-2.0 */
/* See busybox.h. Which applets there are, and where they belong, it says itself. */
#include "fledge/busybox.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact/artifact.h"
#include "base/str.h"
#include "fledge/elf.h"
#include "oci/tool.h"

#define PLACE    "/bin/busybox"
#define PACKAGE  "busybox-static"
#define LIST_MAX 65536

static int find_it(char *path, size_t size, struct vl_error *err)
{
    const char *given = getenv("FLEDGE_BUSYBOX_PATH"); /* NOLINT(concurrency-mt-unsafe): one thread */

    if (tool_find(given && *given ? given : "busybox", path, size)) return 0;
    return vl_fail(err, VL_INVALID,
                   "there is no busybox here%s%.200s: install Debian's package '" PACKAGE
                   "', or name one with FLEDGE_BUSYBOX_PATH",
                   given && *given ? " at " : "", given && *given ? given : "");
}

static int check_sum(const struct config *c, const char *path, int fd, struct vl_error *err)
{
    char wanted[SHA256_HEX + 1], found[SHA256_HEX + 1];
    int r;

    if (!c->initramfs.busybox_sha256) return 0;
    if ((r = digest_parse(c->initramfs.busybox_sha256, wanted, err)) < 0) return vl_wrap(err, "busybox_sha256");
    if ((r = sha256_fd(fd, found, NULL, err)) < 0) return r;
    if (str_eq(wanted, found)) return 0;
    return vl_fail(err, VL_INVALID,
                   "%s: busybox_sha256 is not that of %s, which is %s: install the other, or change it", c->file, path,
                   found);
}

static int check_it(const struct config *c, const char *path, struct stat *st, struct vl_error *err)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    auto_elf elf = {0};

    if (fd < 0 || fstat(fd, st) < 0) return vl_fail_errno(err, errno, "open '%s'", path);
    if (!S_ISREG(st->st_mode) || elf_read(fd, &elf) < 0 || !elf.x86_64)
        return vl_fail(err, VL_INVALID, "'%s' is no program for x86-64: install Debian's package '" PACKAGE "'", path);
    if (elf.interpreter)
        return vl_fail(err, VL_INVALID, "'%s' needs shared libraries: install Debian's package '" PACKAGE "'", path);
    return check_sum(c, path, fd, err);
}

/* Nothing of a mapping's, and nothing on the way of which is a file. */
static int skip_conflict(int r, const struct vl_error *reason, struct vl_error *err)
{
    if (r >= 0 || reason->kind == VL_CONFLICT) return 0;
    return vl_fail(err, reason->kind, "%s", reason->msg);
}

static int add_links(struct tree *t, char *list, struct vl_error *err)
{
    char *rest = list, *line, path[256];
    struct vl_error reason = {0};
    int r;

    while ((line = strsep(&rest, "\n"))) {
        auto_free char *clean = NULL;

        if (!strchr(line, '/') || strf(path, sizeof(path), "/%s", line) < 0 || str_eq(path, PLACE)) continue;
        if (image_path(path, &clean) < 0) continue;
        r = tree_add_link(t, clean, PLACE, ORIGIN_BUSYBOX, &reason);
        if ((r = skip_conflict(r, &reason, err)) < 0) return r;
    }
    return 0;
}

int busybox_add(const struct config *c, struct tree *t, const struct oci_job *job, struct vl_error *err)
{
    char path[4096];
    const char *argv[] = {path, "--list-full", NULL};
    auto_free char *list = NULL;
    struct vl_error reason = {0};
    struct stat st;
    size_t len;
    int r;

    if ((r = find_it(path, sizeof(path), err)) < 0) return r;
    if ((r = check_it(c, path, &st, err)) < 0) return r;
    if ((r = tool_run(argv, PACKAGE, NULL, job, LIST_MAX, &list, &len, err)) < 0) return r;
    r = tree_add_file(t, PLACE, path, &st, 0755, ORIGIN_BUSYBOX, &reason);
    if ((r = skip_conflict(r, &reason, err)) < 0) return r;
    return add_links(t, list, err);
}
