/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/upload.h"

#include <string.h>

#define CHUNK_BYTES (256ul * 1024)

struct upload {
    struct job job; /* while it is queued or runs (`busy`), what follows up to `err` is the worker's */
    const struct upload_ops *ops;
    void *target;
    char *writing;
    size_t to_write;
    bool last, abandon; /* what the job shall do beyond writing */
    bool finished;      /* judged good, and kept */
    int r;              /* of the last step; < 0: the rest of the body is dropped */
    struct vl_error err;

    struct api *api;
    struct api_req *req; /* NULL: nobody waits any more */
    char *filling;
    size_t filled;
    bool busy, ending /* the body is complete */, waiting /* the connection rests */;
};

static void upload_free(struct upload *u)
{
    if (u->target) u->ops->release(u->target);
    free(u->filling);
    free(u->writing);
    free(u);
}

static int upload_step(struct upload *u)
{
    int r;

    if (u->to_write > 0 && (r = u->ops->write(u->target, u->writing, u->to_write, &u->err)) < 0) return r;
    if (!u->last) return 0;
    if ((r = u->ops->finish(u->target, &u->err)) < 0) return r;
    u->finished = true;
    return 0;
}

static void upload_run(struct job *j)
{
    struct upload *u = container_of(j, struct upload, job);

    if (u->abandon)
        u->ops->release(take_ptr(u->target));
    else
        u->r = upload_step(u);
}

static void upload_done(struct job *j, bool cancelled);

static int upload_submit(struct upload *u)
{
    u->job = (struct job){.run = upload_run, .done = upload_done};
    u->busy = pool_submit(u->api->pool, &u->job) == 0;
    return u->busy ? 0 : -EAGAIN;
}

/* Hands what was filled to the worker, which is idle. */
static int upload_pass(struct upload *u)
{
    char *written = u->writing;

    u->writing = u->filling;
    u->filling = written;
    u->to_write = u->filled;
    u->filled = 0;
    u->last = u->ending;
    if (upload_submit(u) == 0) return 0; /* from here on `r` is the worker's */
    return u->r = vl_fail(&u->err, VL_UNAVAILABLE, "no worker can be started");
}

/* Nobody waits for it any more, the worker is idle. */
static void upload_drop(struct upload *u)
{
    u->req = NULL;
    u->abandon = true;
    if (!u->target || upload_submit(u) < 0) upload_free(u);
}

static void upload_answer(struct upload *u)
{
    struct vl_error err = u->err;
    int r = u->r;

    if (r == 0 && u->ops->answer(u->api, u->req, u->target, &err) == API_FAILED) r = -EIO;
    if (r < 0) api_fail(u->req, &err);
    api_resume(u->req);
}

static void upload_done(struct job *j, bool cancelled)
{
    struct upload *u = container_of(j, struct upload, job);

    u->busy = false;
    if (!u->req || cancelled) { /* cancelled: requests went before the workers */
        if (cancelled)
            upload_free(u);
        else
            upload_drop(u);
    } else if (u->ending) {
        if (u->r < 0 || u->finished || upload_pass(u) < 0) upload_answer(u);
    } else {
        if (u->r == 0 && u->filled == CHUNK_BYTES) (void)upload_pass(u);
        if (u->waiting) api_resume(u->req);
        u->waiting = false;
    }
}

static size_t upload_write(struct api_req *req, const char *data, size_t n)
{
    struct upload *u = req->state;

    if (!u->busy && u->r < 0) return n; /* told at the end */
    if (n > CHUNK_BYTES - u->filled) n = CHUNK_BYTES - u->filled;
    memcpy(u->filling + u->filled, data, n);
    u->filled += n;
    if (u->filled == CHUNK_BYTES && !u->busy) (void)upload_pass(u);
    u->waiting = n == 0;
    return n;
}

static enum api_end upload_end(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct upload *u = req->state;

    (void)api;
    u->ending = true;
    if (u->busy) return API_SUSPENDED;
    if (u->r == 0 && upload_pass(u) == 0) return API_SUSPENDED;
    *err = u->err;
    return API_FAILED;
}

static void upload_release(struct api_req *req)
{
    struct upload *u = req->state;

    u->req = NULL;
    if (!u->busy) upload_drop(u);
}

enum api_end upload_begin(struct api *api, struct api_req *req, const struct upload_ops *ops, void *target,
                          struct vl_error *err)
{
    static const struct api_sink sink = {.write = upload_write, .end = upload_end};
    struct upload *u = calloc(1, sizeof(*u));

    if (u) {
        u->ops = ops;
        u->target = target;
        u->filling = malloc(CHUNK_BYTES);
        u->writing = malloc(CHUNK_BYTES);
    }
    if (!u || !u->filling || !u->writing) {
        if (u)
            upload_free(u);
        else
            ops->release(target);
        vl_fail_errno(err, ENOMEM, "upload");
        return API_FAILED;
    }
    u->api = api;
    u->req = req;
    req->state = u;
    req->release = upload_release;
    req->sink = &sink;
    return API_DONE;
}
