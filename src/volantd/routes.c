/* SPDX-License-Identifier: Apache-2.0 */
/* The API at a glance. */
#include "volantd/api.h"

const struct api_route api_routes[] = {
    {"GET", "/healthz", healthz_get, BODY_KEPT},
    {"GET", "/openapi", openapi_get, BODY_KEPT},
    {"GET", "/api/v1/system/status", system_status, BODY_KEPT},
    {"GET", "/api/v1/system/info", system_info, BODY_KEPT},
    {"GET", "/api/v1/system/summary", system_summary, BODY_KEPT},
    {"GET", "/api/v1/system/check", system_check, BODY_KEPT},
    {"POST", "/api/v1/system/repair", system_repair, BODY_KEPT},
    {"GET", "/api/v1/system/backup", system_backup, BODY_KEPT},
    {"PUT", "/api/v1/system/restore", system_restore, BODY_STREAMED},
    {"GET", "/api/v1/plugins", plugins_list, BODY_KEPT},
    {"POST", "/api/v1/plugins", plugins_install, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin", plugin_get, BODY_KEPT},
    {"DELETE", "/api/v1/plugins/:plugin", plugin_remove, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin/manifest", plugin_get_manifest, BODY_KEPT},
    {"POST", "/api/v1/plugins/:plugin/enabled", plugin_set_enabled, BODY_KEPT},
    {"HEAD", "/api/v1/blobs/:digest", blob_head, BODY_KEPT},
    {"PUT", "/api/v1/blobs/:digest", blob_put, BODY_STREAMED},
    {"GET", "/api/v1/vms", vms_list, BODY_KEPT},
    {"POST", "/api/v1/vms", vms_create, BODY_KEPT},
    {"GET", "/api/v1/vms/:name", vm_get, BODY_KEPT},
    {"DELETE", "/api/v1/vms/:name", vm_delete, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/start", vm_start, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/stop", vm_stop, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/restart", vm_restart, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/pause", vm_pause, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/resume", vm_resume, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/config", config_get, BODY_KEPT},
    {"PATCH", "/api/v1/vms/:name/config", config_change, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/config/history", config_history, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/config/rollback", config_rollback, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/logs", vm_logs, BODY_KEPT},
    {"GET", "/api/v1/events/vms", events_get, BODY_KEPT},
    {"POST", "/mcp", mcp_post, BODY_KEPT},
    {"GET", "/mcp", mcp_not_allowed, BODY_KEPT},
    {"DELETE", "/mcp", mcp_not_allowed, BODY_KEPT},
    {"POST", "/api/v1/mcp", mcp_post_or_envelope, BODY_KEPT},
    {"GET", "/api/v1/mcp", mcp_not_allowed, BODY_KEPT},
    {"DELETE", "/api/v1/mcp", mcp_not_allowed, BODY_KEPT},
    {"GET", "/ws/v1/vms/:name/console", vm_console_ws, BODY_KEPT},
    {"GET", "/ws/v1/vms/:name/logs", vm_logs_ws, BODY_KEPT},
    {"GET", "/api/v1/deployments", deployments_list, BODY_KEPT},
    {"POST", "/api/v1/deployments", deployments_create, BODY_KEPT},
    {"GET", "/api/v1/deployments/:name", deployment_get, BODY_KEPT},
    {"PATCH", "/api/v1/deployments/:name", deployment_patch, BODY_KEPT},
    {"DELETE", "/api/v1/deployments/:name", deployment_delete, BODY_KEPT},
    {"GET", "/api/v1/deployments/:name/history", deployment_history, BODY_KEPT},
    {"POST", "/api/v1/deployments/:name/rollback", deployment_rollback, BODY_KEPT},
};
const size_t api_n_routes = ARRAY_LEN(api_routes);

void api_forget(struct api_req *req)
{
    struct api *api = req->state;

    engine_forget(api->engine, req);
}

enum api_end api_wait(struct api *api, struct api_req *req, unsigned status)
{
    req->reply.status = status;
    req->state = api;
    req->release = api_forget;
    return API_SUSPENDED;
}

void api_done(void *arg, int r, const struct vl_error *err)
{
    struct api_req *req = arg;

    if (r < 0)
        api_fail(req, err);
    else
        mcp_resources_differ(req->state);
    api_resume(req);
}
