/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to our own API made on behalf of another one: the same route, handler and checks as if it had come from
 * outside, without a socket. Loop thread only.
 */
#pragma once
#include "volantd/api.h"

#define INNER_TEXT_MAX (512ul * 1024) /* kept of what a handler streams: its end */

struct inner {
    struct api_req req; /* its reply, once it is there, is that of the handler; a streamed body is in it too */
    bool cut;           /* only the end of a streamed body is there */
    void (*done)(struct inner *i);
    struct api *api; /* private, as all that follows */
    struct timer soon;
    struct strbuf text;
};
/*
 * `outer` lends its rights; `body` (NULL: none) is encoded. API_DONE: the reply is there. API_SUSPENDED: `done`
 * follows, from the loop. API_FAILED: err says why.
 */
enum api_end inner_begin(struct inner *i, struct api *api, const struct api_req *outer, const char *method,
                         const char *target, const json_t *body, struct vl_error *err);
/* Whatever state it is in; all zero is fine. What was asked for goes on. */
void inner_end(struct inner *i);
