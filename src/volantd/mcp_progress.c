/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notifications/progress: what becomes of the VM, or of a deployment's replicas, while a call waits for them. A client
 * that does not read is told less, and the answer always.
 */
#include <string.h>

#include "base/log.h"
#include "volantd/mcp.h"
#include "volantd/mcp_route.h"

#define UNREAD_MAX (16ul * 1024)

static bool concerns(const struct mcp_request *m, const struct vm_view *view)
{
    const struct mcp_route *route = m->tool->own;

    return str_eq(str_starts(route->target, MCP_DEPLOYMENTS) ? view->deployment : view->name, m->subject);
}

/* NULL: out of memory. */
static char *news_of(const struct vm_view *v, bool gone)
{
    bool why = !gone && v->reason && *v->reason;

    return strf_new("%s is %s%s%s%s", v->name, gone ? "gone" : v->status, !gone && v->ready ? " and ready" : "",
                    why ? ": " : "", why ? v->reason : "");
}

static void tell(struct mcp_request *m, const struct vm_view *view, bool gone)
{
    auto_free char *news = news_of(view, gone);
    json_auto_t *message = NULL;

    if (!news || str_eq(news, m->said) || m->text.len > UNREAD_MAX || !(message = mcp_progress(&m->call, news))) return;
    mcp_event(&m->text, message);
    free(m->said);
    m->said = take_ptr(news);
    api_resume(m->req);
}

void mcp_progress_of(struct api *api, const struct vm_view *view, bool gone)
{
    for (struct mcp_request *m = api->mcp.callers; m; m = m->next)
        if (!m->over && concerns(m, view)) tell(m, view, gone);
}

enum api_end mcp_tell_progress(struct mcp_request *m)
{
    enum api_end end = mcp_stream_begin(m, &m->api->mcp.callers);

    if (end != API_STREAM) mcp_call_done(&m->call); /* it is answered already */
    return end;
}
