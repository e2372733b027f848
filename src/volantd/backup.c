/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/system/backup and /restore: the registry as one file. A copy is made beside the database (it holds what that
 * holds, so it has its mode), and has lost its name before the first byte is sent: nothing is left whatever happens. A
 * file to be put back is judged as a whole before anything changes; then volantd closes everything and begins anew.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"
#include "volantd/upload.h"

#define COPY_MS  120000
#define CHECK_MS 120000

/* Beside the database, under a name that the next start knows for a leftover. */
static int temp_path(const char *db_path, char *ret, size_t size, struct vl_error *err)
{
    char hex[17];
    int r = random_hex(hex, 8);

    if (r >= 0) r = strf(ret, size, "%s" STORE_TEMP_MARK "%s", db_path, hex);
    return r < 0 ? vl_fail_errno(err, r, "a name for a copy of %s", db_path) : 0;
}

/* --- backup ------------------------------------------------------------------------------------------------------- */

struct backup {
    struct job job;
    struct api *api;
    struct api_req *req; /* NULL: nobody waits any more */
    int fd, r;
    struct vl_error err;
};

static void backup_free(struct backup *b)
{
    closep(&b->fd);
    free(b);
}

static int backup_make(struct backup *b)
{
    const char *db = b->api->db_path;
    char path[512];
    int r;

    if ((r = temp_path(db, path, sizeof(path), &b->err)) < 0) return r;
    /* It is there first, and so has our mode: SQLite fills an empty file. */
    b->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->fd < 0) return vl_fail_errno(&b->err, errno, "make %s", path);
    r = store_copy(db, path, mono_ms() + COPY_MS, &b->err);
    if (r == 0) r = store_check_copy(path, mono_ms() + CHECK_MS, &b->err);
    if (unlink(path) < 0 && r == 0) r = vl_fail_errno(&b->err, errno, "remove the name of %s", path);
    return r;
}

static void backup_run(struct job *j)
{
    struct backup *b = container_of(j, struct backup, job);

    b->r = backup_make(b);
}

/* From the page cache that it was just written into. */
static ssize_t backup_read(struct api_req *req, char *buf, size_t size)
{
    const struct backup *b = req->state;
    ssize_t n = read(b->fd, buf, size);

    return n == 0 ? -ENODATA : n < 0 ? -errno : n;
}

static void backup_release(struct api_req *req)
{
    struct backup *b = req->state;

    b->req = NULL;
    if (b->job.run == NULL) backup_free(b); /* its job is over */
}

static void backup_done(struct job *j, bool cancelled)
{
    static const struct api_source source = {.read = backup_read};
    struct backup *b = container_of(j, struct backup, job);
    struct api_req *req = b->req;
    struct vl_error err = b->err;

    b->job.run = NULL;
    if (!req) {
        backup_free(b);
        return;
    }
    if (cancelled) b->r = vl_fail(&err, VL_UNAVAILABLE, "volantd is stopping");
    if (b->r == 0 && lseek(b->fd, 0, SEEK_SET) < 0) b->r = vl_fail_errno(&err, errno, "read the copy");
    if (b->r < 0) {
        api_fail(req, &err);
    } else {
        log_info("a copy of the registry was made");
        req->reply.status = 200;
        req->reply.content_type = "application/vnd.sqlite3";
        req->reply.source = &source;
    }
    api_resume(req);
}

enum api_end system_backup(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct backup *b = calloc(1, sizeof(*b));
    int r = -ENOMEM;

    if (b) {
        *b = (struct backup){.job = {.run = backup_run, .done = backup_done}, .api = api, .req = req, .fd = -1};
        r = pool_submit(api->pool, &b->job);
    }
    if (r < 0) {
        free(b);
        vl_fail_errno(err, r, "backup");
        return API_FAILED;
    }
    req->state = b;
    req->release = backup_release;
    return API_SUSPENDED;
}

/* --- restore ------------------------------------------------------------------------------------------------------ */

struct restore {
    const char *db_path;
    uint64_t expected; /* bytes, 0: unknown */
    char path[512];    /* of what has arrived so far */
    int fd;
};

static int fail_room(const char *db_path, uint64_t expected, struct vl_error *err)
{
    char size[32] = "more";
    uint64_t room = 0;

    (void)disk_free(db_path, &room);
    if (expected > 0) (void)strf(size, sizeof(size), "%llu", (unsigned long long)expected);
    return vl_fail(err, VL_NO_SPACE, "the file has %s bytes, there is room for %llu beside %.300s: make room there",
                   size, (unsigned long long)room, db_path);
}

static int restore_write(void *target, const char *data, size_t n, struct vl_error *err)
{
    const struct restore *s = target;
    int r = write_all(s->fd, data, n, -1);

    if (r == -ENOSPC || r == -EDQUOT) return fail_room(s->db_path, s->expected, err);
    return r < 0 ? vl_fail_errno(err, r, "write %s", s->path) : 0;
}

/* Who sent it knows nothing of the name that it has here. */
static void name_it(const char *path, struct vl_error *err)
{
    char quoted_path[sizeof(((struct restore *)NULL)->path) + 3], text[sizeof(err->msg)];
    char *at;

    if (strf(quoted_path, sizeof(quoted_path), "'%s'", path) < 0 || !(at = strstr(err->msg, quoted_path))) return;
    if (strf(text, sizeof(text), "%.*sthe file%s", (int)(at - err->msg), err->msg, at + strlen(quoted_path)) >= 0)
        memcpy(err->msg, text, sizeof(text));
}

static int restore_finish(void *target, struct vl_error *err)
{
    const struct restore *s = target;
    int r = store_check_copy(s->path, mono_ms() + CHECK_MS, err);

    if (r < 0) {
        name_it(s->path, err);
        return r;
    }
    if (fsync(s->fd) < 0) return vl_fail_errno(err, errno, "sync %s", s->path);
    CRASH_POINT("restore.checked");
    return 0;
}

static void restore_release(void *target)
{
    struct restore *s = target;

    (void)unlink(s->path); /* it has another name if it was good */
    closep(&s->fd);
    free(s);
}

/* Nothing may have begun since the upload did. */
static enum api_end restore_answer(struct api *api, struct api_req *req, void *target, struct vl_error *err)
{
    const struct restore *s = target;

    if (engine_check_idle(api->engine, err) < 0 || store_restore_at_next_open(s->db_path, s->path, err) < 0)
        return API_FAILED;
    log_warn("the registry is replaced by one that a client sent; beginning anew");
    api->begin_anew(api);
    return api_empty(req, 202);
}

enum api_end system_restore(struct api *api, struct api_req *req, struct vl_error *err)
{
    static const struct upload_ops ops = {
        .write = restore_write, .finish = restore_finish, .release = restore_release, .answer = restore_answer};
    struct restore *s;
    uint64_t room;

    if (engine_check_idle(api->engine, err) < 0) return API_FAILED;
    if (disk_free(api->db_path, &room) == 0 && room < req->body_length) {
        fail_room(api->db_path, req->body_length, err);
        return API_FAILED;
    }
    if (!(s = calloc(1, sizeof(*s)))) {
        vl_fail_errno(err, ENOMEM, "restore");
        return API_FAILED;
    }
    s->db_path = api->db_path;
    s->expected = req->body_length;
    s->fd = -1;
    if (temp_path(s->db_path, s->path, sizeof(s->path), err) < 0) {
        free(s);
        return API_FAILED;
    }
    if ((s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0) {
        vl_fail_errno(err, errno, "make %s", s->path);
        free(s);
        return API_FAILED;
    }
    return upload_begin(api, req, &ops, s, err);
}
