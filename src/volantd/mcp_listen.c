/* SPDX-License-Identifier: Apache-2.0 */
/* subscriptions/listen over HTTP: server-sent events for as long as the client stays. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "volantd/mcp.h"

#define STREAMS_MAX 64
#define PING_MS     15000 /* so that what lies between knows that we live */
#define URI_SIZE    96

/* --- what is told ------------------------------------------------------------------------------------------------- */

void mcp_vm_changed(void *arg, const struct vm_view *view, bool gone)
{
    struct api *api = arg;
    size_t n_vms;
    bool list;
    char uri[URI_SIZE];

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

static void ping(struct timer *t)
{
    struct mcp_request *m = container_of(t, struct mcp_request, ping);

    if (m->text.len == 0) strbuf_adds(&m->text, ": ping\n\n"); /* else it has something to read */
    if (loop_timer(m->api->loop, &m->ping, mono_ms() + PING_MS, ping) < 0) log_warn("mcp: no memory for a timer");
    api_resume(m->req);
}

static ssize_t read_stream(struct api_req *req, char *buf, size_t size)
{
    struct mcp_request *m = req->state;
    size_t n;

    if (m->text.len == 0) {
        json_auto_t *message = mcp_listen_next(&m->call);

        if (message) mcp_event(&m->text, message);
    }
    if (m->text.failed) return -ENOMEM;
    if ((n = m->text.len - m->sent) == 0) return 0;
    if (n > size) n = size;
    memcpy(buf, m->text.data + m->sent, n);
    m->sent += n;
    if (m->sent == m->text.len) {
        strbuf_done(&m->text);
        m->sent = 0;
    }
    return (ssize_t)n;
}

enum api_end mcp_listen(struct mcp_request *m)
{
    static const struct api_source source = {.read = read_stream};
    struct mcp_hub *hub = &m->api->mcp;

    if (hub->n_listeners >= STREAMS_MAX) {
        api_header(m->req, "Retry-After", "1");
        return api_error(m->req, 503, "there are as many subscriptions as volantd serves: end one, or try later");
    }
    if (loop_timer(m->api->loop, &m->ping, mono_ms() + PING_MS, ping) < 0)
        return api_error(m->req, 503, "out of memory");
    if ((m->next = hub->listeners)) m->next->prev = &m->next;
    m->prev = &hub->listeners;
    hub->listeners = m;
    if (hub->n_listeners++ == 0) hub->n_vms = engine_vm_each(m->api->engine, NULL, NULL);
    api_header(m->req, "Cache-Control", "no-cache");
    api_header(m->req, "X-Accel-Buffering", "no");
    m->req->reply.status = 200;
    m->req->reply.content_type = "text/event-stream";
    m->req->reply.source = &source;
    return API_STREAM;
}

void mcp_listen_leave(struct mcp_request *m)
{
    loop_untimer(&m->ping);
    strbuf_done(&m->text);
    if (!m->prev) return;
    if (m->next) m->next->prev = m->prev;
    *m->prev = m->next;
    m->prev = NULL;
    m->api->mcp.n_listeners--;
}
