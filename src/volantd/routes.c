/* SPDX-License-Identifier: Apache-2.0 */
/* The API at a glance. What MCP may do is said by the routes that its tools take. */
#include "volantd/api.h"

const struct api_route api_routes[] = {
    {"GET", "/healthz", healthz_get, ROLE_READ, BODY_KEPT},
    {"GET", "/openapi", openapi_get, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/system/status", system_status, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/system/info", system_info, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/system/summary", system_summary, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/system/check", system_check, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/system/repair", system_repair, ROLE_ADMIN, BODY_KEPT},
    {"GET", "/api/v1/system/backup", system_backup, ROLE_ADMIN, BODY_KEPT},
    {"PUT", "/api/v1/system/restore", system_restore, ROLE_ADMIN, BODY_STREAMED},
    {"GET", "/api/v1/tokens", tokens_list, ROLE_ADMIN, BODY_KEPT},
    {"POST", "/api/v1/tokens", tokens_create, ROLE_ADMIN, BODY_KEPT},
    {"DELETE", "/api/v1/tokens/:name", token_revoke, ROLE_ADMIN, BODY_KEPT},
    {"GET", "/api/v1/plugins", plugins_list, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/plugins", plugins_install, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin", plugin_get, ROLE_READ, BODY_KEPT},
    {"DELETE", "/api/v1/plugins/:plugin", plugin_remove, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin/manifest", plugin_get_manifest, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/plugins/:plugin/enabled", plugin_set_enabled, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin/artifacts", artifacts_list, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/plugins/:plugin/artifacts", artifact_put_row, ROLE_OPERATE, BODY_KEPT},
    {"DELETE", "/api/v1/plugins/:plugin/artifacts", artifacts_delete, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin/artifacts/:artifact", artifact_get, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/artifacts", store_list, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/artifacts/prune", store_prune, ROLE_ADMIN, BODY_KEPT},
    {"HEAD", "/api/v1/blobs/:digest", blob_head, ROLE_READ, BODY_KEPT},
    {"PUT", "/api/v1/blobs/:digest", blob_put, ROLE_OPERATE, BODY_STREAMED},
    {"GET", "/api/v1/vms", vms_list, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/vms", vms_create, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/vms/:name", vm_get, ROLE_READ, BODY_KEPT},
    {"DELETE", "/api/v1/vms/:name", vm_delete, ROLE_OPERATE, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/start", vm_start, ROLE_OPERATE, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/stop", vm_stop, ROLE_OPERATE, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/restart", vm_restart, ROLE_OPERATE, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/pause", vm_pause, ROLE_OPERATE, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/resume", vm_resume, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/config", config_get, ROLE_READ, BODY_KEPT},
    {"PATCH", "/api/v1/vms/:name/config", config_change, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/config/history", config_history, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/config/rollback", config_rollback, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/logs", vm_logs, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/events/vms", events_get, ROLE_READ, BODY_KEPT},
    {"POST", "/mcp", mcp_post, ROLE_READ, BODY_KEPT},
    {"GET", "/mcp", mcp_not_allowed, ROLE_READ, BODY_KEPT},
    {"DELETE", "/mcp", mcp_not_allowed, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/mcp", mcp_post_or_envelope, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/mcp", mcp_not_allowed, ROLE_READ, BODY_KEPT},
    {"DELETE", "/api/v1/mcp", mcp_not_allowed, ROLE_READ, BODY_KEPT},
    {"GET", "/ws/v1/vms/:name/console", vm_console_ws, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/ws/v1/vms/:name/logs", vm_logs_ws, ROLE_READ, BODY_KEPT},
    {"GET", "/api/v1/deployments", deployments_list, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/deployments", deployments_create, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/deployments/:name", deployment_get, ROLE_READ, BODY_KEPT},
    {"PATCH", "/api/v1/deployments/:name", deployment_patch, ROLE_OPERATE, BODY_KEPT},
    {"DELETE", "/api/v1/deployments/:name", deployment_delete, ROLE_OPERATE, BODY_KEPT},
    {"GET", "/api/v1/deployments/:name/history", deployment_history, ROLE_READ, BODY_KEPT},
    {"POST", "/api/v1/deployments/:name/rollback", deployment_rollback, ROLE_OPERATE, BODY_KEPT},
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
