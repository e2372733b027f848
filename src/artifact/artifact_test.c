/* SPDX-License-Identifier: Apache-2.0 */
#include "artifact/artifact.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zstd.h>

#include "base/io.h"
#include "base/str.h"
#include "base/unit.h"

#define ARCHIVE "070701 this is how a cpio archive begins"
#define MAX     (1 << 20)

struct fixture {
    char base[64];
    struct artifacts *a;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_true(strf(f->base, sizeof(f->base), "/tmp/volant-artifact-XXXXXX") > 0);
    assert_non_null(mkdtemp(f->base));
    assert_int_equal(artifacts_open(f->base, &f->a, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    artifacts_close(f->a);
    assert_int_equal(remove_tree_at(AT_FDCWD, f->base), 0);
    free(f);
    return 0;
}

/* Number of files in a folder of the store. */
static int files_in(const struct fixture *f, const char *folder)
{
    char path[96];
    DIR *d;
    int n = 0;

    assert_true(strf(path, sizeof(path), "%s/%s", f->base, folder) > 0);
    assert_non_null(d = opendir(path));
    for (const struct dirent *e; (e = readdir(d));)
        n += *e->d_name != '.';
    (void)closedir(d);
    return n;
}

static void digest_of(const struct fixture *f, const void *data, size_t n, char hex[static SHA256_HEX + 1])
{
    auto_close int dir = open_dir(f->base), fd = -1;

    assert_int_equal(write_file_atomic_at(dir, "input", data, n, 0644), 0);
    assert_true((fd = openat(dir, "input", O_RDONLY | O_CLOEXEC)) >= 0);
    assert_int_equal(sha256_fd(fd, hex, NULL, NULL), 0);
}

static int put(struct artifacts *a, const char *hex, const void *data, size_t n, struct vl_error *err)
{
    auto_(artifact_put_abortp) struct artifact_put *p = NULL;
    const char *at = data;
    int r;

    if ((r = artifact_put_begin(a, hex, n, &p, err)) < 0) return r;
    for (size_t done = 0; done < n; done += 7) /* in odd pieces */
        if ((r = artifact_put_write(p, at + done, n - done < 7 ? n - done : 7, err)) < 0) return r;
    return artifact_put_finish(take_ptr(p), err);
}

static void digests(void **state)
{
    static const char hex[] = "c7c5c1d70c5dec4416ab6158afd0b223ef40c29b1dc1f97ed9428b94d4cadb1c";
    static const char *const bad[] = {"",
                                      "sha256:",
                                      "c7c5",
                                      "md5:c7c5c1d70c5dec4416ab6158afd0b223",
                                      "sha256:c7c5c1d70c5dec4416ab6158afd0b223ef40c29b1dc1f97ed9428b94d4cadb1x",
                                      "sha256:../../../../../../../../../../../../../../../../../../../etc/passw"};
    char out[SHA256_HEX + 1], text[80];

    (void)state;
    (void)strf(text, sizeof(text), "SHA256:%s", hex);
    assert_int_equal(digest_parse(text, out, NULL), 0);
    assert_string_equal(out, hex);
    text[7] = 'C';
    assert_int_equal(digest_parse(text + 7, out, NULL), 0);
    assert_string_equal(out, hex);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct vl_error err = {0};

        assert_true(digest_parse(bad[i], out, &err) < 0);
        assert_int_equal(err.kind, VL_INVALID);
    }
}

static void put_and_find(void **state)
{
    struct fixture *f = *state;
    char hex[SHA256_HEX + 1];
    auto_free char *path = NULL;
    uint64_t size = 0;

    digest_of(f, ARCHIVE, sizeof(ARCHIVE), hex);
    assert_false(artifact_present(f->a, hex, NULL));
    assert_int_equal(put(f->a, hex, ARCHIVE, sizeof(ARCHIVE), NULL), 0);
    assert_true(artifact_present(f->a, hex, &size));
    assert_int_equal(size, sizeof(ARCHIVE));
    assert_int_equal(put(f->a, hex, ARCHIVE, sizeof(ARCHIVE), NULL), 0); /* once more does no harm */
    assert_int_equal(artifact_boot_form(f->a, hex, MAX, &path, NULL), 0);
    assert_non_null(strstr(path, "/sha256/")); /* boots as it is */
    assert_int_equal(artifact_remove(f->a, hex, NULL), 0);
    assert_int_equal(artifact_remove(f->a, hex, NULL), 0);
    assert_false(artifact_present(f->a, hex, NULL));
}

static void wrong_digest_leaves_nothing(void **state)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct fixture *f = *state;
    struct vl_error err = {0};

    assert_true(put(f->a, zeros, "x", 1, &err) < 0);
    assert_int_equal(err.kind, VL_INVALID);
    assert_non_null(strstr(err.msg, zeros));
    assert_int_equal(files_in(f, "sha256") + files_in(f, "tmp"), 0);
}

static void aborted_and_abandoned(void **state)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct fixture *f = *state;
    struct artifact_put *p = NULL;
    auto_close int tmp = -1;
    char path[96];

    assert_int_equal(artifact_put_begin(f->a, zeros, 0, &p, NULL), 0);
    assert_int_equal(artifact_put_write(p, "abc", 3, NULL), 0);
    assert_int_equal(files_in(f, "tmp"), 1);
    artifact_put_abort(p);
    assert_int_equal(files_in(f, "tmp"), 0);
    /* What a process that is gone has left is swept at the next opening; what another is writing is not. */
    assert_true(strf(path, sizeof(path), "%s/tmp", f->base) > 0);
    tmp = open_dir(path);
    assert_int_equal(write_file_atomic_at(tmp, "2147483000-aa", "x", 1, 0644), 0);
    assert_true(strf(path, sizeof(path), "%d-bb", (int)getpid()) > 0);
    assert_int_equal(write_file_atomic_at(tmp, path, "x", 1, 0644), 0);
    artifacts_close(f->a);
    assert_int_equal(artifacts_open(f->base, &f->a, NULL), 0);
    assert_int_equal(files_in(f, "tmp"), 1);
}

/* Puts `n` bytes compressed; the digest is that of the compressed form. */
static size_t put_zstd(struct fixture *f, const void *data, size_t n, size_t cut, char hex[static SHA256_HEX + 1])
{
    size_t room = ZSTD_compressBound(n), packed;
    auto_free char *out = malloc(room);

    assert_non_null(out);
    packed = ZSTD_compress(out, room, data, n, 3) - cut;
    digest_of(f, out, packed, hex);
    assert_int_equal(put(f->a, hex, out, packed, NULL), 0);
    return packed;
}

static void unpacked_once(void **state)
{
    struct fixture *f = *state;
    char hex[SHA256_HEX + 1];
    auto_free char *data = calloc(1, 700000), *path = NULL, *again = NULL, *text = NULL;
    struct stat before, after;
    size_t len = 0;

    memcpy(data, ARCHIVE, sizeof(ARCHIVE));
    memset(data + 1000, 'x', 600000);
    (void)put_zstd(f, data, 700000, 0, hex);
    assert_int_equal(artifact_boot_form(f->a, hex, MAX, &path, NULL), 0);
    assert_non_null(strstr(path, "/boot/"));
    assert_int_equal(read_file_at(AT_FDCWD, path, MAX, &text, &len), 0);
    assert_int_equal(len, 700000);
    assert_memory_equal(text, data, len);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0644);
    assert_int_equal(artifact_boot_form(f->a, hex, MAX, &again, NULL), 0);
    assert_int_equal(stat(again, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(files_in(f, "tmp"), 0);
}

static void refused(struct fixture *f, const char *hex, uint64_t max, const char *says)
{
    struct vl_error err = {0};
    char *path = NULL;

    assert_true(artifact_boot_form(f->a, hex, max, &path, &err) < 0);
    if (!strstr(err.msg, says)) fail_msg("'%s' lacks '%s'", err.msg, says);
    assert_null(path);
    assert_int_equal(files_in(f, "boot") + files_in(f, "tmp"), 0);
}

static void bad_archives(void **state)
{
    static const char *const texts[] = {"", "PK\x03\x04zip", "070",
                                        "\x7f"
                                        "ELF"};
    struct fixture *f = *state;
    auto_free char *big = calloc(1, 1 << 22);
    char hex[SHA256_HEX + 1];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        digest_of(f, texts[i], strlen(texts[i]), hex);
        assert_int_equal(put(f->a, hex, texts[i], strlen(texts[i]), NULL), 0);
        refused(f, hex, MAX, "no initramfs archive");
        (void)put_zstd(f, texts[i], strlen(texts[i]), 0, hex);
        refused(f, hex, MAX, "no initramfs archive");
    }
    memcpy(big, ARCHIVE, sizeof(ARCHIVE));
    (void)put_zstd(f, big, 1 << 22, 0, hex); /* a bomb, small as it is */
    refused(f, hex, MAX, "more than");
    (void)put_zstd(f, big, 5000, 5, hex);
    refused(f, hex, MAX, "cut short");
    refused(f, "1111111111111111111111111111111111111111111111111111111111111111", MAX, "install its plugin again");
}

/* Two processes put and unpack the same artifact at once. */
static void concurrent(void **state)
{
    struct fixture *f = *state;
    char hex[SHA256_HEX + 1];
    auto_free char *data = calloc(1, 500000);
    pid_t children[4];

    memcpy(data, ARCHIVE, sizeof(ARCHIVE));
    digest_of(f, data, 500000, hex);
    for (size_t i = 0; i < ARRAY_LEN(children); i++) {
        if ((children[i] = fork()) != 0) continue;
        for (int n = 0; n < 5; n++) {
            char *path = NULL;

            if (put(f->a, hex, data, 500000, NULL) < 0 || artifact_boot_form(f->a, hex, MAX, &path, NULL) < 0) _exit(1);
            free(path);
        }
        _exit(0);
    }
    for (size_t i = 0; i < ARRAY_LEN(children); i++) {
        int status = -1;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(files_in(f, "tmp"), 0);
    assert_int_equal(files_in(f, "sha256"), 1);
}

/* In a mount namespace of its own: a folder on a file system with hardly any room. */
static int full_disk(const char *base)
{
    struct artifacts *a = NULL;
    struct vl_error err = {0};
    char hex[SHA256_HEX + 1] = "2222222222222222222222222222222222222222222222222222222222222222";
    struct artifact_put *p = NULL;
    int r;

    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("t", base, "tmpfs", 0, "size=1m") < 0)
        return 2;
    if (artifacts_open(base, &a, &err) < 0) return 3;
    r = artifact_put_begin(a, hex, 0, &p, &err);
    artifacts_close(a);
    return r < 0 && err.kind == VL_NO_SPACE ? 0 : 4;
}

static void no_room(void **state)
{
    const struct fixture *f = *state;
    int status = -1;
    pid_t child;

    if (geteuid() != 0) return; /* an ordinary user's tmpfs would need a user namespace, which not every host allows */
    if ((child = fork()) == 0) _exit(unshare(CLONE_NEWNS) < 0 ? 1 : full_disk(f->base));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
#define ARTIFACT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests),
        ARTIFACT_TEST(put_and_find),
        ARTIFACT_TEST(wrong_digest_leaves_nothing),
        ARTIFACT_TEST(aborted_and_abandoned),
        ARTIFACT_TEST(unpacked_once),
        ARTIFACT_TEST(bad_archives),
        ARTIFACT_TEST(concurrent),
        ARTIFACT_TEST(no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
