/* SPDX-License-Identifier: Apache-2.0 */
/* What is around the mapped files, and whether the workload could start there. */
#include "fledge/image.h"

#include "fledge/testdir.h"

#define HEAD              "[plugin]\nname = \"t\"\nversion = \"1\"\nstrategy = \"initramfs\"\n"
#define MAP(source, dest) "[[file_mappings]]\nsource = \"" source "\"\ndest = \"" dest "\"\n"

static const struct oci_job job;

static int parse(const char *text, struct config *c, struct vl_error *err)
{
    const struct config_text from = {.file = "f.toml", .text = text, .len = strlen(text)};

    return config_parse(&from, c, err);
}

static int plan(const char *text, struct tree **ret, struct vl_error *err)
{
    const struct image_sources from = {".", "out", "kestrel", &job};
    auto_config c = {0};

    if (parse(text, &c, err) < 0) fail_msg("%s", err->msg);
    return image_plan(&c, &from, ret, NULL, err);
}

static int setup(void **state)
{
    char foreign[4096], object[4096];

    if (testdir_enter(state) < 0 || mkdir("out", 0755) < 0) return -1;
    (void)fake_elf_make(&(struct fake_elf){0}, foreign);
    memcpy(object, foreign, sizeof(object));
    foreign[offsetof(Elf64_Ehdr, e_machine)] = (char)EM_AARCH64;
    object[offsetof(Elf64_Ehdr, e_type)] = ET_REL;
    put_elf("kestrel", &(struct fake_elf){0});
    put_elf("program", &(struct fake_elf){0});
    put_elf("dynamic", &(struct fake_elf){"/lib64/ld-linux-x86-64.so.2", NULL, NULL, {NULL}});
    put_bytes("foreign", foreign, sizeof(foreign), 0755);
    put_bytes("object", object, sizeof(object), 0755);
    put_bytes("broken", foreign, 70, 0755);
    put_bytes("broken-too", object, 70, 0755);
    put_file("data", "data", 0644);
    put_file("script", "#! /bin/program -x\n", 0755);
    put_file("text", "echo hello\n", 0755);
    return 0;
}

static int add_line(const struct node *n, void *arg)
{
    char path[256];

    assert_int_equal(node_path(n, path, sizeof(path)), 0);
    strbuf_addf(arg, "%s %o\n", path, n->mode);
    return 0;
}

static void test_every_image(void **state)
{
    auto_(tree_freep) struct tree *t = NULL;
    auto_strbuf all = {0};
    struct vl_error err = {0};

    (void)state;
    if (plan(HEAD MAP("program", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n", &t, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(tree_walk(tree_root(t), add_line, &all), 0);
    assert_string_equal(all.data,
                        "/ 755\n/bin 755\n/bin/p 755\n/dev 755\n/dev/console 600\n/etc 755\n/init 755\n/proc 755\n"
                        "/root 700\n/run 755\n/sbin 755\n/sys 755\n/tmp 1777\n/usr 755\n/usr/bin 755\n"
                        "/usr/lib 755\n/usr/sbin 755\n/var 755\n/var/log 755\n/var/tmp 1777\n");
}

/* A root file system of a distribution, with /bin a link and things where the skeleton would put folders. */
static void test_a_mapped_root(void **state)
{
    auto_(tree_freep) struct tree *t = NULL;
    struct vl_error err = {0};

    (void)state;
    for (const char *const *name = (const char *const[]){"root", "root/usr", "root/usr/bin", "root/tmp", NULL}; *name;
         name++)
        assert_int_equal(mkdir(*name, 0755), 0);
    assert_int_equal(symlink("usr/bin", "root/bin"), 0);
    assert_int_equal(symlink("nowhere", "root/run"), 0);
    put_file("root/var", "a file", 0644);
    put_elf("root/usr/bin/p", &(struct fake_elf){0});
    if (plan(HEAD MAP("root", "/") MAP("data", "/bin/d") "[workload]\nentrypoint = [\"p\"]\n", &t, &err) < 0)
        fail_msg("%s", err.msg);
    assert_ptr_equal(tree_find(t, "/bin/p"), tree_find(t, "/usr/bin/p"));
    assert_non_null(tree_find(t, "/usr/bin/d"));
    assert_int_equal(tree_find(t, "/var")->type, NODE_FILE);
    assert_int_equal(tree_find(t, "/tmp")->mode, 0755); /* as mapped */
}

static void test_good_entrypoints(void **state)
{
    static const char *const table[] = {
        MAP("program", "/bin/p") "[workload]\nentrypoint = [\"p\"]\n",
        MAP("program", "/usr/local/sbin/p") "[workload]\nentrypoint = [\"p\"]\n",
        MAP("program", "/x/p") "[workload]\nentrypoint = [\"p\"]\nenv = { PATH = \"/none:/x\" }\n",
        MAP("program", "/srv/bin/p") "[workload]\nentrypoint = [\"bin/p\"]\nworkdir = \"/srv\"\n",
        MAP("program", "/srv/p") "[workload]\nentrypoint = [\"./srv/p\"]\n",
        MAP("program", "/bin/program") MAP("script", "/bin/s") "[workload]\nentrypoint = [\"/bin/s\"]\n",
        MAP("dynamic", "/bin/d") "[workload]\nentrypoint = [\"/bin/d\"]\n",
        MAP("data", "/usr/bin/p")
            MAP("program", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\nworkdir = \"/tmp\"\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(tree_freep) struct tree *t = NULL;
        auto_free char *text = strf_new("%s%s", HEAD, table[i]);
        struct vl_error err = {0};

        if (plan(text, &t, &err) < 0) fail_msg("%s\n%s", err.msg, text);
    }
}

static const struct {
    const char *text, *msg;
} bad[] = {
    {MAP("program", "/bin/p") "[workload]\nentrypoint = [\"/usr/bin/x\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/usr/bin/x' is not in the image: add a [[file_mappings]] with dest = "
     "\"/usr/bin/x\""},
    {MAP("program", "/bin/p") "[workload]\nentrypoint = [\"x\"]\n",
     "f.toml:9:15: workload.entrypoint[0] 'x' is not in the image, in no folder of the usual PATH: add a"},
    {MAP("program", "/bin/p") "[workload]\nentrypoint = [\"p\"]\nenv = { PATH = \"/x\" }\n",
     "f.toml:9:15: workload.entrypoint[0] 'p' is not in the image, in no folder of workload.env.PATH"},
    {MAP("program", "/bin/p") "[workload]\nentrypoint = [\"/bin\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/bin' is a folder: name"},
    {MAP("data", "/etc/d") "[workload]\nentrypoint = [\"/etc/d\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/etc/d' is not executable: write mode = 0o755"},
    {MAP("foreign", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/bin/p' is a program for ARM 64-bit (foreign): map the one for x86-64"},
    {MAP("object", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/bin/p' is no program but an object file"},
    {MAP("broken-too", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/bin/p' is a damaged program (broken-too)"},
    {MAP("text", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/bin/p' is neither a program for x86-64 nor a script"},
    {MAP("script", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n",
     "f.toml:9:15: workload.entrypoint[0] '/bin/p' is a script for '/bin/program', which is not in the image: map it "
     "in"},
    {MAP("dynamic", "/bin/p") "libraries = \"none\"\n[workload]\nentrypoint = [\"/bin/p\"]\n",
     "f.toml:10:15: workload.entrypoint[0] '/bin/p' needs its loader /lib64/ld-linux-x86-64.so.2, which is not in the "
     "image"},
    {MAP("program", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\nworkdir = \"/srv\"\n",
     "f.toml:10:11: workload.workdir '/srv' is no folder of the image"},
    {MAP("program", "/init") "[workload]\nentrypoint = [\"/init\"]\n",
     "f.toml:7:8: file_mappings[0] wants /init, which is a file from kestrel"},
    {MAP("huge", "/huge")
         MAP("program", "/bin/p") "[workload]\nentrypoint = [\"/bin/p\"]\n[resources]\nmemory_mb = 100\n",
     "f.toml: the image has 60 MB and cannot boot in 100 MB of memory: map less, or write memory_mb = 208"},
};

static void test_bad_images(void **state)
{
    (void)state;
    put_file("huge", "", 0644);
    assert_int_equal(truncate("huge", 60 << 20), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct tree *t = NULL;
        auto_free char *text = strf_new("%s%s", HEAD, bad[i].text);
        struct vl_error err = {0};

        if (plan(text, &t, &err) >= 0) fail_msg("accepted:\n%s", text);
        if (!str_starts(err.msg, bad[i].msg)) fail_msg("expected '%s'\ngot      '%s'", bad[i].msg, err.msg);
        assert_null(t);
    }
}

static void test_kestrel_must_be_a_static_program(void **state)
{
    static const char *const table[] = {"dynamic", "data", "foreign", "/tmp"};
    auto_config c = {0};
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(parse(HEAD "[workload]\nentrypoint = [\"x\"]\n", &c, &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct image_sources from = {".", "out", table[i], &job};
        struct tree *t = NULL;

        assert_true(image_plan(&c, &from, &t, NULL, &err) < 0);
        assert_non_null(strstr(err.msg, "is no static program for x86-64"));
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, testdir_leave)
    const struct CMUnitTest tests[] = {
        TEST(test_every_image),
        TEST(test_a_mapped_root),
        TEST(test_good_entrypoints),
        TEST(test_bad_images),
        TEST(test_kestrel_must_be_a_static_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
