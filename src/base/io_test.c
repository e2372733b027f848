/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/unit.h"

/* Each test has a folder of its own. */
static char dir[64];
static int dir_fd = -1;

static int folder_make(void **state)
{
    (void)state;
    (void)strf(dir, sizeof(dir), "/tmp/volant-io-test-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    dir_fd = open_dir(dir);
    return dir_fd < 0 ? -1 : 0;
}

static int folder_remove(void **state)
{
    int r = remove_tree_at(AT_FDCWD, dir);

    (void)state;
    (void)close(dir_fd);
    return r;
}

static const char *in_dir(const char *name)
{
    static char path[256];

    assert_true(strf(path, sizeof(path), "%s/%s", dir, name) > 0);
    return path;
}

static void put(const char *name, const char *text)
{
    assert_int_equal(write_file_atomic_at(dir_fd, name, text, strlen(text), 0644), 0);
}

static void reads_up_to_a_limit(void **state)
{
    static const size_t sizes[] = {0, 1, 4094, 4095, 4096, 4097, 8191, 8192, 100000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        auto_strbuf text = {0};
        auto_free char *read_back = NULL;
        char *untouched = dir;
        size_t len = 4711;

        while (text.len < sizes[i])
            strbuf_adds(&text, "x");
        assert_int_equal(write_file_atomic_at(dir_fd, "f", text.data, text.len, 0600), 0);
        if (sizes[i] > 0) assert_int_equal(read_file_at(dir_fd, "f", sizes[i] - 1, &untouched, &len), -EFBIG);
        assert_ptr_equal(untouched, dir);
        assert_int_equal(len, 4711);
        assert_int_equal(read_file_at(dir_fd, "f", sizes[i], &read_back, &len), 0);
        assert_int_equal(len, sizes[i]);
        assert_int_equal(strlen(read_back), sizes[i]);
    }
}

static void reads_what_has_no_size(void **state)
{
    auto_free char *proc_file = NULL, *piped = NULL, *fifo = NULL;
    size_t len;
    int fds[2];

    (void)state;
    assert_int_equal(read_file_at(AT_FDCWD, "/proc/self/smaps", SIZE_MAX, &proc_file, &len), 0);
    assert_true(len > 4096);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write_all(fds[1], "abc", 3, -1), 0);
    (void)close(fds[1]);
    assert_int_equal(read_all(fds[0], 3, &piped, NULL), 0);
    assert_string_equal(piped, "abc");
    (void)close(fds[0]);
    /* nobody writes to it: must not wait */
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(read_file_at(dir_fd, "fifo", 10, &fifo, NULL), 0);
    assert_string_equal(fifo, "");
}

static void read_errors(void **state)
{
    char *text = NULL;

    (void)state;
    assert_int_equal(read_file_at(dir_fd, "absent", 10, &text, NULL), -ENOENT);
    assert_int_equal(read_file_at(dir_fd, ".", 10, &text, NULL), -EISDIR);
    assert_int_equal(read_all(-1, 10, &text, NULL), -EBADF);
    assert_null(text);
}

#define BIG (4 << 20)

static void *slow_reader(void *arg)
{
    struct pollfd wait = {.fd = *(const int *)arg, .events = POLLIN};
    char buf[65536];
    size_t total = 0;
    ssize_t n = 1;

    while (n > 0 && poll(&wait, 1, 10000) > 0 && (n = read(wait.fd, buf, sizeof(buf))) > 0)
        total += (size_t)n;
    return (void *)total;
}

static void write_all_waits_for_a_slow_reader(void **state)
{
    auto_free char *data = calloc(1, BIG);
    pthread_t thread;
    void *total;
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&thread, NULL, slow_reader, &fds[0]), 0);
    assert_int_equal(write_all(fds[1], data, BIG, mono_ms() + 10000), 0);
    (void)close(fds[1]);
    assert_int_equal(pthread_join(thread, &total), 0);
    assert_int_equal((size_t)total, BIG);
    (void)close(fds[0]);
}

static void write_all_gives_up(void **state)
{
    auto_free char *data = calloc(1, BIG);
    int64_t start = mono_ms();
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write_all(fds[1], data, BIG, start + 30), -ETIMEDOUT);
    assert_in_range(mono_ms() - start, 30, 5000);
    (void)close(fds[0]);
    assert_int_equal(write_all(fds[1], data, 1, -1), -EPIPE);
    (void)close(fds[1]);
}

static size_t count_entries(void)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d)) /* NOLINT(concurrency-mt-unsafe) */
        n++;
    (void)closedir(d);
    return n - 2;
}

static void atomic_files_are_old_or_new(void **state)
{
    auto_close int opath = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    auto_free char *text = NULL;
    mode_t mask = umask(0077);
    struct stat st;
    char long_name[300];

    (void)state;
    put("a", "old");
    assert_int_equal(write_file_atomic_at(opath, "a", "new", 3, 0644), 0);
    (void)umask(mask);
    assert_int_equal(read_file_at(dir_fd, "a", 10, &text, NULL), 0);
    assert_string_equal(text, "new");
    assert_int_equal(fstatat(dir_fd, "a", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    /* failures leave nothing behind */
    assert_int_equal(mkdirat(dir_fd, "d", 0700), 0);
    assert_int_equal(write_file_atomic_at(dir_fd, "d", "x", 1, 0644), -EISDIR);
    assert_int_equal(write_file_atomic_at(dir_fd, "d/x", "x", 1, 0644), -EINVAL);
    assert_int_equal(write_file_atomic_at(dir_fd, "", "x", 1, 0644), -EINVAL);
    memset(long_name, 'x', sizeof(long_name));
    long_name[250] = '\0';
    assert_int_equal(write_file_atomic_at(dir_fd, long_name, "x", 1, 0644), -ENAMETOOLONG);
    assert_int_equal(count_entries(), 2);
}

static void check_copy(int src, const char *head, size_t expected)
{
    auto_close int dst = openat(dir_fd, "copy", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    auto_free char *from = NULL, *to = NULL;
    size_t head_len = strlen(head), len;

    assert_true(dst >= 0);
    assert_int_equal(write_all(dst, head, head_len, -1), 0);
    assert_int_equal(copy_fd(dst, src), 0);
    assert_int_equal(write_all(dst, "end", 3, -1), 0);
    assert_int_equal(lseek(dst, 0, SEEK_SET), 0);
    assert_int_equal(read_all(dst, BIG, &to, &len), 0);
    assert_int_equal(len, head_len + expected + 3);
    assert_memory_equal(to, head, head_len);
    assert_memory_equal(to + len - 3, "end", 3);
    assert_int_equal(lseek(src, 0, SEEK_SET), 0);
    assert_int_equal(read_all(src, BIG, &from, NULL), 0);
    assert_memory_equal(to + head_len, from, expected);
}

static void copies_whole_files(void **state)
{
    auto_close int src = openat(dir_fd, "src", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    auto_close int other_fs = memfd_create("src", MFD_CLOEXEC);
    auto_close int proc_file = open("/proc/version", O_RDONLY | O_CLOEXEC);
    auto_free char *version = NULL;
    auto_strbuf text = {0};
    size_t len;

    (void)state;
    for (int i = 0; i < 50000; i++)
        strbuf_addf(&text, "line %d\n", i);
    assert_int_equal(write_all(src, text.data, text.len, -1), 0);
    assert_int_equal(write_all(other_fs, text.data, text.len, -1), 0);
    check_copy(src, "", text.len); /* the offsets of the sources stand at their ends: must not matter */
    check_copy(src, "head", text.len);
    check_copy(other_fs, "head", text.len);
    /* where copy_file_range says "nothing to copy" */
    assert_int_equal(read_all(proc_file, BIG, &version, &len), 0);
    check_copy(proc_file, "head", len);
    assert_int_equal(copy_fd(dir_fd, src), -EBADF);
}

static void folders_are_made(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(mkdir_p(in_dir("a/b//c/"), 0700), 0);
    assert_int_equal(mkdir_p(in_dir("a/b/c"), 0755), 0);
    assert_int_equal(stat(in_dir("a/b/c"), &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    put("file", "");
    assert_int_equal(mkdir_p(in_dir("file"), 0700), -ENOTDIR);
    assert_int_equal(mkdir_p(in_dir("file/x"), 0700), -ENOTDIR);
    assert_int_equal(mkdir_p("", 0700), -ENOENT);
    assert_int_equal(mkdir_p("/", 0700), 0);
    assert_int_equal(symlinkat("a", dir_fd, "link"), 0);
    assert_int_equal(mkdir_p(in_dir("link/b2"), 0700), 0);
}

static void trees_are_removed_without_following_links(void **state)
{
    (void)state;
    assert_int_equal(mkdir_p(in_dir("keep"), 0700), 0);
    put("keep-file", "x");
    assert_int_equal(mkdir_p(in_dir("t/a/b"), 0700), 0);
    assert_int_equal(mkdir_p(in_dir("t/empty"), 0700), 0);
    assert_int_equal(symlinkat("../keep", dir_fd, "t/link"), 0);
    assert_int_equal(symlinkat("../keep-file", dir_fd, "t/a/b/link"), 0);
    for (int i = 0; i < 300; i++) {
        char name[32];

        assert_true(strf(name, sizeof(name), "t/a/f%d", i) > 0);
        assert_int_equal(mknodat(dir_fd, name, S_IFREG | 0600, 0), 0);
    }
    assert_int_equal(remove_tree_at(dir_fd, "t"), 0);
    assert_int_equal(faccessat(dir_fd, "t", F_OK, 0), -1);
    assert_int_equal(faccessat(dir_fd, "keep", F_OK, 0), 0);
    assert_int_equal(remove_tree_at(dir_fd, "t"), 0);
    assert_int_equal(remove_tree_at(dir_fd, "keep-file"), 0);
    assert_int_equal(symlinkat("keep", dir_fd, "link"), 0);
    assert_int_equal(remove_tree_at(dir_fd, "link"), 0);
    assert_int_equal(faccessat(dir_fd, "keep", F_OK, 0), 0);
    assert_int_equal(count_entries(), 1);
}

static void trees_end_at_a_mount(void **state)
{
    char shm[] = "/dev/shm/volant-io-test-XXXXXX";
    struct stat here, there;

    (void)state;
    assert_non_null(mkdtemp(shm));
    assert_int_equal(fstat(dir_fd, &here), 0);
    assert_int_equal(stat(shm, &there), 0);
    assert_int_equal(remove_tree_at(dir_fd, shm), here.st_dev == there.st_dev ? 0 : -EXDEV);
    assert_int_equal(remove_tree_at(AT_FDCWD, shm), here.st_dev == there.st_dev ? 0 : -EXDEV);
    (void)rmdir(shm);
}

static void trees_are_bounded(void **state)
{
    (void)state;
    for (int fd = dup(dir_fd), level = 0; level < 140; level++) {
        int next;

        assert_int_equal(mkdirat(fd, "x", 0700), 0);
        next = openat(fd, "x", O_DIRECTORY | O_CLOEXEC);
        (void)close(fd);
        fd = next;
        if (level == 139) (void)close(fd);
    }
    assert_int_equal(remove_tree_at(dir_fd, "x"), -ELOOP);
    /* in two pieces it goes */
    assert_int_equal(renameat(dir_fd, "x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x/x", dir_fd, "y"), 0);
    assert_int_equal(remove_tree_at(dir_fd, "x"), 0);
    assert_int_equal(remove_tree_at(dir_fd, "y"), 0);
}

static void paths_stay_beneath(void **state)
{
    auto_close int root = -1;
    auto_free char *text = NULL;
    int fd;

    (void)state;
    assert_int_equal(mkdir_p(in_dir("root/etc"), 0700), 0);
    put("secret", "outside");
    assert_int_equal(symlinkat("/secret", dir_fd, "root/absolute"), 0);
    assert_int_equal(symlinkat("../../../secret", dir_fd, "root/climbing"), 0);
    assert_int_equal(symlinkat("/proc/self/exe", dir_fd, "root/magic"), 0);
    root = open_dir(in_dir("root"));
    assert_int_equal(open_beneath(root, "absolute", O_RDONLY, 0), -ENOENT);
    assert_int_equal(open_beneath(root, "climbing", O_RDONLY, 0), -ENOENT);
    assert_int_equal(open_beneath(root, "magic", O_RDONLY, 0), -ENOENT);
    assert_int_equal(open_beneath(root, "../secret", O_RDONLY, 0666), -ENOENT);
    fd = open_beneath(root, "/etc/../../../secret", O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
    assert_int_equal(faccessat(dir_fd, "root/secret", F_OK, 0), 0);
    assert_int_equal(read_file_at(dir_fd, "secret", 99, &text, NULL), 0);
    assert_string_equal(text, "outside");
}

static void unix_sockets(void **state)
{
    char path[200], too_long[109];
    struct stat st;
    pid_t pid = 0;
    int listener, client, server;

    (void)state;
    memset(too_long, 'x', 108);
    too_long[108] = '\0';
    assert_int_equal(unix_listen(too_long, 4, 0600), -ENAMETOOLONG);
    assert_int_equal(unix_connect(too_long), -ENAMETOOLONG);
    assert_int_equal(unix_listen("", 4, 0600), -EINVAL);
    assert_true(strf(path, sizeof(path), "%s", in_dir("s")) > 0);
    assert_int_equal(unix_connect(path), -ENOENT);
    listener = unix_listen(path, 4, 0660);
    assert_true(listener >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFSOCK | 0660);
    client = unix_connect(path);
    assert_true(client >= 0);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(unix_peer_pid(client, &pid), 0);
    assert_int_equal(pid, getpid());
    (void)close(server);
    (void)close(client);
    (void)close(listener);
    assert_int_equal(unix_connect(path), -ECONNREFUSED);
    listener = unix_listen(path, 4, 0600); /* what a crash left is replaced */
    assert_true(listener >= 0);
    (void)close(listener);
    put("file", "x");
    assert_int_equal(unix_listen(in_dir("file"), 4, 0600), -EADDRINUSE);
    assert_int_equal(faccessat(dir_fd, "file", F_OK, 0), 0);
}

static void locks_exclude(void **state)
{
    char path[256];
    int fd = -1, second = -1;

    (void)state;
    assert_true(strf(path, sizeof(path), "%s", in_dir("lock")) > 0);
    assert_int_equal(lock_file(path, &fd), 0);
    assert_int_equal(lock_file(path, &second), -EWOULDBLOCK);
    assert_int_equal(second, -1);
    (void)close(fd);
    assert_int_equal(lock_file(path, &second), 0);
    (void)close(second);
    assert_int_equal(lock_file(in_dir("no/lock"), &fd), -ENOENT);
}

static void small_things(void **state)
{
    uint64_t bytes = 0;
    int fds[2];

    (void)state;
    assert_int_equal(disk_free(dir, &bytes), 0);
    assert_true(bytes > 0);
    assert_int_equal(disk_free(in_dir("absent"), &bytes), -ENOENT);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(set_nonblock(fds[0], true), 0);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(set_nonblock(fds[0], false), 0);
    assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(set_nonblock(-1, true), -EBADF);
    assert_int_equal(open_dir(in_dir("absent")), -ENOENT);
    put("file", "x");
    assert_int_equal(open_dir(in_dir("file")), -ENOTDIR);
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(reads_up_to_a_limit),
        folder_test(reads_what_has_no_size),
        folder_test(read_errors),
        folder_test(write_all_waits_for_a_slow_reader),
        folder_test(write_all_gives_up),
        folder_test(atomic_files_are_old_or_new),
        folder_test(copies_whole_files),
        folder_test(folders_are_made),
        folder_test(trees_are_removed_without_following_links),
        folder_test(trees_end_at_a_mount),
        folder_test(trees_are_bounded),
        folder_test(paths_stay_beneath),
        folder_test(unix_sockets),
        folder_test(locks_exclude),
        folder_test(small_things),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
