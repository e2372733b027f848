/* SPDX-License-Identifier: Apache-2.0 */
/* The API at a glance. What MCP may do is said by the routes that its tools take. */
#include "volantd/api.h"

const struct api_route api_routes[] = {
    {"GET", "/healthz", ROLE_READ, healthz_get, BODY_KEPT},
    {"GET", "/openapi", ROLE_READ, openapi_get, BODY_KEPT},
    {"GET", "/api/v1/system/status", ROLE_READ, system_status, BODY_KEPT},
    {"GET", "/api/v1/system/info", ROLE_READ, system_info, BODY_KEPT},
    {"GET", "/api/v1/system/summary", ROLE_READ, system_summary, BODY_KEPT},
    {"GET", "/api/v1/system/check", ROLE_READ, system_check, BODY_KEPT},
    {"POST", "/api/v1/system/repair", ROLE_ADMIN, system_repair, BODY_KEPT},
    {"GET", "/api/v1/system/backup", ROLE_ADMIN, system_backup, BODY_KEPT},
    {"PUT", "/api/v1/system/restore", ROLE_ADMIN, system_restore, BODY_STREAMED},
    {"GET", "/api/v1/tokens", ROLE_ADMIN, tokens_list, BODY_KEPT},
    {"POST", "/api/v1/tokens", ROLE_ADMIN, tokens_create, BODY_KEPT},
    {"DELETE", "/api/v1/tokens/:name", ROLE_ADMIN, token_revoke, BODY_KEPT},
    {"GET", "/api/v1/plugins", ROLE_READ, plugins_list, BODY_KEPT},
    {"POST", "/api/v1/plugins", ROLE_OPERATE, plugins_install, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin", ROLE_READ, plugin_get, BODY_KEPT},
    {"DELETE", "/api/v1/plugins/:plugin", ROLE_OPERATE, plugin_remove, BODY_KEPT},
    {"GET", "/api/v1/plugins/:plugin/manifest", ROLE_READ, plugin_get_manifest, BODY_KEPT},
    {"POST", "/api/v1/plugins/:plugin/enabled", ROLE_OPERATE, plugin_set_enabled, BODY_KEPT},
    {"HEAD", "/api/v1/blobs/:digest", ROLE_READ, blob_head, BODY_KEPT},
    {"PUT", "/api/v1/blobs/:digest", ROLE_OPERATE, blob_put, BODY_STREAMED},
    {"GET", "/api/v1/vms", ROLE_READ, vms_list, BODY_KEPT},
    {"POST", "/api/v1/vms", ROLE_OPERATE, vms_create, BODY_KEPT},
    {"GET", "/api/v1/vms/:name", ROLE_READ, vm_get, BODY_KEPT},
    {"DELETE", "/api/v1/vms/:name", ROLE_OPERATE, vm_delete, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/start", ROLE_OPERATE, vm_start, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/stop", ROLE_OPERATE, vm_stop, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/restart", ROLE_OPERATE, vm_restart, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/pause", ROLE_OPERATE, vm_pause, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/resume", ROLE_OPERATE, vm_resume, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/config", ROLE_READ, config_get, BODY_KEPT},
    {"PATCH", "/api/v1/vms/:name/config", ROLE_OPERATE, config_change, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/config/history", ROLE_READ, config_history, BODY_KEPT},
    {"POST", "/api/v1/vms/:name/config/rollback", ROLE_OPERATE, config_rollback, BODY_KEPT},
    {"GET", "/api/v1/vms/:name/logs", ROLE_READ, vm_logs, BODY_KEPT},
    {"GET", "/api/v1/events/vms", ROLE_READ, events_get, BODY_KEPT},
    {"POST", "/mcp", ROLE_READ, mcp_post, BODY_KEPT},
    {"GET", "/mcp", ROLE_READ, mcp_not_allowed, BODY_KEPT},
    {"DELETE", "/mcp", ROLE_READ, mcp_not_allowed, BODY_KEPT},
    {"POST", "/api/v1/mcp", ROLE_READ, mcp_post_or_envelope, BODY_KEPT},
    {"GET", "/api/v1/mcp", ROLE_READ, mcp_not_allowed, BODY_KEPT},
    {"DELETE", "/api/v1/mcp", ROLE_READ, mcp_not_allowed, BODY_KEPT},
    {"GET", "/ws/v1/vms/:name/console", ROLE_OPERATE, vm_console_ws, BODY_KEPT},
    {"GET", "/ws/v1/vms/:name/logs", ROLE_READ, vm_logs_ws, BODY_KEPT},
    {"GET", "/api/v1/deployments", ROLE_READ, deployments_list, BODY_KEPT},
    {"POST", "/api/v1/deployments", ROLE_OPERATE, deployments_create, BODY_KEPT},
    {"GET", "/api/v1/deployments/:name", ROLE_READ, deployment_get, BODY_KEPT},
    {"PATCH", "/api/v1/deployments/:name", ROLE_OPERATE, deployment_patch, BODY_KEPT},
    {"DELETE", "/api/v1/deployments/:name", ROLE_OPERATE, deployment_delete, BODY_KEPT},
    {"GET", "/api/v1/deployments/:name/history", ROLE_READ, deployment_history, BODY_KEPT},
    {"POST", "/api/v1/deployments/:name/rollback", ROLE_OPERATE, deployment_rollback, BODY_KEPT},
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
