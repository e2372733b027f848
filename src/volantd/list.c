/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/list.h"

#include <string.h>
#include <strings.h>

#include "volantd/api.h"

int list_number(const struct api_req *req, const char *name, uint64_t *ret, struct vl_error *err)
{
    const char *text = api_query(req, name);

    if (!text || parse_u64(text, 0, INT64_MAX, ret) == 0) return 0;
    return vl_fail(err, VL_INVALID, "invalid %s: a number from 0 on is wanted",
                   name); /* begins as the contract has it */
}

int list_query_parse(const struct api_req *req, struct list_query *ret, struct vl_error *err)
{
    static const char *const names[] = {
        [SORT_CREATED] = "created_at", [SORT_UPDATED] = "updated_at", [SORT_NAME] = "name",
        [SORT_STATUS] = "status",      [SORT_RUNTIME] = "runtime",
    };
    struct list_query q = {.req = req, .limit = UINT64_MAX};
    const char *sort = api_query(req, "sort"), *order = api_query(req, "order");
    int r;

    if ((r = list_number(req, "limit", &q.limit, err)) < 0 || (r = list_number(req, "offset", &q.offset, err)) < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(sort, names[i])) q.sort = (enum vm_sort)i;
    q.descending = str_eq(order, "desc");
    *ret = q;
    return 0;
}

static const char *text_of(const char *s)
{
    return s ? s : "";
}

/* "a,b" holds the word, whatever its case. */
static bool in_list(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (;;) {
        size_t n = strcspn(list, ",");

        if (n == len && strncasecmp(list, word, n) == 0) return true;
        if (list[n] == '\0') return false;
        list += n + 1;
    }
}

bool list_has_status(const struct api_req *req, const char *status)
{
    bool asked = false;

    for (size_t i = 0; i < req->n_pairs; i++) {
        if (!str_eq(req->pairs[i].name, "status") || *req->pairs[i].value == '\0') continue;
        if (in_list(req->pairs[i].value, status)) return true;
        asked = true;
    }
    return !asked;
}

bool list_equals(const struct api_req *req, const char *name, const char *value)
{
    const char *want = api_query(req, name);

    return !want || *want == '\0' || strcasecmp(want, text_of(value)) == 0;
}

bool list_finds(const struct api_req *req, const char *text)
{
    const char *wanted = api_query(req, "q");

    return !wanted || strcasestr(text_of(text), wanted);
}

bool list_matches(const struct list_query *q, const struct vm_view *v)
{
    return list_has_status(q->req, text_of(v->status)) && list_equals(q->req, "runtime", v->runtime) &&
           list_equals(q->req, "plugin", v->plugin) &&
           (list_finds(q->req, v->name) || list_finds(q->req, v->ip_address) || list_finds(q->req, v->runtime));
}

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int list_compare(const struct list_query *q, const struct vm_view *a, const struct vm_view *b)
{
    int r = 0;

    switch (q->sort) {
    case SORT_CREATED:
        r = compare_i64(a->created_ms, b->created_ms);
        break;
    case SORT_UPDATED:
        r = compare_i64(a->updated_ms, b->updated_ms);
        break;
    case SORT_NAME:
        r = strcasecmp(text_of(a->name), text_of(b->name));
        break;
    case SORT_STATUS:
        r = strcmp(text_of(a->status), text_of(b->status));
        break;
    case SORT_RUNTIME:
        r = strcasecmp(text_of(a->runtime), text_of(b->runtime));
        break;
    }
    if (r == 0) r = compare_i64(a->id, b->id);
    return q->descending ? -r : r;
}

/* --- objects as JSON ---------------------------------------------------------------------------------------------- */

struct item {
    json_t *json; /* borrowed */
    const char *by;
    size_t place;
};

static int compare_items(const void *a, const void *b, void *arg)
{
    const struct item *x = a, *y = b;
    const struct list_query *q = arg;
    int r = strcasecmp(x->by, y->by); /* times are texts that sort */

    if (r == 0) r = (x->place > y->place) - (x->place < y->place);
    return q->descending ? -r : r;
}

/* By name where it is not a member of the objects. */
static const char *sorted_by(const struct list_query *q, const json_t *j)
{
    static const char *const keys[] = {[SORT_CREATED] = "created_at",
                                       [SORT_UPDATED] = "updated_at",
                                       [SORT_NAME] = "name",
                                       [SORT_STATUS] = "status",
                                       [SORT_RUNTIME] = "name"};
    const char *key = api_query(q->req, "sort") ? keys[q->sort] : "name";

    return json_is_string(j) ? json_string_value(j) : text_of(json_string_value(json_object_get(j, key)));
}

static json_t *cut(const struct list_query *q, json_t *all)
{
    size_t n = json_array_size(all), i;
    auto_free struct item *items = calloc(n ? n : 1, sizeof(*items));
    json_t *list = json_array(), *j;

    if (!items || !list) return list;
    json_array_foreach(all, i, j)
    {
        items[i] = (struct item){.json = j, .by = sorted_by(q, j), .place = i};
    }
    if (n > 1) qsort_r(items, n, sizeof(*items), compare_items, (void *)q);
    for (uint64_t k = q->offset; k < n && k - q->offset < q->limit; k++)
        (void)json_array_append(list, items[k].json);
    return list;
}

void list_total(struct api_req *req, size_t n)
{
    char total[24];

    (void)strf(total, sizeof(total), "%zu", n);
    api_header(req, "X-Total-Count", total);
}

enum api_end list_reply(struct api_req *req, const struct list_query *q, json_t *all, const char *key,
                        struct vl_error *err)
{
    json_auto_t *items = all;
    json_t *page = items ? cut(q, items) : NULL;

    if (items) list_total(req, json_array_size(items));
    return api_json(req, 200, page && key ? json_pack("{s:o}", key, page) : page, err);
}

enum api_end list_page(struct api_req *req, json_t *all, bool zero_is_all, struct vl_error *err)
{
    json_auto_t *items = all, *page = json_array();
    uint64_t limit = UINT64_MAX, offset = 0;

    if (list_number(req, "limit", &limit, err) < 0 || list_number(req, "offset", &offset, err) < 0) return API_FAILED;
    if (limit == 0 && zero_is_all) limit = UINT64_MAX;
    for (uint64_t i = offset; i < json_array_size(items) && i - offset < limit; i++)
        if (json_array_append(page, json_array_get(items, (size_t)i)) < 0) return api_json(req, 200, NULL, err);
    list_total(req, json_array_size(items));
    return api_json(req, 200, items ? take_ptr(page) : NULL, err);
}

/* --- the handler -------------------------------------------------------------------------------------------------- */

struct chosen {
    struct vm *vm;
    struct vm_view view; /* its strings are the VM's */
};

struct selection {
    const struct list_query *query;
    struct chosen *vms;
    size_t n, cap;
    bool failed;
};

static bool select_vm(void *arg, struct vm *vm)
{
    struct selection *s = arg;
    struct vm_view view;

    engine_vm_view(vm, &view);
    if (!list_matches(s->query, &view)) return true;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        struct chosen *vms = reallocarray(s->vms, cap, sizeof(*vms));

        if (!vms) {
            s->failed = true;
            return false;
        }
        s->vms = vms;
        s->cap = cap;
    }
    s->vms[s->n++] = (struct chosen){vm, view};
    return true;
}

static int compare_vms(const void *a, const void *b, void *arg)
{
    return list_compare(arg, &((const struct chosen *)a)->view, &((const struct chosen *)b)->view);
}

/* The texts that are kept beside the VMs, one after the other. */
static char *page(const struct selection *s)
{
    auto_strbuf b = {0};

    strbuf_adds(&b, "[");
    for (uint64_t i = s->query->offset; i < s->n && i - s->query->offset < s->query->limit; i++) {
        size_t len;
        const char *text = engine_vm_text(s->vms[i].vm, &len);

        if (!text) return NULL;
        if (b.len > 1) strbuf_adds(&b, ",");
        strbuf_add(&b, text, len);
    }
    strbuf_adds(&b, "]");
    return strbuf_take(&b);
}

enum api_end vms_list(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct list_query query;
    struct selection s = {.query = &query};
    enum api_end end;

    if (list_query_parse(req, &query, err) < 0) return API_FAILED;
    (void)engine_vm_each(api->engine, select_vm, &s);
    if (s.n > 1) qsort_r(s.vms, s.n, sizeof(*s.vms), compare_vms, &query);
    list_total(req, s.n);
    end = api_json_text(req, 200, s.failed ? NULL : page(&s), err);
    free(s.vms);
    return end;
}
