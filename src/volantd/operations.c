/* SPDX-License-Identifier: Apache-2.0 */
/* What each handler does, for whoever only sees the API. Ids are those of the original where it has the route. */
#include "volantd/api.h"
#include "volantd/openapi.h"

static const char *const orders[] = {"asc", "desc", NULL};
static const char *const wants[] = {"running", "ready", NULL};
static const char *const ready_want[] = {"ready", NULL};

#define PAGE                                                                                                           \
    {"limit", "integer", "At most so many", 0, INT64_MAX, NULL},                                                       \
        {"offset", "integer", "Without the first so many", 0, INT64_MAX, NULL},                                        \
        {"order", "string", "Ascending, or descending", 0, 0, orders},                                                 \
    {                                                                                                                  \
        "q", "string", "Only those that have this text in their name (VMs: or address, or runtime)", 0, 0, NULL        \
    }
#define SORT                                                                                                           \
    {                                                                                                                  \
        "sort", "string", "name, status, runtime, created_at or updated_at", 0, 0, NULL                                \
    }
#define STATUS                                                                                                         \
    {                                                                                                                  \
        "status", "string", "One or several, separated by commas; may be given again", 0, 0, NULL                      \
    }
#define PLUGIN                                                                                                         \
    {                                                                                                                  \
        "plugin", "string", "Of this plugin", 0, 0, NULL                                                               \
    }
#define TIMEOUT                                                                                                        \
    {                                                                                                                  \
        "timeout", "integer", "How many seconds to wait", 1, 28, NULL                                                  \
    }
#define IF_MATCH                                                                                                       \
    {                                                                                                                  \
        "If-Match", "string", "ETag of what this is a change to: 412 if it has changed since", 0, 0, NULL              \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, NULL, 0, 0, NULL                                                                                   \
    }
static const struct api_parameter page[] = {PAGE, END};
static const struct api_parameter vms[] = {
    PAGE, SORT, STATUS, PLUGIN, {"runtime", "string", "Of this runtime", 0, 0, NULL}, END};
static const struct api_parameter deployments[] = {PAGE, SORT, STATUS, PLUGIN, END};
static const struct api_parameter wait[] = {
    {"wait", "string", "Answer when the VM is so far", 0, 0, wants}, TIMEOUT, END};
static const struct api_parameter ready[] = {
    {"wait", "string", "Answer when the deployment is so far", 0, 0, ready_want}, TIMEOUT, END};
static const struct api_parameter change[] = {IF_MATCH, END};
static const struct api_parameter ready_change[] = {
    {"wait", "string", "Answer when the deployment is so far", 0, 0, ready_want}, TIMEOUT, IF_MATCH, END};
static const struct api_parameter limit[] = {
    {"limit", "integer", "The newest so many alone; 0: all", 0, INT64_MAX, NULL},
    {"offset", "integer", "Without the newest so many", 0, INT64_MAX, NULL},
    END};
static const struct api_parameter stop[] = {TIMEOUT, END};
static const struct api_parameter destroy[] = {
    {"updated_at", "string", "Only if this is still its updated_at: 409 if it has changed since", 0, 0, NULL}, END};
static const struct api_parameter logs[] = {
    {"follow", "boolean", "Go on with what comes", 0, 0, NULL},
    {"end", "boolean", "With follow: a last line has the VM as it ended, as vm", 0, 0, NULL},
    {"tail", "integer", "The last so many lines", 0, 1000000, NULL},
    END};
static const struct api_parameter tail[] = {{"tail", "integer", "The last so many lines first", 0, 1000000, NULL}, END};
static const struct api_parameter events[] = {
    {"Last-Event-ID", "integer", "What came after it, too", 0, INT64_MAX, NULL},
    {"vm", "string", "Of these VMs; may be given again", 0, 0, NULL},
    {"type", "string", "Of these types; may be given again", 0, 0, NULL},
    {"last_event_id", "integer", "What came after it, too", 0, INT64_MAX, NULL},
    END};

static const struct api_parameter version[] = {{"version", "string", "Of this version of the plugin", 0, 0, NULL}, END};
static const struct api_parameter the_version[] = {{"version", "string", "Of this version of the plugin", 1, 0, NULL},
                                                   END};

const struct api_operation api_operations[] = {
    {healthz_get, "getHealth", "system", "Whether volantd serves", NULL, NULL, false, 200, "Health", 0, NULL},
    {openapi_get, "getOpenAPI", "system", "This document", NULL, NULL, false, 200, "Document", 0, NULL},
    {system_status, "getSystemStatus", "system", "How busy the host is", NULL, NULL, false, 200, "SystemStatus", 0,
     NULL},
    {system_info, "getSystemInfo", "system", "What volantd found on this host and what it uses", NULL, NULL, false, 200,
     "SystemInfo", 0, NULL},
    {system_summary, "getSystemSummary", "system", "VMs and plugins, counted", NULL, NULL, false, 200, "SystemSummary",
     0, NULL},
    {system_check, "checkSystem", "system", "Where registry and host disagree", NULL, NULL, false, 200, "Findings", 0,
     NULL},
    {system_repair, "repairSystem", "system", "Makes them agree", NULL, "RepairRequest", true, 200, "Findings", 0,
     NULL},
    {system_backup, "backupSystem", "system", "A copy of the registry", NULL, NULL, false, 200,
     "application/vnd.sqlite3", 0, NULL},
    {system_restore, "restoreSystem", "system", "Puts back a copy of the registry, while no VM runs", NULL, NULL, false,
     202, NULL, 0, NULL},
    {tokens_list, "listTokens", "tokens", "Tokens, without their secrets", NULL, NULL, false, 200, "[Token]", 0, NULL},
    {tokens_create, "createToken", "tokens", "Makes a token; its secret is shown this once", NULL, "CreateTokenRequest",
     false, 201, "NewToken", 0, NULL},
    {token_revoke, "revokeToken", "tokens", "Ends a token and what it has open", NULL, NULL, false, 204, NULL, 0, NULL},
    {plugins_list, "listPlugins", "plugins", "Names of the installed plugins", page, NULL, false, 200, "PluginList", 0,
     NULL},
    {plugins_install, "installPlugin", "plugins", "Installs or replaces a plugin", NULL, "InstallPluginRequest", false,
     201, NULL, 0, NULL},
    {plugin_get, "getPlugin", "plugins", "A plugin's manifest", NULL, NULL, false, 200, "Manifest", 0, NULL},
    {plugin_remove, "removePlugin", "plugins", "Removes a plugin that no VM was made from", NULL, NULL, false, 204,
     NULL, 0, NULL},
    {plugin_get_manifest, "getPluginManifest", "plugins", "The manifest of a plugin that is enabled", NULL, NULL, false,
     200, "Manifest", 0, NULL},
    {plugin_set_enabled, "setPluginEnabled", "plugins", "Allows new VMs of a plugin, or does not", NULL,
     "PluginEnabledRequest", false, 200, NULL, 0, NULL},
    {artifacts_list, "listPluginArtifacts", "artifacts", "What is registered of a plugin's media; null: nothing",
     version, NULL, false, 200, "PluginArtifacts", 0, NULL},
    {artifact_put_row, "upsertPluginArtifact", "artifacts", "Registers or replaces an artifact of a plugin", NULL,
     "PluginArtifactRequest", false, 201, NULL, 0, NULL},
    {artifacts_delete, "deletePluginArtifacts", "artifacts", "Forgets what is registered of a plugin's media", version,
     NULL, false, 204, NULL, 0, NULL},
    {artifact_get, "getPluginArtifact", "artifacts", "One registered artifact; version is required", the_version, NULL,
     false, 200, "PluginArtifact", 0, NULL},
    {store_list, "listArtifacts", "artifacts", "What is here to boot from, and whether anybody refers to it", NULL,
     NULL, false, 200, "[Artifact]", 0, NULL},
    {store_prune, "pruneArtifacts", "artifacts", "Removes what nobody refers to", NULL, "PruneRequest", true, 200,
     "PruneResult", 0, NULL},
    {blob_head, "hasBlob", "artifacts", "Whether an artifact is here", NULL, NULL, false, 200, NULL, 0, NULL},
    {blob_put, "putBlob", "artifacts", "Sends an artifact", NULL, NULL, false, 201, NULL, 200, NULL},
    {vms_list, "listVMs", "vms", "VMs, filtered, ordered and cut", vms, NULL, false, 200, "[VM]", 0, NULL},
    {vms_create, "createVM", "vms", "Creates a VM, and boots it unless start is false", wait, "CreateVMRequest", false,
     201, "VM", 0, NULL},
    {vm_get, "getVMByName", "vms", "One VM", NULL, NULL, false, 200, "VM", 0, NULL},
    {vm_delete, "destroyVM", "vms", "Ends a VM and forgets it", destroy, NULL, false, 204, NULL, 202, "VM"},
    {vm_start, "startVM", "vms", "Starts a VM that has ended", wait, NULL, false, 200, "VM", 0, NULL},
    {vm_stop, "stopVM", "vms", "Stops a VM", stop, NULL, false, 200, "VM", 0, NULL},
    {vm_restart, "restartVM", "vms", "Stops and starts a VM", wait, NULL, false, 200, "VM", 0, NULL},
    {vm_pause, "pauseVM", "vms", "Lets its vCPUs stand still", NULL, NULL, false, 200, "VM", 0, NULL},
    {vm_resume, "resumeVM", "vms", "Lets a paused VM go on", NULL, NULL, false, 200, "VM", 0, NULL},
    {config_get, "getVMConfig", "vms", "The configuration as it counts from the next start on", NULL, NULL, false, 200,
     "VersionedConfig", 0, NULL},
    {config_change, "updateVMConfig", "vms", "Changes members of the configuration", change, "ConfigPatch", false, 200,
     "VersionedConfig", 0, NULL},
    {config_history, "getVMConfigHistory", "vms", "Its versions, newest first", limit, NULL, false, 200,
     "[ConfigVersion]", 0, NULL},
    {config_rollback, "rollbackVMConfig", "vms", "Goes back to an earlier version", change, "RollbackRequest", true,
     200, "VersionedConfig", 0, NULL},
    {vm_logs, "getVMLogs", "vms", "What the workload wrote", logs, NULL, false, 200, "application/x-ndjson LogLine", 0,
     NULL},
    {events_get, "streamVMEvents", "events", "Events as they happen, and those since Last-Event-ID", events, NULL,
     false, 200, "text/event-stream VMEvent", 0, NULL},
    {deployments_list, "listDeployments", "deployments", "Deployments, filtered, ordered and cut", deployments, NULL,
     false, 200, "[Deployment]", 0, NULL},
    {deployments_create, "createDeployment", "deployments", "Creates a group of equal VMs", ready,
     "CreateDeploymentRequest", false, 201, "Deployment", 0, NULL},
    {deployment_get, "getDeployment", "deployments", "One deployment", ready, NULL, false, 200, "Deployment", 0, NULL},
    {deployment_patch, "scaleDeployment", "deployments", "Changes its number, its configuration, or both", ready_change,
     "PatchDeploymentRequest", false, 200, "Deployment", 0, NULL},
    {deployment_delete, "deleteDeployment", "deployments", "Ends its VMs and forgets them", change, NULL, false, 204,
     NULL, 202, "Deployment"},
    {deployment_history, "getDeploymentHistory", "deployments", "Versions of its configuration, newest first", limit,
     NULL, false, 200, "[DeploymentVersion]", 0, NULL},
    {deployment_rollback, "rollbackDeployment", "deployments", "Goes back to an earlier version", ready_change,
     "RollbackRequest", true, 200, "Deployment", 0, NULL},
    {mcp_post, "postMCP", "mcp", "MCP over Streamable HTTP", NULL, "RPCMessage", false, 200,
     "RPCAnswer, text/event-stream RPCAnswer", 202, NULL},
    {mcp_post_or_envelope, "postMCPCommand", "mcp", "The original's {command, params}, or MCP", NULL, "RPCCommand",
     false, 200, "RPCAnswer, text/event-stream RPCAnswer", 202, NULL},
    {mcp_not_allowed, NULL, NULL, NULL, NULL, NULL, false, 0, NULL, 0, NULL},
    {vm_console_ws, "vmConsoleWebSocket", "vms", "The serial console, over a WebSocket", NULL, NULL, false, 101, NULL,
     0, NULL},
    {vm_logs_ws, "vmLogsWebSocket", "vms", "What the workload writes, over a WebSocket", tail, NULL, false, 101, NULL,
     0, NULL},
};
const size_t api_n_operations = ARRAY_LEN(api_operations);
