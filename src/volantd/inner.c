/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers are told nothing of sockets, so that they serve a caller within volantd as they are. */
#include "volantd/inner.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "volantd/access.h"

#define PIECE (16ul * 1024)

/* The first whole line of what is left, when there was too much. */
static void keep_end(struct inner *i)
{
    size_t drop = i->text.len > INNER_TEXT_MAX ? i->text.len - INNER_TEXT_MAX : 0;
    const char *newline = drop ? memchr(i->text.data + drop, '\n', INNER_TEXT_MAX) : NULL;

    if (!drop) return;
    i->cut = true;
    strbuf_consume(&i->text, newline ? (size_t)(newline + 1 - i->text.data) : drop);
}

/* True: the reply is there. */
static bool pump(struct inner *i)
{
    char piece[PIECE];
    ssize_t n;

    if (!i->req.reply.source) return true;
    while ((n = i->req.reply.source->read(&i->req, piece, sizeof(piece))) > 0) {
        strbuf_add(&i->text, piece, (size_t)n);
        if (i->text.len > 2 * INNER_TEXT_MAX) keep_end(i);
    }
    if (n == 0) return false;
    keep_end(i);
    if (n != -ENODATA || i->text.failed) {
        (void)api_error(&i->req, 503, "what was asked for broke off: try again");
        return true;
    }
    i->req.reply.body_len = i->text.len;
    i->req.reply.body = strbuf_take(&i->text);
    return true;
}

static void go_on(struct timer *t)
{
    struct inner *i = container_of(t, struct inner, soon);

    if (pump(i)) i->done(i);
}

/* Not at once: we are in the middle of whoever has the answer. */
static void resumed(struct api_req *req)
{
    struct inner *i = container_of(req, struct inner, req);

    if (loop_timer(i->api->loop, &i->soon, mono_ms(), go_on) < 0) go_on(&i->soon);
}

enum api_end inner_begin(struct inner *i, struct api *api, const struct api_req *outer, const char *method,
                         const char *target, const json_t *body, struct vl_error *err)
{
    const struct api_route *route;
    auto_free char *text = NULL;
    enum api_end end;
    bool allowed;

    i->api = api;
    i->req.peer = outer->peer;
    i->req.role = outer->role;
    memcpy(i->req.caller, outer->caller, sizeof(i->req.caller));
    i->req.resume = resumed;
    if (api_req_init(&i->req, method, target, err) < 0) return API_FAILED;
    if (body && !(text = json_text(body))) {
        vl_fail_errno(err, ENOMEM, "request");
        return API_FAILED;
    }
    if (text) strbuf_adds(&i->req.body, text);
    if (!(route = router_find(api_routes, api_n_routes, &i->req))) return API_DONE;
    allowed = access_allows(&i->req, route->role);
    if (*i->req.caller && route->role > ROLE_READ)
        log_info("%s %s%s for an agent, token=%s", method, i->req.path, allowed ? "" : " is refused", i->req.caller);
    if (!allowed) return API_DONE;
    end = router_run(api, &i->req, route->fn);
    return end == API_STREAM && !pump(i) ? API_SUSPENDED : end == API_SUSPENDED ? API_SUSPENDED : API_DONE;
}

void inner_end(struct inner *i)
{
    if (i->api) loop_untimer(&i->soon);
    api_req_done(&i->req);
    strbuf_done(&i->text);
}
