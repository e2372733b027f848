/* SPDX-License-Identifier: Apache-2.0 */
/* The folder itself: what is there, what is on its way, what is left over. */
#include "artifact/artifact.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact/internal.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/str.h"

#define FLOOR         (64ULL << 20) /* bytes that stay free: the database must remain writable */
#define STALE_SECONDS 3600

static int open_folder(const struct artifacts *a, const char *name, int *ret, struct vl_error *err)
{
    bool made = mkdirat(a->dir_fd, name, 0711) == 0;

    if (!made && errno != EEXIST) return vl_fail_errno(err, errno, "make %s/%s", a->path, name);
    *ret = openat(a->dir_fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret < 0 || (made && fchmod(*ret, 0711) < 0)) /* whatever the umask */
        return vl_fail_errno(err, errno, "open %s/%s", a->path, name);
    return 0;
}

/*
 * "<pid>-<random>": of a process that is gone, or that has not written to it for an hour, for the pid may be another
 * one's by now.
 */
static bool is_stale(const struct artifacts *a, const char *name)
{
    char pid_text[16];
    const char *dash = strchr(name, '-');
    struct stat st;
    uint64_t pid;

    if (*name == '.' || fstatat(a->tmp_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return false;
    if (!dash || strf(pid_text, sizeof(pid_text), "%.*s", (int)(dash - name), name) < 0 ||
        parse_u64(pid_text, 1, INT32_MAX, &pid) < 0 || wall_ms() / 1000 - st.st_mtim.tv_sec > STALE_SECONDS)
        return true;
    return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static void sweep(const struct artifacts *a)
{
    int fd = openat(a->tmp_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *ent;

    if (!d) {
        if (fd >= 0) (void)close(fd);
        return;
    }
    while ((ent = readdir(d))) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        if (is_stale(a, ent->d_name)) (void)unlinkat(a->tmp_fd, ent->d_name, 0);
    (void)closedir(d);
}

int artifacts_open(const char *dir, struct artifacts **ret, struct vl_error *err)
{
    auto_(artifacts_closep) struct artifacts *a = calloc(1, sizeof(*a));
    int r;

    if (!a) return vl_fail_errno(err, ENOMEM, "artifacts");
    a->dir_fd = a->blob_fd = a->boot_fd = a->tmp_fd = -1;
    if (!(a->path = strdup(dir))) return vl_fail_errno(err, ENOMEM, "artifacts");
    if ((r = mkdir_p(dir, 0711)) < 0 || (a->dir_fd = r = open_dir(dir)) < 0)
        return vl_fail_errno(err, r, "open artifact folder %s", dir);
    if ((r = open_folder(a, "sha256", &a->blob_fd, err)) < 0 || (r = open_folder(a, "boot", &a->boot_fd, err)) < 0 ||
        (r = open_folder(a, "tmp", &a->tmp_fd, err)) < 0)
        return r;
    sweep(a);
    *ret = take_ptr(a);
    return 0;
}

void artifacts_close(struct artifacts *a)
{
    if (!a) return;
    closep(&a->tmp_fd);
    closep(&a->boot_fd);
    closep(&a->blob_fd);
    closep(&a->dir_fd);
    free(a->path);
    free(a);
}

int digest_parse(const char *s, char ret_hex[static SHA256_HEX + 1], struct vl_error *err)
{
    const char *hex = strncasecmp(s, "sha256:", 7) == 0 ? s + 7 : s;
    unsigned char bytes[SHA256_HEX / 2];

    if (strlen(hex) != SHA256_HEX || hex_decode(hex, bytes, sizeof(bytes)) < 0)
        return vl_fail(err, VL_INVALID, "'%.80s' is no digest: write sha256: and 64 hexadecimal digits", s);
    hex_encode(bytes, sizeof(bytes), ret_hex);
    return 0;
}

bool artifact_present(struct artifacts *a, const char *hex, uint64_t *ret_size)
{
    struct stat st;

    if (fstatat(a->blob_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)) return false;
    if (ret_size) *ret_size = (uint64_t)st.st_size;
    return true;
}

int artifact_remove(struct artifacts *a, const char *hex, struct vl_error *err)
{
    if (unlinkat(a->boot_fd, hex, 0) < 0 && errno != ENOENT)
        return vl_fail_errno(err, errno, "remove the boot form of artifact %s", hex);
    CRASH_POINT("uninstall.boot_form_removed");
    if (unlinkat(a->blob_fd, hex, 0) < 0 && errno != ENOENT)
        return vl_fail_errno(err, errno, "remove artifact %s", hex);
    CRASH_POINT("uninstall.blob_removed");
    return 0;
}

static int add_old(int dir_fd, int64_t before_s, struct strv *ret)
{
    int fd = openat(dir_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC), r = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *ent;
    struct stat st;

    if (!d) {
        r = -errno;
        if (fd >= 0) (void)close(fd);
        return r;
    }
    while (r == 0 && (ent = readdir(d))) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        if (strlen(ent->d_name) == SHA256_HEX && fstatat(dir_fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtim.tv_sec < before_s)
            r = strv_add(ret, ent->d_name);
    (void)closedir(d);
    return r;
}

int artifacts_old(struct artifacts *a, int64_t age_s, struct strv *ret)
{
    auto_strv found = {0};
    int64_t before_s = wall_ms() / 1000 - age_s;
    int r;

    if ((r = add_old(a->blob_fd, before_s, &found)) < 0 || (r = add_old(a->boot_fd, before_s, &found)) < 0) return r;
    *ret = found;
    found = (struct strv){0};
    return 0;
}

bool artifact_untouched(struct artifacts *a, const char *hex, int64_t age_s)
{
    const int dirs[] = {a->blob_fd, a->boot_fd};
    int64_t before_s = wall_ms() / 1000 - age_s;
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (fstatat(dirs[i], hex, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtim.tv_sec >= before_s) return false;
    return true;
}

void artifact_touch(struct artifacts *a, const char *hex)
{
    (void)utimensat(a->blob_fd, hex, NULL, AT_SYMLINK_NOFOLLOW);
    (void)utimensat(a->boot_fd, hex, NULL, AT_SYMLINK_NOFOLLOW);
}

uint64_t artifact_bytes(struct artifacts *a, const char *hex)
{
    const int dirs[] = {a->blob_fd, a->boot_fd};
    uint64_t bytes = 0;
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        if (fstatat(dirs[i], hex, &st, AT_SYMLINK_NOFOLLOW) == 0) bytes += (uint64_t)st.st_blocks * 512;
    return bytes;
}

int space_check(struct artifacts *a, uint64_t more, struct vl_error *err)
{
    uint64_t left;
    int r;

    if ((r = disk_free(a->path, &left)) < 0) return vl_fail_errno(err, r, "free space of %s", a->path);
    if (left < FLOOR || left - FLOOR < more)
        return vl_fail(err, VL_NO_SPACE, "no room for %llu more bytes at %s: %llu are free and %llu stay so: make room",
                       (unsigned long long)more, a->path, (unsigned long long)left, FLOOR);
    return 0;
}

/* --- files on their way --------------------------------------------------------------------------------------------
 */

int staged_open(struct artifacts *a, struct staged *ret)
{
    struct staged s = {.dir_fd = a->tmp_fd};
    char random[17];
    int r;

    if ((r = random_hex(random, 8)) < 0 || (r = strf(s.name, sizeof(s.name), "%d-%s", (int)getpid(), random)) < 0)
        return r;
    s.fd = openat(a->tmp_fd, s.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (s.fd < 0) return -errno;
    *ret = s;
    return 0;
}

int staged_commit(struct staged *s, int to_fd, const char *hex)
{
    if (fchmod(s->fd, 0644) < 0 || fsync(s->fd) < 0) return -errno;
    CRASH_POINT("install.file_synced");
    if (renameat(s->dir_fd, s->name, to_fd, hex) < 0) return -errno;
    CRASH_POINT("install.file_renamed");
    if (fsync(to_fd) < 0) return -errno;
    s->name[0] = '\0';
    return 0;
}

void staged_drop(struct staged *s)
{
    if (s->fd >= 0) (void)close(s->fd);
    if (*s->name) (void)unlinkat(s->dir_fd, s->name, 0);
    *s = (struct staged){.fd = -1};
}
