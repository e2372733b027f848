/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/events_query.h"

#include <string.h>

#include "model/schema.h"

#define LIST_MAX  64 /* names in a filter */
#define LIST_TEXT 4096

static int check_type(const char *type, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    for (size_t i = 0; event_types[i]; i++)
        if (str_eq(event_types[i], type)) return 0;
    return vl_fail(err, VL_INVALID, "parameter 'type' has %s, which is no event: write for example VM_RUNNING",
                   quoted(type, shown));
}

static int check_vm(const char *name, struct vl_error *err)
{
    const char *problem = name_problem(name);
    char shown[QUOTED_SIZE];

    if (!problem) return 0;
    return vl_fail(err, VL_INVALID, "parameter 'vm' has %s: a VM's name %s", quoted(name, shown), problem);
}

static int add_names(const char *text, int (*check)(const char *name, struct vl_error *err), struct strv *ret,
                     struct vl_error *err)
{
    int r;

    for (size_t n; *text; text += n + (text[n] == ',')) {
        n = strcspn(text, ",");
        if (n == 0) continue;
        if (ret->len == LIST_MAX) return vl_fail(err, VL_INVALID, "a filter has more than %d names", LIST_MAX);
        if (strv_addf(ret, "%.*s", (int)(n < LIST_TEXT ? n : LIST_TEXT), text) < 0)
            return vl_fail_errno(err, ENOMEM, "events");
        if ((r = check(ret->items[ret->len - 1], err)) < 0) return r;
    }
    return 0;
}

static int parse_filter(const struct api_req *req, struct events_filter *ret, struct vl_error *err)
{
    int r;

    for (size_t i = 0; i < req->n_pairs; i++) {
        const struct api_pair *p = &req->pairs[i];

        if (str_eq(p->name, "vm") && (r = add_names(p->value, check_vm, &ret->vms, err)) < 0) return r;
        if (str_eq(p->name, "type") && (r = add_names(p->value, check_type, &ret->types, err)) < 0) return r;
    }
    return 0;
}

/* *ret is where to begin; untouched: now. The header is what a browser sends by itself, the parameter is for others. */
static int parse_start(const struct api_req *req, int64_t *ret, struct vl_error *err)
{
    const char *header = api_req_header(req, "Last-Event-ID");
    char shown[QUOTED_SIZE];
    uint64_t id = 0;
    int r;

    if (header && *header) {
        if (parse_u64(header, 0, INT64_MAX, &id) < 0)
            return vl_fail(err, VL_INVALID, "header 'Last-Event-ID' is %s, which is no event's id: a number is wanted",
                           quoted(header, shown));
    } else if (!api_query(req, "last_event_id")) {
        return 0;
    } else if ((r = api_query_u64(req, "last_event_id", 0, INT64_MAX, &id, err)) < 0) {
        return r;
    }
    *ret = (int64_t)id;
    return 0;
}

int events_query_parse(const struct api_req *req, struct events_filter *ret_filter, int64_t *ret_after,
                       struct vl_error *err)
{
    struct events_filter filter = {0};
    int r;

    if ((r = parse_filter(req, &filter, err)) < 0 || (r = parse_start(req, ret_after, err)) < 0) {
        events_filter_done(&filter);
        return r;
    }
    *ret_filter = filter;
    return 0;
}
