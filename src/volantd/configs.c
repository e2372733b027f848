/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/vms/:name/config: a VM's configuration, its versions, and the way back (contract 1.5, 4). */
#include <string.h>

#include "base/clock.h"
#include "model/config_patch.h"
#include "model/deployment.h"
#include "volantd/api.h"
#include "volantd/etag.h"
#include "volantd/list.h"

#define CHANGE_MS 25000 /* until it is the VM's turn */

json_t *config_shown(json_t *config)
{
    if (config && !json_object_get(config, "api")) (void)json_object_set_new(config, "api", json_object());
    if (config && json_object_get(config, "manifest")) (void)manifest_show(json_object_get(config, "manifest"));
    return config;
}

struct wire {
    int64_t id, version;
    char *updated_at, *config;
};
#define AT(member) .flags = FIELD_EMIT, .offset = offsetof(struct wire, member)
static const struct field fields[] = {
    {"id", FIELD_INT, AT(id)}, /* of history alone */
    {"version", FIELD_INT, AT(version)},
    {"updated_at", FIELD_STRING, AT(updated_at), .format = "date-time"},
    {"config", FIELD_JSON, AT(config)},
};
const struct schema config_version_schema = {"version", sizeof(struct wire), fields, ARRAY_LEN(fields)};
const struct schema versioned_config_schema = {"config", sizeof(struct wire), fields + 1, ARRAY_LEN(fields) - 1};

static json_t *versioned(const struct schema *s, int64_t id, int64_t version, int64_t at_ms, json_t *config)
{
    char at[32];
    const struct wire w = {id, version, at, NULL};
    json_auto_t *j = NULL;

    format_time(at_ms, at);
    j = schema_encode(s, &w);
    return json_object_set_new(j, "config", config_shown(config)) < 0 ? NULL : take_ptr(j);
}

static enum api_end reply(struct api_req *req, const struct vm *vm, struct vl_error *err)
{
    int64_t at_ms, version = engine_vm_config_version(vm, &at_ms);

    etag_set(req, version);
    return api_json(req, 200, versioned(&versioned_config_schema, 0, version, at_ms, engine_vm_config(vm)), err);
}

enum api_end config_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    const struct vm *vm = api_vm(api, req, err);

    return vm ? reply(req, vm, err) : API_FAILED;
}

/* --- history ------------------------------------------------------------------------------------------------------ */

/* The stored configuration with its manifest; NULL: it cannot be read. */
static json_t *config_of(const struct vm_config_row *row)
{
    json_auto_t *config = NULL, *manifest = NULL;

    if (json_parse(row->config, strlen(row->config), "config", &config, NULL) < 0 ||
        json_parse(row->manifest, strlen(row->manifest), "manifest", &manifest, NULL) < 0 ||
        json_object_set(config, "manifest", manifest) < 0)
        return NULL;
    return take_ptr(config);
}

static json_t *encode_history(const struct vm_config_row *rows, size_t n)
{
    json_auto_t *list = json_array();

    for (size_t i = 0; list && i < n; i++) {
        json_t *j =
            versioned(&config_version_schema, rows[i].id, rows[i].version, rows[i].created_ms, config_of(&rows[i]));

        if (json_array_append_new(list, j) < 0) return NULL;
    }
    return take_ptr(list);
}

static void history_read(void *arg, int r, const struct vl_error *err, const struct vm_config_row *rows, size_t n,
                         int64_t total)
{
    struct api_req *req = arg;
    struct vl_error own = {0};

    if (r == 0) list_total(req, (size_t)total);
    if (r < 0)
        api_fail(req, err);
    else if (api_json(req, 200, encode_history(rows, n), &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

enum api_end config_history(struct api *api, struct api_req *req, struct vl_error *err)
{
    uint64_t limit = 0, offset = 0;

    if (!api_vm(api, req, err) || list_number(req, "limit", &limit, err) < 0 ||
        list_number(req, "offset", &offset, err) < 0 ||
        engine_vm_history(api->engine, req->params[0], 0, (int64_t)limit, (int64_t)offset, history_read, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}

/* --- changing ----------------------------------------------------------------------------------------------------- */

static void changed(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct api_req *req = arg;
    struct vl_error own = {0};

    if (r < 0)
        api_fail(req, err);
    else if (vm && reply(req, vm, &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

static struct vm *changeable(struct api *api, const struct api_req *req, struct vl_error *err)
{
    struct vm *vm = api_vm(api, req, err);

    return vm && engine_vm_check_own(vm, err) == 0 ? vm : NULL;
}

enum api_end config_change(struct api *api, struct api_req *req, struct vl_error *err)
{
    const struct vm *vm = changeable(api, req, err);
    json_auto_t *patch = NULL, *present = NULL, *merged = NULL;
    auto_strv notes = {0};
    int64_t as_of;

    if (!vm || etag_wanted(req, &as_of, err) < 0 || api_body_json(req, &patch, err) < 0) return API_FAILED;
    if (!(present = engine_vm_config(vm))) return api_json(req, 200, NULL, err);
    if (vm_config_patch(present, patch, false, &merged, &notes, err) < 0) return API_FAILED;
    api_warn(req, &notes);
    if (engine_vm_patch(api->engine, req->params[0], patch, as_of, CHANGE_MS, changed, req, err) < 0) return API_FAILED;
    return api_wait(api, req, 200);
}

static int roll_back(struct api *api, struct api_req *req, const struct vm_config_row *row, struct vl_error *err)
{
    json_auto_t *config = config_of(row), *body = NULL;
    auto_vm_request vm = {0};
    int64_t as_of;
    int r;

    if (!config)
        return vl_fail(err, VL_INTERNAL, "version %lld of '%s' cannot be read", (long long)row->version,
                       req->params[0]);
    if (!(body = json_pack("{s:s, s:O}", "name", req->params[0], "config", config)))
        return vl_fail_errno(err, ENOMEM, "rollback");
    if ((r = etag_wanted(req, &as_of, err)) < 0 || (r = vm_request_decode(body, &vm, NULL, err)) < 0) return r;
    return engine_vm_configure(api->engine, &vm, NULL, as_of, false, VM_WANT_PROCESS, CHANGE_MS, changed, req, err);
}

static void version_read(void *arg, int r, const struct vl_error *err, const struct vm_config_row *rows, size_t n,
                         int64_t total)
{
    struct api_req *req = arg;
    struct vl_error own = {0};

    (void)total;
    if (r < 0)
        own = *err;
    else if (n == 0)
        r = vl_fail(&own, VL_NOT_FOUND, "vm '%s' has no such version: see `volar vms config history %s`",
                    req->params[0], req->params[0]);
    else
        r = roll_back(req->state, req, &rows[0], &own);
    if (r == 0) return; /* `changed` answers */
    api_fail(req, &own);
    api_resume(req);
}

enum api_end config_rollback(struct api *api, struct api_req *req, struct vl_error *err)
{
    const struct vm *vm = changeable(api, req, err);
    json_auto_t *body = NULL;
    auto_strv unknown = {0};
    int64_t version = 0, at_ms;

    if (!vm) return API_FAILED;
    if (req->body.len > 0 &&
        (api_body_json(req, &body, err) < 0 || deployment_rollback_decode(body, &version, &unknown, err) < 0))
        return API_FAILED;
    api_warn(req, &unknown);
    if (version == 0 && (version = engine_vm_config_version(vm, &at_ms) - 1) == 0) {
        vl_fail(err, VL_CONFLICT, "vm '%s' has no earlier version of its configuration", req->params[0]);
        return API_FAILED;
    }
    if (engine_vm_history(api->engine, req->params[0], version, 1, 0, version_read, req, err) < 0) return API_FAILED;
    return api_wait(api, req, 200);
}
