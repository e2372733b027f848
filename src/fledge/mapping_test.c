/* SPDX-License-Identifier: Apache-2.0 */
#include "fledge/mapping.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "fledge/testdir.h"

/* A configuration whose [[file_mappings]] are at line 10, 20, ... */
static void make_config(struct config *c, const struct mapping *mappings, size_t n)
{
    *c = (struct config){.file = strdup("f.toml"), .mappings = calloc(n, sizeof(*mappings)), .n_mappings = n};
    assert_true(c->file && c->mappings);
    for (size_t i = 0; i < n; i++) {
        c->mappings[i] = mappings[i];
        c->mappings[i].source = strdup(mappings[i].source);
        c->mappings[i].dest = strdup(mappings[i].dest);
        c->mappings[i].source_at = (struct toml_place){.line = (unsigned)(i + 1) * 10 + 1, .column = 10};
        c->mappings[i].dest_at = (struct toml_place){.line = (unsigned)(i + 1) * 10 + 2, .column = 8};
        (void)strf(c->mappings[i].source_name, sizeof(c->mappings[i].source_name), "file_mappings[%zu].source", i);
        (void)strf(c->mappings[i].dest_name, sizeof(c->mappings[i].dest_name), "file_mappings[%zu].dest", i);
    }
}

static int apply(const struct mapping *mappings, size_t n, struct tree **ret, struct vl_error *err)
{
    auto_config c = {0};
    struct vl_error none = {0};

    assert_int_equal(tree_new(ret, &none), 0);
    make_config(&c, mappings, n);
    (void)mkdir("out", 0755);
    return mappings_apply(&c, ".", "out", *ret, err);
}

static void test_modes_by_destination(void **state)
{
    static const struct {
        const char *path;
        mode_t from, mode;
    } table[] = {{"/etc/x", 0644, 0644},
                 {"/etc/x", 0600, 0644},
                 {"/etc/x", 0666, 0644},
                 {"/etc/x", 0755, 0755},
                 {"/etc/x", 0700, 0700},
                 {"/etc/x", 0744, 0755},
                 {"/etc/x", 0711, 0711},
                 {"/etc/x", 04111, 04111},
                 {"/etc/x", 0654, 0755},
                 {"/etc/x", 04755, 04755},
                 {"/bin/x", 0644, 0755},
                 {"/usr/local/sbin/x", 0600, 0755},
                 {"/opt/bin/a/b", 0644, 0755},
                 {"/binary/x", 0644, 0644},
                 {"/usr/binx", 0644, 0644},
                 {"/lib/libx.so", 0644, 0755},
                 {"/usr/lib/x86_64-linux-gnu/libx.so.1.2", 0644, 0755},
                 {"/usr/lib/x.conf", 0644, 0644},
                 {"/usr/lib/x.sonata", 0644, 0644},
                 {"/srv/libx.so", 0644, 0644}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (mapping_mode(table[i].path, table[i].from) != table[i].mode)
            fail_msg("%s from %o gives %o", table[i].path, table[i].from, mapping_mode(table[i].path, table[i].from));
}

static int describe(const struct node *n, void *arg)
{
    char path[256];

    assert_int_equal(node_path(n, path, sizeof(path)), 0);
    strbuf_addf(arg, "%s %o%s%s\n", path, n->mode, n->target ? " -> " : "", n->target ? n->target : "");
    return 0;
}

static void expect_tree(const struct tree *t, const char *expected)
{
    auto_strbuf all = {0};

    assert_int_equal(tree_walk(tree_root(t), describe, &all), 0);
    assert_string_equal(all.data, expected);
}

static void test_files(void **state)
{
    static const struct mapping mappings[] = {{.source = "./plain", .dest = "/etc/conf", .mode = -1},
                                              {.source = "link", .dest = "/etc/linked", .mode = -1},
                                              {.source = "plain", .dest = "/srv/", .mode = 04550},
                                              {.source = "./deep/../plain", .dest = "/", .mode = -1},
                                              {.source = "program", .dest = "/usr/local/bin/p", .mode = -1}};
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};

    (void)state;
    put_file("plain", "x", 0600);
    put_file("program", "x", 0750);
    assert_int_equal(mkdir("deep", 0755), 0);
    assert_int_equal(symlink("plain", "link"), 0);
    if (apply(mappings, ARRAY_LEN(mappings), &t, &err) < 0) fail_msg("%s", err.msg);
    expect_tree(t, "/ 755\n"
                   "/etc 755\n/etc/conf 644\n/etc/linked 644\n"
                   "/plain 644\n"
                   "/srv 755\n/srv/plain 4550\n"
                   "/usr 755\n/usr/local 755\n/usr/local/bin 755\n/usr/local/bin/p 750\n");
    assert_string_equal(tree_find(t, "/etc/linked")->host, "link");
}

static void make_site(void)
{
    assert_int_equal(mkdir("site", 0755), 0);
    assert_int_equal(mkdir("site/private", 0700), 0);
    put_file("site/index", "x", 0644);
    put_file("site/private/key", "x", 0600);
    put_file("site/run", "x", 04755);
    assert_int_equal(symlink("index", "site/link"), 0);
    assert_int_equal(symlink("/absent", "site/nowhere"), 0);
    assert_int_equal(symlink(".", "site/loop"), 0);
}

static void test_folders(void **state)
{
    static const struct mapping as_they_are = {.source = "site", .dest = "/srv/www/", .mode = -1};
    static const struct mapping with_mode = {.source = "site/", .dest = "/srv", .mode = 0640};
    static const struct mapping to_root = {.source = "site/private", .dest = "/", .mode = -1};
    auto_(tree_freep) struct tree *first = NULL, *second = NULL, *third = NULL;
    struct vl_error err = {0};

    (void)state;
    make_site();
    if (apply(&as_they_are, 1, &first, &err) < 0) fail_msg("%s", err.msg);
    expect_tree(first, "/ 755\n/srv 755\n/srv/www 755\n/srv/www/index 644\n/srv/www/link 777 -> index\n"
                       "/srv/www/loop 777 -> .\n/srv/www/nowhere 777 -> /absent\n"
                       "/srv/www/private 700\n/srv/www/private/key 600\n/srv/www/run 4755\n");
    if (apply(&with_mode, 1, &second, &err) < 0) fail_msg("%s", err.msg);
    expect_tree(second, "/ 755\n/srv 750\n/srv/index 640\n/srv/link 777 -> index\n/srv/loop 777 -> .\n"
                        "/srv/nowhere 777 -> /absent\n/srv/private 750\n/srv/private/key 640\n/srv/run 640\n");
    if (apply(&to_root, 1, &third, &err) < 0) fail_msg("%s", err.msg);
    expect_tree(third, "/ 755\n/key 600\n"); /* a guest whose / is closed would be of no use */
}

static void test_folders_merge(void **state)
{
    static const struct mapping mappings[] = {{.source = "a", .dest = "/usr", .mode = -1},
                                              {.source = "b", .dest = "/usr", .mode = -1},
                                              {.source = "a/share/one", .dest = "/lib/x", .mode = -1}};
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};

    (void)state;
    for (const char *const *name = (const char *const[]){"a", "a/share", "b", "b/share", "b/lib", NULL}; *name; name++)
        assert_int_equal(mkdir(*name, 0755), 0);
    put_file("a/share/one", "x", 0644);
    put_file("b/share/two", "x", 0644);
    if (apply(mappings, ARRAY_LEN(mappings), &t, &err) < 0) fail_msg("%s", err.msg);
    expect_tree(t, "/ 755\n/lib 755\n/lib/x 644\n/usr 755\n/usr/lib 755\n/usr/share 755\n/usr/share/one "
                   "644\n/usr/share/two 644\n");
}

static const struct {
    struct mapping mappings[2];
    const char *msg;
} bad[] = {
    {{{.source = "absent", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: there is no 'absent': create it"},
    {{{.source = "file/x", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: 'file/x': Not a directory"},
    {{{.source = "dangling", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: there is no 'dangling'"},
    {{{.source = "loop", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: 'loop' is a loop of symbolic links"},
    {{{.source = "socket", .dest = "/x"}},
     "f.toml:11:10: file_mappings[0].source: 'socket' is a socket, which no image can carry"},
    {{{.source = "pipe", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: 'pipe' is a named pipe"},
    {{{.source = "/dev/null", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: '/dev/null' is a device"},
    {{{.source = "odd", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: 'odd/pipe' is a named pipe"},
    {{{.source = "file", .dest = "x"}}, "f.toml:12:8: file_mappings[0].dest 'x' is not absolute: write '/x'"},
    {{{.source = "file", .dest = "../x"}}, "f.toml:12:8: file_mappings[0].dest '../x' is not absolute"},
    {{{.source = "file", .dest = "/a/../x"}}, "f.toml:12:8: file_mappings[0].dest '/a/../x' has a '..'"},
    {{{.source = "file", .dest = "/.."}}, "f.toml:12:8: file_mappings[0].dest '/..' has a '..'"},
    {{{.source = "file", .dest = "/x"}, {.source = "file", .dest = "/x"}},
     "f.toml:22:8: file_mappings[1] wants /x, which is a file from file_mappings[0] already"},
    {{{.source = "file", .dest = "/x"}, {.source = "file", .dest = "/x/y"}},
     "f.toml:22:8: file_mappings[1] wants /x/y, which is a file from file_mappings[0] already"},
    {{{.source = "file", .dest = "/x"}, {.source = "empty", .dest = "/x"}},
     "f.toml:22:8: file_mappings[1] wants /x, which is a file from file_mappings[0] already"},
    {{{.source = "empty", .dest = "/x"}, {.source = "file", .dest = "//x"}},
     "f.toml:22:8: file_mappings[1] wants /x, which is a folder from file_mappings[0] already"},
    {{{.source = "file", .dest = "/x/y"}, {.source = "file", .dest = "/x"}},
     "f.toml:22:8: file_mappings[1] wants /x, which is a folder from a path below it already"},
    {{{.source = "holder", .dest = "/x"}, {.source = "file", .dest = "/x/link/y"}},
     "f.toml:22:8: file_mappings[1] wants /x/link/y, which is a symbolic link from file_mappings[0] already"},
    {{{.source = ".", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: './out' is where the artifact goes"},
    {{{.source = "out", .dest = "/x"}}, "f.toml:11:10: file_mappings[0].source: 'out' is where the artifact goes"},
};

static void make_odd_things(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(mkfifo("pipe", 0644), 0);
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(symlink("absent", "dangling"), 0);
    for (const char *const *name = (const char *const[]){"odd", "empty", "holder", NULL}; *name; name++)
        assert_int_equal(mkdir(*name, 0755), 0);
    assert_int_equal(mkfifo("odd/pipe", 0644), 0);
    assert_int_equal(symlink("/elsewhere", "holder/link"), 0);
    put_file("file", "x", 0644);
}

static void test_bad_mappings(void **state)
{
    (void)state;
    make_odd_things();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        auto_(tree_freep) struct tree *t = NULL;
        struct vl_error err = {0};

        if (str_eq(bad[i].mappings[0].source, ".")) {
            assert_int_equal(unlink("socket") + unlink("pipe") + remove_tree_at(AT_FDCWD, "odd"), 0);
        }
        if (apply(bad[i].mappings, bad[i].mappings[1].source ? 2 : 1, &t, &err) >= 0)
            fail_msg("case %zu was accepted", i);
        if (!str_starts(err.msg, bad[i].msg)) fail_msg("expected '%s'\ngot      '%s'", bad[i].msg, err.msg);
        assert_int_equal(err.kind, VL_INVALID);
    }
}

static void test_paths_that_get_too_long(void **state)
{
    static const struct mapping mapping = {.source = "d", .dest = "/x", .mode = -1};
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};
    char name[201];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(mkdir("d", 0755), 0);
    auto_close int at = open_dir("d");
    for (int i = 0; i < 21; i++) {
        int next;

        assert_int_equal(mkdirat(at, name, 0755), 0);
        next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)close(at);
        at = next;
    }
    assert_true(apply(&mapping, 1, &t, &err) < 0);
    assert_non_null(strstr(err.msg, "has more than 4095 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes_by_destination),
        cmocka_unit_test_setup_teardown(test_files, testdir_enter, testdir_leave),
        cmocka_unit_test_setup_teardown(test_folders, testdir_enter, testdir_leave),
        cmocka_unit_test_setup_teardown(test_folders_merge, testdir_enter, testdir_leave),
        cmocka_unit_test_setup_teardown(test_bad_mappings, testdir_enter, testdir_leave),
        cmocka_unit_test_setup_teardown(test_paths_that_get_too_long, testdir_enter, testdir_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
