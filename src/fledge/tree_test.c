/* SPDX-License-Identifier: Apache-2.0 */
#include "fledge/tree.h"

#include "fledge/testdir.h"

static const struct stat a_file = {.st_mode = S_IFREG | 0644, .st_size = 5, .st_ino = 7};

static void test_paths(void **state)
{
    static const struct {
        const char *in, *out;
        int r;
    } table[] = {{"/", "/", 0},
                 {"//", "/", 0},
                 {"/a", "/a", 0},
                 {"/a/b/", "/a/b", 0},
                 {"///a//b///", "/a/b", 0},
                 {"/./a/./b/.", "/a/b", 0},
                 {"/...", "/...", 0},
                 {"/a/..b/c..", "/a/..b/c..", 0},
                 {"", NULL, -EINVAL},
                 {"a", NULL, -EINVAL},
                 {"./a", NULL, -EINVAL},
                 {"/..", NULL, -EINVAL},
                 {"/a/../b", NULL, -EINVAL},
                 {"/a/..", NULL, -EINVAL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_free char *got = NULL;
        int r = image_path(table[i].in, &got);

        if (r != table[i].r || !str_eq(got, table[i].out)) fail_msg("'%s' gives %d and '%s'", table[i].in, r, got);
    }
}

static void test_path_too_long(void **state)
{
    char path[IMAGE_PATH_MAX + 2];
    char *got = NULL;

    (void)state;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[IMAGE_PATH_MAX + 1] = '\0';
    assert_int_equal(image_path(path, &got), -ENAMETOOLONG);
    assert_null(got);
}

static int collect(const struct node *n, void *arg)
{
    char path[256];

    assert_int_equal(node_path(n, path, sizeof(path)), 0);
    strbuf_addf(arg, "%s ", path);
    return 0;
}

static void test_order_is_by_name(void **state)
{
    static const char *const paths[] = {"/b/z", "/a", "/b/a", "/c", "/b.txt", "/b/ab", "/b/a.b"};
    auto_(tree_freep) struct tree *t = NULL;
    auto_strbuf all = {0};
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(tree_new(&t, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        assert_int_equal(tree_add_file(t, paths[i], "x", &a_file, 0644, (int)i, &err), 0);
    assert_int_equal(tree_walk(tree_root(t), collect, &all), 0);
    assert_string_equal(all.data, "/ /a /b /b/a /b/a.b /b/ab /b/z /b.txt /c ");
    assert_int_equal(tree_size(t), 5 * ARRAY_LEN(paths));
}

static void test_links_are_followed_within(void **state)
{
    static const struct {
        const char *asked, *found;
    } table[] = {{"/lib/x", "/usr/lib/x"},
                 {"/usr/lib/x", "/usr/lib/x"},
                 {"/up/x", "/usr/lib/x"},
                 {"/lib", "/usr/lib"},
                 {"/file", "/usr/lib/x"},
                 {"/usr/../lib/./x", "/usr/lib/x"},
                 {"/../../lib/x", "/usr/lib/x"},
                 {"/loop", NULL},
                 {"/nowhere", NULL},
                 {"/usr/lib/x/y", NULL},
                 {"/file/", "/usr/lib/x"},
                 {"/usr/lib/absent", NULL}};
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(tree_new(&t, &err), 0);
    assert_int_equal(tree_add_folder(t, "/usr/lib", 0755, 0, NULL, &err), 0);
    assert_int_equal(tree_add_link(t, "/lib", "usr/lib", 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/usr/share", "../lib", 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/up", "/usr/share", 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/loop", "loop", 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/nowhere", "absent", 0, &err), 0);
    assert_int_equal(tree_add_file(t, "/up/x", "x", &a_file, 0644, 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/file", "lib/x", 0, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct node *n = tree_find(t, table[i].asked);
        char path[256] = "";

        if (n) assert_int_equal(node_path(n, path, sizeof(path)), 0);
        if (!str_eq(n ? path : NULL, table[i].found)) fail_msg("%s leads to '%s'", table[i].asked, path);
    }
}

static void test_conflicts(void **state)
{
    static const char *const taken[] = {"/", "/file", "/file/below", "/folder", "/link", "/loop/x", "/nowhere/x"};
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(tree_new(&t, &err), 0);
    assert_int_equal(tree_add_file(t, "/file", "x", &a_file, 0644, 0, &err), 0);
    assert_int_equal(tree_add_folder(t, "/folder", 0755, 0, NULL, &err), 0);
    assert_int_equal(tree_add_link(t, "/link", "file", 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/loop", "loop", 0, &err), 0);
    assert_int_equal(tree_add_link(t, "/nowhere", "absent", 0, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        err = (struct vl_error){0};
        assert_true(tree_add_file(t, taken[i], "x", &a_file, 0644, 3, &err) < 0);
        assert_int_equal(err.kind, VL_CONFLICT);
        assert_non_null(strstr(err.msg, "file_mappings[3]"));
    }
    assert_true(tree_add_folder(t, "/file", 0755, 3, NULL, &err) < 0);
    assert_int_equal(tree_add_folder(t, "/folder", 0700, 3, NULL, &err), 0); /* the first one's mode stays */
    assert_int_equal(tree_find(t, "/folder")->mode, 0755);
}

static void test_a_folder_made_on_the_way_takes_a_mode(void **state)
{
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(tree_new(&t, &err), 0);
    assert_int_equal(tree_add_file(t, "/tmp/x", "x", &a_file, 0644, 0, &err), 0);
    assert_int_equal(tree_find(t, "/tmp")->mode, 0755);
    assert_int_equal(tree_add_folder(t, "/tmp", 01777, ORIGIN_SKELETON, NULL, &err), 0);
    assert_int_equal(tree_find(t, "/tmp")->mode, 01777);
}

static void test_what_the_format_cannot_carry(void **state)
{
    auto_(tree_freep) struct tree *t = NULL;
    struct stat huge = a_file;
    struct vl_error err = {0};
    char path[400];

    (void)state;
    assert_int_equal(tree_new(&t, &err), 0);
    assert_true(tree_add_file(t, "/TRAILER!!!", "x", &a_file, 0644, 0, &err) < 0);
    assert_non_null(strstr(err.msg, "choose another name"));
    assert_int_equal(tree_add_file(t, "/a/TRAILER!!!", "x", &a_file, 0644, 0, &err), 0);
    huge.st_size = (off_t)IMAGE_FILE_MAX + 1;
    assert_true(tree_add_file(t, "/huge", "x", &huge, 0644, 0, &err) < 0);
    assert_non_null(strstr(err.msg, "4 GiB"));
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[257] = '\0';
    assert_true(tree_add_file(t, path, "x", &a_file, 0644, 0, &err) < 0);
    assert_non_null(strstr(err.msg, "allowed 255"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_path_too_long),
        cmocka_unit_test(test_order_is_by_name),
        cmocka_unit_test(test_links_are_followed_within),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_a_folder_made_on_the_way_takes_a_mode),
        cmocka_unit_test(test_what_the_format_cannot_carry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
