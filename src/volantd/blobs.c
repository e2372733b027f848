/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/blobs/sha256:<hex>: artifacts as bytes. An upload fills one buffer while a worker writes the other; the
 * client's connection rests while both are full. The upload outlives its request until the worker has let go of it.
 */
#include <string.h>

#include "base/io.h"
#include "volantd/api.h"

#define CHUNK_BYTES (256ul * 1024)

struct upload {
    struct job job; /* while it is queued or runs (`busy`), what follows up to `err` is the worker's */
    struct artifacts *artifacts;
    char hex[SHA256_HEX + 1];
    uint64_t expected;
    char *writing;
    size_t to_write;
    bool last, abandon; /* what the job shall do beyond writing */
    bool finished;      /* verified and in place */
    struct artifact_put *put;
    int r; /* of the last step; < 0: the rest of the body is dropped */
    struct vl_error err;

    struct pool *pool;
    struct api_req *req; /* NULL: nobody waits any more */
    char *filling;
    size_t filled;
    bool busy, ending /* the body is complete */, waiting /* the connection rests */;
};

static void upload_free(struct upload *u)
{
    artifact_put_abort(u->put);
    free(u->filling);
    free(u->writing);
    free(u);
}

static int upload_step(struct upload *u)
{
    int r;

    if (!u->put && (r = artifact_put_begin(u->artifacts, u->hex, u->expected, &u->put, &u->err)) < 0) return r;
    if (u->to_write > 0 && (r = artifact_put_write(u->put, u->writing, u->to_write, &u->err)) < 0) return r;
    if (!u->last) return 0;
    if ((r = artifact_put_finish(take_ptr(u->put), &u->err)) < 0) return r;
    u->finished = true;
    return 0;
}

static void upload_run(struct job *j)
{
    struct upload *u = container_of(j, struct upload, job);

    if (u->abandon)
        artifact_put_abort(take_ptr(u->put));
    else
        u->r = upload_step(u);
}

static void upload_done(struct job *j, bool cancelled);

static int upload_submit(struct upload *u)
{
    u->job = (struct job){.run = upload_run, .done = upload_done};
    u->busy = pool_submit(u->pool, &u->job) == 0;
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
    if (!u->put || upload_submit(u) < 0) upload_free(u);
}

static void upload_answer(struct upload *u)
{
    if (u->r < 0)
        api_fail(u->req, &u->err);
    else
        (void)api_empty(u->req, 201);
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

static enum api_end upload_begin(struct api *api, struct api_req *req, const char *hex, struct vl_error *err)
{
    static const struct api_sink sink = {.write = upload_write, .end = upload_end};
    struct upload *u = calloc(1, sizeof(*u));

    if (u) {
        u->filling = malloc(CHUNK_BYTES);
        u->writing = malloc(CHUNK_BYTES);
    }
    if (!u || !u->filling || !u->writing) {
        if (u) upload_free(u);
        vl_fail_errno(err, ENOMEM, "upload");
        return API_FAILED;
    }
    u->artifacts = api->artifacts;
    u->pool = api->pool;
    u->req = req;
    u->expected = req->body_length;
    memcpy(u->hex, hex, sizeof(u->hex));
    req->state = u;
    req->release = upload_release;
    req->sink = &sink;
    return API_DONE;
}

enum api_end blob_put(struct api *api, struct api_req *req, struct vl_error *err)
{
    char hex[SHA256_HEX + 1];
    uint64_t room;

    if (digest_parse(req->params[0], hex, err) < 0) return API_FAILED;
    if (artifact_present(api->artifacts, hex, NULL)) return api_empty(req, 200);
    if (engine_disk_check(api->engine, err) < 0) return API_FAILED;
    if (req->body_length > 0 && disk_free(api->state_dir, &room) == 0 && room < req->body_length) {
        vl_fail(err, VL_NO_SPACE, "the blob has %llu bytes, there is room for %llu in %s: make room there",
                (unsigned long long)req->body_length, (unsigned long long)room, api->state_dir);
        return API_FAILED;
    }
    return upload_begin(api, req, hex, err);
}

enum api_end blob_head(struct api *api, struct api_req *req, struct vl_error *err)
{
    char hex[SHA256_HEX + 1];

    if (digest_parse(req->params[0], hex, err) < 0) return API_FAILED;
    if (artifact_present(api->artifacts, hex, NULL)) return api_empty(req, 200);
    vl_fail(err, VL_NOT_FOUND, "no blob sha256:%s: send it with PUT", hex);
    return API_FAILED;
}
