/* SPDX-License-Identifier: Apache-2.0 */
/* From method and path to a handler, and from its failure to a reply. */
#pragma once
#include "volantd/request.h"

struct api_route {
    const char *method;  /* a GET route answers HEAD too */
    const char *pattern; /* "/api/v1/vms/:name/logs": a segment with ':' is a parameter, in order of req->params */
    enum api_end (*fn)(struct api *api, struct api_req *req, struct vl_error *err);
    enum api_role role; /* that is needed */
    enum api_body {
        BODY_KEPT,     /* in req->body, at most API_BODY_MAX */
        BODY_STREAMED, /* fn is called with the headers alone; it refuses, or sets req->sink and returns API_DONE */
    } body;
};

/*
 * The route of req->method and req->path, with req->params set; NULL if there is none: then the reply is complete (404,
 * 400 for a path that cannot be decoded, or a redirect to the path without its last slash).
 */
const struct api_route *router_find(const struct api_route *routes, size_t n, struct api_req *req);
/* Runs a handler (or a sink's end). A failure becomes a reply: never API_FAILED. */
enum api_end router_run(struct api *api, struct api_req *req,
                        enum api_end (*fn)(struct api *api, struct api_req *req, struct vl_error *err));
