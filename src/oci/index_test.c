/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers as little texts, one entry a line, and the tree that they make. "d a": a folder, "f a/b": a file, "l a -> b":
 * a link, "h a => b": a hard link, "p a": a fifo. In the tree a file has the number of its layer, and a further name of
 * it the first one's in the order of the tree.
 */
#include "oci/index.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "base/unit.h"

#define LAYERS 4

static const struct oci_job job = {.max_bytes = 1000, .max_entries = 200};

static const struct {
    const char *layers[LAYERS], *tree;
} good[] = {
    {{""}, ""},
    {{"d a\nf a/b\n"}, "d a\nf a/b 1\n"},
    {{"f a/b/c\n"}, "d a\nd a/b\nf a/b/c 1\n"},
    {{"f ./a\nf /b\nf c//d\nd e/./f/\n"}, "f a 1\nf b 1\nd c\nf c/d 1\nd e\nd e/f\n"},
    {{"d .\nf x\n", "d ./\n"}, "f x 1\n"},
    {{"f b\nf a\nf c\n"}, "f a 1\nf b 1\nf c 1\n"},
    /* upper layers replace */
    {{"f a\nf b\n", "f b\nf c\n"}, "f a 1\nf b 2\nf c 2\n"},
    {{"d a\nf a/b\n", "d a\nf a/c\n"}, "d a\nf a/b 1\nf a/c 2\n"},
    {{"d a\nf a/b\n", "f a\n"}, "f a 2\n"},
    {{"f a\n", "d a\nf a/b\n"}, "d a\nf a/b 2\n"},
    {{"l a -> b\nd b\nf b/c\n", "d a\nf a/d\n"}, "d a\nf a/d 2\nd b\nf b/c 1\n"},
    {{"d a\nf a/b\n", "l a -> c\n"}, "l a -> c\n"},
    {{"f a\n", "p a\n"}, "p a\n"},
    /* the last of two counts */
    {{"f a\nd a\nf a/b\nf a\n"}, "f a 1\n"},
    {{"l a -> x\nl a -> y\n"}, "l a -> y\n"},
    /* whiteouts */
    {{"f a\nf b\n", "f .wh.a\n"}, "f b 1\n"},
    {{"d a\nf a/b\nf a/c\n", "f a/.wh.b\n"}, "d a\nf a/c 1\n"},
    {{"d a\nf a/b/c\n", "f .wh.a\n"}, ""},
    {{"f a\n", "f .wh.a\nf a\n"}, "f a 2\n"},
    {{"f a\n", "f a\nf .wh.a\n"}, "f a 2\n"}, /* of lower layers alone, in whatever order */
    {{"d a\nf a/b\n", "d a\nf a/c\nf .wh.a\n"}, "d a\nf a/c 2\n"},
    {{"d a\nf a/b\n", "f .wh.a\nf a/c\n"}, "d a\nf a/c 2\n"},
    {{"f a\n", "f .wh.a\n", "f a\n"}, "f a 3\n"},
    {{"f a\n", "f .wh.nothing\nf x/.wh.y\n"}, "f a 1\n"},
    {{"f .wh.a\nf b\n"}, "f b 1\n"},
    {{"d real\nf real/x\nl to -> real\n", "f to/.wh.x\n"}, "d real\nl to -> real\n"},
    /* opaque folders */
    {{"d a\nf a/b\nf a/c\n", "d a\nf a/.wh..wh..opq\nf a/d\n"}, "d a\nf a/d 2\n"},
    {{"d a\nf a/b\n", "f a/d\nf a/.wh..wh..opq\n"}, "d a\nf a/d 2\n"},
    {{"d a\nd a/b\nf a/b/c\n", "f a/b/d\nf a/.wh..wh..opq\n"}, "d a\nd a/b\nf a/b/d 2\n"},
    {{"f a\nf b\n", "f .wh..wh..opq\nf c\n"}, "f c 2\n"},
    {{"f a\n", "f x/.wh..wh..opq\n"}, "f a 1\n"},
    {{"f a\n", "f a/.wh..wh..opq\n"}, "f a 1\n"},
    /* aufs' own */
    {{"d .wh..wh.plnk\nf .wh..wh.plnk/1.2\nf .wh..wh.aufs\nf a\n"}, "f a 1\n"},
    /* hard links */
    {{"f a\nh b => a\n"}, "f a 1\nf b = a\n"},
    {{"f a\nh b => ./a\nh c => /b\n"}, "f a 1\nf b = a\nf c = a\n"},
    {{"f a\nh b => a\n", "f .wh.a\n"}, "f b 1\n"},
    {{"f a\nh b => a\n", "f a\n"}, "f a 2\nf b 1\n"},
    {{"f a\n", "h b => a\n"}, "f a 1\nf b = a\n"},
    {{"f a\nh a => a\n"}, "f a 1\n"},
    {{"l a -> x\nh b => a\n"}, "l a -> x\nl b = a\n"},
    {{"p a\nh b => a\n"}, "p a\np b = a\n"},
    {{"f x\nd a\nf a/y\nh a => x\n"}, "f a 1\nf x = a\n"},
    /* folders by way of links */
    {{"d usr/lib\nl lib -> usr/lib\nf lib/x\n"}, "l lib -> usr/lib\nd usr\nd usr/lib\nf usr/lib/x 1\n"},
    {{"d usr/lib\nl lib -> usr/lib\n", "f lib/x\n"}, "l lib -> usr/lib\nd usr\nd usr/lib\nf usr/lib/x 2\n"},
    {{"d usr/lib\nl lib -> /usr/lib\nf lib/x\n"}, "l lib -> /usr/lib\nd usr\nd usr/lib\nf usr/lib/x 1\n"},
    {{"d a/b\nl a/b/up -> ../..\nf a/b/up/x\n"}, "d a\nd a/b\nl a/b/up -> ../..\nf x 1\n"},
    /* nothing leads out: above the root is the root */
    {{"l out -> ../../../../etc\nf out/passwd\n"}, "d etc\nf etc/passwd 1\nl out -> ../../../../etc\n"},
    {{"l out -> /../../x\nf out/y\n"}, "l out -> /../../x\nd x\nf x/y 1\n"},
    {{"l a -> b\nl b -> c\nd c\nf a/x\n"}, "l a -> b\nl b -> c\nd c\nf c/x 1\n"},
    {{"l a -> made/deep\nf a/x\n"}, "l a -> made/deep\nd made\nd made/deep\nf made/deep/x 1\n"},
    /* a link is not followed where it is the thing itself */
    {{"d a\nl b -> a\nf b\n"}, "d a\nf b 1\n"},
    {{"f a\xff\nf \xc3\xa9\nf e\xcc\x81\n"}, "f a\xff 1\nf e\xcc\x81 1\nf \xc3\xa9 1\n"},
};

static const struct {
    const char *layers[LAYERS], *msg;
} bad[] = {
    {{"f ../a\n"}, "\"..\" in a path"},
    {{"f a/../b\n"}, "\"..\" in a path"},
    {{"f a/..\n"}, "\"..\" in a path"},
    {{"d ..\n"}, "\"..\" in a path"},
    {{"f a\nh b => ../a\n"}, "\"..\" in a path"},
    {{"f a\nh b => ../../etc/passwd\n"}, "\"..\" in a path"},
    {{"h b => a\n"}, "a hard link to 'a', which is not there"},
    {{"h a => b\nh b => a\n"}, "a hard link to 'b', which is not there"},
    {{"f a\n", "f .wh.a\nh b => a\n"}, "a hard link to 'a', which is not there"},
    {{"d a\nh b => a\n"}, "a hard link to the folder 'a'"},
    {{"h b => .\n"}, "which is not there"},
    {{"d a\nf a/x\nh a => a/x\n"}, "replaces the folder of its target"},
    {{"f a\nf a/b\n"}, "on its way is no folder"},
    {{"f a\n", "f a/b/c\n"}, "on its way is no folder"},
    {{"l a -> a\nf a/x\n"}, "leads in a circle"},
    {{"l a -> b\nl b -> a\nf a/x\n"}, "leads in a circle"},
    {{"l a -> b/c\nl b -> a/d\nf a/x\n"}, "leads in a circle"},
    {{"f .\n"}, "root is to become something else"},
    {{"l / -> x\n"}, "root is to become something else"},
    {{"f a\nh / => a\n"}, "root is to become something else"},
    {{"f .wh.\n"}, "names nothing that could be removed"},
    {{"f a/.wh...\n"}, "names nothing that could be removed"},
    {{"f .wh..\n"}, "names nothing that could be removed"},
    {{"s a\n"}, "its type is not known"},
    {{"F a\nF b\nF c\n"}, "unpack to more than"},
    {{"F a\nF b\n", "f .wh.a\nF c\n"}, "unpack to more than"}, /* hidden ones count */
};

/* One line into an entry; `line` is changed. */
static struct oci_entry parse(char *line, uint32_t ordinal)
{
    static const struct {
        char letter;
        mode_t mode;
        uint64_t size;
    } kinds[] = {{'f', S_IFREG | 0644, 1}, {'F', S_IFREG | 0644, 400}, {'d', S_IFDIR | 0700, 0},
                 {'l', S_IFLNK | 0777, 0}, {'p', S_IFIFO | 0600, 0},   {'h', S_IFREG | 0644, 0},
                 {'s', S_IFSOCK | 0600, 0}};
    struct oci_entry e = {.path = line + 2, .ordinal = ordinal};
    char *arrow = strstr(line, *line == 'h' ? " => " : " -> ");

    if (arrow) *arrow = '\0';
    if (*line == 'h') e.hardlink = arrow + 4;
    if (*line == 'l') e.symlink = arrow + 4;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].letter == *line) {
            e.mode = kinds[i].mode;
            e.size = kinds[i].size;
        }
    return e;
}

static int add_layer(struct oci_index *x, const char *layer, struct vl_error *err)
{
    auto_free char *text = strdup(layer);
    char *line = text, *next;
    uint32_t ordinal = 0;
    int r = oci_index_begin_layer(x, err);

    for (; r == 0 && *line; line = next) {
        next = strchr(line, '\n') + 1;
        next[-1] = '\0';
        struct oci_entry e = parse(line, ordinal++);
        r = oci_index_add(x, &e, err);
    }
    return r;
}

static int build(const char *const layers[LAYERS], struct oci_index **ret, struct vl_error *err)
{
    auto_(oci_index_freep) struct oci_index *x = NULL;
    int r = oci_index_new(&job, &x, err);

    for (size_t i = 0; r == 0 && i < LAYERS && layers[i]; i++)
        r = add_layer(x, layers[i], err);
    if (r == 0) r = oci_index_sort(x, err);
    if (r == 0) *ret = take_ptr(x);
    return r;
}

/* The first of an inode's names in the order of the tree is found by keeping those that were shown. */
static void show(const struct oci_index *x, uint32_t folder, uint32_t *first, struct strbuf *out)
{
    char path[OCI_PATH_MAX + 1], other[OCI_PATH_MAX + 1];

    for (uint32_t at = oci_node(x, folder)->child; at != OCI_NONE; at = oci_node(x, at)->next) {
        uint32_t number = oci_node(x, at)->inode;
        const struct oci_inode *inode = oci_inode(x, number);
        char letter = S_ISDIR(inode->mode) ? 'd' : S_ISLNK(inode->mode) ? 'l' : S_ISFIFO(inode->mode) ? 'p' : 'f';

        oci_node_path(x, at, path);
        strbuf_addf(out, "%c %s", letter, path);
        if (first[number] != OCI_NONE) {
            oci_node_path(x, first[number], other);
            strbuf_addf(out, " = %s", other);
        } else if (letter == 'f') {
            strbuf_addf(out, " %u", inode->layer);
        } else if (letter == 'l') {
            strbuf_addf(out, " -> %s", oci_pool(x, (uint32_t)inode->size));
        }
        if (first[number] == OCI_NONE) first[number] = at;
        strbuf_adds(out, "\n");
        show(x, at, first, out);
    }
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        auto_(oci_index_freep) struct oci_index *x = NULL;
        auto_strbuf out = {0};
        uint32_t first[256];
        struct vl_error err = {0};

        if (build(good[i].layers, &x, &err) < 0) fail_msg("%zu: %s", i, err.msg);
        for (size_t k = 0; k < ARRAY_LEN(first); k++)
            first[k] = OCI_NONE;
        strbuf_add(&out, "", 0);
        show(x, OCI_ROOT, first, &out);
        if (strcmp(out.data ? out.data : "", good[i].tree) != 0)
            fail_msg("%zu: expected\n%sgot\n%s", i, good[i].tree, out.data);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct oci_index *x = (struct oci_index *)&job;
        struct vl_error err = {0};

        if (build(bad[i].layers, &x, &err) >= 0) fail_msg("%zu: accepted, expected '%s'", i, bad[i].msg);
        assert_ptr_equal(x, &job); /* untouched */
        if (!strstr(err.msg, bad[i].msg)) fail_msg("%zu: '%s' is not in '%s'", i, bad[i].msg, err.msg);
        assert_true(str_starts(err.msg, "entry '"));
    }
}

static void add_one(struct oci_index *x, const char *path, mode_t mode, int expected_sign, const char *msg)
{
    const struct oci_entry e = {.path = path, .mode = mode, .symlink = "/"};
    struct vl_error err = {0};
    int r = oci_index_add(x, &e, &err);

    if ((expected_sign < 0) != (r < 0)) fail_msg("%.60s: %s", path, r < 0 ? err.msg : "accepted");
    if (msg && !strstr(err.msg, msg)) fail_msg("'%s' is not in '%s'", msg, err.msg);
}

static void begin(struct oci_index **ret)
{
    struct vl_error err = {0};

    assert_int_equal(oci_index_new(&job, ret, &err), 0);
    assert_int_equal(oci_index_begin_layer(*ret, &err), 0);
}

/* 256 folders deep is fine, by whatever way; one more is not. */
static void test_depth(void **state)
{
    auto_strbuf path = {0};
    struct oci_index *x = NULL;

    (void)state;
    for (int i = 0; i < OCI_DEPTH_MAX; i++)
        strbuf_adds(&path, "d/");
    begin(&x);
    add_one(x, path.data, S_IFDIR | 0755, 0, NULL);
    strbuf_adds(&path, "d/");
    add_one(x, path.data, S_IFDIR | 0755, -1, "folders are more than 256 deep");
    oci_index_free(x);
    begin(&x);
    add_one(x, "l", S_IFLNK | 0777, 0, NULL);
    strbuf_consume(&path, 2);
    strbuf_adds(&path, "e");
    add_one(x, path.data, S_IFREG | 0644, -1, "folders are more than 256 deep");
    oci_index_free(x);
}

static void test_long_names(void **state)
{
    auto_strbuf name = {0}, path = {0};
    struct oci_index *x = NULL;

    (void)state;
    for (int i = 0; i < OCI_NAME_MAX; i++)
        strbuf_adds(&name, "n");
    begin(&x);
    add_one(x, name.data, S_IFREG | 0644, 0, NULL);
    for (int i = 0; i < 15; i++)
        strbuf_addf(&path, "%.254s/", name.data);
    add_one(x, path.data, S_IFDIR | 0755, 0, NULL);
    strbuf_addf(&path, "%.254s/%.20s", name.data, name.data);
    add_one(x, path.data, S_IFREG | 0644, -1, "more than 4095 bytes");
    strbuf_adds(&name, "n");
    add_one(x, name.data, S_IFREG | 0644, -1, "a name has 256 bytes, allowed 255");
    oci_index_free(x);
}

static void test_counts(void **state)
{
    struct oci_index *x = NULL;
    char name[16];
    struct vl_error err = {0};

    (void)state;
    begin(&x);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        add_one(x, name, S_IFIFO | 0644, 0, NULL);
    }
    add_one(x, "more", S_IFIFO | 0644, -1, "the layers have more than 200 entries");
    for (int i = 1; i < OCI_LAYERS_MAX; i++)
        assert_int_equal(oci_index_begin_layer(x, &err), 0);
    assert_true(oci_index_begin_layer(x, &err) < 0);
    assert_int_equal(err.kind, VL_TOO_LARGE);
    oci_index_free(x);
}

static void test_find(void **state)
{
    static const char *const layers[LAYERS] = {
        "d usr/bin\nf usr/bin/sh\nl bin -> usr/bin\nl sh -> /bin/sh\nl no -> no\n"};
    static const char *const there[] = {"/usr/bin/sh",    "bin/sh",    "/bin//./sh", "/sh",
                                        "/usr/../bin/sh", "/usr/bin/", "/"};
    static const char *const missing[] = {"/bin/ash", "/usr/bin/sh/x", "/no", "/no/x", "x"};
    struct oci_index *x = NULL;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(build(layers, &x, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(there); i++)
        if (oci_index_find(x, there[i]) == OCI_NONE) fail_msg("%s is missing", there[i]);
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        if (oci_index_find(x, missing[i]) != OCI_NONE) fail_msg("%s is there", missing[i]);
    oci_index_free(x);
}

/* Times and attributes as they were; what a name loses is not kept. */
static void test_metadata(void **state)
{
    static const char attributes[] = "user.a\0\2\0\0\0hi" /* name, length, value */
                                     "user.b\0\0\0\0";
    const struct oci_entry e = {.path = "a",
                                .mode = S_IFCHR | 04711,
                                .uid = 4000000000,
                                .gid = 7,
                                .major = 300,
                                .minor = 70000,
                                .mtime = -5,
                                .xattrs = attributes,
                                .xattrs_len = sizeof(attributes)};
    struct oci_index *x = NULL;
    struct vl_error err = {0};
    struct oci_xattr xattr;
    const struct oci_inode *inode;
    const char *at;
    size_t left;

    (void)state;
    begin(&x);
    assert_int_equal(oci_index_add(x, &e, &err), 0);
    inode = oci_inode(x, oci_node(x, oci_index_find(x, "a"))->inode);
    assert_int_equal(inode->mode, S_IFCHR | 04711);
    assert_int_equal(inode->uid, 4000000000);
    assert_true(inode->size == ((uint64_t)300 << 32 | 70000));
    assert_int_equal(inode->mtime, 0);
    at = oci_xattrs_of(x, inode, &left);
    assert_true(oci_xattr_next(&at, &left, &xattr));
    assert_string_equal(xattr.name, "user.a");
    assert_int_equal(xattr.len, 2);
    assert_memory_equal(xattr.value, "hi", 2);
    assert_true(oci_xattr_next(&at, &left, &xattr));
    assert_string_equal(xattr.name, "user.b");
    assert_int_equal(xattr.len, 0);
    assert_false(oci_xattr_next(&at, &left, &xattr));
    oci_index_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),    cmocka_unit_test(test_depth),
        cmocka_unit_test(test_long_names), cmocka_unit_test(test_counts), cmocka_unit_test(test_find),
        cmocka_unit_test(test_metadata),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
