/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of what the client has seen, and of nothing else (RFC 9110, 8.8.3 and 13.1.1). A tag is a number that grows
 * with each change: a configuration's version, the time of a deployment's last change. Replies have it as ETag, and a
 * change with If-Match is answered with 412 where it is another one by then.
 */
#pragma once
#include "volantd/request.h"

void etag_set(struct api_req *req, int64_t tag);
/* *ret: the tag that is wanted, 0: any. VL_INVALID for several, VL_CHANGED for one that is none of ours. */
int etag_wanted(const struct api_req *req, int64_t *ret, struct vl_error *err);
