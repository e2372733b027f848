/* SPDX-License-Identifier: Apache-2.0 */
#include "artifact/testdir.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"

#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* SHA-256 of "abc" (FIPS 180-2) */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define AND_ABC(before) (before ABC)
#define ABC_AND(after)  (ABC after)

static struct testdir dir;

static int make(void **state)
{
    (void)state;
    testdir_make(&dir);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdir_remove(&dir);
    return 0;
}

/* --- digests -------------------------------------------------------------------------------------------------------
 */

static void digests_are_read_in_any_case(void **state)
{
    static const char *const good[] = {
        ABC,
        AND_ABC("sha256:"),
        "SHA256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
    };
    static const char *const bad[] = {
        "",
        "sha256:",
        ABC_AND("0"),
        ABC_AND("g"),
        AND_ABC("sha512:"),
        AND_ABC("sha256: "),
        AND_ABC("../"),
        AND_ABC(" "),
        "sha256:za7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char hex[SHA256_HEX + 1];

        assert_int_equal(digest_parse(good[i], hex, &dir.err), 0);
        assert_string_equal(hex, ABC);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char hex[SHA256_HEX + 1] = "untouched";

        fails_with(digest_parse(bad[i], hex, &dir.err), dir, VL_INVALID, "sha256:");
        assert_string_equal(hex, "untouched");
    }
}

static void a_descriptor_is_digested_from_its_start(void **state)
{
    auto_close int abc = testdir_file("abc", 3), empty = testdir_file("", 0);
    char hex[SHA256_HEX + 1];
    uint64_t size;

    (void)state;
    assert_int_equal(sha256_fd(abc, hex, &size, &dir.err), 0);
    assert_string_equal(hex, ABC);
    assert_int_equal(size, 3);
    assert_int_equal(sha256_fd(empty, hex, &size, &dir.err), 0);
    assert_string_equal(hex, EMPTY);
    assert_int_equal(size, 0);
    fails_with(sha256_fd(-1, hex, NULL, &dir.err), dir, VL_INTERNAL, "digest");
}

/* --- puts ----------------------------------------------------------------------------------------------------------
 */

static void a_blob_appears_when_it_is_whole(void **state)
{
    struct artifact_put *p = NULL;
    char path[160];
    struct stat st;
    uint64_t size = 0;

    (void)state;
    assert_int_equal(artifact_put_begin(dir.a, ABC, 3, &p, &dir.err), 0);
    assert_int_equal(artifact_put_write(p, "a", 1, &dir.err), 0);
    assert_int_equal(artifact_put_write(p, "", 0, &dir.err), 0);
    assert_int_equal(artifact_put_write(p, "bc", 2, &dir.err), 0);
    assert_false(artifact_present(dir.a, ABC, NULL));
    assert_int_equal(testdir_entries(&dir, "tmp"), 1);
    assert_int_equal(artifact_put_finish(p, &dir.err), 0);
    assert_true(artifact_present(dir.a, ABC, &size));
    assert_int_equal(size, 3);
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
    (void)snprintf(path, sizeof(path), "%s/sha256/%s", dir.path, ABC);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(artifact_remove(dir.a, ABC, &dir.err), 0);
    assert_false(artifact_present(dir.a, ABC, NULL));
    assert_int_equal(artifact_remove(dir.a, ABC, &dir.err), 0);
}

static void another_digest_leaves_nothing(void **state)
{
    auto_close int fd = testdir_file("abd", 3);

    (void)state;
    fails_with(artifact_put_fd(dir.a, ABC, fd, -1, &dir.err), dir, VL_INVALID, ABC);
    assert_non_null(
        strstr(dir.err.msg, "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9")); /* "abd" */
    assert_false(artifact_present(dir.a, ABC, NULL));
    assert_int_equal(testdir_entries(&dir, "sha256") + testdir_entries(&dir, "tmp"), 0);
}

static void a_copy_ends_when_it_is_told(void **state)
{
    const uint64_t one = 1;
    auto_close int fd = testdir_file("abc", 3), stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)state;
    assert_int_equal(write(stop, &one, sizeof(one)), sizeof(one));
    fails_with(artifact_put_fd(dir.a, ABC, fd, stop, &dir.err), dir, VL_UNAVAILABLE, "stopping");
    assert_int_equal(testdir_entries(&dir, "sha256") + testdir_entries(&dir, "tmp"), 0);
}

static void an_aborted_put_leaves_nothing(void **state)
{
    struct artifact_put *p = NULL;

    (void)state;
    assert_int_equal(artifact_put_begin(dir.a, ABC, 0, &p, &dir.err), 0);
    assert_int_equal(artifact_put_write(p, "a", 1, &dir.err), 0);
    artifact_put_abort(p);
    artifact_put_abort(NULL);
    assert_int_equal(testdir_entries(&dir, "sha256") + testdir_entries(&dir, "tmp"), 0);
}

static void bad_puts_are_refused(void **state)
{
    struct artifact_put *p = NULL;
    int fds[2];

    (void)state;
    fails_with(artifact_put_begin(dir.a, "../../etc/passwd", 0, &p, &dir.err), dir, VL_INVALID, "digest");
    fails_with(artifact_put_begin(dir.a, ABC, UINT64_MAX, &p, &dir.err), dir, VL_NO_SPACE, "make room");
    fails_with(artifact_put_begin(dir.a, ABC, (uint64_t)1 << 60, &p, &dir.err), dir, VL_NO_SPACE, dir.path);
    assert_null(p);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fails_with(artifact_put_fd(dir.a, ABC, fds[0], -1, &dir.err), dir, VL_INVALID, "no regular file");
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
}

static void a_folder_that_cannot_be_is_refused(void **state)
{
    struct artifacts *a = NULL;

    (void)state;
    fails_with(artifacts_open("/proc/artifacts", &a, &dir.err), dir, VL_INTERNAL, "/proc/artifacts");
    fails_with(artifacts_open("/dev/null", &a, &dir.err), dir, VL_INTERNAL, "/dev/null");
    assert_null(a);
    artifacts_close(NULL);
}

static void folders_are_for_others_to_pass(void **state)
{
    static const char *const names[] = {"sha256", "boot", "tmp"};
    struct artifacts *a = NULL;
    char path[128];
    struct stat st;
    mode_t before = umask(077);

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/deeper", dir.path);
    assert_int_equal(artifacts_open(path, &a, &dir.err), 0);
    (void)umask(before);
    artifacts_close(a);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/deeper/%s", dir.path, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0711);
    }
}

/* --- what a crash leaves -------------------------------------------------------------------------------------------
 */

static void leave(const char *name, int seconds_ago)
{
    struct timespec times[2] = {{.tv_sec = wall_ms() / 1000 - seconds_ago}, {.tv_sec = wall_ms() / 1000 - seconds_ago}};
    char path[128];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/tmp/%s", dir.path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(close(fd), 0);
}

static void leftovers_are_removed_at_open(void **state)
{
    struct artifacts *again = NULL;
    struct artifact_put *p = NULL;
    char name[64];
    pid_t dead = fork();

    (void)state;
    if (dead == 0) _exit(0);
    assert_int_equal(waitpid(dead, NULL, 0), dead);
    (void)snprintf(name, sizeof(name), "%d-0011223344556677", (int)dead);
    leave(name, 0);
    (void)snprintf(name, sizeof(name), "%d-0011223344556677", (int)getpid());
    leave(name, 3700); /* another's pid by now, or a client that went to sleep */
    leave("noise", 0);
    assert_int_equal(artifact_put_begin(dir.a, ABC, 0, &p, &dir.err), 0);
    assert_int_equal(testdir_entries(&dir, "tmp"), 4);
    assert_int_equal(artifacts_open(dir.path, &again, &dir.err), 0);
    artifacts_close(again);
    assert_int_equal(testdir_entries(&dir, "tmp"), 1); /* the one on its way */
    assert_int_equal(artifact_put_write(p, "abc", 3, &dir.err), 0);
    assert_int_equal(artifact_put_finish(p, &dir.err), 0);
    assert_true(artifact_present(dir.a, ABC, NULL));
}

static void put_until_killed(int ready)
{
    struct artifact_put *p = NULL;
    char byte = 1;

    if (artifact_put_begin(dir.a, ABC, 0, &p, NULL) < 0 || artifact_put_write(p, "ab", 2, NULL) < 0 ||
        write(ready, &byte, 1) != 1)
        _exit(1);
    (void)pause();
    _exit(2);
}

static void a_killed_put_is_not_there(void **state)
{
    int fds[2], status;
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    if ((pid = fork()) == 0) put_until_killed(fds[1]);
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(close(fds[0]), 0);
    assert_false(artifact_present(dir.a, ABC, NULL));
    assert_int_equal(testdir_entries(&dir, "tmp"), 1);
    artifacts_close(dir.a);
    dir.a = NULL;
    assert_int_equal(artifacts_open(dir.path, &dir.a, &dir.err), 0);
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
}

/* --- many at once --------------------------------------------------------------------------------------------------
 */

struct put_job {
    struct job job;
    const char *data, *hex;
    size_t n;
    int r, *left;
    struct vl_error err;
};

static void put_run(struct job *j)
{
    struct put_job *p = container_of(j, struct put_job, job);
    struct artifact_put *put = NULL;

    p->r = artifact_put_begin(dir.a, p->hex, 0, &put, &p->err);
    for (size_t at = 0; p->r == 0 && at < p->n; at += 1000)
        p->r = artifact_put_write(put, p->data + at, p->n - at < 1000 ? p->n - at : 1000, &p->err);
    if (p->r < 0)
        artifact_put_abort(put);
    else
        p->r = artifact_put_finish(put, &p->err);
}

static void put_done(struct job *j, bool cancelled)
{
    assert_false(cancelled);
    --*container_of(j, struct put_job, job)->left;
}

static void one_digest_can_be_put_by_many(void **state)
{
    static char data[200000];
    struct put_job jobs[8] = {0};
    struct loop *loop = NULL;
    struct pool *pool = NULL;
    char hex[SHA256_HEX + 1], again[SHA256_HEX + 1], path[160];
    int left = ARRAY_LEN(jobs);
    int64_t until = mono_ms() + 20000;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 31);
    {
        auto_close int fd = testdir_file(data, sizeof(data));

        assert_int_equal(sha256_fd(fd, hex, NULL, &dir.err), 0);
    }
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(pool_new(loop, ARRAY_LEN(jobs), 100, &pool), 0);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct put_job){
            .job = {.run = put_run, .done = put_done}, .data = data, .hex = hex, .n = sizeof(data), .left = &left};
        assert_int_equal(pool_submit(pool, &jobs[i].job), 0);
    }
    while (left > 0 && mono_ms() < until)
        assert_int_equal(loop_step(loop, 100), 0);
    assert_int_equal(left, 0);
    pool_free(pool);
    loop_free(loop);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        if (jobs[i].r < 0) fail_msg("%s", jobs[i].err.msg);
    assert_int_equal(testdir_entries(&dir, "sha256"), 1);
    assert_int_equal(testdir_entries(&dir, "tmp"), 0);
    (void)snprintf(path, sizeof(path), "%s/sha256/%s", dir.path, hex);
    {
        auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_int_equal(sha256_fd(fd, again, NULL, &dir.err), 0);
        assert_string_equal(again, hex);
    }
}

static void what_is_old_is_told(void **state)
{
    const struct timespec long_ago[] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char old[SHA256_HEX + 1], fresh[SHA256_HEX + 1], path[192];
    auto_strv found = {0};

    (void)state;
    testdir_put(&dir, "old", 3, old);
    testdir_put(&dir, "fresh", 5, fresh);
    (void)snprintf(path, sizeof(path), "%s/sha256/%s", dir.path, old);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    (void)snprintf(path, sizeof(path), "%s/boot/no digest", dir.path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(artifacts_old(dir.a, 3600, &found), 0);
    assert_int_equal(found.len, 1);
    assert_string_equal(found.items[0], old);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_dir(digests_are_read_in_any_case),
        with_dir(a_descriptor_is_digested_from_its_start),
        with_dir(a_blob_appears_when_it_is_whole),
        with_dir(another_digest_leaves_nothing),
        with_dir(a_copy_ends_when_it_is_told),
        with_dir(an_aborted_put_leaves_nothing),
        with_dir(bad_puts_are_refused),
        with_dir(a_folder_that_cannot_be_is_refused),
        with_dir(folders_are_for_others_to_pass),
        with_dir(leftovers_are_removed_at_open),
        with_dir(a_killed_put_is_not_there),
        with_dir(one_digest_can_be_put_by_many),
        with_dir(what_is_old_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
