/* SPDX-License-Identifier: Apache-2.0 */
/* What a request for events asks for (contract 1.9): which, and from where on. */
#pragma once
#include "volantd/events.h"
#include "volantd/request.h"

/*
 * Of the parameters vm, type and last_event_id, and of the header Last-Event-ID. *ret_filter (any content) is the
 * caller's; *ret_after is left alone where the client names no event. VL_INVALID changes neither.
 */
int events_query_parse(const struct api_req *req, struct events_filter *ret_filter, int64_t *ret_after,
                       struct vl_error *err);
