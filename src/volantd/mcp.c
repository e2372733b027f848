/* SPDX-License-Identifier: Apache-2.0 */
/* POST /mcp, and /api/v1/mcp as another name of it: Streamable HTTP without sessions. */
#include "volantd/mcp.h"

#include <string.h>

#include "base/log.h"
#include "config.h"
#include "volantd/mcp_route.h"

static const char instructions[] =
    "volantd runs microVMs on this host. A VM boots from an installed plugin: list_plugins says which there are. "
    "create_vm answers when the VM is ready; when it is not, its status, reason and read_logs say why. Names of VMs "
    "are "
    "the handles of all other tools.";

/* Whether the caller's role is enough for the route that a tool takes. */
static bool mcp_offers(const struct mcp_call *c, const struct mcp_tool *t)
{
    const struct mcp_request *m = c->arg;

    return m->req->role >= mcp_route_role(t->own);
}

static const struct mcp_server registered = {
    .name = "volantd",
    .version = VOLANT_VERSION,
    .instructions = instructions,
    .offers = mcp_offers,
    .resources = mcp_resources_list,
    .read = mcp_resource_read,
    .subscribable = mcp_resource_subscribable,
};

/* --- asking our own API ------------------------------------------------------------------------------------------- */

json_t *mcp_reply_json(const struct api_reply *reply)
{
    return reply->body ? json_loadb(reply->body, reply->body_len, 0, NULL) : NULL;
}

const char *mcp_reply_error(const struct api_reply *reply, struct strbuf *buf)
{
    json_auto_t *j = mcp_reply_json(reply);
    const char *text = json_string_value(json_object_get(j, "error"));

    if (text)
        strbuf_adds(buf, text);
    else
        strbuf_addf(buf, "volantd answered with status %u", reply->status);
    return buf->data ? buf->data : "out of memory";
}

static void inner_done(struct inner *i)
{
    struct mcp_request *m = container_of(i, struct mcp_request, inner);
    enum mcp_end (*done)(struct mcp_request * request) = m->call.state;

    (void)done(m);
    mcp_complete(&m->call);
}

static void cancelled(struct mcp_call *c)
{
    struct mcp_request *m = c->arg;

    inner_end(&m->inner);
}

enum mcp_end mcp_ask(struct mcp_call *c, const char *method, const char *target, const json_t *body,
                     enum mcp_end (*done)(struct mcp_request *m))
{
    struct mcp_request *m = c->arg;
    struct vl_error err = {0};

    m->inner.done = inner_done;
    switch (inner_begin(&m->inner, m->api, m->req, method, target, body, &err)) {
    case API_SUSPENDED:
    case API_STREAM:
        c->state = done;
        c->cancel = cancelled;
        return MCP_WAITING;
    case API_DONE:
        return done(m);
    case API_FAILED:
        break;
    }
    return mcp_fail(c, MCP_INTERNAL, err.msg);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static void release(struct api_req *req)
{
    struct mcp_request *m = req->state;

    mcp_stream_leave(m);
    mcp_call_done(&m->call);
    inner_end(&m->inner);
    free(m);
}

static enum api_end reply(struct mcp_request *m)
{
    struct vl_error err = {0};

    if (!m->call.answer && m->call.status < 300) return api_empty(m->req, m->call.status);
    if (m->call.status == 503) api_header(m->req, "Retry-After", "1");
    if (api_json(m->req, m->call.status, json_incref(m->call.answer), &err) == API_FAILED) api_fail(m->req, &err);
    return API_DONE;
}

static void complete(struct mcp_call *c)
{
    struct mcp_request *m = c->arg;

    if (m->prev) {
        mcp_stream_end(m, c->answer);
        return;
    }
    (void)reply(m);
    api_resume(m->req);
}

static struct mcp_request *request_new(struct api *api, struct api_req *req)
{
    struct mcp_request *m = calloc(1, sizeof(*m));

    if (!m) return NULL;
    m->server = registered;
    m->server.tools = mcp_tools;
    m->server.n_tools = mcp_n_tools;
    m->server.prompts = mcp_prompts;
    m->server.n_prompts = mcp_n_prompts;
    m->server.templates = mcp_templates;
    m->server.n_templates = mcp_n_templates;
    m->server.arg = api;
    m->call = (struct mcp_call){.server = &m->server, .complete = complete, .arg = m};
    m->api = api;
    m->req = req;
    req->state = m;
    req->release = release;
    return m;
}

/* "" where it came twice: an intermediary may believe the other one, so neither is. */
static const char *header_once(const struct api_req *req, const char *name)
{
    const char *first = api_req_header(req, name), *last = req->last_header ? req->last_header(req, name) : first;

    return first == last ? first : "";
}

enum api_end mcp_post(struct api *api, struct api_req *req, struct vl_error *err)
{
    const struct mcp_headers headers = {
        .content_type = api_req_header(req, "Content-Type"),
        .accept = api_req_header(req, "Accept"),
        .version = header_once(req, "MCP-Protocol-Version"),
        .method = header_once(req, "Mcp-Method"),
        .name = header_once(req, "Mcp-Name"),
    };
    struct mcp_request *m = request_new(api, req);

    if (!m) {
        vl_fail_errno(err, ENOMEM, "MCP");
        return API_FAILED;
    }
    switch (mcp_begin(&m->call, &headers, req->body.data ? req->body.data : "", req->body.len)) {
    case MCP_WAITING:
        return m->call.progress ? mcp_tell_progress(m) : API_SUSPENDED;
    case MCP_LISTENING:
        return mcp_listen(m);
    case MCP_ANSWERED:
        break;
    }
    return reply(m);
}

enum api_end mcp_post_or_envelope(struct api *api, struct api_req *req, struct vl_error *err)
{
    return mcp_is_envelope(req) ? mcp_envelope(api, req, err) : mcp_post(api, req, err);
}

/* There are no sessions, hence neither a stream to GET nor anything to DELETE. */
enum api_end mcp_not_allowed(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    (void)err;
    api_header(req, "Allow", "POST");
    return api_error(req, 405, "MCP messages are POSTed: this server keeps no sessions");
}
