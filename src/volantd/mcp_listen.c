/* SPDX-License-Identifier: Apache-2.0 */
/* subscriptions/listen over HTTP: server-sent events for as long as the client stays. */
#include <string.h>

#include "volantd/mcp.h"

#define STREAMS_MAX 64
#define URI_SIZE    96

/* --- what is told ------------------------------------------------------------------------------------------------- */

void mcp_vm_changed(void *arg, const struct vm_view *view, bool gone)
{
    struct api *api = arg;
    size_t n_vms;
    bool list;
    char uri[URI_SIZE];

    mcp_progress_of(api, view, gone);
    if (!api->mcp.listeners) return; /* the first one to come counts anew */
    n_vms = engine_vm_each(api->engine, NULL, NULL);
    list = gone || n_vms != api->mcp.n_vms;
    api->mcp.n_vms = n_vms;
    if (strf(uri, sizeof(uri), "volant://vms/%s", view->name) < 0) return;
    for (struct mcp_request *m = api->mcp.listeners; m; m = m->next) {
        bool told = mcp_resource_changed(&m->call, uri);

        if (list && mcp_resources_changed(&m->call)) told = true;
        if (told) api_resume(m->req);
    }
}

void mcp_resources_differ(struct api *api)
{
    for (struct mcp_request *m = api->mcp.listeners; m; m = m->next)
        if (mcp_resources_changed(&m->call)) api_resume(m->req);
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

enum api_end mcp_listen(struct mcp_request *m)
{
    struct mcp_hub *hub = &m->api->mcp;
    enum api_end end;

    if (hub->n_listeners >= STREAMS_MAX) {
        api_header(m->req, "Retry-After", "1");
        return api_error(m->req, 503, "there are as many subscriptions as volantd serves: end one, or try later");
    }
    if ((end = mcp_stream_begin(m, &hub->listeners)) != API_STREAM) return end;
    m->listens = true;
    if (hub->n_listeners++ == 0) hub->n_vms = engine_vm_each(m->api->engine, NULL, NULL);
    return end;
}
