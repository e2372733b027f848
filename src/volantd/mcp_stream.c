/* SPDX-License-Identifier: Apache-2.0 */
/* A reply of MCP as server-sent events: of subscriptions, and of calls that tell of their progress. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "volantd/mcp.h"

#define PING_MS 15000 /* so that what lies between knows that we live */

static const char stopping[] = "volantd is stopping; what was asked for goes on when it is back";

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

    if (m->text.len == 0 && m->listens && !m->over) {
        json_auto_t *message = mcp_listen_next(&m->call);

        if (message) mcp_event(&m->text, message);
    }
    if (m->text.failed) return -ENOMEM;
    if ((n = m->text.len - m->sent) == 0) return m->over ? -ENODATA : 0;
    if (n > size) n = size;
    memcpy(buf, m->text.data + m->sent, n);
    m->sent += n;
    if (m->sent == m->text.len) {
        strbuf_done(&m->text);
        m->sent = 0;
    }
    return (ssize_t)n;
}

void mcp_stream_end(struct mcp_request *m, const json_t *last)
{
    if (m->over) return;
    mcp_event(&m->text, last);
    m->over = true;
    api_resume(m->req);
}

/* Who listens gets the end of it, who waits for a call an error. */
static void stop_stream(struct api_req *req)
{
    struct mcp_request *m = req->state;
    json_auto_t *last = NULL;

    if (m->over) return;
    if (m->listens) {
        last = mcp_listen_end(&m->call);
    } else {
        (void)mcp_fail(&m->call, MCP_INTERNAL, stopping);
        last = json_incref(m->call.answer);
    }
    mcp_stream_end(m, last);
}

enum api_end mcp_stream_begin(struct mcp_request *m, struct mcp_request **list)
{
    static const struct api_source source = {.read = read_stream, .stop = stop_stream};

    if (loop_timer(m->api->loop, &m->ping, mono_ms() + PING_MS, ping) < 0)
        return api_error(m->req, 503, "out of memory");
    if ((m->next = *list)) m->next->prev = &m->next;
    m->prev = list;
    *list = m;
    api_header(m->req, "Cache-Control", "no-cache");
    api_header(m->req, "X-Accel-Buffering", "no");
    m->req->reply.status = 200;
    m->req->reply.content_type = "text/event-stream";
    m->req->reply.source = &source;
    return API_STREAM;
}

void mcp_stream_leave(struct mcp_request *m)
{
    loop_untimer(&m->ping);
    strbuf_done(&m->text);
    free(m->said);
    if (!m->prev) return;
    if (m->next) m->next->prev = m->prev;
    *m->prev = m->next;
    m->prev = NULL;
    if (m->listens) m->api->mcp.n_listeners--;
}
