/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies and replies by name: the field tables that decode or encode them; JSON where a table cannot say it. */
#include "model/deployment.h"
#include "volantd/api.h"
#include "volantd/lines.h"
#include "volantd/openapi.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const char error_json[] = JSON({
    "type": "object",
    "properties": {"error": {"type": "string", "description": "What is wrong, and what to do about it."}},
    "required": ["error"]
});
static const char health_json[] = JSON({
    "type": "object", "properties": {"status": {"type": "string", "enum": ["ok"]}}, "required": ["status"]
});
static const char status_json[] = JSON({
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["ok"]},
        "vm_count": {"type": "integer"},
        "cpu_percent": {"type": "number"},
        "mem_percent": {"type": "number"}
    },
    "required": ["status", "vm_count", "cpu_percent", "mem_percent"]
});
static const char info_json[] = JSON({
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["ok"]},
        "api_listen_addr": {"type": "string", "description": "Empty: the socket alone."},
        "api_advertise_addr": {"type": "string"},
        "host_ip": {"type": "string", "description": "Of the VMs' network."},
        "version": {"type": "string"},
        "socket": {"type": "string"},
        "state_dir": {"type": "string"},
        "accel": {"type": "string", "enum": ["kvm", "tcg"]},
        "accel_reason": {"type": "string"},
        "pid": {"type": "integer"},
        "uptime_seconds": {"type": "integer"},
        "vmm": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "path": {"type": "string"}, "version": {"type": "string"}},
            "required": ["name", "path", "version"]
        },
        "kernel": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "version": {"type": "string"},
                "patches": {"type": "array", "items": {"type": "string"}},
                "rootfs_path": {"type": "string", "description": "Of the one that boots disk images."}
            },
            "required": ["path", "version", "patches", "rootfs_path"]
        },
        "vm_count": {"type": "integer"},
        "vms_by_status": {"type": "object", "additionalProperties": {"type": "integer"}},
        "plugin_count": {"type": "integer"},
        "strangers": {"type": "integer", "description": "VMs that run and the registry does not know."},
        "memory": {
            "type": "object",
            "properties": {
                "host_total_bytes": {"type": "integer"},
                "host_available_bytes": {"type": "integer"},
                "volantd_rss_bytes": {"type": "integer"}
            },
            "required": ["host_total_bytes", "host_available_bytes", "volantd_rss_bytes"]
        },
        "capacity": {
            "type": "object",
            "description": "What VMs may have together, and what they have.",
            "properties": {
                "memory_mb": {"type": "integer"},
                "memory_taken_mb": {"type": "integer"},
                "vcpus": {"type": "integer"},
                "vcpus_taken": {"type": "integer"},
                "disk_free_bytes": {"type": "integer"},
                "disk_reserve_bytes": {"type": "integer"}
            },
            "required": ["memory_mb", "memory_taken_mb", "vcpus", "vcpus_taken", "disk_free_bytes",
                         "disk_reserve_bytes"]
        }
    },
    "required": ["status", "api_listen_addr", "api_advertise_addr", "host_ip", "version", "socket", "state_dir",
                 "accel", "accel_reason", "pid", "uptime_seconds", "vmm", "kernel", "vm_count", "vms_by_status",
                 "plugin_count", "strangers", "memory", "capacity"]
});
static const char summary_json[] = JSON({
    "type": "object",
    "properties": {
        "total_vms": {"type": "integer"},
        "by_status": {"type": "object", "additionalProperties": {"type": "integer"}},
        "by_runtime": {"type": "object", "additionalProperties": {"type": "integer"}},
        "total_plugins": {"type": "integer"},
        "enabled_plugins": {"type": "integer"},
        "plugins": {
            "type": "array",
            "nullable": true,
            "description": "null where there are none.",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"}, "version": {"type": "string"}, "enabled": {"type": "boolean"},
                    "runtime": {"type": "string"}
                },
                "required": ["name", "version", "enabled", "runtime"]
            }
        }
    },
    "required": ["total_vms", "by_status", "by_runtime", "total_plugins", "enabled_plugins", "plugins"]
});
static const char token_json[] = JSON({
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "role": {"type": "string", "enum": ["read", "operate", "admin"]},
        "created_at": {"type": "string", "format": "date-time"}
    },
    "required": ["name", "role", "created_at"]
});
static const char new_token_json[] = JSON({
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "role": {"type": "string", "enum": ["read", "operate", "admin"]},
        "created_at": {"type": "string", "format": "date-time"},
        "token": {"type": "string", "description": "The secret, which nobody can show again."}
    },
    "required": ["name", "role", "created_at", "token"]
});
static const char artifact_json[] = JSON({
    "type": "object",
    "properties": {
        "ID": {"type": "integer"},
        "PluginName": {"type": "string"},
        "Version": {"type": "string"},
        "ArtifactName": {"type": "string"},
        "Kind": {"type": "string"},
        "SourceURL": {"type": "string"},
        "Checksum": {"type": "string"},
        "Format": {"type": "string"},
        "LocalPath": {"type": "string"},
        "SizeBytes": {"type": "integer"},
        "CreatedAt": {"type": "string", "format": "date-time"},
        "UpdatedAt": {"type": "string", "format": "date-time"}
    },
    "required": ["ID", "PluginName", "Version", "ArtifactName", "Kind", "SourceURL", "Checksum", "Format", "LocalPath",
                 "SizeBytes", "CreatedAt", "UpdatedAt"]
});
static const char artifacts_json[] = JSON({
    "type": "array", "nullable": true, "items": {"$ref": "#/components/schemas/PluginArtifact"}
});
static const char stored_json[] = JSON({
    "type": "object",
    "properties": {
        "digest": {"type": "string"},
        "size_bytes": {"type": "integer"},
        "used": {"type": "boolean", "description": "Something in the registry names it."}
    },
    "required": ["digest", "size_bytes", "used"]
});
static const char pruned_json[] = JSON({
    "type": "object",
    "properties": {
        "removed": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"digest": {"type": "string"}, "size_bytes": {"type": "integer"}},
                "required": ["digest", "size_bytes"]
            }
        },
        "bytes_freed": {"type": "integer"},
        "fresh": {"type": "integer"},
        "dry_run": {"type": "boolean"}
    },
    "required": ["removed", "bytes_freed", "fresh", "dry_run"]
});
static const char message_json[] = JSON({
    "type": "object",
    "properties": {
        "jsonrpc": {"type": "string", "enum": ["2.0"]},
        "id": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "method": {"type": "string"},
        "params": {"type": "object"}
    },
    "required": ["jsonrpc", "method"],
    "additionalProperties": true
});
static const char command_json[] = JSON({
    "type": "object",
    "properties": {
        "command": {"type": "string", "enum": ["volant.vms.list", "volant.vms.create", "volant.system.get_capabilities"]},
        "params": {"type": "object"}
    },
    "description": "This, or a message of MCP.",
    "additionalProperties": true
});
static const char answer_json[] = JSON({
    "type": "object",
    "properties": {
        "jsonrpc": {"type": "string", "enum": ["2.0"]},
        "id": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "result": {"description": "Anything; of a command null where it failed."},
        "error": {"description": "Of MCP an object, else a text."}
    },
    "additionalProperties": true
});
static const char plugins_json[] = JSON({
    "type": "object",
    "properties": {"plugins": {"type": "array", "items": {"type": "string"}}},
    "required": ["plugins"]
});
/* clang-format on */

const struct api_component api_components[] = {
    {"VM", .schema = &vm_view_schema, .use = SCHEMA_OUTPUT},
    {"CreateVMRequest", .schema = &vm_request_schema, .use = SCHEMA_INPUT, .refs = {{"config", "ConfigPatch"}}},
    {"Config", .schema = &vm_config_schema, .use = SCHEMA_OUTPUT, .open = true, /* keys without effect are kept */
     .refs = {{"manifest", "Manifest"}}},
    {"ConfigPatch", .schema = &vm_config_schema, .use = SCHEMA_INPUT, .refs = {{"manifest", "InstallPluginRequest"}}},
    {"Manifest", .schema = &manifest_schema, .use = SCHEMA_OUTPUT, .open = true}, /* likewise */
    {"InstallPluginRequest", .schema = &manifest_schema, .use = SCHEMA_INPUT},
    {"CreateDeploymentRequest", .schema = &deployment_request_schema, .use = SCHEMA_INPUT,
     .refs = {{"config", "ConfigPatch"}}},
    {"PatchDeploymentRequest", .schema = &deployment_patch_schema, .use = SCHEMA_INPUT,
     .refs = {{"config", "ConfigPatch"}}},
    {"RollbackRequest", .schema = &deployment_rollback_schema, .use = SCHEMA_INPUT},
    {"RepairRequest", .schema = &repair_schema, .use = SCHEMA_INPUT},
    {"CreateTokenRequest", .schema = &token_request_schema, .use = SCHEMA_INPUT},
    {"Token", .json = token_json},
    {"NewToken", .json = new_token_json},
    {"RPCMessage", .json = message_json},
    {"RPCCommand", .json = command_json},
    {"RPCAnswer", .json = answer_json},
    {"Document", .json = JSON({"type" : "object"})},
    {"Error", .json = error_json},
    {"Health", .json = health_json},
    {"SystemStatus", .json = status_json},
    {"SystemInfo", .json = info_json},
    {"SystemSummary", .json = summary_json},
    {"Findings", .schema = &findings_schema, .use = SCHEMA_OUTPUT},
    {"PluginList", .json = plugins_json},
    {"PluginEnabledRequest", .schema = &plugin_enabled_schema, .use = SCHEMA_INPUT},
    {"PluginArtifactRequest", .schema = &artifact_request_schema, .use = SCHEMA_INPUT},
    {"PluginArtifact", .json = artifact_json},
    {"PluginArtifacts", .json = artifacts_json},
    {"PruneRequest", .schema = &prune_schema, .use = SCHEMA_INPUT},
    {"Artifact", .json = stored_json},
    {"PruneResult", .json = pruned_json},
    {"VersionedConfig", .schema = &versioned_config_schema, .use = SCHEMA_OUTPUT, .refs = {{"config", "Config"}}},
    {"ConfigVersion", .schema = &config_version_schema, .use = SCHEMA_OUTPUT, .refs = {{"config", "Config"}}},
    {"VMEvent", .schema = &event_schema, .use = SCHEMA_OUTPUT},
    {"LogLine", .schema = &log_line_schema, .use = SCHEMA_OUTPUT},
    {"Deployment", .schema = &deployment_view_schema, .use = SCHEMA_OUTPUT, .refs = {{"config", "Config"}}},
    {"DeploymentVersion", .schema = &deployment_version_schema, .use = SCHEMA_OUTPUT, .refs = {{"config", "Config"}}},
};
const size_t api_n_components = ARRAY_LEN(api_components);
