/* SPDX-License-Identifier: Apache-2.0 */
/* Programs made of nothing, with libraries beside them; the system's own C library and loader where it takes some. */
#include "fledge/libraries.h"

#include "fledge/mapping.h"
#include "fledge/testdir.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"

struct case_ {
    struct config config;
    struct tree *tree;
    struct strv brought;
    struct vl_error err;
};

static void case_done(struct case_ *c)
{
    config_done(&c->config);
    tree_free(c->tree);
    strv_done(&c->brought);
}

static void add_mapping(struct case_ *c, const char *source, const char *dest, enum libraries libraries)
{
    struct config *config = &c->config;

    config->mappings = reallocarray(config->mappings, config->n_mappings + 1, sizeof(struct mapping));
    assert_non_null(config->mappings);
    config->mappings[config->n_mappings++] = (struct mapping){.source = strdup(source),
                                                              .dest = strdup(dest),
                                                              .mode = -1,
                                                              .libraries = libraries,
                                                              .source_at = {.line = 7, .column = 10}};
}

static int run(struct case_ *c)
{
    if (!c->config.file) c->config.file = strdup("f.toml");
    (void)mkdir("out", 0755);
    assert_int_equal(tree_new(&c->tree, &c->err), 0);
    if (mappings_apply(&c->config, ".", "out", c->tree, &c->err) < 0) fail_msg("%s", c->err.msg);
    return libraries_add(&c->config, c->tree, &c->brought, &c->err);
}

static void run_good(struct case_ *c)
{
    if (run(c) < 0) fail_msg("%s", c->err.msg);
}

static bool is_file(const struct case_ *c, const char *path)
{
    const struct node *n = tree_find(c->tree, path);

    return n && n->type == NODE_FILE;
}

static void make_app(void)
{
    for (const char *const *name = (const char *const[]){"app", "app/bin", "app/lib", NULL}; *name; name++)
        assert_int_equal(mkdir(*name, 0755), 0);
    put_elf("app/bin/app", &(struct fake_elf){LOADER, NULL, "$ORIGIN/../lib", {"libone.so.1"}});
    put_elf("app/lib/libone.so.1.2", &(struct fake_elf){NULL, NULL, "${ORIGIN}", {"libtwo.so"}});
    assert_int_equal(symlink("libone.so.1.2", "app/lib/libone.so.1"), 0);
    put_elf("app/lib/libtwo.so", &(struct fake_elf){.needed = {"libc.so.6", "ld-linux-x86-64.so.2"}});
}

static void test_closure(void **state)
{
    auto_(case_done) struct case_ c = {0};

    (void)state;
    make_app();
    add_mapping(&c, "app/bin/app", "/opt/app/bin/app", LIBRARIES_DEFAULT);
    run_good(&c);
    assert_true(is_file(&c, "/opt/app/lib/libone.so.1"));
    assert_true(is_file(&c, "/opt/app/lib/libtwo.so"));
    assert_true(is_file(&c, LOADER));
    assert_int_equal(tree_find(c.tree, LOADER)->type, NODE_FILE);
    assert_int_equal(tree_find(c.tree, LOADER)->mode, 0755);
    assert_int_equal(c.brought.len, 4); /* the three, and the C library */
}

/* The C library goes where the image's loader looks without being told. */
static void test_system_libraries(void **state)
{
    static const char *const known[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6",
                                        "/lib64/libc.so.6", "/usr/lib64/libc.so.6", "/usr/lib/libc.so.6"};
    auto_(case_done) struct case_ c = {0};
    size_t found = 0;

    (void)state;
    put_elf("p", &(struct fake_elf){LOADER, NULL, NULL, {"libc.so.6"}});
    add_mapping(&c, "p", "/bin/p", LIBRARIES_AUTO);
    run_good(&c);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        found += is_file(&c, known[i]);
    assert_int_equal(found, 1);
}

/* RPATH is inherited from who loaded a library, RUNPATH is not, and switches RPATH off. */
static void test_whose_folders_count(void **state)
{
    static const struct {
        struct fake_elf program;
        bool found;
    } table[] = {{{LOADER, "$ORIGIN/lib", NULL, {"liba.so"}}, true},
                 {{LOADER, NULL, "$ORIGIN/lib", {"liba.so"}}, false},
                 {{LOADER, "$ORIGIN/lib", "$ORIGIN/none", {"liba.so"}}, false},
                 {{LOADER, "$ORIGIN/none:lib::$ORIGIN/lib/", NULL, {"liba.so"}}, true},
                 {{LOADER, "$LIB:$ORIGIN/$LIB:relative", NULL, {"liba.so"}}, false}};

    (void)state;
    assert_int_equal(mkdir("lib", 0755), 0);
    put_elf("lib/liba.so", &(struct fake_elf){.needed = {"libb-of-tests.so"}});
    put_elf("lib/libb-of-tests.so", &(struct fake_elf){0});
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(case_done) struct case_ c = {0};

        put_elf("p", &table[i].program);
        add_mapping(&c, "p", "/app/p", LIBRARIES_AUTO);
        if ((run(&c) == 0) != table[i].found) fail_msg("case %zu: %s", i, c.err.msg);
        if (table[i].found) assert_true(is_file(&c, "/app/lib/libb-of-tests.so"));
    }
}

static void test_missing(void **state)
{
    static const struct {
        struct fake_elf program;
        const char *msg;
    } table[] = {
        {{LOADER, NULL, NULL, {"libabsent-of-tests.so.5"}},
         "p' needs the library libabsent-of-tests.so.5, which this host does not have (looked in /etc/ld.so.cache"},
        {{LOADER, NULL, "$ORIGIN/x", {"libabsent-of-tests.so"}},
         "p' needs the library libabsent-of-tests.so, which this host does not have (looked in $ORIGIN/x, "},
        {{LOADER, NULL, NULL, {"/absent/libx.so"}}, "p' needs the library /absent/libx.so"},
        {{LOADER, NULL, NULL, {"relative/libx.so"}}, "p' needs the library relative/libx.so"},
        {{"/absent/ld.so", NULL, NULL, {NULL}},
         "'p' is started by the loader /absent/ld.so, which this host does not have: install it"},
        {{"ld.so", NULL, NULL, {NULL}}, "'p' names 'ld.so' as its loader, which is no absolute path"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(case_done) struct case_ c = {0};

        put_elf("p", &table[i].program);
        add_mapping(&c, "p", "/bin/p", LIBRARIES_DEFAULT);
        if (run(&c) == 0) fail_msg("case %zu was accepted", i);
        assert_int_equal(c.err.kind, VL_INVALID);
        if (!str_starts(c.err.msg, "f.toml:7:10: '") || !strstr(c.err.msg, table[i].msg)) fail_msg("%s", c.err.msg);
    }
}

static void test_what_the_image_has(void **state)
{
    auto_(case_done) struct case_ c = {0};

    (void)state;
    put_elf("p", &(struct fake_elf){LOADER, NULL, NULL, {"libown-of-tests.so", "libenv-of-tests.so"}});
    put_elf("libown", &(struct fake_elf){0});
    add_mapping(&c, "p", "/bin/p", LIBRARIES_AUTO);
    add_mapping(&c, "libown", "/usr/lib/libown-of-tests.so", LIBRARIES_NONE);
    add_mapping(&c, "libown", "/opt/x/libenv-of-tests.so", LIBRARIES_NONE);
    assert_int_equal(strmap_set(&c.config.manifest.workload.env, "LD_LIBRARY_PATH", "/none:/opt/x"), 0);
    run_good(&c);
    assert_int_equal(c.brought.len, 1); /* the loader */
}

static void test_who_brings_the_loader_brings_the_rest(void **state)
{
    static const struct {
        enum libraries libraries;
        size_t brought;
    } table[] = {{LIBRARIES_DEFAULT, 0}, {LIBRARIES_AUTO, 1}, {LIBRARIES_NONE, 0}};

    (void)state;
    put_elf("p", &(struct fake_elf){LOADER, NULL, NULL, {"libc.so.6"}});
    put_elf("ld", &(struct fake_elf){0});
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(case_done) struct case_ c = {0};

        add_mapping(&c, "p", "/bin/p", table[i].libraries);
        add_mapping(&c, "ld", LOADER, LIBRARIES_NONE);
        run_good(&c);
        assert_int_equal(c.brought.len, table[i].brought);
    }
}

/* Static programs, data, scripts, other architectures and what only looks like a program need nothing. */
static void test_nothing_needed(void **state)
{
    char foreign[4096];
    auto_(case_done) struct case_ c = {0};

    (void)state;
    assert_int_equal(mkdir("d", 0755), 0);
    put_elf("d/static", &(struct fake_elf){0});
    put_file("d/script", "#!/bin/sh\n", 0755);
    put_file("d/empty", "", 0644);
    put_bytes("d/broken", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0\1\0\0\0", 24, 0755);
    (void)fake_elf_make(&(struct fake_elf){LOADER, NULL, NULL, {"libabsent.so"}}, foreign);
    foreign[offsetof(Elf64_Ehdr, e_machine)] = (char)EM_AARCH64;
    put_bytes("d/foreign", foreign, sizeof(foreign), 0755);
    add_mapping(&c, "d", "/d", LIBRARIES_AUTO);
    run_good(&c);
    assert_int_equal(c.brought.len, 0);
}

static void test_libraries_within_folders(void **state)
{
    auto_(case_done) struct case_ c = {0};

    (void)state;
    make_app();
    add_mapping(&c, "app", "/opt/app", LIBRARIES_DEFAULT);
    run_good(&c);
    assert_int_equal(c.brought.len, 2); /* loader and C library; the others are in the folder */
    assert_int_equal(tree_find(c.tree, "/opt/app/lib/libone.so.1")->origin, 0);
}

/* What the C library opens by itself: nobody needs it by name. */
static void test_what_the_c_library_opens(void **state)
{
    auto_(case_done) struct case_ plain = {0}, c = {0};

    (void)state;
    put_elf("plain", &(struct fake_elf){LOADER, NULL, NULL, {"libc.so.6"}});
    put_elf("ender", &(struct fake_elf){LOADER, "pthread_exit", NULL, {"libc.so.6"}});
    put_file("nsswitch.conf", "# x: compat\npasswd:\tfiles compat [NOTFOUND=return] ../x nothing\nhosts: files dns\n",
             0644);
    add_mapping(&plain, "plain", "/bin/p", LIBRARIES_AUTO);
    run_good(&plain);
    assert_false(is_file(&plain, "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"));
    assert_false(is_file(&plain, "/usr/lib/x86_64-linux-gnu/libnss_compat.so.2"));
    add_mapping(&c, "ender", "/bin/e", LIBRARIES_DEFAULT);
    add_mapping(&c, "nsswitch.conf", "/etc/nsswitch.conf", LIBRARIES_DEFAULT);
    run_good(&c);
    assert_true(is_file(&c, "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"));
    assert_true(is_file(&c, "/usr/lib/x86_64-linux-gnu/libnss_compat.so.2"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, testdir_enter, testdir_leave)
    const struct CMUnitTest tests[] = {
        TEST(test_closure),
        TEST(test_system_libraries),
        TEST(test_whose_folders_count),
        TEST(test_missing),
        TEST(test_what_the_image_has),
        TEST(test_who_brings_the_loader_brings_the_rest),
        TEST(test_nothing_needed),
        TEST(test_libraries_within_folders),
        TEST(test_what_the_c_library_opens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
