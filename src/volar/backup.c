/* SPDX-License-Identifier: Apache-2.0 */
/* volar system backup, volar system restore: the registry as one file of the user's. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define PATH_BYTES 4096
#define BACK_S     60 /* for volantd to be there again */
#define CALL_S     5
#define POLL_MS    50

static bool force;

const struct opt system_backup_opts[] = {
    {"force", 'f', OPT_FLAG, NULL, "replace FILE if it is there", 0, 0, &force}, VOLAR_GLOBAL, {0}};

/* --- backup ------------------------------------------------------------------------------------------------------- */

struct target {
    int fd;
    uint64_t size;
};

static int take(void *arg, const char *data, size_t n)
{
    struct target *t = arg;
    int r = write_all(t->fd, data, n, -1);

    t->size += n;
    return r;
}

static int fetch(struct volar *v, struct target *t, struct vl_error *err)
{
    return api_stream(v, "/api/v1/system/backup", take, t, NULL, NULL, err);
}

static void default_name(char *buf, size_t size)
{
    time_t now = (time_t)(wall_ms() / 1000);
    struct tm tm = {0};

    (void)gmtime_r(&now, &tm);
    (void)strftime(buf, size, "volant-%Y%m%dT%H%M%SZ.db", &tm);
}

static int refuse_existing(const char *path, struct vl_error *err)
{
    struct stat st;

    if (force || lstat(path, &st) < 0) return 0;
    return vl_fail(err, VL_CONFLICT, "%s exists: name another file, or replace it with --force", path);
}

/* Beside the target, so that this is the old file or a whole new one. */
static int save(struct volar *v, const char *path, uint64_t *ret_size, struct vl_error *err)
{
    auto_close int fd = -1;
    struct target t = {0};
    char temp[PATH_BYTES], hex[9];
    int r;

    if ((r = refuse_existing(path, err)) < 0) return r;
    if ((r = random_hex(hex, 4)) < 0 || (r = strf(temp, sizeof(temp), "%s.%s.tmp", path, hex)) < 0)
        return vl_fail_errno(err, r, "%s", path);
    if ((fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        return vl_fail_errno(err, errno, "make %s", temp);
    t.fd = fd;
    if ((r = fetch(v, &t, err)) == 0 && fsync(fd) < 0) r = vl_fail_errno(err, errno, "write %s", temp);
    if (r == 0 && rename(temp, path) < 0) r = vl_fail_errno(err, errno, "rename %s to %s", temp, path);
    if (r < 0)
        (void)unlink(temp);
    else
        *ret_size = t.size;
    return r;
}

int system_backup(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct target out = {.fd = STDOUT_FILENO};
    struct vl_error err = {0};
    const char *path = NULL;
    char name[48], text[24];
    uint64_t size = 0;
    size_t n;
    int r = volar_begin(v, argc, argv, &path, 0, 1, &n);

    if (r >= 0) return r;
    if (n > 0 && str_eq(path, "-")) return fetch(v, &out, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
    if (n == 0) {
        default_name(name, sizeof(name));
        path = name;
    }
    if (save(v, path, &size, &err) < 0) return volar_fail(&err);
    size_text(size, text);
    if (volar_json(v)) {
        json_auto_t *j = json_pack("{s:s, s:I}", "file", path, "bytes", (json_int_t)size);

        return j && print_json(j) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    printf("Registry saved to %s (%s); artifacts are not in it\n", path, text);
    return EXIT_DONE;
}

/* --- restore ------------------------------------------------------------------------------------------------------ */

/* The volantd that answered closes everything before it answers again. */
static int await_volantd(struct volar *v, struct vl_error *err)
{
    int64_t until = mono_ms() + BACK_S * 1000LL;

    for (;;) {
        auto_answer a = {0};

        *err = (struct vl_error){0};
        if (api_call(v, "GET", "/healthz", NULL, CALL_S, &a, err) == 0) return 0;
        if (mono_ms() >= until)
            return vl_fail(err, VL_UNAVAILABLE,
                           "the registry was put back, but volantd does not answer after %d s: see its log", BACK_S);
        pause_ms(POLL_MS);
    }
}

static int send_file(struct volar *v, const char *path, struct vl_error *err)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "open %s", path);
    if (!S_ISREG(st.st_mode))
        return vl_fail(err, VL_INVALID, "%s is no file: name one that `volar system backup` wrote", path);
    if ((r = api_upload(v, "/api/v1/system/restore", fd, (uint64_t)st.st_size, path, err)) < 0) return r;
    return await_volantd(v, err);
}

int system_restore(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    const char *path;
    size_t n;
    int r = volar_begin(v, argc, argv, &path, 1, 1, &n);

    if (r >= 0) return r;
    if (send_file(v, path, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return puts("{\"restored\": true}") < 0 ? EXIT_FAILED : EXIT_DONE;
    printf("Registry restored from %s; the one before it is kept in volantd's state folder\n", path);
    return EXIT_DONE;
}
