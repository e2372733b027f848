/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies and replies by name: field tables where they are decoded or encoded by one, else written out. */
#include "model/deployment.h"
#include "volantd/api.h"
#include "volantd/openapi.h"

const struct api_component api_components[] = {
    {"VM", .schema = &vm_view_schema, .use = SCHEMA_OUTPUT},
    {"CreateVMRequest", .schema = &vm_request_schema, .use = SCHEMA_INPUT},
    {"Config", .schema = &vm_config_schema, .use = SCHEMA_OUTPUT, .open = true}, /* keys without effect are kept */
    {"ConfigPatch", .schema = &vm_config_schema, .use = SCHEMA_INPUT},
    {"Manifest", .schema = &manifest_schema, .use = SCHEMA_OUTPUT, .open = true}, /* likewise */
    {"InstallPluginRequest", .schema = &manifest_schema, .use = SCHEMA_INPUT},
    {"CreateDeploymentRequest", .schema = &deployment_request_schema, .use = SCHEMA_INPUT},
    {"PatchDeploymentRequest", .schema = &deployment_patch_schema, .use = SCHEMA_INPUT},
    {"RollbackRequest", .schema = &deployment_rollback_schema, .use = SCHEMA_INPUT},
    {"RepairRequest", .schema = &repair_schema, .use = SCHEMA_INPUT},
    {"CreateTokenRequest", .schema = &token_request_schema, .use = SCHEMA_INPUT},
    {"Token",
     .json =
         "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"role\":{\"type\":\"string\","
         "\"enum\":[\"read\",\"operate\",\"admin\"]},\"created_at\":{\"type\":\"string\",\"format\":\"date-time\"}},"
         "\"required\":[\"name\",\"role\",\"created_at\"]}"},
    {"NewToken",
     .json = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"role\":{\"type\":\"string\","
             "\"enum\":[\"read\",\"operate\",\"admin\"]},\"created_at\":{\"type\":\"string\",\"format\":\"date-time\"},"
             "\"token\":{\"type\":\"string\"}},\"required\":[\"name\",\"role\",\"created_at\",\"token\"]}"},
    {"Document", .json = "{\"type\":\"object\"}"},
    {"Error", .json = "{\"type\":\"object\",\"properties\":{\"error\":{\"type\":\"string\"}},\"required\":[\"erro"
                      "r\"]}"},
    {"Health", .json = "{\"type\":\"object\",\"properties\":{\"status\":{\"type\":\"string\"}},\"required\":[\"sta"
                       "tus\"]}"},
    {"SystemStatus", .json =
                         "{\"type\":\"object\",\"properties\":{\"status\":{\"type\":\"string\"},\"vm_count\":{\"type"
                         "\":\"integer\"},\"cpu_percent\":{\"type\":\"number\"},\"mem_percent\":{\"type\":\"number\""
                         "}},\"required\":[\"status\",\"vm_count\",\"cpu_percent\",\"mem_percent\"]}"},
    {"SystemInfo", .json = "{\"type\":\"object\",\"properties\":{\"status\":{\"type\":\"string\"},\"api_listen_addr\":"
                           "{\"type\":\"string\"},\"api_advertise_addr\":{\"type\":\"string\"},\"host_ip\":{\"type\":\""
                           "string\"},\"version\":{\"type\":\"string\"},\"socket\":{\"type\":\"string\"},\"state_dir\""
                           ":{\"type\":\"string\"},\"accel\":{\"type\":\"string\"},\"accel_reason\":{\"type\":\"string"
                           "\"},\"pid\":{\"type\":\"integer\"},\"uptime_seconds\":{\"type\":\"integer\"},\"vmm\":{\"ty"
                           "pe\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"path\":{\"type\":\"string"
                           "\"},\"version\":{\"type\":\"string\"}},\"required\":[\"name\",\"path\",\"version\"]},\"ker"
                           "nel\":{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},\"version\":{\"t"
                           "ype\":\"string\"},\"patches\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"rootf"
                           "s_path\":{\"type\":\"string\"}},\"required\":[\"path\",\"version\",\"patches\"]},\"vm_coun"
                           "t\":{\"type\":\"integer\"},\"vms_by_status\":{\"type\":\"object\",\"additionalProperties\""
                           ":{\"type\":\"integer\"}},\"plugin_count\":{\"type\":\"integer\"},\"strangers\":{\"type\":\""
                           "integer\"},\"memory\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}"
                           "},\"capacity\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}},\"re"
                           "quired\":[\"status\",\"api_listen_addr\",\"api_advertise_addr\",\"host_ip\",\"version\",\""
                           "socket\",\"state_dir\",\"accel\",\"accel_reason\",\"pid\",\"uptime_seconds\",\"vmm\",\"ker"
                           "nel\",\"vm_count\",\"vms_by_status\",\"plugin_count\",\"strangers\",\"memory\",\"capacity\""
                           "],\"additionalProperties\":true}"},
    {"SystemSummary", .json =
                          "{\"type\":\"object\",\"properties\":{\"total_vms\":{\"type\":\"integer\"},\"by_status\":{\""
                          "type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}},\"by_runtime\":{\"type\""
                          ":\"object\",\"additionalProperties\":{\"type\":\"integer\"}},\"total_plugins\":{\"type\":\""
                          "integer\"},\"enabled_plugins\":{\"type\":\"integer\"},\"plugins\":{\"type\":\"array\",\"it"
                          "ems\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"version\":{\"t"
                          "ype\":\"string\"},\"enabled\":{\"type\":\"boolean\"}},\"required\":[\"name\",\"version\",\""
                          "enabled\"]}}},\"required\":[\"total_vms\",\"by_status\",\"by_runtime\",\"total_plugins\",\""
                          "enabled_plugins\",\"plugins\"]}"},
    {"Findings", .json = "{\"type\":\"object\",\"properties\":{\"findings\":{\"type\":\"array\",\"items\":{\"type\":"
                         "\"object\",\"properties\":{\"kind\":{\"type\":\"string\"},\"level\":{\"type\":\"string\"},"
                         "\"object\":{\"type\":\"string\"},\"detail\":{\"type\":\"string\"},\"remedy\":{\"type\":\"s"
                         "tring\"},\"fixable\":{\"type\":\"boolean\"},\"id\":{\"type\":\"integer\"},\"name\":{\"type"
                         "\":\"string\"},\"pid\":{\"type\":\"integer\"},\"since\":{\"type\":\"string\",\"format\":\""
                         "date-time\"},\"done\":{\"type\":\"string\"},\"failed\":{\"type\":\"string\"}},\"required\""
                         ":[\"kind\",\"level\",\"object\",\"detail\",\"remedy\",\"fixable\"]}}},\"required\":[\"find"
                         "ings\"]}"},
    {"PluginList", .json = "{\"type\":\"object\",\"properties\":{\"plugins\":{\"type\":\"array\",\"items\":{\"type\":\""
                           "string\"}}},\"required\":[\"plugins\"]}"},
    {"PluginEnabledRequest", .json = "{\"type\":\"object\",\"properties\":{\"enabled\":{\"type\":\"boolean\"}}}"},
    {"VersionedConfig", .json =
                            "{\"type\":\"object\",\"properties\":{\"version\":{\"type\":\"integer\"},\"updated_at\":{\""
                            "type\":\"string\",\"format\":\"date-time\"},\"config\":{\"$ref\":\"#/components/schemas/Co"
                            "nfig\"}},\"required\":[\"version\",\"updated_at\",\"config\"]}"},
    {"ConfigVersion", .json =
                          "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\"},\"version\":{\"type\":\""
                          "integer\"},\"updated_at\":{\"type\":\"string\",\"format\":\"date-time\"},\"config\":{\"$re"
                          "f\":\"#/components/schemas/Config\"}},\"required\":[\"id\",\"version\",\"updated_at\",\"co"
                          "nfig\"]}"},
    {"Replica", .json = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"status\":{\"type\":\""
                        "string\"},\"ready\":{\"type\":\"boolean\"},\"version\":{\"type\":\"integer\"},\"reason\":{"
                        "\"type\":\"string\"}},\"required\":[\"name\",\"status\",\"ready\",\"version\",\"reason\"]}"},
    {"Deployment", .json = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"desired_replicas\":{"
                           "\"type\":\"integer\"},\"ready_replicas\":{\"type\":\"integer\"},\"updated_replicas\":{\"ty"
                           "pe\":\"integer\"},\"ended_replicas\":{\"type\":\"integer\"},\"version\":{\"type\":\"intege"
                           "r\"},\"status\":{\"type\":\"string\"},\"reason\":{\"type\":\"string\"},\"replicas\":{\"typ"
                           "e\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Replica\"}},\"config\":{\"$ref\":"
                           "\"#/components/schemas/Config\"},\"created_at\":{\"type\":\"string\",\"format\":\"date-tim"
                           "e\"},\"updated_at\":{\"type\":\"string\",\"format\":\"date-time\"}},\"required\":[\"name\""
                           ",\"desired_replicas\",\"ready_replicas\",\"updated_replicas\",\"ended_replicas\",\"version"
                           "\",\"status\",\"reason\",\"replicas\",\"config\",\"created_at\",\"updated_at\"]}"},
    {"DeploymentVersion",
     .json = "{\"type\":\"object\",\"properties\":{\"version\":{\"type\":\"integer\"},\"updated_at\":{\""
             "type\":\"string\",\"format\":\"date-time\"},\"config\":{\"$ref\":\"#/components/schemas/Co"
             "nfig\"}},\"required\":[\"version\",\"updated_at\",\"config\"]}"},
};
const size_t api_n_components = ARRAY_LEN(api_components);
