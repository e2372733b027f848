/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/system/check and /repair: where registry and host disagree, and what was done about it. */
#include "base/clock.h"
#include "volantd/api.h"

/* As it goes over the wire; owns nothing. */
struct wire {
    char *kind, *level, *object, *detail, *remedy;
    bool fixable;
    int64_t id, pid;
    char *name, *since, *done, *failed;
};
static const char *const levels[] = {"fail", "warn", NULL};

#define AT(member) .offset = offsetof(struct wire, member)
static const struct field finding_fields[] = {
    {"kind", FIELD_STRING, FIELD_EMIT, AT(kind), .choices = engine_finding_kinds},
    {"level", FIELD_STRING, FIELD_EMIT, AT(level), .choices = levels, .about = "fail: VMs are affected."},
    {"object", FIELD_STRING, FIELD_EMIT, AT(object)},
    {"detail", FIELD_STRING, FIELD_EMIT, AT(detail)},
    {"remedy", FIELD_STRING, FIELD_EMIT, AT(remedy)},
    {"fixable", FIELD_BOOL, FIELD_EMIT, AT(fixable), .about = "A repair mends it."},
    {"id", FIELD_INT, AT(id), .about = "The VM's."},
    {"name", FIELD_STRING, AT(name), .about = "The VM's."},
    {"pid", FIELD_INT, AT(pid), .about = "Of its VMM."},
    {"since", FIELD_STRING, AT(since), .format = "date-time"},
    {"done", FIELD_STRING, AT(done), .about = "What a repair did."},
    {"failed", FIELD_STRING, AT(failed), .about = "Why a repair could not."},
};
static const struct schema finding_schema = {"finding", sizeof(struct wire), finding_fields, ARRAY_LEN(finding_fields)};
static const struct field fields[] = {
    {"findings", FIELD_OBJECTS, FIELD_EMIT, .sub = &finding_schema},
};
const struct schema findings_schema = {"findings", sizeof(struct objects), fields, ARRAY_LEN(fields)};

/* Text of files in VMs' folders may be anything: the encoder makes it valid. */
static json_t *encode_all(const struct finding *findings, size_t n)
{
    auto_free struct wire *items = calloc(n + 1, sizeof(*items));
    auto_free char(*since)[32] = calloc(n + 1, sizeof(*since));
    const struct objects all = {items, n};

    if (!items || !since) return NULL;
    for (size_t i = 0; i < n; i++) {
        const struct finding *f = &findings[i];

        items[i] = (struct wire){(char *)f->kind,
                                 (char *)levels[f->serious ? 0 : 1],
                                 (char *)f->object,
                                 (char *)f->detail,
                                 (char *)f->remedy,
                                 f->fixable,
                                 f->id,
                                 f->pid,
                                 (char *)f->name,
                                 since[i],
                                 (char *)f->done,
                                 (char *)f->failed};
        if (f->since_ms > 0) format_time(f->since_ms, since[i]);
    }
    return schema_encode(&findings_schema, &all);
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
    {"end_strangers", FIELD_BOOL, .offset = offsetof(struct repair_request, end_strangers),
     .about = "End VMs that the registry does not know and cannot take in."},
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
