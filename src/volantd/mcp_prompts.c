/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that people make often, as a client's menu shows them. */
#include "volantd/mcp.h"

static const char *text_of(const json_t *arguments, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(arguments, name));

    return text && *text ? text : otherwise;
}

static char *diagnose(const struct mcp_prompt *p, const json_t *arguments)
{
    (void)p;
    return strf_new(
        "Find out what is wrong with the VM '%s'. Call get_vm for its status and reason, then read_logs. If "
        "its plugin is at fault, get_plugin shows the manifest. Name the cause and the smallest remedy. "
        "Change nothing without asking.",
        text_of(arguments, "name", ""));
}

static char *serve(const struct mcp_prompt *p, const json_t *arguments)
{
    (void)p;
    return strf_new("Serve plugin '%s' on this host as '%s' with %s replica(s). Check with list_plugins that it is "
                    "installed and with get_system_info that there is room. For one replica use create_vm, for more "
                    "create_deployment; publish its port by config.expose. Wait until all is ready, then tell me where "
                    "it answers.",
                    text_of(arguments, "plugin", ""), text_of(arguments, "name", text_of(arguments, "plugin", "")),
                    text_of(arguments, "replicas", "1"));
}

static char *review(const struct mcp_prompt *p, const json_t *arguments)
{
    (void)p;
    (void)arguments;
    return strf_new("Look at this host by get_system_info, list_vms and list_deployments. Tell me in a few lines what "
                    "runs, what has crashed or failed and why, how much memory and disk is left, and what should be "
                    "cleaned up. Change nothing.");
}

const struct mcp_prompt mcp_prompts[] = {
    {"diagnose_vm",
     "Diagnose a VM",
     "Find out why a VM does not do its job.",
     {{"name", "Name of the VM", true}},
     diagnose},
    {"serve_plugin",
     "Serve a plugin",
     "Bring a service up and say where it answers.",
     {{"plugin", "Name of an installed plugin", true},
      {"name", "Name of the VM or deployment; the plugin's if left out", false},
      {"replicas", "How many; 1 if left out", false}},
     serve},
    {"review_host", "Review the host", "What runs here, what is broken, what is left.", {{0}}, review},
};
const size_t mcp_n_prompts = ARRAY_LEN(mcp_prompts);
