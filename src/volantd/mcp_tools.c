/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tools: each is a route of our API, told apart into path, query and body by the field tables of its arguments,
 * which are its JSON Schema too. What a table does not know is refused before anything is asked.
 */
#include <string.h>

#include "volantd/lines.h"
#include "volantd/mcp.h"
#include "volantd/mcp_route.h"

#define WAIT_MAX_S   28
#define REPLICAS_MAX 1000
#define LIST_MAX     1000
#define TAIL_MAX     10000
#define TAIL_DEFAULT 200

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static const char *const waits[] = {"ready", "running", "none", NULL};
static const char *const deployment_waits[] = {"ready", "none", NULL};
static const char *const sorts[] = {"created_at", "updated_at", "name", "status", "runtime", NULL};
static const char *const orders[] = {"asc", "desc", NULL};

#define AT(member) .offset = offsetof(struct mcp_args, member)
#define TIMEOUT                                                                                                        \
    {                                                                                                                  \
        "timeout", FIELD_INT, AT(number[0]), .min = 1, .max = WAIT_MAX_S, .def = 25,                                   \
                                             .about = "Seconds to wait; then the answer is how far it has got."        \
    }
#define VM_WAIT                                                                                                        \
    {                                                                                                                  \
        "wait", FIELD_STRING, AT(text[1]), .choices = waits, .about = "What to wait for; ready if left out."           \
    }
#define DEPLOYMENT_WAIT                                                                                                \
    {                                                                                                                  \
        "wait", FIELD_STRING, AT(text[1]), .choices = deployment_waits,                                                \
                                           .about = "What to wait for; ready if left out."                             \
    }
#define NAME_OF(what)                                                                                                  \
    {                                                                                                                  \
        "name", FIELD_STRING, .flags = FIELD_REQUIRED, AT(text[0]), .min = 1, .max = 63,                               \
                              .about = "Name of the " what "."                                                         \
    }
#define TABLE(table)                                                                                                   \
    static const struct schema table##_schema = {"arguments", sizeof(struct mcp_args), table, ARRAY_LEN(table)}

static const struct field wait_args[] = {VM_WAIT, TIMEOUT};
static const struct field deployment_wait_args[] = {DEPLOYMENT_WAIT, TIMEOUT};
static const struct field vm_args[] = {NAME_OF("VM")};
static const struct field vm_wait_args[] = {NAME_OF("VM"), VM_WAIT, TIMEOUT};
static const struct field plugin_args[] = {NAME_OF("plugin")};
static const struct field deployment_args[] = {NAME_OF("deployment")};
static const struct field deployment_name_wait_args[] = {NAME_OF("deployment"), DEPLOYMENT_WAIT, TIMEOUT};
static const struct field list_args[] = {
    {"status", FIELD_STRING, AT(text[0]), .max = 100,
     .about = "Only VMs in one of these states, as in: running,failed."},
    {"plugin", FIELD_STRING, AT(text[1]), .max = 100, .about = "Only VMs of this plugin."},
    {"q", FIELD_STRING, AT(text[2]), .max = 100, .about = "Only VMs with this text in name, address or runtime."},
    {"sort", FIELD_STRING, AT(text[3]), .choices = sorts},
    {"order", FIELD_STRING, AT(text[4]), .choices = orders},
    {"limit", FIELD_INT, AT(number[0]), .min = 1, .max = LIST_MAX, .def = 100, .about = "At most so many."},
    {"offset", FIELD_INT, AT(number[1]), .min = 0, .max = INT64_MAX, .about = "Leave out the first so many."},
};
static const struct field logs_args[] = {
    NAME_OF("VM"),
    {"tail", FIELD_INT, AT(number[0]), .min = 1, .max = TAIL_MAX, .def = TAIL_DEFAULT,
     .about = "The last so many lines."},
};
static const struct field manifest_args[] = {
    {"manifest", FIELD_JSON, .flags = FIELD_REQUIRED, AT(text[0]), .max = MANIFEST_MAX,
     .about = "The plugin's manifest, as `fledge build` writes it. The artifacts that it names by checksum must be "
              "on this host already."},
};
static const struct field scale_args[] = {
    {"replicas", FIELD_INT, .flags = FIELD_REQUIRED, AT(number[0]), .min = 0, .max = REPLICAS_MAX,
     .about = "How many VMs there are to be."},
};
TABLE(wait_args);
TABLE(deployment_wait_args);
TABLE(vm_args);
TABLE(vm_wait_args);
TABLE(plugin_args);
TABLE(deployment_args);
TABLE(deployment_name_wait_args);
TABLE(list_args);
TABLE(logs_args);
TABLE(manifest_args);
TABLE(scale_args);

struct deployment_body {
    char *name, *plugin;
    int64_t replicas;
    struct vm_config config;
};
#define IN(member) .offset = offsetof(struct deployment_body, member)
static const struct field deployment_fields[] = {
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED, IN(name), .min = 1, .max = 63,
     .about = "Its VMs are NAME-1, NAME-2."},
    {"plugin", FIELD_STRING, IN(plugin), .about = "An installed plugin."},
    {"replicas", FIELD_INT, IN(replicas), .min = 0, .max = REPLICAS_MAX, .about = "How many VMs."},
    {"config", FIELD_OBJECT, IN(config), .sub = &vm_config_schema, .about = "Of each VM."},
};
static const struct schema deployment_schema = {"arguments", sizeof(struct deployment_body), deployment_fields,
                                                ARRAY_LEN(deployment_fields)};

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define VMS         "/api/v1/vms"
#define DEPLOYMENTS MCP_DEPLOYMENTS
#define PLUGINS     "/api/v1/plugins"

#define TOOL(title, description, hints, ...)                                                                           \
    title, description, hints, mcp_route_input, mcp_route_output, mcp_route_call, &(const struct mcp_route)            \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

#define READ   (MCP_READ_ONLY | MCP_IDEMPOTENT)
#define CHANGE MCP_IDEMPOTENT
#define END    (MCP_DESTRUCTIVE | MCP_IDEMPOTENT)

const struct mcp_tool mcp_tools[] = {
    {"create_vm",
     TOOL("Create a VM", "Create a microVM from an installed plugin, start it, and wait until it is ready.",
          MCP_PROGRESS, "POST", VMS, .args = &wait_args_schema, .body = &vm_request_schema)},
    {"list_vms", TOOL("List VMs", "List VMs with their state, address and ports.", READ, "GET", VMS,
                      .args = &list_args_schema, .shape = ROUTE_LIST, .key = "vms")},
    {"get_vm", TOOL("Show a VM", "Show one VM: state and its reason, address, ports, resources.", READ, "GET",
                    VMS "/{name}", .args = &vm_args_schema)},
    {"start_vm", TOOL("Start a VM", "Start a VM that has ended, and wait until it is ready.", CHANGE | MCP_PROGRESS,
                      "POST", VMS "/{name}/start", .args = &vm_wait_args_schema)},
    {"stop_vm", TOOL("Stop a VM", "End a VM's workload in good order, then the VM. It can be started again.",
                     END | MCP_PROGRESS, "POST", VMS "/{name}/stop", .args = &vm_args_schema)},
    {"restart_vm", TOOL("Restart a VM", "Stop and start a VM, and wait until it is ready.",
                        MCP_DESTRUCTIVE | MCP_PROGRESS, "POST", VMS "/{name}/restart", .args = &vm_wait_args_schema)},
    {"pause_vm", TOOL("Pause a VM", "Let the vCPUs of a running VM stand still.", CHANGE, "POST", VMS "/{name}/pause",
                      .args = &vm_args_schema)},
    {"resume_vm",
     TOOL("Resume a VM", "Let a paused VM go on.", CHANGE, "POST", VMS "/{name}/resume", .args = &vm_args_schema)},
    {"delete_vm", TOOL("Delete a VM", "End a VM and forget it, with its disk, address and ports.", END, "DELETE",
                       VMS "/{name}", .args = &vm_args_schema, .shape = ROUTE_FLAG, .key = "deleted")},
    {"read_logs", TOOL("Read a VM's log",
                       "Read the last lines that a VM's workload wrote, or its console where no agent "
                       "answers.",
                       READ, "GET", VMS "/{name}/logs", .args = &logs_args_schema, .shape = ROUTE_LINES, .key = "lines",
                       .line = &log_line_schema)},
    {"create_deployment",
     TOOL("Create a deployment", "Create a group of equal VMs, keep it at its number, and wait until all are ready.",
          MCP_PROGRESS, "POST", DEPLOYMENTS, .args = &deployment_wait_args_schema, .body = &deployment_schema)},
    {"list_deployments", TOOL("List deployments", "List deployments with their replicas.", READ, "GET", DEPLOYMENTS,
                              .shape = ROUTE_LIST, .key = "deployments")},
    {"get_deployment", TOOL("Show a deployment", "Show one deployment: its replicas, and why it is not ready.", READ,
                            "GET", DEPLOYMENTS "/{name}", .args = &deployment_args_schema)},
    {"scale_deployment",
     TOOL("Scale a deployment", "Change the number of a deployment's VMs: the highest go, gaps are filled.",
          END | MCP_PROGRESS, "PATCH", DEPLOYMENTS "/{name}", .args = &deployment_name_wait_args_schema,
          .body = &scale_args_schema)},
    {"delete_deployment",
     TOOL("Delete a deployment", "End the VMs of a deployment and forget them.", END, "DELETE", DEPLOYMENTS "/{name}",
          .args = &deployment_args_schema, .shape = ROUTE_FLAG, .key = "deleted")},
    {"install_plugin",
     TOOL("Install a plugin", "Install a plugin, or another version of it, from its manifest.", CHANGE, "POST", PLUGINS,
          .args = &manifest_args_schema, .body_from = "manifest", .shape = ROUTE_FLAG, .key = "installed")},
    {"list_plugins",
     TOOL("List plugins", "List the names of the installed plugins.", READ, "GET", PLUGINS, .args = NULL)},
    {"get_plugin", TOOL("Show a plugin", "Show a plugin's manifest: what it boots and how.", READ, "GET",
                        PLUGINS "/{name}", .args = &plugin_args_schema)},
    {"get_system_info", TOOL("Show the host", "Show what volantd found on this host, and how much room is left.", READ,
                             "GET", "/api/v1/system/info", .args = NULL)},
};
const size_t mcp_n_tools = ARRAY_LEN(mcp_tools);
