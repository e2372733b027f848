/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See libraries.h. A library found by way of a program's own RPATH or RUNPATH goes where that leads in the guest; one
 * of the host's system folders goes beside the C library, a folder that its loader knows without a cache.
 */
#include "fledge/libraries.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "fledge/elf.h"
#include "fledge/ld_cache.h"

#define CACHE_PATH     "/etc/ld.so.cache"
#define LOADER_DEFAULT "/lib64/ld-linux-x86-64.so.2" /* of libraries, which name none */
#define OBJECTS_MAX    4096                          /* programs and libraries that are looked at */
#define PATH_SIZE      4096
#define C_LIBRARY      "libc.so.6"
#define UNWINDER       "libgcc_s.so.1"
#define NSS_MAX        65536 /* bytes of nsswitch.conf */
#define NSS_CHARS      "abcdefghijklmnopqrstuvwxyz0123456789_"

static const char *const system_folders[] = {
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"};

/* A program or library whose needs are to be met. */
struct object {
    char *host, *guest; /* its path on each side */
    struct elf elf;
    const struct object *loaded_by; /* NULL: mapped */
    struct object *next;            /* in the order of finding */
};

struct search {
    const struct config *config;
    struct tree *tree;
    struct ld_cache cache;
    struct strv *brought;
    struct object *first, **end;
    size_t n_objects;
    struct vl_error *err;
    char home[PATH_SIZE]; /* where libraries of the system go for the program at work */
    const char *loader;   /* of the program at work */
    int mapping;          /* that brought it */
};

static void object_free(struct object *o)
{
    free(o->host);
    free(o->guest);
    elf_done(&o->elf);
    free(o);
}

static int no_memory(const struct search *s)
{
    return vl_fail_errno(s->err, ENOMEM, "look for libraries");
}

static int fail_mapping(const struct search *s, const char *fmt, ...) printf_(2, 3);

static int fail_mapping(const struct search *s, const char *fmt, ...)
{
    char text[448];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return config_fail(s->config, s->config->mappings[s->mapping].source_at, s->err, "%s", text);
}

/* The file at `host` as ELF for this architecture: 0 with *ret, -ENOENT where there is none of that kind. */
static int open_elf(const char *host, struct elf *ret, struct stat *st)
{
    auto_close int fd = -1;
    struct elf e;
    int r;

    if (stat(host, st) < 0 || !S_ISREG(st->st_mode)) return -ENOENT;
    if ((fd = open(host, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) return -ENOENT;
    if ((r = elf_read(fd, &e)) < 0) return r == -ENOMEM ? r : -ENOENT;
    if (!e.x86_64 || !e.executable) {
        elf_done(&e);
        return -ENOENT;
    }
    *ret = e;
    return 0;
}

/* Takes elf. */
static int queue_object(struct search *s, const char *host, const char *guest, struct elf *elf,
                        const struct object *loaded_by)
{
    struct object *o;

    if (s->n_objects++ >= OBJECTS_MAX)
        return fail_mapping(s, "the programs need more than %d libraries: map their folders with libraries = \"none\"",
                            OBJECTS_MAX);
    if (!(o = calloc(1, sizeof(*o)))) return no_memory(s);
    o->elf = *elf;
    *elf = (struct elf){0};
    o->loaded_by = loaded_by;
    *s->end = o;
    s->end = &o->next;
    if (!(o->host = strdup(host)) || !(o->guest = strdup(guest))) return no_memory(s);
    return 0;
}

/* Puts the host's file into the image as `guest`; its own needs come later. */
static int bring(struct search *s, const char *host, const char *guest, struct elf *elf, const struct stat *st,
                 const struct object *loaded_by)
{
    struct vl_error reason = {0};
    int r;

    if ((r = tree_add_file(s->tree, guest, host, st, 0755, ORIGIN_LIBRARY, &reason)) < 0) {
        if (reason.kind == VL_INVALID || reason.kind == VL_CONFLICT) return fail_mapping(s, "%s", reason.msg);
        return vl_fail(s->err, reason.kind, "%s", reason.msg);
    }
    if (s->brought && strv_addf(s->brought, "%s (from %s)", guest, host) < 0) return no_memory(s);
    return queue_object(s, host, guest, elf, loaded_by);
}

static bool in_image(const struct search *s, const char *folder, const char *name)
{
    char path[PATH_SIZE];
    const struct node *n;

    if (strf(path, sizeof(path), "%s/%s", folder, name) < 0) return false;
    n = tree_find(s->tree, path);
    return n && n->type == NODE_FILE;
}

/* 1 if `host` is a library and was brought as guest_folder/name, 0 if it is none. */
static int try_host(struct search *s, const char *host, const char *guest_folder, const char *name,
                    const struct object *wanted_by)
{
    auto_elf elf = {0};
    auto_free char *guest = NULL, *clean = NULL;
    struct stat st;
    int r = open_elf(host, &elf, &st);

    if (r == -ENOENT) return 0;
    if (r < 0 || !(guest = strf_new("%s/%s", guest_folder, name))) return no_memory(s);
    if (image_path(guest, &clean) < 0) return 0;
    r = bring(s, host, clean, &elf, &st, wanted_by);
    return r < 0 ? r : 1;
}

static void folder_of(const char *path, char *buf, size_t size)
{
    const char *slash = strrchr(path, '/');

    if (strf(buf, size, "%.*s", slash ? (int)(slash - path) : 0, path) < 0) buf[0] = '\0';
}

/* "a/../b" as the loader would open it, where no link is on the way: images are asked by clean paths. */
static void fold_dots(char *path)
{
    char *to = path;

    for (const char *from = path; *from;) {
        size_t len;

        from += strspn(from, "/");
        if (!*from) break;
        len = strcspn(from, "/");
        if (len == 2 && memcmp(from, "..", 2) == 0) {
            while (to > path && *--to != '/')
                ;
        } else if (len != 1 || *from != '.') {
            *to++ = '/';
            memmove(to, from, len);
            to += len;
        }
        from += len;
    }
    *to = '\0';
}

/* One folder of a list, with $ORIGIN as `origin`; false where it cannot be used (relative, or other variables). */
static bool expand(const char *entry, size_t len, const char *origin, char *buf, size_t size)
{
    static const char *const names[] = {"$ORIGIN", "${ORIGIN}"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t name_len = strlen(names[i]);

        if (len < name_len || memcmp(entry, names[i], name_len) != 0) continue;
        return strf(buf, size, "%s%.*s", origin, (int)(len - name_len), entry + name_len) >= 0 && !strchr(buf, '$');
    }
    return len > 0 && *entry == '/' && strf(buf, size, "%.*s", (int)len, entry) >= 0 && !strchr(buf, '$');
}

/* In the folders of RPATH or RUNPATH of `owner`: 1 found, 0 not. */
static int try_list(struct search *s, const char *list, const struct object *owner, const char *name,
                    const struct object *wanted_by)
{
    char host_origin[PATH_SIZE], guest_origin[PATH_SIZE], folder[PATH_SIZE], guest[PATH_SIZE], host[PATH_SIZE];
    int r;

    folder_of(owner->host, host_origin, sizeof(host_origin));
    folder_of(owner->guest, guest_origin, sizeof(guest_origin));
    for (size_t len; *list; list += len + (list[len] == ':')) {
        len = strcspn(list, ":");
        if (!expand(list, len, guest_origin, guest, sizeof(guest))) continue;
        fold_dots(guest);
        if (in_image(s, guest, name)) return 1;
        if (!expand(list, len, host_origin, folder, sizeof(folder))) continue;
        if (strf(host, sizeof(host), "%s/%s", folder, name) < 0) continue;
        if ((r = try_host(s, host, guest, name, wanted_by)) != 0) return r;
    }
    return 0;
}

static int try_own_folders(struct search *s, const struct object *o, const char *name)
{
    int r;

    if (o->elf.runpath) return try_list(s, o->elf.runpath, o, name, o);
    for (const struct object *up = o; up; up = up->loaded_by)
        if (up->elf.rpath && !up->elf.runpath && (r = try_list(s, up->elf.rpath, up, name, o)) != 0) return r;
    return 0;
}

/* What the image has by other mappings, also where the workload's environment points the loader to. */
static bool in_system_image(const struct search *s, const char *name)
{
    const char *list = strmap_get(&s->config->manifest.workload.env, "LD_LIBRARY_PATH");
    char folder[PATH_SIZE];

    for (size_t len; list && *list; list += len + (list[len] == ':')) {
        len = strcspn(list, ":");
        if (strf(folder, sizeof(folder), "%.*s", (int)len, list) >= 0 && in_image(s, folder, name)) return true;
    }
    if (in_image(s, s->home, name)) return true;
    for (size_t i = 0; i < ARRAY_LEN(system_folders); i++)
        if (in_image(s, system_folders[i], name)) return true;
    return false;
}

static int try_system(struct search *s, const struct object *o, const char *name)
{
    const char *cached = ld_cache_find(&s->cache, name);
    char host[PATH_SIZE];
    int r;

    if (in_system_image(s, name)) return 1;
    if (cached && (r = try_host(s, cached, s->home, name, o)) != 0) return r;
    for (size_t i = 0; i < ARRAY_LEN(system_folders); i++) {
        if (strf(host, sizeof(host), "%s/%s", system_folders[i], name) < 0) continue;
        if ((r = try_host(s, host, s->home, name, o)) != 0) return r;
    }
    return 0;
}

static int fail_missing(struct search *s, const struct object *o, const char *name)
{
    const char *list = o->elf.runpath ? o->elf.runpath : o->elf.rpath;

    return fail_mapping(s,
                        "'%s' needs the library %s, which this host does not have (looked in %s%s%s and the system's "
                        "folders): install it, map it in, or write libraries = \"none\"",
                        o->host, name, list ? list : "", list ? ", " : "", CACHE_PATH);
}

static int meet_need(struct search *s, const struct object *o, const char *name)
{
    const char *loader_name = strrchr(s->loader, '/');
    int r;

    if (loader_name && str_eq(loader_name + 1, name)) return 0;
    if (strchr(name, '/')) {
        char folder[PATH_SIZE];

        folder_of(name, folder, sizeof(folder));
        if (*name == '/' && in_image(s, "", name)) return 0;
        r = *name == '/' ? try_host(s, name, folder, strrchr(name, '/') + 1, o) : 0;
    } else if ((r = try_own_folders(s, o, name)) == 0) {
        r = try_system(s, o, name);
    }
    return r == 0 ? fail_missing(s, o, name) : r < 0 ? r : 0;
}

static bool is_c_library(const char *path)
{
    return str_ends(path, "/" C_LIBRARY);
}

/* "passwd: files systemd [NOTFOUND=return] ldap": libnss_systemd.so.2 and libnss_ldap.so.2. */
static int meet_nss_line(struct search *s, const struct object *o, char *line)
{
    char *rest = strchr(line, ':'), *word, name[80];
    int r;

    line[strcspn(line, "#")] = '\0';
    if (!rest++) return 0;
    while ((word = strsep(&rest, " \t"))) {
        if (!*word || word[strspn(word, NSS_CHARS)] || str_eq(word, "files") || str_eq(word, "dns")) continue;
        if (strf(name, sizeof(name), "libnss_%s.so.2", word) < 0) continue;
        if ((r = try_system(s, o, name)) < 0) return r;
    }
    return 0;
}

static int meet_nss(struct search *s, const struct object *o)
{
    const struct node *conf = tree_find(s->tree, "/etc/nsswitch.conf");
    auto_free char *text = NULL;
    char *rest, *line;
    size_t len;
    int r;

    if (!conf || conf->type != NODE_FILE) return 0;
    if ((r = read_file_at(AT_FDCWD, conf->host, NSS_MAX, &text, &len)) == -ENOMEM) return no_memory(s);
    for (rest = r < 0 ? NULL : text; (line = strsep(&rest, "\n"));)
        if ((r = meet_nss_line(s, o, line)) < 0) return r;
    return 0;
}

/* What the C library opens for it, if this host has it: it does without otherwise. */
static int meet_opened(struct search *s, const struct object *o)
{
    int r;

    if (is_c_library(o->host)) return meet_nss(s, o);
    return o->elf.ends_threads && (r = try_system(s, o, UNWINDER)) < 0 ? r : 0;
}

static int meet_needs(struct search *s)
{
    int r;

    for (struct object *o = s->first; o; o = o->next) {
        for (size_t i = 0; i < o->elf.needed.len; i++)
            if ((r = meet_need(s, o, o->elf.needed.items[i])) < 0) return r;
        if ((r = meet_opened(s, o)) < 0) return r;
    }
    return 0;
}

static int bring_loader(struct search *s, const char *host)
{
    auto_elf elf = {0};
    auto_free char *guest = NULL;
    struct stat st;
    int r;

    if (in_image(s, "", s->loader)) return 0;
    if (*s->loader != '/' || image_path(s->loader, &guest) < 0)
        return fail_mapping(s, "'%s' names '%s' as its loader, which is no absolute path", host, s->loader);
    r = open_elf(s->loader, &elf, &st);
    if (r == -ENOENT)
        return fail_mapping(s,
                            "'%s' is started by the loader %s, which this host does not have: install it, map it in, "
                            "or link the program statically",
                            host, s->loader);
    return r < 0 ? no_memory(s) : bring(s, s->loader, guest, &elf, &st, NULL);
}

/* Beside the loader's real file: on every distribution that folder is among those its loader knows. */
static void find_home(struct search *s)
{
    auto_free char *real = realpath(s->loader, NULL);

    folder_of(real ? real : LOADER_DEFAULT, s->home, sizeof(s->home));
}

static void reset_queue(struct search *s)
{
    for (struct object *o = s->first, *next; o; o = next) {
        next = o->next;
        object_free(o);
    }
    s->first = NULL;
    s->end = &s->first;
}

/* Another mapping brings the loader: then also what it needs, one supposes, unless told otherwise. */
static bool is_cared_for(const struct search *s)
{
    const struct node *loader = tree_find(s->tree, s->loader);

    return s->config->mappings[s->mapping].libraries == LIBRARIES_DEFAULT && loader && loader->origin >= 0;
}

static int add_for(struct search *s, const struct node *program)
{
    auto_free char *real = realpath(program->host, NULL);
    auto_elf elf = {0};
    char guest[PATH_SIZE + 1];
    struct stat st;
    int r;

    if (!real || open_elf(real, &elf, &st) < 0) return 0;
    if (!elf.interpreter && elf.needed.len == 0) return 0;
    s->mapping = program->origin;
    auto_free char *loader = strdup(elf.interpreter ? elf.interpreter : LOADER_DEFAULT);
    if (!(s->loader = loader)) return no_memory(s);
    if (is_cared_for(s)) return 0;
    if ((r = node_path(program, guest, sizeof(guest))) < 0) return vl_fail_errno(s->err, r, "look for libraries");
    find_home(s);
    if (elf.interpreter && (r = bring_loader(s, program->host)) < 0) return r;
    if ((r = queue_object(s, real, guest, &elf, NULL)) < 0) return r;
    return meet_needs(s);
}

struct programs {
    const struct config *config;
    const struct node **items;
    size_t len, cap;
};

/* The tree changes while libraries are added, so who needs some is asked before. */
static int collect(const struct node *node, void *arg)
{
    struct programs *p = arg;

    if (node->type != NODE_FILE || node->origin < 0) return 0;
    /* An image has libraries of its own, which the host's might not fit. */
    if (config_has_image(p->config) && p->config->mappings[node->origin].libraries != LIBRARIES_AUTO) return 0;
    if (p->config->mappings[node->origin].libraries == LIBRARIES_NONE) return 0;
    if (p->len == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        const struct node **more = reallocarray(p->items, cap, sizeof(const struct node *));

        if (!more) return -ENOMEM;
        p->items = more;
        p->cap = cap;
    }
    p->items[p->len++] = node;
    return 0;
}

int libraries_add(const struct config *c, struct tree *t, struct strv *ret_brought, struct vl_error *err)
{
    struct search s = {.config = c, .tree = t, .brought = ret_brought, .err = err};
    struct programs p = {.config = c};
    int r = tree_walk(tree_root(t), collect, &p);

    s.end = &s.first;
    if (r == 0) r = ld_cache_load(CACHE_PATH, &s.cache);
    if (r < 0) r = no_memory(&s);
    for (size_t i = 0; r == 0 && i < p.len; i++) {
        r = add_for(&s, p.items[i]);
        reset_queue(&s);
    }
    free(p.items);
    ld_cache_done(&s.cache);
    return r;
}
