/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MCP on volantd. mcp.c carries messages over HTTP; mcp_tools.c, mcp_resources.c and mcp_prompts.c register what there
 * is, and all of it asks our own API (inner.h); mcp_listen.c tells of changes; mcp_envelope.c is the original's.
 */
#pragma once
#include "mcp/mcp.h"
#include "volantd/inner.h"

/* One message on its way. */
struct mcp_request {
    struct mcp_call call;
    struct mcp_server server; /* what is registered, for this api */
    struct api *api;
    struct api_req *req;
    struct inner inner;
    const struct mcp_tool *tool;
    const char *subject; /* a name or URI of the message that the handler looks at again, borrowed from it */
    /* While the answer is a stream. */
    struct mcp_request *next, **prev;
    struct timer ping;
    struct strbuf text;
    size_t sent;
    bool listens, over; /* it is a subscription; `text` has the last message */
    char *said;         /* the last news of a call's progress; NULL: none */
};

extern const struct mcp_tool mcp_tools[];
extern const size_t mcp_n_tools;
extern const struct mcp_template mcp_templates[];
extern const size_t mcp_n_templates;
extern const struct mcp_prompt mcp_prompts[];
extern const size_t mcp_n_prompts;
json_t *mcp_resources_list(void *arg);
enum mcp_end mcp_resource_read(struct mcp_call *c, const char *uri);
bool mcp_resource_subscribable(void *arg, const char *uri);

/* Asks our API; `done` writes the answer into the call, now or when the reply has come. */
enum mcp_end mcp_ask(struct mcp_call *c, const char *method, const char *target, const json_t *body,
                     enum mcp_end (*done)(struct mcp_request *m));
/* The reply's JSON, the caller's; NULL: it has none. */
json_t *mcp_reply_json(const struct api_reply *reply);
/* What the reply says went wrong, into buf. */
const char *mcp_reply_error(const struct api_reply *reply, struct strbuf *buf);

/* A subscribed client's stream. Ends as a handler does. */
enum api_end mcp_listen(struct mcp_request *m);
/* The stream of a call that waits and tells of its progress. Ends as a handler does. */
enum api_end mcp_tell_progress(struct mcp_request *m);
/* A VM changed, which such calls are told if they are about it. */
void mcp_progress_of(struct api *api, const struct vm_view *view, bool gone);

/* The reply becomes a stream, which is in `list` until it is left; API_DONE: it is answered, as there is no memory. */
enum api_end mcp_stream_begin(struct mcp_request *m, struct mcp_request **list);
void mcp_stream_end(struct mcp_request *m, const json_t *last); /* once; NULL: out of memory, and it breaks off */
void mcp_stream_leave(struct mcp_request *m);                   /* all zero is fine */

/* Bodies {"command", "params"} (contract 2.1): true and the end of the handler if it is one. */
bool mcp_is_envelope(const struct api_req *req);
enum api_end mcp_envelope(struct api *api, struct api_req *req, struct vl_error *err);
