/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large body on its way to a file: one buffer is filled while a worker writes the other, and the client's connection
 * rests while both are full. The upload outlives its request until the worker has let go of it.
 */
#pragma once
#include "volantd/api.h"

/* Where it goes. The first three run on a worker, one at a time. */
struct upload_ops {
    int (*write)(void *target, const char *data, size_t n, struct vl_error *err);
    /* All is there: judge and keep it. */
    int (*finish)(void *target, struct vl_error *err);
    /* Removes what was kept of one that was not finished, and frees the target; the last call in any case. */
    void (*release)(void *target);
    /* Loop thread, after a good finish: the reply, as a handler ends (not API_STREAM). */
    enum api_end (*answer)(struct api *api, struct api_req *req, void *target, struct vl_error *err);
};

/* Sets the request's sink; a handler of a BODY_STREAMED route ends with what this gives. Takes target. */
enum api_end upload_begin(struct api *api, struct api_req *req, const struct upload_ops *ops, void *target,
                          struct vl_error *err);
