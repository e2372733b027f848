/* SPDX-License-Identifier: Apache-2.0 */
/* What clients of MCP may read: each resource is a GET of our API. */
#include <string.h>

#include "volantd/mcp.h"

#define SCHEME    "volant://"
#define JSON_TYPE "application/json"
#define NDJSON    "application/x-ndjson"
#define URI_SIZE  128
#define PATH_SIZE 160

#define VM_URI       SCHEME "vms/{name}"
#define LOGS_URI     SCHEME "vms/{name}/logs"
#define MANIFEST_URI SCHEME "plugins/{name}/manifest"
#define SYSTEM_URI   SCHEME "system/info"

const struct mcp_template mcp_templates[] = {
    {VM_URI, "vm", "A VM", "State, address, ports and resources of a VM.", JSON_TYPE},
    {LOGS_URI, "logs", "Log of a VM", "The last 200 lines that the workload of a VM wrote.", NDJSON},
    {MANIFEST_URI, "manifest", "Manifest of a plugin", "What a plugin boots and how.", JSON_TYPE},
};
const size_t mcp_n_templates = ARRAY_LEN(mcp_templates);

static const struct {
    const char *uri, *mime_type, *path;
} kinds[] = {
    {VM_URI, JSON_TYPE, "/api/v1/vms/{name}"},
    {LOGS_URI, NDJSON, "/api/v1/vms/{name}/logs?tail=200"},
    {MANIFEST_URI, JSON_TYPE, "/api/v1/plugins/{name}"},
    {SYSTEM_URI, JSON_TYPE, "/api/v1/system/info"},
};

/* --- listing ------------------------------------------------------------------------------------------------------ */

static void expand(const char *pattern, const char *name, char *buf, size_t size)
{
    const char *at = strstr(pattern, "{name}");

    if (!at)
        (void)strf(buf, size, "%s", pattern);
    else
        (void)strf(buf, size, "%.*s%s%s", (int)(at - pattern), pattern, name, at + strlen("{name}"));
}

static int add(json_t *list, size_t kind, const char *name, const char *title)
{
    char uri[URI_SIZE];

    expand(kinds[kind].uri, name, uri, sizeof(uri));
    return json_array_append_new(list, json_pack("{s:s, s:s, s:s+, s:s}", "uri", uri, "name", name, "title", title,
                                                 name, "mimeType", kinds[kind].mime_type));
}

static bool add_vm(void *arg, struct vm *vm)
{
    struct vm_view view;

    engine_vm_view(vm, &view);
    return add(arg, 0, view.name, "VM ") == 0 && add(arg, 1, view.name, "Log of VM ") == 0;
}

static bool add_plugin(void *arg, struct plugin *p)
{
    return add(arg, 2, engine_plugin_name(p), "Manifest of ") == 0;
}

json_t *mcp_resources_list(void *arg)
{
    struct api *api = arg;
    json_t *list = json_array();
    size_t vms, plugins;

    if (!list || add(list, 3, "system", "This host: ") < 0) goto failed;
    vms = engine_vm_each(api->engine, add_vm, list);
    plugins = engine_plugin_each(api->engine, add_plugin, list);
    if (json_array_size(list) == 1 + 2 * vms + plugins) return list;
failed:
    json_decref(list);
    return NULL;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The name that stands for {name} in the pattern; false if the URI is not of it. */
static bool match(const char *pattern, const char *uri, char name[static 64])
{
    size_t before = strcspn(pattern, "{"), len = strlen(uri), after;

    if (pattern[before] == '\0') return str_eq(pattern, uri);
    after = strlen(pattern + before + strlen("{name}"));
    if (len <= before + after || strncmp(pattern, uri, before) != 0 ||
        !str_eq(pattern + before + strlen("{name}"), uri + len - after))
        return false;
    return strf(name, 64, "%.*s", (int)(len - before - after), uri + before) >= 0 && !name_problem(name);
}

static enum mcp_end read_done(struct mcp_request *m)
{
    const struct api_reply *reply = &m->inner.req.reply;
    auto_strbuf text = {0};
    char name[64] = "";

    if (reply->status == 404) return mcp_no_resource(&m->call, m->subject);
    if (reply->status >= 300) return mcp_fail(&m->call, MCP_INTERNAL, mcp_reply_error(reply, &text));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (match(kinds[i].uri, m->subject, name))
            return mcp_contents(&m->call, m->subject, kinds[i].mime_type, reply->body ? reply->body : "");
    return mcp_no_resource(&m->call, m->subject);
}

enum mcp_end mcp_resource_read(struct mcp_call *c, const char *uri)
{
    struct mcp_request *m = c->arg;
    char name[64] = "", path[PATH_SIZE];

    m->subject = uri;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!match(kinds[i].uri, uri, name)) continue;
        expand(kinds[i].path, name, path, sizeof(path));
        return mcp_ask(c, "GET", path, NULL, read_done);
    }
    return mcp_no_resource(c, uri);
}

/* A VM that is not there may come. */
bool mcp_resource_subscribable(void *arg, const char *uri)
{
    char name[64];

    (void)arg;
    return match(VM_URI, uri, name);
}
