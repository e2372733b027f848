/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/blobs/sha256:<hex>: artifacts as bytes. */
#include <string.h>

#include "base/io.h"
#include "volantd/upload.h"

struct blob {
    struct artifacts *artifacts;
    char hex[SHA256_HEX + 1];
    uint64_t expected;
    struct artifact_put *put; /* from the first byte on */
};

static int blob_open(struct blob *b, struct vl_error *err)
{
    return b->put ? 0 : artifact_put_begin(b->artifacts, b->hex, b->expected, &b->put, err);
}

static int blob_write(void *target, const char *data, size_t n, struct vl_error *err)
{
    struct blob *b = target;
    int r = blob_open(b, err);

    return r < 0 ? r : artifact_put_write(b->put, data, n, err);
}

static int blob_finish(void *target, struct vl_error *err)
{
    struct blob *b = target;
    int r = blob_open(b, err);

    return r < 0 ? r : artifact_put_finish(take_ptr(b->put), err);
}

static void blob_release(void *target)
{
    struct blob *b = target;

    artifact_put_abort(b->put);
    free(b);
}

static enum api_end blob_answer(struct api *api, struct api_req *req, void *target, struct vl_error *err)
{
    (void)api;
    (void)target;
    (void)err;
    return api_empty(req, 201);
}

static enum api_end begin(struct api *api, struct api_req *req, const char *hex, struct vl_error *err)
{
    static const struct upload_ops ops = {
        .write = blob_write, .finish = blob_finish, .release = blob_release, .answer = blob_answer};
    struct blob *b = calloc(1, sizeof(*b));

    if (!b) {
        vl_fail_errno(err, ENOMEM, "upload");
        return API_FAILED;
    }
    b->artifacts = api->artifacts;
    b->expected = req->body_length;
    memcpy(b->hex, hex, sizeof(b->hex));
    return upload_begin(api, req, &ops, b, err);
}

/* Whoever asks is about to install what it is of: it is not to be pruned now. */
static bool is_here(struct api *api, const char *hex)
{
    if (!artifact_present(api->artifacts, hex, NULL)) return false;
    artifact_touch(api->artifacts, hex);
    return true;
}

enum api_end blob_put(struct api *api, struct api_req *req, struct vl_error *err)
{
    char hex[SHA256_HEX + 1];
    uint64_t room;

    if (digest_parse(req->params[0], hex, err) < 0) return API_FAILED;
    if (is_here(api, hex)) return api_empty(req, 200);
    if (engine_disk_check(api->engine, err) < 0) return API_FAILED;
    if (req->body_length > 0 && disk_free(api->state_dir, &room) == 0 && room < req->body_length) {
        vl_fail(err, VL_NO_SPACE, "the blob has %llu bytes, there is room for %llu in %s: make room there",
                (unsigned long long)req->body_length, (unsigned long long)room, api->state_dir);
        return API_FAILED;
    }
    return begin(api, req, hex, err);
}

enum api_end blob_head(struct api *api, struct api_req *req, struct vl_error *err)
{
    char hex[SHA256_HEX + 1];

    if (digest_parse(req->params[0], hex, err) < 0) return API_FAILED;
    if (is_here(api, hex)) return api_empty(req, 200);
    vl_fail(err, VL_NOT_FOUND, "no blob sha256:%s: send it with PUT", hex);
    return API_FAILED;
}
