/* SPDX-License-Identifier: Apache-2.0 */
/* What a list shows, and in what order (contract 1.4): VMs over views alone, other objects as the JSON they become. */
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
/* limit, offset and the like: absent leaves *ret alone. VL_INVALID begins with "invalid NAME". */
int list_number(const struct api_req *req, const char *name, uint64_t *ret, struct vl_error *err);
/*
 * The page of `all` that was asked for, with X-Total-Count, as {key: [...]} where key is not NULL. Takes `all`: in
 * order of name, and filtered; NULL is out of memory.
 */
enum api_end list_reply(struct api_req *req, const struct list_query *q, json_t *all, const char *key,
                        struct vl_error *err);
/*
 * The same of a list in an order of its own, by limit and offset alone; a limit of 0 may mean all, as with the
 * original's histories.
 */
enum api_end list_page(struct api_req *req, json_t *all, bool zero_is_all, struct vl_error *err);
void list_total(struct api_req *req, size_t n); /* X-Total-Count */
/* Whether a text has that of parameter q in it, and equals another parameter's, in any case; absent is yes. */
bool list_finds(const struct api_req *req, const char *text);
bool list_equals(const struct api_req *req, const char *name, const char *value);
bool list_has_status(const struct api_req *req, const char *status);
/* -1, 0, 1 in the order asked for. */
int list_compare(const struct list_query *q, const struct vm_view *a, const struct vm_view *b);
