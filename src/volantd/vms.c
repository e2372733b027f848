/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/vms: creating VMs and telling them what to do (contract 1.4). The engine answers when it has got there. */
#include <string.h>

#include "volantd/api.h"

#define WAIT_DEFAULT_S 25
#define WAIT_MAX_S     28 /* the original's clients give up after 30 */

struct vm *api_vm(struct api *api, const struct api_req *req, struct vl_error *err)
{
    struct vm *vm = engine_vm_find(api->engine, req->params[0]);
    char shown[QUOTED_SIZE];

    if (!vm) vl_fail(err, VL_NOT_FOUND, "vm %s not found: see `volar vms list`", quoted(req->params[0], shown));
    return vm;
}

static enum api_end reply_vm(struct api_req *req, unsigned status, struct vm *vm, struct vl_error *err)
{
    size_t len;
    const char *text = engine_vm_text(vm, &len);

    return api_json_text(req, status, text ? strndup(text, len) : NULL, err);
}

enum api_end vm_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct vm *vm = api_vm(api, req, err);

    return vm ? reply_vm(req, 200, vm, err) : API_FAILED;
}

/* --- waiting for the engine --------------------------------------------------------------------------------------- */

/* The status of success was put into the reply when the request was made. */
static void vm_done(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct api_req *req = arg;
    struct vl_error own = {0};

    if (r < 0)
        api_fail(req, err);
    else if (vm && reply_vm(req, req->reply.status, vm, &own) == API_FAILED)
        api_fail(req, &own);
    api_resume(req);
}

static void delete_done(void *arg, int r, const struct vl_error *err, struct vm *vm)
{
    struct api_req *req = arg;

    req->reply.status = vm ? 202 : 204; /* still at it, or gone */
    vm_done(req, r, err, vm);
}

static int decode_wait(const struct api_req *req, enum vm_want *ret_want, int *ret_ms, struct vl_error *err)
{
    const char *wait = api_query(req, "wait");
    enum vm_want want = VM_WANT_PROCESS;
    uint64_t timeout_s = WAIT_DEFAULT_S;
    char shown[QUOTED_SIZE];
    int r;

    if (str_eq(wait, "running"))
        want = VM_WANT_RUNNING;
    else if (str_eq(wait, "ready"))
        want = VM_WANT_READY;
    else if (wait)
        return vl_fail(err, VL_INVALID, "parameter 'wait' is %s, allowed running, ready", quoted(wait, shown));
    if ((r = api_query_u64(req, "timeout", 1, WAIT_MAX_S, &timeout_s, err)) < 0) return r;
    *ret_want = want;
    *ret_ms = (int)timeout_s * 1000;
    return 0;
}

enum api_end vms_create(struct api *api, struct api_req *req, struct vl_error *err)
{
    json_auto_t *body = NULL;
    auto_vm_request vm = {0};
    auto_strv unknown = {0};
    enum vm_want want = VM_WANT_PROCESS;
    int ms = 0;

    if (decode_wait(req, &want, &ms, err) < 0 || api_body_json(req, &body, err) < 0 ||
        vm_request_decode(body, &vm, &unknown, err) < 0)
        return API_FAILED;
    api_warn(req, &unknown);
    if (engine_vm_create(api->engine, &vm, NULL, want, ms, vm_done, req, err) < 0) return API_FAILED;
    return api_wait(api, req, 201);
}

enum api_end vm_start(struct api *api, struct api_req *req, struct vl_error *err)
{
    enum vm_want want = VM_WANT_PROCESS;
    int ms = 0;

    if (decode_wait(req, &want, &ms, err) < 0 || !api_vm(api, req, err) ||
        engine_vm_start(api->engine, req->params[0], want, ms, vm_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}

enum api_end vm_restart(struct api *api, struct api_req *req, struct vl_error *err)
{
    enum vm_want want = VM_WANT_PROCESS;
    int ms = 0;

    if (decode_wait(req, &want, &ms, err) < 0 || !api_vm(api, req, err) ||
        engine_vm_restart(api->engine, req->params[0], want, ms, vm_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}

enum api_end vm_stop(struct api *api, struct api_req *req, struct vl_error *err)
{
    uint64_t timeout_s = WAIT_MAX_S;

    if (api_query_u64(req, "timeout", 1, WAIT_MAX_S, &timeout_s, err) < 0 || !api_vm(api, req, err) ||
        engine_vm_stop_for(api->engine, req->params[0], (int)timeout_s * 1000, vm_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}

enum api_end vm_pause(struct api *api, struct api_req *req, struct vl_error *err)
{
    if (!api_vm(api, req, err) || engine_vm_pause(api->engine, req->params[0], vm_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}

enum api_end vm_resume(struct api *api, struct api_req *req, struct vl_error *err)
{
    if (!api_vm(api, req, err) || engine_vm_resume(api->engine, req->params[0], vm_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 200);
}

enum api_end vm_delete(struct api *api, struct api_req *req, struct vl_error *err)
{
    const char *as_of = api_query(req, "updated_at");
    int64_t updated_ms = 0;
    char shown[QUOTED_SIZE];

    if (as_of && (vm_time_parse(as_of, &updated_ms) < 0 || updated_ms == 0)) { /* 0 would be no condition */
        vl_fail(err, VL_INVALID, "parameter 'updated_at' is %s: write the time that the VM has there",
                quoted(as_of, shown));
        return API_FAILED;
    }
    if (!api_vm(api, req, err) ||
        engine_vm_delete_as_of(api->engine, req->params[0], updated_ms, delete_done, req, err) < 0)
        return API_FAILED;
    return api_wait(api, req, 204);
}
