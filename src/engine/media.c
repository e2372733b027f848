/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin's medium that is not in the store is brought from where its manifest says: fetched by http(s), or copied
 * from a folder that the host's owner named. Each is brought once, however many want it at the same time.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "engine/vm.h"

#define BRING_WIDTH     4 /* at a time, of different ones */
#define WORKER_IDLE_MS  10000
#define FETCH_S_DEFAULT 3600
#define STALL_S_MAX     30

/* One on its way in. All but job, r and err belong to the loop thread; a worker reads them. */
struct bring {
    struct job job;
    struct bring *next;
    struct engine *engine;
    char hex[SHA256_HEX + 1];
    char *url;
    int64_t size;
    struct medium_waiter *waiters, *last; /* in order of their coming */
    int r;
    struct vl_error err;
};

static void bring_free(struct bring *b)
{
    free(b->url);
    free(b);
}

int media_open(struct engine *e, struct vl_error *err)
{
    int r;

    if ((e->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) return vl_fail_errno(err, errno, "eventfd");
    r = pool_new(e->cfg.loop, BRING_WIDTH, WORKER_IDLE_MS, &e->bringers);
    return r < 0 ? vl_fail_errno(err, r, "workers") : 0;
}

void media_stop(struct engine *e)
{
    const uint64_t one = 1;

    if (e->stop_fd >= 0) (void)!write(e->stop_fd, &one, sizeof(one));
    pool_free(e->bringers);
    e->bringers = NULL;
    closep(&e->stop_fd);
    e->stop_fd = -1;
}

/* --- on a worker -------------------------------------------------------------------------------------------------- */

static int fetch(struct bring *b)
{
    const struct engine *e = b->engine;
    struct artifact_source source = {
        .url = b->url,
        .size = (uint64_t)b->size,
        .reserve = e->cfg.admission.disk_floor,
        .uid = e->cfg.host->uid_base,
        .timeout_s = e->cfg.fetch_s > 0 ? e->cfg.fetch_s : FETCH_S_DEFAULT,
        .stop_fd = e->stop_fd,
    };
    char helper[512], shown[256];
    int64_t from = mono_ms();
    int r;

    url_public(b->url, shown, sizeof(shown));
    source.stall_s = source.timeout_s / 10 + 1 < STALL_S_MAX ? source.timeout_s / 10 + 1 : STALL_S_MAX;
    if (find_installed("volant-fetch", NULL, helper, sizeof(helper), &b->err) < 0)
        return vl_fail(&b->err, VL_INTERNAL, "volant-fetch is not installed beside volantd: install Volant again");
    source.helper = helper;
    log_info("artifact=%s: fetching %s", b->hex, shown);
    if ((r = artifact_fetch(e->cfg.artifacts, b->hex, &source, &b->err)) < 0) return r;
    log_info("artifact=%s: fetched after %lld ms", b->hex, (long long)(mono_ms() - from));
    return 0;
}

static const char *file_path(const char *url)
{
    return str_starts(url, "file://") ? url + strlen("file://") : url;
}

static int open_file(const struct strv *dirs, const char *path, int *ret_fd, struct vl_error *err)
{
    const char *rest = NULL, *dir = NULL;
    char shown[QUOTED_SIZE];
    auto_close int root = -1;
    int fd;

    for (size_t i = 0; !rest && i < dirs->len; i++)
        rest = path_below(dir = dirs->items[i], path);
    if (!rest)
        return vl_fail(
            err, VL_INVALID,
            "%s is in none of the folders of VOLANT_MEDIA_DIRS: put it into one of them, or let `volar plugins "
            "install` send it",
            quoted(path, shown));
    if ((root = open_dir(dir)) < 0)
        return vl_fail(err, VL_INVALID, "the folder %s of VOLANT_MEDIA_DIRS: %s", dir, vl_strerror(root));
    /* Without waiting: what is there may be a pipe. */
    if ((fd = open_within(root, *rest ? rest : ".", O_RDONLY | O_NONBLOCK | O_NOCTTY)) == -EXDEV)
        return vl_fail(err, VL_INVALID, "%s leads out of %s: a link there must be relative and stay inside",
                       quoted(path, shown), dir);
    if (fd < 0) return vl_fail(err, VL_INVALID, "%s: %s", quoted(path, shown), vl_strerror(fd));
    *ret_fd = fd;
    return 0;
}

static int check_file(const struct bring *b, int fd, struct vl_error *err)
{
    const struct admission *a = &b->engine->cfg.admission;
    char shown[QUOTED_SIZE];
    struct stat st;
    uint64_t room;

    if (fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "look at %s", quoted(b->url, shown));
    if (!S_ISREG(st.st_mode))
        return vl_fail(err, VL_INVALID, "%s is no regular file: name the medium itself", quoted(b->url, shown));
    if (b->size > 0 && st.st_size != b->size)
        return vl_fail(err, VL_INVALID, "%s has %lld bytes, the manifest says %lld: it is another file, or damaged",
                       quoted(b->url, shown), (long long)st.st_size, (long long)b->size);
    if (!a->state_dir || disk_free(a->state_dir, &room) < 0 || room >= a->disk_floor + (uint64_t)st.st_size) return 0;
    return vl_fail(err, VL_NO_SPACE, "%s has %lld bytes, %llu are free in %s: make room there", quoted(b->url, shown),
                   (long long)st.st_size, (unsigned long long)room, a->state_dir);
}

static int copy(struct bring *b)
{
    auto_close int fd = -1;
    int r;

    if ((r = open_file(b->engine->cfg.media_dirs, file_path(b->url), &fd, &b->err)) < 0) return r;
    if ((r = check_file(b, fd, &b->err)) < 0) return r;
    return artifact_put_fd(b->engine->cfg.artifacts, b->hex, fd, b->engine->stop_fd, &b->err);
}

static bool is_remote(const char *url)
{
    return str_starts(url, "http://") || str_starts(url, "https://");
}

static void bring_run(struct job *j)
{
    struct bring *b = container_of(j, struct bring, job);

    if (artifact_present(b->engine->cfg.artifacts, b->hex, NULL)) return; /* came another way meanwhile */
    b->r = is_remote(b->url) ? fetch(b) : copy(b);
}

/* --- on the loop -------------------------------------------------------------------------------------------------- */

/* Those who named another place, or another size, have theirs tried. */
static void tell(struct bring *b, struct medium_waiter *w, int r)
{
    struct vl_error err = b->err;

    if (r < 0 && !b->engine->closing && (!str_eq(w->url, b->url) || w->size != b->size)) {
        if (medium_bring(b->engine, b->hex, w, &err) == 0) return;
    }
    w->done(w, r, &err);
}

static void bring_done(struct job *j, bool cancelled)
{
    struct bring *b = container_of(j, struct bring, job), **at = &b->engine->brings;
    int r = cancelled ? -ECANCELED : b->r;

    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    while (b->waiters) {
        struct medium_waiter *w = b->waiters;

        b->waiters = w->next;
        tell(b, w, r);
    }
    bring_free(b);
}

static void join(struct bring *b, struct medium_waiter *w)
{
    w->next = NULL;
    if (b->last)
        b->last->next = w;
    else
        b->waiters = w;
    b->last = w;
}

/* NULL: err says why. */
static struct bring *bring_new(struct engine *e, const char *hex, const struct medium_waiter *w, struct vl_error *err)
{
    struct bring *b = calloc(1, sizeof(*b));
    int r;

    if (!b || !(b->url = strdup(w->url))) {
        free(b);
        vl_fail_errno(err, ENOMEM, "bring artifact %s", hex);
        return NULL;
    }
    b->engine = e;
    b->size = w->size;
    (void)strf(b->hex, sizeof(b->hex), "%s", hex);
    b->job = (struct job){.run = bring_run, .done = bring_done};
    if ((r = pool_submit(e->bringers, &b->job)) < 0) {
        bring_free(b);
        vl_fail_errno(err, r, "start a worker");
        return NULL;
    }
    b->next = e->brings;
    e->brings = b;
    return b;
}

int medium_bring(struct engine *e, const char *hex, struct medium_waiter *w, struct vl_error *err)
{
    struct bring *b = e->brings;

    if (!is_remote(w->url) && (!e->cfg.media_dirs || e->cfg.media_dirs->len == 0))
        return vl_fail(err, VL_CONFLICT,
                       "the blob sha256:%s that the manifest's checksum names is not here: send it first with "
                       "PUT /api/v1/blobs/sha256:%s (`volar plugins install` does), or name the folder that it is in "
                       "with VOLANT_MEDIA_DIRS",
                       hex, hex);
    while (b && !str_eq(b->hex, hex))
        b = b->next;
    if (!b && !(b = bring_new(e, hex, w, err))) return -EAGAIN;
    join(b, w);
    return 0;
}
