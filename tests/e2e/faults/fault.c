/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into volantd by test_faults.py: stands below its store, file, process and memory layers, counts their calls
 * and lets the n-th of a kind fail. Armed over a file that both sides map, so that one volantd serves many n. Children
 * do not get it: volantd gives them an environment of its own.
 *
 * A kind is a function; reading and writing count by what the descriptor is: files (read, write), and pipes and sockets
 * (read_stream, write_stream); an eventfd or a timer has no such failures. `armed` is a kind's index plus 1; its call
 * number `nth` since then fails once with `err`, and who called is left in `frames`, for people.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* clang-format off */
#define KINDS(X)                                                                                                       \
    X(open)                                                                                                            \
    X(openat)                                                                                                          \
    X(openat2) X(opendir) X(fdopendir) X(read) X(read_stream) X(write) X(write_stream) X(fsync) X(fdatasync)           \
        X(ftruncate) X(copy_file_range) X(renameat) X(unlink) X(unlinkat) X(mkdir) X(mkdirat) X(fchmod) X(fchown)      \
            X(stat) X(fstat) X(fstatat) X(statvfs) X(access) X(flock) X(dup) X(mmap) X(mremap) X(socket) X(bind)       \
                X(listen) X(connect) X(accept4) X(pipe2) X(eventfd) X(epoll_ctl) X(epoll_wait) X(poll) X(pidfd_open)   \
                    X(pidfd_send_signal) X(waitid) X(posix_spawn) X(pthread_create) X(malloc) X(calloc) X(realloc)     \
                        X(getrandom)
/* clang-format on */

enum kind {
#define X(name) KIND_##name,
    KINDS(X)
#undef X
        N_KINDS
};
static const char *const kind_names[] = {
#define X(name) #name,
    KINDS(X)
#undef X
};

#define FRAMES 24

/* test_faults.py has the same layout. */
struct control {
    _Atomic uint32_t armed, err, fired, n_kinds;
    _Atomic uint64_t nth;
    _Atomic uint64_t counts[64];
    uint64_t n_frames, frames[FRAMES];
    char thread[16];
    char names[64][24];
};

static struct control *control; /* NULL until this library is ready */
static __thread int inside __attribute__((tls_model("initial-exec")));

static void fire(struct control *c)
{
    void *frames[FRAMES];

    inside++;
    c->n_frames = (uint64_t)backtrace(frames, FRAMES);
    for (uint64_t i = 0; i < c->n_frames; i++)
        c->frames[i] = (uint64_t)(uintptr_t)frames[i];
    (void)pthread_getname_np(pthread_self(), c->thread, sizeof(c->thread));
    inside--;
    atomic_store(&c->fired, 1);
}

/* The errno that this call is to fail with, 0: let it through. */
static int fails(enum kind kind)
{
    struct control *c = control;
    int err;

    if (!c || inside || atomic_load(&c->armed) == 0) return 0;
    if (atomic_fetch_add(&c->counts[kind], 1) + 1 != atomic_load(&c->nth)) return 0;
    if (atomic_load(&c->armed) != (uint32_t)kind + 1) return 0;
    err = (int)atomic_load(&c->err);
    fire(c);
    return err;
}

/* The same for what reports by errno. */
static int refuses(enum kind kind)
{
    int err = fails(kind);

    if (err) errno = err;
    return err;
}

static int refuses_io(int fd, enum kind file, enum kind stream)
{
    struct stat st;
    int r, before = errno;

    if (!control || inside || atomic_load(&control->armed) == 0) return 0;
    inside++;
    r = fstat(fd, &st);
    inside--;
    errno = before;
    if (r < 0) return 0;
    if (S_ISREG(st.st_mode)) return refuses(file);
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ? refuses(stream) : 0;
}

static void *next(const char *name)
{
    void *p;

    inside++;
    p = dlsym(RTLD_NEXT, name);
    inside--;
    return p;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("VOLANT_FAULT_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct control *c = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void *first[1];

    if (c == MAP_FAILED) _exit(99);
    (void)close(fd);
    (void)backtrace(first, 1); /* what it has to load, it loads now */
    for (int i = 0; i < N_KINDS; i++)
        (void)snprintf(c->names[i], sizeof(c->names[i]), "%s", kind_names[i]);
    atomic_store(&c->n_kinds, N_KINDS);
    control = c;
}

#define REAL(name)                                                                                                     \
    static __typeof__(&name) _Atomic real_;                                                                            \
    __typeof__(&name) real = real_;                                                                                    \
    if (!real) real_ = real = (__typeof__(&name))next(#name)

/* A function that says -1 (or `failed`) and errno. */
#define WRAP(kind, type, failed, name, parameters, ...)                                                                \
    type name parameters                                                                                               \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        return refuses(KIND_##kind) ? failed : real(__VA_ARGS__);                                                      \
    }
#define WRAP_IO(kind, type, name, parameters, ...)                                                                     \
    type name parameters                                                                                               \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        return refuses_io(fd, KIND_##kind, KIND_##kind##_stream) ? -1 : real(__VA_ARGS__);                             \
    }

/* --- files -------------------------------------------------------------------------------------------------------- */

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(args, int) : 0;
}

#define WRAP_OPEN(kind, name, parameters, ...)                                                                         \
    int name parameters                                                                                                \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        mode_t mode;                                                                                                   \
        va_list args;                                                                                                  \
                                                                                                                       \
        va_start(args, flags);                                                                                         \
        mode = mode_of(flags, args);                                                                                   \
        va_end(args);                                                                                                  \
        return refuses(KIND_##kind) ? -1 : real(__VA_ARGS__, flags, mode);                                             \
    }
WRAP_OPEN(open, open, (const char *path, int flags, ...), path)
WRAP_OPEN(open, open64, (const char *path, int flags, ...), path)
WRAP_OPEN(openat, openat, (int dir, const char *path, int flags, ...), dir, path)
WRAP_OPEN(openat, openat64, (int dir, const char *path, int flags, ...), dir, path)

WRAP(opendir, DIR *, NULL, opendir, (const char *path), path)
WRAP(fdopendir, DIR *, NULL, fdopendir, (int fd), fd)
WRAP_IO(read, ssize_t, read, (int fd, void *buf, size_t n), fd, buf, n)
WRAP_IO(read, ssize_t, pread64, (int fd, void *buf, size_t n, off64_t at), fd, buf, n, at)
WRAP_IO(read, ssize_t, recv, (int fd, void *buf, size_t n, int flags), fd, buf, n, flags)
WRAP_IO(write, ssize_t, write, (int fd, const void *buf, size_t n), fd, buf, n)
WRAP_IO(write, ssize_t, pwrite64, (int fd, const void *buf, size_t n, off64_t at), fd, buf, n, at)
WRAP_IO(write, ssize_t, send, (int fd, const void *buf, size_t n, int flags), fd, buf, n, flags)
WRAP_IO(write, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), fd, m, flags)
WRAP(fsync, int, -1, fsync, (int fd), fd)
WRAP(fdatasync, int, -1, fdatasync, (int fd), fd)
WRAP(ftruncate, int, -1, ftruncate64, (int fd, off64_t size), fd, size)
WRAP(copy_file_range, ssize_t, -1, copy_file_range,
     (int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned flags), from, at, to, to_at, n, flags)
WRAP(renameat, int, -1, renameat, (int from_dir, const char *from, int to_dir, const char *to), from_dir, from, to_dir,
     to)
WRAP(unlink, int, -1, unlink, (const char *path), path)
WRAP(unlinkat, int, -1, unlinkat, (int dir, const char *path, int flags), dir, path, flags)
WRAP(mkdir, int, -1, mkdir, (const char *path, mode_t mode), path, mode)
WRAP(mkdirat, int, -1, mkdirat, (int dir, const char *path, mode_t mode), dir, path, mode)
WRAP(fchmod, int, -1, fchmod, (int fd, mode_t mode), fd, mode)
WRAP(fchown, int, -1, fchown, (int fd, uid_t uid, gid_t gid), fd, uid, gid)
WRAP(stat, int, -1, stat64, (const char *path, struct stat64 *st), path, st)
WRAP(stat, int, -1, lstat64, (const char *path, struct stat64 *st), path, st)
WRAP(fstat, int, -1, fstat64, (int fd, struct stat64 *st), fd, st)
WRAP(fstatat, int, -1, fstatat64, (int dir, const char *path, struct stat64 *st, int flags), dir, path, st, flags)
WRAP(statvfs, int, -1, statvfs64, (const char *path, struct statvfs64 *st), path, st)
WRAP(access, int, -1, access, (const char *path, int mode), path, mode)
WRAP(access, int, -1, faccessat, (int dir, const char *path, int mode, int flags), dir, path, mode, flags)
WRAP(flock, int, -1, flock, (int fd, int operation), fd, operation)
WRAP(mmap, void *, MAP_FAILED, mmap64, (void *at, size_t n, int protection, int flags, int fd, off64_t offset), at, n,
     protection, flags, fd, offset)
WRAP(getrandom, ssize_t, -1, getrandom, (void *buf, size_t n, unsigned flags), buf, n, flags)

void *mremap(void *at, size_t size, size_t new_size, int flags, ...)
{
    REAL(mremap);
    va_list args;
    void *to;

    va_start(args, flags);
    to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
    va_end(args);
    return refuses(KIND_mremap) ? MAP_FAILED : real(at, size, new_size, flags, to);
}

/* Locks and flags go through; a new descriptor may fail. */
int fcntl64(int fd, int command, ...)
{
    REAL(fcntl64);
    va_list args;
    void *arg;

    va_start(args, command);
    arg = va_arg(args, void *);
    va_end(args);
    return command == F_DUPFD_CLOEXEC && refuses(KIND_dup) ? -1 : real(fd, command, arg);
}

/* openat2 has no wrapper in glibc. */
long syscall(long number, ...)
{
    REAL(syscall);
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_openat2 && refuses(KIND_openat2)) return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- sockets, waiting, processes ---------------------------------------------------------------------------------- */

WRAP(socket, int, -1, socket, (int domain, int type, int protocol), domain, type, protocol)
WRAP(bind, int, -1, bind, (int fd, const struct sockaddr *to, socklen_t n), fd, to, n)
WRAP(listen, int, -1, listen, (int fd, int backlog), fd, backlog)
WRAP(connect, int, -1, connect, (int fd, const struct sockaddr *to, socklen_t n), fd, to, n)
WRAP(accept4, int, -1, accept4, (int fd, struct sockaddr *from, socklen_t *n, int flags), fd, from, n, flags)
WRAP(pipe2, int, -1, pipe2, (int fds[2], int flags), fds, flags)
WRAP(eventfd, int, -1, eventfd, (unsigned initial, int flags), initial, flags)
WRAP(epoll_wait, int, -1, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout), fd, events, max,
     timeout)
WRAP(poll, int, -1, poll, (struct pollfd * fds, nfds_t n, int timeout), fds, n, timeout)
WRAP(pidfd_open, int, -1, pidfd_open, (pid_t pid, unsigned flags), pid, flags)
WRAP(pidfd_send_signal, int, -1, pidfd_send_signal, (int fd, int signal, siginfo_t *info, unsigned flags), fd, signal,
     info, flags)
WRAP(waitid, int, -1, waitid, (idtype_t type, id_t id, siginfo_t *info, int options), type, id, info, options)

/* Taking a descriptor out always works. */
int epoll_ctl(int fd, int operation, int target, struct epoll_event *event)
{
    REAL(epoll_ctl);

    return operation == EPOLL_CTL_ADD && refuses(KIND_epoll_ctl) ? -1 : real(fd, operation, target, event);
}

#define WRAP_SPAWN(name)                                                                                               \
    int name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,   \
             char *const argv[], char *const envp[])                                                                   \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        int err = fails(KIND_posix_spawn);                                                                             \
                                                                                                                       \
        return err ? err : real(pid, path, actions, attr, argv, envp);                                                 \
    }
WRAP_SPAWN(posix_spawn)
WRAP_SPAWN(posix_spawnp)

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg)
{
    REAL(pthread_create);
    int err = fails(KIND_pthread_create);

    return err ? err : real(thread, attr, main, arg);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    return refuses(KIND_malloc) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return refuses(KIND_calloc) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return n && refuses(KIND_realloc) ? NULL : __libc_realloc(p, n);
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, bytes);
}
