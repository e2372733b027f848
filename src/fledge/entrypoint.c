/* SPDX-License-Identifier: Apache-2.0 */
/* See entrypoint.h. */
#include "fledge/entrypoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fledge/elf.h"
#include "model/manifest.h"

#define PATH_SIZE 4096

static bool is_program(const struct node *n)
{
    return n && n->type == NODE_FILE && (n->mode & 0111) != 0;
}

static int fail_entrypoint(const struct config *c, struct vl_error *err, const char *fmt, ...) printf_(3, 4);

static int fail_entrypoint(const struct config *c, struct vl_error *err, const char *fmt, ...)
{
    char text[384];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return config_fail(c, c->entrypoint_at, err, "workload.entrypoint[0] '%s' %s",
                       c->manifest.workload.entrypoint.items[0], text);
}

/* A name without a slash, as execvp(3) does it. */
static int find_in_path(const struct config *c, const struct tree *t, char path[static PATH_SIZE],
                        const struct node **ret, struct vl_error *err)
{
    const struct workload *w = &c->manifest.workload;
    const char *list = strmap_get(&w->env, "PATH"), *where = list ? "workload.env.PATH" : "the usual PATH";

    if (!list) list = WORKLOAD_PATH;
    for (size_t len; *list; list += len + (list[len] == ':')) {
        const struct node *n;

        len = strcspn(list, ":");
        if (strf(path, PATH_SIZE, "%.*s/%s", (int)len, list, w->entrypoint.items[0]) < 0) continue;
        n = tree_find(t, path);
        if (!is_program(n)) continue;
        *ret = n;
        return 0;
    }
    return fail_entrypoint(c, err,
                           "is not in the image, in no folder of %s: add a [[file_mappings]] with dest = "
                           "\"/usr/local/bin/%s\", or name its absolute path",
                           where, w->entrypoint.items[0]);
}

static int find_program(const struct config *c, const struct tree *t, char path[static PATH_SIZE],
                        const struct node **ret, struct vl_error *err)
{
    const struct workload *w = &c->manifest.workload;
    const char *name = w->entrypoint.items[0], *base = "";
    const struct node *n;

    if (!strchr(name, '/')) return find_in_path(c, t, path, ret, err);
    if (*name != '/') base = w->workdir ? w->workdir : "/";
    if (strf(path, PATH_SIZE, "%s%s%s", base, *base ? "/" : "", name) < 0)
        return fail_entrypoint(c, err, "is longer than %d bytes", PATH_SIZE - 1);
    n = tree_find(t, path);
    if (!n) return fail_entrypoint(c, err, "is not in the image: add a [[file_mappings]] with dest = \"%s\"", path);
    if (n->type != NODE_FILE) return fail_entrypoint(c, err, "is a folder: name a program in it");
    if (!is_program(n))
        return fail_entrypoint(c, err, "is not executable: write mode = 0o755 in its [[file_mappings]]");
    *ret = n;
    return 0;
}

/* "#!/bin/sh -e": the interpreter has to be there too. */
static int check_script(const struct config *c, const struct tree *t, const struct node *n, int fd,
                        struct vl_error *err)
{
    char line[256], *name = line + 2;
    ssize_t len = pread(fd, line, sizeof(line) - 1, 0);

    if (len < 0) return vl_fail_errno(err, errno, "read '%s'", n->host);
    line[len] = '\0';
    if (!str_starts(line, "#!"))
        return fail_entrypoint(c, err, "is neither a program for x86-64 nor a script that begins with #! (%s)",
                               n->host);
    name += strspn(name, " \t");
    name[strcspn(name, " \t\n")] = '\0';
    if (is_program(tree_find(t, name))) return 0;
    return fail_entrypoint(c, err, "is a script for '%s', which is not in the image: map it in as well", name);
}

static int check_program(const struct config *c, const struct tree *t, const struct node *n, struct vl_error *err)
{
    auto_close int fd = open(n->host, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    auto_elf elf = {0};
    int r;

    if (fd < 0) return vl_fail_errno(err, errno, "open '%s'", n->host);
    r = elf_read(fd, &elf);
    if (r == -ENOEXEC) return check_script(c, t, n, fd, err);
    if (r == -EBADMSG) return fail_entrypoint(c, err, "is a damaged program (%s): build or copy it again", n->host);
    if (r < 0) return vl_fail_errno(err, r, "read '%s'", n->host);
    if (!elf.x86_64)
        return fail_entrypoint(c, err, "is a program for %s (%s): map the one for x86-64 Linux",
                               elf_machine_name(elf.machine), n->host);
    if (!elf.executable) return fail_entrypoint(c, err, "is no program but an object file (%s): link it", n->host);
    if (!elf.interpreter || is_program(tree_find(t, elf.interpreter))) return 0;
    return fail_entrypoint(c, err,
                           "needs its loader %s, which is not in the image: map it in, or write libraries = \"auto\"",
                           elf.interpreter);
}

static int check_workdir(const struct config *c, const struct tree *t, struct vl_error *err)
{
    const char *workdir = c->manifest.workload.workdir;
    const struct node *n;

    if (!workdir) return 0;
    n = tree_find(t, workdir);
    if (n && n->type == NODE_FOLDER) return 0;
    return config_fail(c, c->workdir_at, err,
                       "workload.workdir '%s' is no folder of the image: map one there, or leave it out", workdir);
}

int entrypoint_check(const struct config *c, const struct tree *t, struct vl_error *err)
{
    const struct node *n = NULL;
    char path[PATH_SIZE];
    int r;

    if ((r = check_workdir(c, t, err)) < 0) return r;
    if ((r = find_program(c, t, path, &n, err)) < 0 || !n) return r;
    return check_program(c, t, n, err);
}
