/* SPDX-License-Identifier: Apache-2.0 */
/* Whole builds: what comes out, that it is the same every time, and that nothing comes out where something fails. */
#include "fledge/build.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <sys/resource.h>
#include <zstd.h>

#include "artifact/artifact.h"
#include "fledge/archive.h"
#include "fledge/testdir.h"
#include "model/manifest.h"

#define CONFIG                                                                                                         \
    "[plugin]\nname = \"t\"\nversion = \"1.0\"\nstrategy = \"initramfs\"\n"                                            \
    "[[file_mappings]]\nsource = \"site\"\ndest = \"/srv\"\n"                                                          \
    "[[file_mappings]]\nsource = \"program\"\ndest = \"/bin/p\"\nmode = 0o4711\n"                                      \
    "[workload]\nentrypoint = [\"p\", \"-x\"]\nenv = { A = \"b\" }\nbase_url = \"http://127.0.0.1:80\"\n"

/* Bytes that do not compress, the same each time. */
static void put_noise(const char *path, size_t n)
{
    auto_free char *data = malloc(n);
    uint32_t x = 2463534242;

    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        data[i] = (char)x;
    }
    put_bytes(path, data, n, 0644);
}

/* The same input; `backwards` in another order. */
static void make_input(const char *folder, bool backwards)
{
    static const char *const files[] = {"site/a", "site/b", "site/\xc3\xa9t\xc3\xa9 \n!", "site/zero"};
    char path[200];

    (void)mkdir(folder, 0755);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(mkdir("site", 0755) + chmod("site", 0755), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        const char *name = files[backwards ? ARRAY_LEN(files) - 1 - i : i];

        put_file(name, str_ends(name, "zero") ? "" : name, 0644);
    }
    assert_int_equal(symlink("../b", "site/link"), 0);
    put_elf("program", &(struct fake_elf){0});
    put_elf("kestrel", &(struct fake_elf){0});
    put_noise("site/noise", 300000);
    put_file("fledge.toml", CONFIG, 0644);
    assert_true(strf(path, sizeof(path), "%s", folder) >= 0);
    assert_int_equal(chdir(".."), 0);
}

static int build_in(const char *folder, const char *output, const volatile sig_atomic_t *stop, struct vl_error *err)
{
    auto_free char *config = strf_new("%s/fledge.toml", folder), *kestrel = strf_new("%s/kestrel", folder);
    const struct build_opts opts = {.config = config, .output = output, .kestrel = kestrel, .stop = stop};
    auto_build_result result = {0};

    return build_run(&opts, &result, err);
}

static void build_good(const char *folder, const char *output)
{
    struct vl_error err = {0};

    if (build_in(folder, output, NULL, &err) < 0) fail_msg("%s", err.msg);
}

static char *content(const char *path, size_t *len)
{
    char *text = NULL;

    assert_int_equal(read_file_at(AT_FDCWD, path, 64 << 20, &text, len), 0);
    return text;
}

static void expect_same(const char *a, const char *b)
{
    size_t a_len = 0, b_len = 0;
    auto_free char *a_text = content(a, &a_len), *b_text = content(b, &b_len);

    if (a_len != b_len || memcmp(a_text, b_text, a_len) != 0) fail_msg("%s and %s differ", a, b);
}

static void test_same_input_same_bytes(void **state)
{
    const struct testdir *d = *state;
    auto_free char *absolute = strf_new("%s/two", d->path);

    make_input("one", false);
    build_good("one", NULL);
    (void)umask(077);
    make_input("two", true);
    assert_int_equal(utimensat(AT_FDCWD, "two/site/a", (const struct timespec[]){{1, 0}, {2, 0}}, 0), 0);
    build_good(absolute, NULL);
    expect_same("one/t.cpio.zst", "two/t.cpio.zst");
    expect_same("one/t.manifest.json", "two/t.manifest.json");
    assert_int_equal(chdir("one"), 0);
    build_good(".", "../two");
    assert_int_equal(chdir(".."), 0);
    expect_same("one/t.cpio.zst", "two/t.cpio.zst");
    (void)umask(022);
}

static void expect_mode(const char *path, mode_t mode)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void test_files_of_a_build(void **state)
{
    size_t n = 0;
    struct dirent **entries = NULL;

    (void)state;
    make_input("in", false);
    assert_int_equal(mkdir("out", 0755), 0);
    (void)umask(077);
    build_good("in", "out");
    (void)umask(022);
    expect_mode("out/t.cpio.zst", 0644);
    expect_mode("out/t.manifest.json", 0644);
    n = (size_t)scandir("out", &entries, NULL, NULL);
    assert_int_equal(n, 4); /* with . and .. */
    for (size_t i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
}

/* "path mode size link" of each entry, in order. */
static void list_archive(const char *path, struct strbuf *ret)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    int r;

    assert_int_equal(archive_read_support_filter_zstd(a) + archive_read_support_format_cpio(a), 0);
    assert_int_equal(archive_read_open_filename(a, path, 65536), ARCHIVE_OK);
    while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
        assert_int_equal(archive_entry_uid(e) + archive_entry_gid(e) + archive_entry_ino64(e) + archive_entry_mtime(e),
                         0);
        assert_int_equal(archive_entry_nlink(e), archive_entry_filetype(e) == AE_IFDIR ? 2 : 1);
        strbuf_addf(ret, "%s %o", archive_entry_pathname(e), archive_entry_mode(e));
        if (archive_entry_size(e)) strbuf_addf(ret, " %d", (int)archive_entry_size(e));
        if (archive_entry_symlink(e)) strbuf_addf(ret, " -> %s", archive_entry_symlink(e));
        if (archive_entry_filetype(e) == AE_IFCHR)
            strbuf_addf(ret, " %d:%d", (int)archive_entry_rdevmajor(e), (int)archive_entry_rdevminor(e));
        strbuf_adds(ret, "\n");
    }
    assert_int_equal(r, ARCHIVE_EOF);
    assert_int_equal(archive_read_free(a), ARCHIVE_OK);
}

static void test_content(void **state)
{
    auto_strbuf list = {0};

    (void)state;
    make_input("in", false);
    build_good("in", NULL);
    list_archive("in/t.cpio.zst", &list);
    assert_string_equal(list.data,
                        "bin 40755\nbin/p 104711 4096\ndev 40755\ndev/console 20600 5:1\netc 40755\ninit 100755 4096\n"
                        "proc 40755\nroot 40700\nrun 40755\nsbin 40755\nsrv 40755\nsrv/a 100644 6\nsrv/b 100644 6\n"
                        "srv/link 120777 4 -> ../b\nsrv/noise 100644 300000\nsrv/zero 100644\n"
                        "srv/\xc3\xa9t\xc3\xa9 \n! 100644 13\nsys 40755\ntmp 41777\nusr 40755\nusr/bin 40755\n"
                        "usr/lib 40755\nusr/sbin 40755\nvar 40755\nvar/log 40755\nvar/tmp 41777\n");
}

/* What the kernel and volantd expect: one frame and nothing behind it, archives that can be appended to. */
static void test_form(void **state)
{
    size_t len = 0, size;
    auto_free char *packed = NULL, *plain = malloc(4 << 20);

    (void)state;
    make_input("in", false);
    build_good("in", NULL);
    packed = content("in/t.cpio.zst", &len);
    assert_int_equal(ZSTD_findFrameCompressedSize(packed, len), len);
    size = ZSTD_decompress(plain, 4 << 20, packed, len);
    assert_false(ZSTD_isError(size));
    assert_int_equal(size % 4, 0);
    assert_memory_equal(plain, "070701", 6);
}

static void test_manifest(void **state)
{
    size_t len = 0;
    auto_free char *text = NULL;
    json_auto_t *j = NULL;
    auto_close int fd = -1;
    auto_manifest m = {0};
    auto_strv warnings = {0};
    struct vl_error err = {0};
    char hex[SHA256_HEX + 1];
    uint64_t size = 0;

    (void)state;
    make_input("in", false);
    build_good("in", NULL);
    text = content("in/t.manifest.json", &len);
    assert_true(str_ends(text, "}\n"));
    assert_int_equal(json_parse(text, len, "manifest", &j, &err), 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(j, "initramfs"), "url")), "t.cpio.zst");
    assert_int_equal(json_object_set_new(json_object_get(j, "initramfs"), "url", json_string("/x/t.cpio.zst")), 0);
    if (manifest_decode(j, "manifest", &m, NULL, &warnings, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(warnings.len, 0);
    assert_true((fd = open("in/t.cpio.zst", O_RDONLY | O_CLOEXEC)) >= 0);
    assert_int_equal(sha256_fd(fd, hex, &size, &err), 0);
    assert_string_equal(m.initramfs.checksum + strlen("sha256:"), hex);
    assert_int_equal(m.initramfs.size, size);
    assert_string_equal(m.name, "t");
    assert_string_equal(m.version, "1.0");
    assert_string_equal(m.workload.type, "http");
    assert_int_equal(m.workload.entrypoint.len, 2);
    assert_string_equal(strmap_get(&m.workload.env, "A"), "b");
    assert_int_equal(m.resources.memory_mb, 256);
}

static void expect_nothing_new(const char *folder, size_t n)
{
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, NULL, NULL);

    for (int i = 0; i < found; i++)
        free(entries[i]);
    free(entries);
    assert_int_equal(found, n + 2);
}

static void test_full_disk_leaves_nothing(void **state)
{
    struct rlimit small = {100000, RLIM_INFINITY}, before;
    struct vl_error err = {0};
    size_t len = 0;
    auto_free char *old = NULL;

    (void)state;
    make_input("in", false);
    assert_int_equal(mkdir("out", 0755), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_true(build_in("in", "out", NULL, &err) < 0);
    expect_nothing_new("out", 0);
    put_file("out/t.cpio.zst", "old", 0644);
    assert_true(build_in("in", "out", NULL, &err) < 0);
    expect_nothing_new("out", 1);
    old = content("out/t.cpio.zst", &len);
    assert_string_equal(old, "old"); /* what there was is whole */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(str_starts(err.msg, "build out/t.cpio.zst: write the archive: "));
}

static void test_interrupted_leaves_nothing(void **state)
{
    const volatile sig_atomic_t stop = SIGTERM;
    struct vl_error err = {0};

    (void)state;
    make_input("in", false);
    assert_int_equal(mkdir("out", 0755), 0);
    assert_true(build_in("in", "out", &stop, &err) < 0);
    assert_non_null(strstr(err.msg, "interrupted by signal 15: nothing was kept"));
    expect_nothing_new("out", 0);
}

static void test_places_that_cannot_be_written(void **state)
{
    static const struct {
        const char *output, *msg;
    } table[] = {{"absent", "there is no folder 'absent' for the artifact: create it"},
                 {"in/program", "'in/program' is no folder: name one with --output"},
                 {"taken", "build taken/t.cpio.zst: 'taken/t.manifest.json' is a folder: remove it"}};

    (void)state;
    make_input("in", false);
    assert_int_equal(mkdir("taken", 0755) + mkdir("taken/t.manifest.json", 0755), 0);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};

        assert_true(build_in("in", table[i].output, NULL, &err) < 0);
        if (!str_starts(err.msg, table[i].msg)) fail_msg("%s", err.msg);
    }
    expect_nothing_new("taken", 1);
}

static int write_tree(struct tree *t, struct vl_error *err)
{
    const struct archive_opts opts = {0};
    auto_close int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    uint64_t size = 0;

    return archive_write_tree(t, fd, &opts, &size, err);
}

static void test_files_that_change_meanwhile(void **state)
{
    struct vl_error err = {0};
    struct stat st;

    (void)state;
    for (int i = 0; i < 4; i++) {
        auto_(tree_freep) struct tree *t = NULL;

        put_file("f", "four", 0644);
        assert_int_equal(stat("f", &st), 0);
        assert_int_equal(tree_new(&t, &err), 0);
        assert_int_equal(tree_add_file(t, "/f", "f", &st, 0644, 0, &err), 0);
        if (i == 1) put_file("f", "longer", 0644);
        if (i == 2) put_file("f", "", 0644);
        if (i == 3) {
            put_file("g", "four", 0644);
            assert_int_equal(rename("g", "f"), 0);
        }
        assert_int_equal(write_tree(t, &err) == 0, i == 0);
        if (i > 0) assert_non_null(strstr(err.msg, "'f' changed while it was being read"));
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, testdir_enter, testdir_leave)
    const struct CMUnitTest tests[] = {
        TEST(test_same_input_same_bytes),
        TEST(test_files_of_a_build),
        TEST(test_content),
        TEST(test_form),
        TEST(test_manifest),
        TEST(test_full_disk_leaves_nothing),
        TEST(test_interrupted_leaves_nothing),
        TEST(test_places_that_cannot_be_written),
        TEST(test_files_that_change_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
