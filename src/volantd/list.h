/* SPDX-License-Identifier: Apache-2.0 */
/* Which VMs a list shows, and in what order (contract 1.4), over views alone. */
#pragma once
#include "model/vm.h"
#include "volantd/request.h"

enum vm_sort { SORT_CREATED, SORT_UPDATED, SORT_NAME, SORT_STATUS, SORT_RUNTIME };
struct list_query {
    const struct api_req *req; /* for its strings */
    uint64_t limit, offset;    /* limit UINT64_MAX: none */
    enum vm_sort sort;
    bool descending;
};
int list_query_parse(const struct api_req *req, struct list_query *ret, struct vl_error *err);
bool list_matches(const struct list_query *q, const struct vm_view *v);
/* -1, 0, 1 in the order asked for. */
int list_compare(const struct list_query *q, const struct vm_view *a, const struct vm_view *b);
