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

/* What is judged: the workload's program, or what gets PID 1. */
struct subject {
    const struct config *c;
    struct toml_place at;
    const char *what, *name; /* "workload.entrypoint[0]" and its value */
    struct vl_error *err;
};

static int fail_subject(const struct subject *s, const char *fmt, ...) printf_(2, 3);

static int fail_subject(const struct subject *s, const char *fmt, ...)
{
    char text[384];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return config_fail(s->c, s->at, s->err, "%s '%s' %s", s->what, s->name, text);
}

/* A name without a slash, as execvp(3) does it. */
static int find_in_path(const struct subject *s, const struct tree *t, char path[static PATH_SIZE],
                        const struct node **ret)
{
    const struct workload *w = &s->c->manifest.workload;
    const char *list = strmap_get(&w->env, "PATH"), *where = list ? "workload.env.PATH" : "the usual PATH";

    if (!list) list = WORKLOAD_PATH;
    for (size_t len; *list; list += len + (list[len] == ':')) {
        const struct node *n;

        len = strcspn(list, ":");
        if (strf(path, PATH_SIZE, "%.*s/%s", (int)len, list, s->name) < 0) continue;
        n = tree_find(t, path);
        if (!is_program(n)) continue;
        *ret = n;
        return 0;
    }
    return fail_subject(s,
                        "is not in the image, in no folder of %s: add a [[file_mappings]] with dest = "
                        "\"/usr/local/bin/%s\", or name its absolute path",
                        where, s->name);
}

static int find_program(const struct subject *s, const struct tree *t, char path[static PATH_SIZE],
                        const struct node **ret)
{
    const struct workload *w = &s->c->manifest.workload;
    const char *name = s->name, *base = "";
    const struct node *n;

    if (!strchr(name, '/')) return find_in_path(s, t, path, ret);
    if (*name != '/') base = w->workdir ? w->workdir : "/";
    if (strf(path, PATH_SIZE, "%s%s%s", base, *base ? "/" : "", name) < 0)
        return fail_subject(s, "is longer than %d bytes", PATH_SIZE - 1);
    n = tree_find(t, path);
    if (!n) return fail_subject(s, "is not in the image: add a [[file_mappings]] with dest = \"%s\"", path);
    if (n->type != NODE_FILE) return fail_subject(s, "is a folder: name a program in it");
    if (!is_program(n)) return fail_subject(s, "is not executable: write mode = 0o755 in its [[file_mappings]]");
    *ret = n;
    return 0;
}

/* "#!/bin/sh -e": the interpreter has to be there too. */
static int check_script(const struct subject *s, const struct tree *t, const struct node *n, int fd)
{
    char line[256], *name = line + 2;
    ssize_t len = pread(fd, line, sizeof(line) - 1, 0);

    if (len < 0) return vl_fail_errno(s->err, errno, "read '%s'", n->host);
    line[len] = '\0';
    if (!str_starts(line, "#!"))
        return fail_subject(s, "is neither a program for x86-64 nor a script that begins with #! (%s)", n->host);
    name += strspn(name, " \t");
    name[strcspn(name, " \t\n")] = '\0';
    if (is_program(tree_find(t, name))) return 0;
    return fail_subject(s, "is a script for '%s', which is not in the image: map it in as well", name);
}

static int check_program(const struct subject *s, const struct tree *t, const struct node *n)
{
    auto_close int fd = open(n->host, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    auto_elf elf = {0};
    int r;

    if (fd < 0) return vl_fail_errno(s->err, errno, "open '%s'", n->host);
    r = elf_read(fd, &elf);
    if (r == -ENOEXEC) return check_script(s, t, n, fd);
    if (r == -EBADMSG) return fail_subject(s, "is a damaged program (%s): build or copy it again", n->host);
    if (r < 0) return vl_fail_errno(s->err, r, "read '%s'", n->host);
    if (!elf.x86_64)
        return fail_subject(s, "is a program for %s (%s): map the one for x86-64 Linux", elf_machine_name(elf.machine),
                            n->host);
    if (!elf.executable) return fail_subject(s, "is no program but an object file (%s): link it", n->host);
    if (!elf.interpreter || is_program(tree_find(t, elf.interpreter))) return 0;
    return fail_subject(s, "needs its loader %s, which is not in the image: map it in, or write libraries = \"auto\"",
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

/* What the kernel starts, where it is not kestrel. */
static int check_init(const struct config *c, const struct tree *t, struct vl_error *err)
{
    const struct subject s = {c, c->init_at, c->init == INIT_NONE ? "init.none: the file" : "init.path, as", "/init",
                              err};
    const struct node *n = tree_find(t, "/init");

    if (!n) return fail_subject(&s, "is not in the image: map one there, or write init.path");
    if (!is_program(n)) return fail_subject(&s, "is not executable: write mode = 0o755 where it is mapped");
    return check_program(&s, t, n);
}

int entrypoint_check(const struct config *c, const struct tree *t, struct vl_error *err)
{
    const struct strv *entrypoint = &c->manifest.workload.entrypoint;
    const struct subject s = {c, c->entrypoint_at, "workload.entrypoint[0]",
                              entrypoint->items ? *entrypoint->items : "", err};
    const struct node *n = NULL;
    char path[PATH_SIZE];
    int r;

    if (c->init != INIT_KESTREL) return check_init(c, t, err);
    if ((r = check_workdir(c, t, err)) < 0) return r;
    if ((r = find_program(&s, t, path, &n)) < 0 || !n) return r;
    return check_program(&s, t, n);
}
