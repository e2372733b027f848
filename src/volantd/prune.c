/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/artifacts: what the store has, who refers to it, and the end of what nobody does. */
#include <string.h>

#include "volantd/api.h"

struct prune_request {
    bool dry_run, all;
};
static const struct field prune_fields[] = {
    {"dry_run", FIELD_BOOL, .offset = offsetof(struct prune_request, dry_run), .about = "Remove nothing"},
    {"all", FIELD_BOOL, .offset = offsetof(struct prune_request, all), .about = "Also what came within the hour"},
};
const struct schema prune_schema = {"request", sizeof(struct prune_request), prune_fields, ARRAY_LEN(prune_fields)};

static json_t *encode(const struct artifact_use *u)
{
    char digest[sizeof("sha256:") + SHA256_HEX];

    (void)strf(digest, sizeof(digest), "sha256:%s", u->hex);
    return json_pack("{s:s, s:I}", "digest", digest, "size_bytes", (json_int_t)u->bytes);
}

static void answer(struct api_req *req, int r, const struct vl_error *err, json_t *reply)
{
    struct vl_error own = {0};

    if (r < 0)
        api_fail(req, err);
    else if (api_json(req, 200, reply, &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

static void listed(void *arg, int r, const struct vl_error *err, const struct artifact_use *items, size_t n)
{
    json_t *all = r < 0 ? NULL : json_array();

    for (size_t i = 0; all && i < n; i++) {
        json_t *one = encode(&items[i]);

        (void)json_object_set_new(one, "used", json_boolean(items[i].used));
        (void)json_array_append_new(all, one);
    }
    answer(arg, r, err, all);
}

enum api_end store_list(struct api *api, struct api_req *req, struct vl_error *err)
{
    return engine_prune(api->engine, PRUNE_LOOK, true, listed, req, err) < 0 ? API_FAILED : api_wait(api, req, 200);
}

static json_t *pruned_json(const struct artifact_use *items, size_t n, bool dry_run)
{
    json_t *removed = json_array();
    json_int_t bytes = 0, fresh = 0;

    for (size_t i = 0; i < n; i++) {
        fresh += !items[i].used && !items[i].removable;
        if (!(dry_run ? items[i].removable : items[i].removed)) continue;
        bytes += (json_int_t)items[i].bytes;
        (void)json_array_append_new(removed, encode(&items[i]));
    }
    return json_pack("{s:o, s:I, s:I, s:b}", "removed", removed, "bytes_freed", bytes, "fresh", fresh, "dry_run",
                     dry_run);
}

static void pruned(void *arg, int r, const struct vl_error *err, const struct artifact_use *items, size_t n)
{
    answer(arg, r, err, r < 0 ? NULL : pruned_json(items, n, false));
}

static void would_be_pruned(void *arg, int r, const struct vl_error *err, const struct artifact_use *items, size_t n)
{
    answer(arg, r, err, r < 0 ? NULL : pruned_json(items, n, true));
}

enum api_end store_prune(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct prune_request q = {0};
    json_auto_t *body = NULL;
    auto_strv unknown = {0};

    if (req->body.len > 0 &&
        (api_body_json(req, &body, err) < 0 || schema_decode(&prune_schema, body, "", &q, &unknown, err) < 0))
        return API_FAILED;
    api_warn(req, &unknown);
    if (engine_prune(api->engine, q.all ? PRUNE_ALL : PRUNE_OLD, q.dry_run, q.dry_run ? would_be_pruned : pruned, req,
                     err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}
