/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/system/check and /repair: where registry and host disagree, and what was done about it. */
#include <string.h>

#include "base/clock.h"
#include "volantd/api.h"

/* Ours is unambiguous: text of files in VMs' folders may be anything. */
static json_t *text_json(const char *s)
{
    json_t *j = json_string(s);
    char safe[1024];

    if (j) return j;
    (void)escape_printable(safe, sizeof(safe), s, strlen(s));
    return json_string(safe);
}

static int set(json_t *j, const char *key, json_t *value)
{
    return json_object_set_new(j, key, value);
}

static int add_vm(json_t *j, const struct finding *f)
{
    char since[32];

    if (f->id > 0 && set(j, "id", json_integer((json_int_t)f->id)) < 0) return -1;
    if (*f->name && set(j, "name", text_json(f->name)) < 0) return -1;
    if (f->pid > 0 && set(j, "pid", json_integer((json_int_t)f->pid)) < 0) return -1;
    if (f->since_ms <= 0) return 0;
    format_time(f->since_ms, since);
    return set(j, "since", json_string(since));
}

static json_t *encode(const struct finding *f)
{
    json_t *j = json_pack("{s:s, s:s, s:o?, s:o?, s:o?, s:b}", "kind", f->kind, "level", f->serious ? "fail" : "warn",
                          "object", text_json(f->object), "detail", text_json(f->detail), "remedy",
                          text_json(f->remedy), "fixable", f->fixable);

    if (j && add_vm(j, f) == 0 && (!*f->done || set(j, "done", text_json(f->done)) == 0) &&
        (!*f->failed || set(j, "failed", text_json(f->failed)) == 0))
        return j;
    json_decref(j);
    return NULL;
}

static json_t *encode_all(const struct finding *findings, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, encode(&findings[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list ? json_pack("{s:o}", "findings", list) : NULL;
}

static void drift_done(void *arg, int r, const struct vl_error *err, const struct finding *findings, size_t n)
{
    struct api_req *req = arg;
    struct vl_error own = {0};

    if (r < 0)
        api_fail(req, err);
    else if (api_json(req, 200, encode_all(findings, n), &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

enum api_end system_check(struct api *api, struct api_req *req, struct vl_error *err)
{
    return engine_check(api->engine, drift_done, req, err) < 0 ? API_FAILED : api_wait(api, req, 200);
}

struct repair_request {
    bool end_strangers;
};
static const struct field repair_fields[] = {
    {"end_strangers", FIELD_BOOL, .offset = offsetof(struct repair_request, end_strangers)},
};
const struct schema repair_schema = {"request", sizeof(struct repair_request), repair_fields, ARRAY_LEN(repair_fields)};

enum api_end system_repair(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct repair_request r = {0};
    json_auto_t *body = NULL;
    auto_strv unknown = {0};

    if (req->body.len > 0 &&
        (api_body_json(req, &body, err) < 0 || schema_decode(&repair_schema, body, "", &r, &unknown, err) < 0))
        return API_FAILED;
    api_warn(req, &unknown);
    return engine_repair(api->engine, r.end_strangers, drift_done, req, err) < 0 ? API_FAILED : api_wait(api, req, 200);
}
