/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/deployments (contract 1.6, and what is new here: versions, their history, and the way back). */
#include <string.h>

#include "base/clock.h"
#include "volantd/api.h"
#include "volantd/etag.h"
#include "volantd/list.h"

#define READY_DEFAULT_S 25
#define READY_MAX_S     28   /* the original's clients give up after 30 */
#define MEMBERS_MS      5000 /* for each replica's VM to be recorded */

/* --- encoding ----------------------------------------------------------------------------------------------------- */

/* As it goes over the wire; owns nothing but `replicas.items`. */
struct wire {
    struct deployment_view v;
    struct objects replicas; /* struct replica_wire */
    char *created_at, *updated_at, *config;
};
struct replica_wire {
    char *name, *status, *reason;
    bool ready;
    int64_t version;
};

#define OF(member) .flags = FIELD_EMIT, .offset = offsetof(struct replica_wire, member)
static const struct field replica_fields[] = {
    {"name", FIELD_STRING, OF(name)},
    {"status", FIELD_STRING, OF(status), .choices = vm_status_names, .about = "Of its VM."},
    {"ready", FIELD_BOOL, OF(ready)},
    {"version", FIELD_INT, OF(version), .about = "Of the configuration that it has; 0: it has no VM yet."},
    {"reason", FIELD_STRING, OF(reason), .about = "Empty where all is well."},
};
static const struct schema replica_schema = {"replica", sizeof(struct replica_wire), replica_fields,
                                             ARRAY_LEN(replica_fields)};
#define AT(member) .flags = FIELD_EMIT, .offset = offsetof(struct wire, member)
static const struct field fields[] = {
    {"name", FIELD_STRING, AT(v.name)},
    {"desired_replicas", FIELD_INT, AT(v.replicas)},
    {"ready_replicas", FIELD_INT, AT(v.ready)},
    {"updated_replicas", FIELD_INT, AT(v.updated), .about = "Those of the present version."},
    {"ended_replicas", FIELD_INT, AT(v.ended), .about = "Those that have done their work and stay so."},
    {"version", FIELD_INT, AT(v.version), .about = "Of the configuration."},
    {"status", FIELD_STRING, AT(v.status), .choices = deployment_status_names},
    {"reason", FIELD_STRING, AT(v.reason), .about = "Why it is not ready; empty if it is."},
    {"replicas", FIELD_OBJECTS, AT(replicas), .sub = &replica_schema},
    {"config", FIELD_JSON, AT(config), .about = "Of each VM, with the manifest and all defaults."},
    {"created_at", FIELD_STRING, AT(created_at), .format = "date-time"},
    {"updated_at", FIELD_STRING, AT(updated_at), .format = "date-time"},
};
const struct schema deployment_view_schema = {"deployment", sizeof(struct wire), fields, ARRAY_LEN(fields)};

static json_t *encode_view(const struct deployment_view *v, json_t *config)
{
    char created[32], updated[32];
    auto_free struct replica_wire *replicas = calloc(v->n_members + 1, sizeof(*replicas));
    struct wire w = {.v = *v, .created_at = created, .updated_at = updated, .replicas = {replicas, v->n_members}};
    json_auto_t *j = NULL;

    format_time(v->created_ms, created);
    format_time(v->updated_ms, updated);
    for (size_t i = 0; replicas && i < v->n_members; i++) {
        struct replica_view *m = &v->members[i];

        replicas[i] = (struct replica_wire){m->name, (char *)m->status, m->reason, m->ready, m->version};
    }
    if (replicas) j = schema_encode(&deployment_view_schema, &w);
    return json_object_set_new(j, "config", config) < 0 ? NULL : take_ptr(j);
}

/* NULL: out of memory. */
static json_t *encode(struct deployment *d)
{
    auto_(deployment_view_done) struct deployment_view v = {0};

    return deploy_view(d, &v) < 0 ? NULL : encode_view(&v, config_shown(deploy_config_json(d)));
}

/* The reply of its own: with its tag. */
static enum api_end reply(struct api_req *req, unsigned status, struct deployment *d, struct vl_error *err)
{
    auto_(deployment_view_done) struct deployment_view v = {0};

    if (deploy_view(d, &v) < 0) return api_json(req, status, NULL, err);
    etag_set(req, v.updated_ms);
    return api_json(req, status, encode_view(&v, config_shown(deploy_config_json(d))), err);
}

struct version_wire {
    int64_t version;
    char *updated_at, *config;
};
#define IN(member) .flags = FIELD_EMIT, .offset = offsetof(struct version_wire, member)
static const struct field version_fields[] = {
    {"version", FIELD_INT, IN(version)},
    {"updated_at", FIELD_STRING, IN(updated_at), .format = "date-time"},
    {"config", FIELD_JSON, IN(config)},
};
const struct schema deployment_version_schema = {"version", sizeof(struct version_wire), version_fields,
                                                 ARRAY_LEN(version_fields)};

/* --- reading ------------------------------------------------------------------------------------------------------ */

static struct deployment *find(struct api *api, const struct api_req *req, struct vl_error *err)
{
    struct deployment *d = deploy_find(api->deploy, req->params[0]);
    char shown[QUOTED_SIZE];

    if (!d)
        vl_fail(err, VL_NOT_FOUND, "deployment %s not found: see `volar deployments list`",
                quoted(req->params[0], shown));
    return d;
}

struct selection {
    const struct api_req *req;
    json_t *list;
    bool failed;
};

static bool add_deployment(void *arg, struct deployment *d)
{
    struct selection *s = arg;
    json_auto_t *j = encode(d);
    const char *plugin = json_string_value(json_object_get(json_object_get(j, "config"), "plugin"));

    if (j && !(list_finds(s->req, json_string_value(json_object_get(j, "name"))) &&
               list_has_status(s->req, json_string_value(json_object_get(j, "status"))) &&
               list_equals(s->req, "plugin", plugin)))
        return true;
    s->failed = !j || json_array_append(s->list, j) < 0;
    return !s->failed;
}

enum api_end deployments_list(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct list_query query;
    struct selection s = {.req = req};

    if (list_query_parse(req, &query, err) < 0) return API_FAILED;
    if ((s.list = json_array())) (void)deploy_each(api->deploy, add_deployment, &s);
    if (s.failed) json_decref(take_ptr(s.list));
    return list_reply(req, &query, s.list, NULL, err);
}

static bool add_version(void *arg, int64_t version, int64_t created_ms, json_t *config)
{
    char at[32];
    const struct version_wire w = {version, at, NULL};
    json_auto_t *j = NULL;

    format_time(created_ms, at);
    j = schema_encode(&deployment_version_schema, &w);
    return json_object_set_new(j, "config", config_shown(config)) == 0 && json_array_append(arg, j) == 0;
}

enum api_end deployment_history(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct deployment *d = find(api, req, err);
    json_t *list;

    if (!d) return API_FAILED;
    if (!(list = json_array()) || deploy_history(d, add_version, list) == 0) return list_page(req, list, true, err);
    json_decref(list);
    return api_json(req, 200, NULL, err);
}

/* --- changing ----------------------------------------------------------------------------------------------------- */

static void forget(struct api_req *req)
{
    struct api *api = req->state;

    deploy_forget(api->deploy, req);
}

/* The status of success was put into the reply when the request was made. */
static void changed(void *arg, int r, const struct vl_error *err, struct deployment *d)
{
    struct api_req *req = arg;
    struct vl_error own = {0};

    if (r < 0)
        api_fail(req, err);
    else if (d && reply(req, req->reply.status, d, &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

static void deleted(void *arg, int r, const struct vl_error *err, struct deployment *d)
{
    struct api_req *req = arg;

    req->reply.status = d ? 202 : 204; /* still at it, or gone */
    changed(req, r, err, d);
}

static enum api_end wait_for_it(struct api *api, struct api_req *req, unsigned status)
{
    req->reply.status = status;
    req->state = api;
    req->release = forget;
    return API_SUSPENDED;
}

static int decode_wait(struct api_req *req, struct deploy_wait *ret, struct vl_error *err)
{
    const char *wait = api_query(req, "wait");
    uint64_t timeout_s = READY_DEFAULT_S;
    char shown[QUOTED_SIZE];
    int r;

    if (wait && !str_eq(wait, "ready"))
        return vl_fail(err, VL_INVALID, "parameter 'wait' is %s, allowed ready", quoted(wait, shown));
    if ((r = api_query_u64(req, "timeout", 1, READY_MAX_S, &timeout_s, err)) < 0) return r;
    *ret = (struct deploy_wait){.want = wait ? DEPLOY_WANT_READY : DEPLOY_WANT_MEMBERS,
                                .timeout_ms = wait ? (int)timeout_s * 1000 : MEMBERS_MS,
                                .done = changed,
                                .arg = req};
    return 0;
}

/* With a wait it answers when that is over: once for what would be asked again and again. */
enum api_end deployment_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct deployment *d = find(api, req, err);
    struct deploy_wait wait = {0};

    if (!d || decode_wait(req, &wait, err) < 0) return API_FAILED;
    if (wait.want != DEPLOY_WANT_READY) return reply(req, 200, d, err);
    if (deploy_await(api->deploy, req->params[0], &wait, err) < 0) return API_FAILED;
    return wait_for_it(api, req, 200);
}

enum api_end deployments_create(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_auto_t *body = NULL;
    auto_(deployment_request_done) struct deployment_request d = {0};
    auto_strv unknown = {0};
    struct deploy_wait wait = {0};

    if (decode_wait(req, &wait, err) < 0 || api_body_json(req, &body, err) < 0 ||
        deployment_request_decode(body, &d, &unknown, err) < 0)
        return API_FAILED;
    api_warn(req, &unknown);
    return deploy_create(api->deploy, &d, &wait, err) < 0 ? API_FAILED : wait_for_it(api, req, 201);
}

enum api_end deployment_patch(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_auto_t *body = NULL;
    auto_(deployment_patch_done) struct deployment_patch patch = {0};
    auto_strv unknown = {0};
    struct deploy_wait wait = {0};

    if (decode_wait(req, &wait, err) < 0 || !find(api, req, err) || etag_wanted(req, &wait.as_of, err) < 0 ||
        api_body_json(req, &body, err) < 0 || deployment_patch_decode(body, &patch, &unknown, err) < 0)
        return API_FAILED;
    api_warn(req, &unknown);
    if (deploy_update(api->deploy, req->params[0], &patch, &wait, err) < 0) return API_FAILED;
    return wait_for_it(api, req, 200);
}

enum api_end deployment_rollback(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_auto_t *body = NULL;
    auto_strv unknown = {0};
    struct deploy_wait wait = {0};
    int64_t version = 0;

    if (decode_wait(req, &wait, err) < 0 || !find(api, req, err) || etag_wanted(req, &wait.as_of, err) < 0)
        return API_FAILED;
    if (req->body.len > 0 &&
        (api_body_json(req, &body, err) < 0 || deployment_rollback_decode(body, &version, &unknown, err) < 0))
        return API_FAILED;
    api_warn(req, &unknown);
    if (deploy_rollback(api->deploy, req->params[0], version, &wait, err) < 0) return API_FAILED;
    return wait_for_it(api, req, 200);
}

enum api_end deployment_delete(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct deploy_wait wait = {.timeout_ms = READY_MAX_S * 1000, .done = deleted, .arg = req};

    if (!find(api, req, err) || etag_wanted(req, &wait.as_of, err) < 0 ||
        deploy_delete(api->deploy, req->params[0], &wait, err) < 0)
        return API_FAILED;
    return wait_for_it(api, req, 204);
}
