/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of a layer into the tree, by the rules of the OCI image specification (layer.md, "Applying Changesets"):
 * what is there is replaced, but a folder by a folder keeps what is in it; ".wh.NAME" removes NAME, ".wh..wh..opq" all
 * that is in its folder, and both only what lower layers have put there.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/index_internal.h"

#define WHITEOUT         ".wh."
#define OPAQUE           ".wh..wh..opq"
#define META             ".wh..wh." /* of aufs itself: no content */
#define LINKS_OF_ONE_MAX 65000      /* what ext4 can count */

/* --- where a path leads ------------------------------------------------------------------------------------------ */

/* "./a//b/" to "a/b". ".." is refused: no archiver writes it, and it is how one tries to lead out. */
static int clean_path(struct oci_index *x, const char *path, char clean[static OCI_PATH_MAX + 1])
{
    size_t n = 0;

    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && path[0] == '.' && path[1] == '.')
            return vl_fail(x->err, VL_INVALID, "\"..\" in a path: such an archive is refused");
        if (len > OCI_NAME_MAX)
            return vl_fail(x->err, VL_INVALID, "a name has %zu bytes, allowed %d", len, OCI_NAME_MAX);
        if (len > 0 && !(len == 1 && path[0] == '.')) {
            if (n + len + 1 > OCI_PATH_MAX)
                return vl_fail(x->err, VL_INVALID, "the path has more than %d bytes", OCI_PATH_MAX);
            if (n > 0) clean[n++] = '/';
            memcpy(clean + n, path, len);
            n += len;
        }
        path += len + (path[len] == '/');
    }
    clean[n] = '\0';
    return 0;
}

static const struct oci_inode implicit_folder = {.mode = S_IFDIR | 0755};

static uint32_t make_folder(struct oci_index *x, uint32_t parent, const char *name, size_t len)
{
    struct oci_inode inode = implicit_folder;
    uint32_t node, number;

    inode.layer = x->layer;
    if ((number = index_add_inode(x, &inode)) == OCI_NONE) return OCI_NONE;
    if ((node = index_add_node(x, parent, name, len)) == OCI_NONE) return OCI_NONE;
    index_set_inode(x, node, number);
    return node;
}

/* What is left of a way: link targets are put in front of it. */
struct way {
    char text[2 * OCI_PATH_MAX + 2];
    size_t at;
    int links;
};

static int follow(struct oci_index *x, uint32_t node, uint32_t *folder, struct way *w)
{
    const char *target = oci_pool(x, (uint32_t)x->inodes[x->nodes[node].inode].size);
    char rest[OCI_PATH_MAX + 1];
    int r = strf(rest, sizeof(rest), "%s", w->text + w->at);

    if (++w->links > LINKS_MAX) return vl_fail(x->err, VL_INVALID, "its folder is a link that leads in a circle");
    if (r < 0 || strf(w->text, sizeof(w->text), "%s/%s", target, rest) < 0)
        return vl_fail(x->err, VL_INVALID, "its folder is a link that leads too far");
    w->at = 0;
    *folder = *target == '/' ? OCI_ROOT : x->nodes[node].parent;
    return 0;
}

/* One name further: *folder moves, or becomes OCI_NONE where nothing is there and nothing is to be made. */
static int step(struct oci_index *x, struct way *w, bool make, uint32_t *folder)
{
    const char *name = w->text + w->at;
    size_t len = strcspn(name, "/");
    uint32_t next;

    w->at += len + (name[len] == '/');
    if (len == 0 || (len == 1 && name[0] == '.')) return 0;
    if (len == 2 && name[0] == '.' && name[1] == '.') { /* of a link's target; above the root is the root */
        if (*folder != OCI_ROOT) *folder = x->nodes[*folder].parent;
        return 0;
    }
    if ((next = index_child(x, *folder, name, len)) == OCI_NONE) {
        if (make && (next = make_folder(x, *folder, name, len)) == OCI_NONE) return -EINVAL; /* x->err says why */
        *folder = next;
        return 0;
    }
    if (S_ISLNK(x->inodes[x->nodes[next].inode].mode)) return follow(x, next, folder, w);
    if (!index_is_folder(x, next)) {
        if (make) return vl_fail(x->err, VL_INVALID, "'%.100s' on its way is no folder", name);
        next = OCI_NONE;
    }
    *folder = next;
    return 0;
}

int index_place(struct oci_index *x, const char *path, bool make, char clean[static OCI_PATH_MAX + 1],
                struct place *ret)
{
    struct place p = {.parent = OCI_ROOT};
    struct way w = {0};
    char *slash;
    int r;

    if ((r = clean_path(x, path, clean)) < 0) return r;
    slash = strrchr(clean, '/');
    p.name = slash ? slash + 1 : clean;
    p.len = strlen(p.name);
    if (slash) (void)strf(w.text, sizeof(w.text), "%.*s", (int)(slash - clean), clean);
    while (p.parent != OCI_NONE && w.text[w.at])
        if ((r = step(x, &w, make, &p.parent)) < 0) return r;
    *ret = p;
    return 0;
}

uint32_t oci_index_find(const struct oci_index *x, const char *path)
{
    struct oci_index *y = (struct oci_index *)x; /* nothing is made, so nothing changes but `err` */
    struct vl_error *saved = x->err, ignored;
    uint32_t at = OCI_ROOT;
    struct way w = {0};
    size_t len = strlen(path);

    if (len > OCI_PATH_MAX) return OCI_NONE;
    memcpy(w.text, path, len + 1);
    y->err = &ignored;
    while (at != OCI_NONE && w.text[w.at]) {
        size_t name_len = strcspn(w.text + w.at, "/");
        bool last = !w.text[w.at + name_len + strspn(w.text + w.at + name_len, "/")];
        uint32_t child = last && name_len > 0 ? index_child(x, at, w.text + w.at, name_len) : OCI_NONE;

        if (child != OCI_NONE && !S_ISLNK(x->inodes[x->nodes[child].inode].mode)) {
            at = child;
            break;
        }
        if (step(y, &w, false, &at) < 0) at = OCI_NONE;
    }
    y->err = saved;
    return at;
}

/* --- what an entry does ------------------------------------------------------------------------------------------ */

/* What lower layers put at `node` and below goes; what the present one put there stays, and the folders to it. */
static void hide_lower(struct oci_index *x, uint32_t node) /* NOLINT(misc-no-recursion) */
{
    for (uint32_t at = x->nodes[node].child, next; at != OCI_NONE; at = next) {
        next = x->nodes[at].next;
        hide_lower(x, at);
    }
    if (node == OCI_ROOT || x->nodes[node].layer == x->layer) return;
    if (x->nodes[node].child == OCI_NONE) {
        index_remove(x, node);
    } else {
        struct oci_inode *inode = &x->inodes[x->nodes[node].inode];

        inode->mode = implicit_folder.mode;
        inode->uid = inode->gid = inode->xattrs = inode->mtime = 0;
    }
}

static int apply_opaque(struct oci_index *x, const char *path, size_t folder_len)
{
    char folder[OCI_PATH_MAX + 1], clean[OCI_PATH_MAX + 1];
    struct place p;
    uint32_t node;
    int r;

    if (strf(folder, sizeof(folder), "%.*s", (int)folder_len, path) < 0)
        return vl_fail(x->err, VL_INVALID, "the path is too long");
    if ((r = index_place(x, folder, false, clean, &p)) < 0 || p.parent == OCI_NONE) return r;
    node = p.len == 0 ? OCI_ROOT : index_child(x, p.parent, p.name, p.len);
    if (node == OCI_NONE || !index_is_folder(x, node)) return 0;
    for (uint32_t at = x->nodes[node].child, next; at != OCI_NONE; at = next) {
        next = x->nodes[at].next;
        hide_lower(x, at);
    }
    return 0;
}

/* 1: the entry was one of these, and is done with. */
static int apply_whiteout(struct oci_index *x, const char *path)
{
    char clean[OCI_PATH_MAX + 1];
    struct place p;
    const char *name = path, *last = path;
    uint32_t node;
    int r;

    for (; *name; name += strcspn(name, "/"), name += strspn(name, "/")) {
        last = name;
        if (str_starts(name, META) && !str_eq(name, OPAQUE)) return 1; /* nor what is below it */
    }
    if (str_eq(last, OPAQUE)) return (r = apply_opaque(x, path, (size_t)(last - path))) < 0 ? r : 1;
    if (!str_starts(last, WHITEOUT)) return 0;
    name = last + strlen(WHITEOUT);
    if (!*name || str_eq(name, ".") || str_eq(name, "..") || strchr(name, '/'))
        return vl_fail(x->err, VL_INVALID, "this whiteout names nothing that could be removed");
    if ((r = index_place(x, path, false, clean, &p)) < 0 || p.parent == OCI_NONE) return r < 0 ? r : 1;
    node = index_child(x, p.parent, name, strlen(name));
    if (node != OCI_NONE) hide_lower(x, node);
    return 1;
}

static int add_xattrs(struct oci_index *x, const struct oci_entry *e, uint32_t *ret)
{
    uint32_t len = (uint32_t)e->xattrs_len, at;
    char head[sizeof(len)];

    *ret = 0;
    if (e->xattrs_len == 0) return 0;
    memcpy(head, &len, sizeof(len));
    if (!(at = index_pool_add(x, head, sizeof(head)))) return -ENOMEM;
    x->pool.len--; /* without the NUL in between */
    if (!index_pool_add(x, e->xattrs, e->xattrs_len)) return -ENOMEM;
    *ret = at;
    return 0;
}

static uint32_t clamp_time(int64_t t)
{
    return t < 0 ? 0 : t > UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}

static int make_inode(struct oci_index *x, const struct oci_entry *e, struct oci_inode *ret)
{
    struct oci_inode inode = {.layer = x->layer,
                              .ordinal = e->ordinal,
                              .uid = e->uid,
                              .gid = e->gid,
                              .mode = (uint16_t)e->mode,
                              .mtime = clamp_time(e->mtime)};
    size_t len;
    int r;

    if ((r = add_xattrs(x, e, &inode.xattrs)) < 0) return r;
    if (S_ISREG(e->mode)) inode.size = e->size;
    if (S_ISCHR(e->mode) || S_ISBLK(e->mode)) inode.size = (uint64_t)e->major << 32 | e->minor;
    if (S_ISLNK(e->mode)) {
        len = e->symlink ? strlen(e->symlink) : 0;
        if (len == 0 || len > OCI_PATH_MAX)
            return vl_fail(x->err, VL_INVALID, "the link's target has %zu bytes, allowed 1 to %d", len, OCI_PATH_MAX);
        if (!(inode.size = index_pool_add(x, e->symlink, len))) return -ENOMEM;
    }
    *ret = inode;
    return 0;
}

/* The node for a new thing at p: what is there makes way, unless both are folders. */
static uint32_t claim(struct oci_index *x, const struct place *p, mode_t mode)
{
    uint32_t node = p->len == 0 ? OCI_ROOT : index_child(x, p->parent, p->name, p->len);

    if (node != OCI_NONE && S_ISDIR(mode) && index_is_folder(x, node)) {
        x->nodes[node].layer = (uint16_t)x->layer;
        return node;
    }
    if (node == OCI_ROOT) {
        (void)vl_fail(x->err, VL_INVALID, "the root is to become something else than a folder");
        return OCI_NONE;
    }
    if (node != OCI_NONE) index_remove(x, node);
    return index_add_node(x, p->parent, p->name, p->len);
}

static int add_new(struct oci_index *x, const struct oci_entry *e, const struct place *p)
{
    struct oci_inode inode;
    uint32_t node, number;
    int r;

    if ((r = make_inode(x, e, &inode)) < 0) return r;
    if ((node = claim(x, p, e->mode)) == OCI_NONE) return -EINVAL; /* x->err says why */
    if (x->nodes[node].inode != OCI_NONE) {                        /* a folder's alone */
        number = x->nodes[node].inode;
        inode.names = x->inodes[number].names;
        inode.n_names = x->inodes[number].n_names;
        x->inodes[number] = inode;
        return 0;
    }
    if ((number = index_add_inode(x, &inode)) == OCI_NONE) {
        x->nodes[node].inode = OCI_NONE;
        return -ENOMEM;
    }
    index_set_inode(x, node, number);
    return 0;
}

static int add_hardlink(struct oci_index *x, const struct oci_entry *e, const struct place *p)
{
    char clean[OCI_PATH_MAX + 1];
    struct place to;
    uint32_t target, node, inode;
    int r;

    if ((r = index_place(x, e->hardlink, false, clean, &to)) < 0) return r;
    target = to.parent == OCI_NONE || to.len == 0 ? OCI_NONE : index_child(x, to.parent, to.name, to.len);
    if (target == OCI_NONE)
        return vl_fail(x->err, VL_INVALID, "a hard link to '%.100s', which is not there", e->hardlink);
    if (index_is_folder(x, target))
        return vl_fail(x->err, VL_INVALID, "a hard link to the folder '%.100s'", e->hardlink);
    node = p->len == 0 ? OCI_ROOT : index_child(x, p->parent, p->name, p->len);
    if (node == target) return 0;
    inode = x->nodes[target].inode;
    if (x->inodes[inode].n_names >= LINKS_OF_ONE_MAX)
        return vl_fail(x->err, VL_TOO_LARGE, "a file with more than %d names", LINKS_OF_ONE_MAX);
    if (node != OCI_NONE && index_is_folder(x, node)) {
        for (uint32_t up = target; up != OCI_ROOT; up = x->nodes[up].parent)
            if (up == node) return vl_fail(x->err, VL_INVALID, "a hard link that replaces the folder of its target");
    }
    if ((node = claim(x, p, S_IFREG)) == OCI_NONE) return -EINVAL; /* x->err says why */
    index_set_inode(x, node, inode);
    return 0;
}

static int count(struct oci_index *x, const struct oci_entry *e)
{
    uint64_t size = S_ISREG(e->mode) && !e->hardlink ? e->size : 0;

    if (++x->entries > x->max_entries)
        return vl_fail(x->err, VL_TOO_LARGE, "the layers have more than %" PRIu32 " entries", x->max_entries);
    if (size > x->max_bytes - x->bytes)
        return vl_fail(x->err, VL_TOO_LARGE,
                       "the layers unpack to more than %" PRIu64 " MB: allow more with --max-size if it is meant to be",
                       x->max_bytes >> 20);
    x->bytes += size;
    return 0;
}

static bool is_known(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode);
}

int oci_index_begin_layer(struct oci_index *x, struct vl_error *err)
{
    if (x->layer >= OCI_LAYERS_MAX)
        return vl_fail(err, VL_TOO_LARGE, "the image has more than %d layers", OCI_LAYERS_MAX);
    x->layer++;
    return 0;
}

/* Something has the place, or is in the way to it. */
static bool is_taken(struct oci_index *x, const char *path)
{
    struct vl_error *saved = x->err, ignored;
    char clean[OCI_PATH_MAX + 1];
    struct place p;
    bool taken;

    x->err = &ignored;
    taken = index_place(x, path, false, clean, &p) < 0 ||
            (p.parent != OCI_NONE && (p.len == 0 || index_child(x, p.parent, p.name, p.len) != OCI_NONE));
    x->err = saved;
    return taken;
}

static int add(struct oci_index *x, const struct oci_entry *e)
{
    char clean[OCI_PATH_MAX + 1];
    struct place p;
    int r;

    if ((r = count(x, e)) < 0) return r;
    if (e->weak && is_taken(x, e->path)) return 0;
    if ((r = apply_whiteout(x, e->path)) != 0) return r < 0 ? r : 0;
    if (!e->hardlink && !is_known(e->mode)) return vl_fail(x->err, VL_INVALID, "its type is not known");
    if ((r = index_place(x, e->path, true, clean, &p)) < 0) return r;
    return e->hardlink ? add_hardlink(x, e, &p) : add_new(x, e, &p);
}

int oci_index_add(struct oci_index *x, const struct oci_entry *e, struct vl_error *err)
{
    char shown[200];
    int r;

    x->err = err;
    if ((r = add(x, e)) < 0) {
        (void)escape_printable(shown, sizeof(shown), e->path, strlen(e->path));
        (void)vl_wrap(err, "entry '%s'", shown);
    }
    x->err = NULL;
    return r;
}
