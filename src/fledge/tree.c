/* SPDX-License-Identifier: Apache-2.0 */
/* See tree.h. */
#include "fledge/tree.h"

#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

#define LINKS_MAX    40 /* followed for one path, as the kernel's limit */
#define NAME_LEN_MAX 255

struct tree {
    struct node root;
    size_t n_nodes;
};

static void node_done(struct node *n)
{
    for (size_t i = 0; i < n->n_children; i++) {
        node_done(n->children[i]);
        free(n->children[i]);
    }
    free(n->children);
    free(n->name);
    free(n->host);
    free(n->target);
}

static void node_free(struct node *n)
{
    node_done(n);
    free(n);
}

DEFINE_AUTO(struct node *, node_free)

int tree_new(struct tree **ret, struct vl_error *err)
{
    auto_(tree_freep) struct tree *t = calloc(1, sizeof(*t));

    if (!t || !(t->root.name = strdup(""))) return vl_fail_errno(err, ENOMEM, "plan the image");
    t->root.type = NODE_FOLDER;
    t->root.mode = 0755;
    t->root.origin = ORIGIN_KESTREL; /* its mode is not a mapping's to change */
    *ret = take_ptr(t);
    return 0;
}

void tree_free(struct tree *t)
{
    if (!t) return;
    node_done(&t->root);
    free(t);
}

const struct node *tree_root(const struct tree *t)
{
    return &t->root;
}

const char *origin_name(int origin, char buf[static 32])
{
    switch (origin) {
    case ORIGIN_BUSYBOX:
        return "busybox";
    case ORIGIN_PARENT:
        return "a path below it";
    case ORIGIN_SKELETON:
        return "the folders of every image";
    case ORIGIN_KESTREL:
        return "kestrel, the guest's first program";
    case ORIGIN_LIBRARY:
        return "a library of a program";
    default:
        (void)strf(buf, 32, "file_mappings[%d]", origin);
        return buf;
    }
}

/* Place of the first `len` bytes of name among the children; true if one is there. */
static bool child_place(const struct node *folder, const char *name, size_t len, size_t *ret)
{
    size_t low = 0, high = folder->n_children;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const char *other = folder->children[mid]->name;
        int order = strncmp(other, name, len);

        if (order == 0 && other[len]) order = 1;
        if (order == 0) {
            *ret = mid;
            return true;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret = low;
    return false;
}

static struct node *child_find(const struct node *folder, const char *name, size_t len)
{
    size_t at;

    if (folder->type != NODE_FOLDER) return NULL;
    return child_place(folder, name, len, &at) ? folder->children[at] : NULL;
}

/* The folder takes the child. */
static int child_insert(struct node *folder, struct node *child)
{
    size_t at, cap = folder->cap_children ? 2 * folder->cap_children : 4;

    (void)child_place(folder, child->name, strlen(child->name), &at);
    if (folder->n_children == folder->cap_children) {
        struct node **more = reallocarray(folder->children, cap, sizeof(struct node *));

        if (!more) return -ENOMEM;
        folder->children = more;
        folder->cap_children = cap;
    }
    memmove(folder->children + at + 1, folder->children + at, (folder->n_children - at) * sizeof(struct node *));
    folder->children[at] = child;
    folder->n_children++;
    child->parent = folder;
    return 0;
}

int node_path(const struct node *node, char *buf, size_t size)
{
    size_t at = size;

    if (size < 2) return -ENAMETOOLONG;
    buf[--at] = '\0';
    for (; node->parent; node = node->parent) {
        size_t len = strlen(node->name);

        if (at < len + 1) return -ENAMETOOLONG;
        at -= len;
        memcpy(buf + at, node->name, len);
        buf[--at] = '/';
    }
    if (!buf[at]) buf[--at] = '/';
    memmove(buf, buf + at, size - at);
    return 0;
}

static const struct node *resolve(const struct node *from, const char *path, bool follow_last, unsigned *links);

static const struct node *follow(const struct node *link, unsigned *links)
{
    return ++*links > LINKS_MAX ? NULL : resolve(link->parent, link->target, true, links);
}

/* What `path` means to a process whose folder is `from`. */
static const struct node *resolve(const struct node *from, const char *path, bool follow_last, unsigned *links)
{
    const struct node *at = from;

    while (*path == '/' && at->parent)
        at = at->parent;
    while (at) {
        size_t len;

        path += strspn(path, "/");
        if (!*path) return at;
        if (at->type != NODE_FOLDER) return NULL;
        len = strcspn(path, "/");
        if (len == 2 && memcmp(path, "..", 2) == 0) {
            if (at->parent) at = at->parent;
        } else if (len != 1 || *path != '.') {
            at = child_find(at, path, len);
            if (at && at->type == NODE_LINK && (path[len] || follow_last)) at = follow(at, links);
        }
        path += len;
    }
    return NULL;
}

const struct node *tree_find(const struct tree *t, const char *path)
{
    unsigned links = 0;

    return resolve(&t->root, path, true, &links);
}

static int fail_taken(const struct node *there, const char *path, int origin, struct vl_error *err)
{
    static const char *const kinds[] = {"a folder", "a file", "a symbolic link", "a device"};
    char mine[32], theirs[32];

    return vl_fail(err, VL_CONFLICT, "%s wants %s, which is %s from %s already: change one of them",
                   origin_name(origin, mine), path, kinds[there->type], origin_name(there->origin, theirs));
}

static int add_node(struct tree *t, struct node *folder, const char *name, size_t len, struct node **node,
                    const char *path, struct vl_error *err)
{
    if (t->n_nodes >= IMAGE_NODES_MAX)
        return vl_fail(err, VL_INVALID, "the image has more than %d files and folders: map less", IMAGE_NODES_MAX);
    if (len > NAME_LEN_MAX)
        return vl_fail(err, VL_INVALID, "a name in %.80s... has %zu bytes, allowed %d", path, len, NAME_LEN_MAX);
    if (!folder->parent && len == 10 && memcmp(name, "TRAILER!!!", len) == 0)
        return vl_fail(err, VL_INVALID, "/TRAILER!!! would end the archive there: choose another name");
    if (!((*node)->name = strndup(name, len)) || child_insert(folder, *node) < 0)
        return vl_fail_errno(err, ENOMEM, "plan the image");
    *node = NULL;
    t->n_nodes++;
    return 0;
}

static int make_parent(struct tree *t, struct node **folder, const char *name, size_t len, const char *path,
                       struct vl_error *err)
{
    auto_(node_freep) struct node *made = calloc(1, sizeof(*made));
    struct node *kept = made;
    int r;

    if (!made) return vl_fail_errno(err, ENOMEM, "plan the image");
    made->type = NODE_FOLDER;
    made->mode = 0755;
    made->origin = ORIGIN_PARENT;
    if ((r = add_node(t, *folder, name, len, &made, path, err)) < 0 || made) return r;
    *folder = kept;
    return 0;
}

/* The folder that the last part of `path` goes into, made where it is missing. *ret_name is in `path`. */
static int parent_of(struct tree *t, const char *path, int origin, struct node **ret, const char **ret_name,
                     struct vl_error *err)
{
    struct node *folder = &t->root;
    const char *name = path + 1;
    int r;

    for (size_t len; name[len = strcspn(name, "/")]; name += len + 1) {
        struct node *next = child_find(folder, name, len);
        unsigned links = 0;

        if (!next) {
            if ((r = make_parent(t, &folder, name, len, path, err)) < 0) return r;
            continue;
        }
        if (next->type == NODE_LINK) {
            /* The tree is ours: what is found in it may be changed. */
            struct node *leads_to = (struct node *)follow(next, &links);

            if (!leads_to) return fail_taken(next, path, origin, err);
            next = leads_to;
        }
        if (next->type != NODE_FOLDER) return fail_taken(next, path, origin, err);
        folder = next;
    }
    *ret = folder;
    *ret_name = name;
    return 0;
}

/* Takes *node where it succeeds. */
static int place(struct tree *t, const char *path, struct node **node, struct vl_error *err)
{
    const char *name = NULL;
    struct node *folder = NULL, *there;
    int r;

    if (!*node) return vl_fail_errno(err, ENOMEM, "plan the image");
    if (str_eq(path, "/")) return fail_taken(&t->root, path, (*node)->origin, err);
    if ((r = parent_of(t, path, (*node)->origin, &folder, &name, err)) < 0 || !folder) return r;
    if ((there = child_find(folder, name, strlen(name)))) return fail_taken(there, path, (*node)->origin, err);
    return add_node(t, folder, name, strlen(name), node, path, err);
}

static struct node *node_new(enum node_type type, mode_t mode, int origin)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n) return NULL;
    n->type = type;
    n->mode = mode & 07777;
    n->origin = origin;
    return n;
}

/* What stands at `path` if it is, or leads to, a folder. */
static struct node *folder_at(struct tree *t, const char *path)
{
    struct node *there = (struct node *)tree_find(t, path);

    return there && there->type == NODE_FOLDER ? there : NULL;
}

int tree_add_folder(struct tree *t, const char *path, mode_t mode, int origin, struct node **ret, struct vl_error *err)
{
    auto_(node_freep) struct node *made = NULL;
    struct node *folder = folder_at(t, path);
    int r;

    if (folder) {
        if (folder->origin == ORIGIN_PARENT || folder->origin == ORIGIN_SKELETON) {
            folder->mode = mode & 07777;
            folder->origin = origin;
        }
    } else {
        folder = made = node_new(NODE_FOLDER, mode, origin);
        if ((r = place(t, path, &made, err)) < 0) return r;
    }
    if (ret) *ret = folder;
    return 0;
}

int tree_add_link(struct tree *t, const char *path, const char *target, int origin, struct vl_error *err)
{
    auto_(node_freep) struct node *n = node_new(NODE_LINK, 0777, origin);

    if (n && !(n->target = strdup(target))) return vl_fail_errno(err, ENOMEM, "plan the image");
    return place(t, path, &n, err);
}

int tree_add_device(struct tree *t, const char *path, mode_t mode, unsigned major, unsigned minor, int origin,
                    struct vl_error *err)
{
    auto_(node_freep) struct node *n = node_new(NODE_DEVICE, mode, origin);

    if (n) {
        n->major = major;
        n->minor = minor;
    }
    return place(t, path, &n, err);
}

int tree_add_file(struct tree *t, const char *path, const char *host, const struct stat *st, mode_t mode, int origin,
                  struct vl_error *err)
{
    auto_(node_freep) struct node *n = node_new(NODE_FILE, mode, origin);

    if (st->st_size > (off_t)IMAGE_FILE_MAX)
        return vl_fail(err, VL_INVALID, "'%s' is larger than 4 GiB, the most that an initramfs file can be", host);
    if (n) {
        n->size = (uint64_t)st->st_size;
        n->dev = st->st_dev;
        n->ino = st->st_ino;
        if (!(n->host = strdup(host))) return vl_fail_errno(err, ENOMEM, "plan the image");
    }
    return place(t, path, &n, err);
}

int tree_walk(const struct node *node, int (*fn)(const struct node *node, void *arg), void *arg)
{
    int r = fn(node, arg);

    for (size_t i = 0; r >= 0 && i < node->n_children; i++)
        r = tree_walk(node->children[i], fn, arg);
    return r;
}

static int add_size(const struct node *n, void *arg)
{
    *(uint64_t *)arg += n->size;
    return 0;
}

uint64_t tree_size(const struct tree *t)
{
    uint64_t size = 0;

    (void)tree_walk(&t->root, add_size, &size);
    return size;
}

int image_path(const char *path, char **ret)
{
    auto_strbuf b = {0};
    char *clean;

    if (*path != '/') return -EINVAL;
    for (size_t len; *(path += strspn(path, "/")); path += len) {
        len = strcspn(path, "/");
        if (len == 2 && memcmp(path, "..", 2) == 0) return -EINVAL;
        if (len == 1 && *path == '.') continue;
        strbuf_adds(&b, "/");
        strbuf_add(&b, path, len);
    }
    if (b.len == 0) strbuf_adds(&b, "/");
    if (b.len > IMAGE_PATH_MAX) return -ENAMETOOLONG;
    if (!(clean = strbuf_take(&b))) return -ENOMEM;
    *ret = clean;
    return 0;
}
