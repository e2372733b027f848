/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model Context Protocol, server side: one message in, one answer out, whatever carries them. Both eras are served at
 * once, told apart message by message: revision 2026-07-28 (every request brings its envelope in params._meta and
 * nothing is remembered) and the handshake revisions 2025-11-25 and 2025-06-18 (`initialize`; no sessions are kept).
 * What there is to be called is in a registration table; this folder knows no VM.
 */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

#define MCP_VERSION       "2026-07-28"
#define MCP_LISTEN_MAX    64  /* resources that one client subscribes to */
#define MCP_URI_MAX       512 /* bytes */
#define MCP_PAGE_MAX      100 /* entries in one answer to a list */
#define MCP_ARGUMENTS_MAX 8   /* of a prompt */

enum mcp_era { MCP_LEGACY, MCP_MODERN };

enum mcp_code {
    MCP_PARSE_ERROR = -32700,
    MCP_INVALID_REQUEST = -32600,
    MCP_METHOD_NOT_FOUND = -32601,
    MCP_INVALID_PARAMS = -32602,
    MCP_INTERNAL = -32603,
    MCP_HEADER_MISMATCH = -32020,
    MCP_UNSUPPORTED_VERSION = -32022,
};

/* How a request ends. */
enum mcp_end {
    MCP_ANSWERED,  /* status and answer are there */
    MCP_WAITING,   /* mcp_complete follows */
    MCP_LISTENING, /* the answer is a stream: mcp_listen_next */
};

struct mcp_call;

/* --- what is registered ------------------------------------------------------------------------------------------- */

enum mcp_hint {
    MCP_READ_ONLY = 1,
    MCP_DESTRUCTIVE = 2,
    MCP_IDEMPOTENT = 4,
    MCP_PROGRESS = 8, /* none of the protocol's: while it waits it tells how far it is, to clients who want to know */
};

struct mcp_tool {
    const char *name, *title, *description;
    unsigned hints;
    json_t *(*input)(const struct mcp_tool *t);  /* a JSON Schema of type object; NULL: out of memory */
    json_t *(*output)(const struct mcp_tool *t); /* likewise; NULL: none is promised */
    /* `arguments` is an object, borrowed for as long as the call lives. Ends by mcp_tool_done or mcp_tool_failed. */
    enum mcp_end (*call)(struct mcp_call *c, const struct mcp_tool *t, const json_t *arguments);
    const void *own; /* the registrar's */
};

struct mcp_template {
    const char *uri, *name, *title, *description, *mime_type; /* of RFC 6570 */
};

struct mcp_prompt {
    const char *name, *title, *description;
    struct mcp_argument {
        const char *name, *description; /* NULL ends the list */
        bool required;
    } arguments[MCP_ARGUMENTS_MAX];
    /* The text of the one message, where required arguments are there; NULL: out of memory. */
    char *(*text)(const struct mcp_prompt *p, const json_t *arguments);
};

struct mcp_server {
    const char *name, *version, *instructions;
    const struct mcp_tool *tools;
    size_t n_tools;
    /* Whether a tool is for this caller; NULL: all are for everybody. One that is not is not listed, but may be called:
     * whoever does what is asked then says why not. */
    bool (*offers)(const struct mcp_call *c, const struct mcp_tool *t);
    const struct mcp_prompt *prompts;
    size_t n_prompts;
    const struct mcp_template *templates;
    size_t n_templates;
    /* All there are now: objects with uri and name, in an order that stays. NULL: out of memory. */
    json_t *(*resources)(void *arg);
    /* Ends by mcp_contents, mcp_no_resource or mcp_fail. */
    enum mcp_end (*read)(struct mcp_call *c, const char *uri);
    /* Whether changes of it are told. */
    bool (*subscribable)(void *arg, const char *uri);
    void *arg; /* of those three */
};

/* --- one message -------------------------------------------------------------------------------------------------- */

/* Headers of an HTTP request; NULL where there is none. */
struct mcp_headers {
    const char *content_type, *accept, *version, *method, *name;
};

struct mcp_listen {
    bool list_changed, list_dirty, begun;
    char *uris[MCP_LISTEN_MAX];
    bool dirty[MCP_LISTEN_MAX];
    size_t n_uris;
};

/* All zero but for `server`, `complete` and `arg` before mcp_begin. */
struct mcp_call {
    const struct mcp_server *server;
    void (*complete)(struct mcp_call *c); /* an MCP_WAITING one has its answer now; it may be released at once */
    void *arg;                            /* the transport's */

    enum mcp_era era;
    const char *version; /* the revision it is answered in */
    unsigned status;     /* of HTTP */
    json_t *answer;      /* NULL: none (202, or 405 and its kind) */
    bool http;           /* headers were there */
    bool progress;       /* the client wants to be told: while it is MCP_WAITING, by mcp_progress; then the answer */

    /* The handler's own, while it is MCP_WAITING; `cancel` is called once where nobody waits any more. */
    void *state;
    void (*cancel)(struct mcp_call *c);

    json_t *message, *params, *id; /* private, as all that follows; params and id are borrowed from message */
    json_t *token;                 /* of progress, likewise; NULL: none */
    int64_t told;
    bool streams; /* the client takes a stream for an answer */
    struct mcp_listen listen;
};
/*
 * Takes one message; `headers` is NULL where it came over no HTTP. Whatever it is, there is an answer: never fails
 * otherwise.
 */
enum mcp_end mcp_begin(struct mcp_call *c, const struct mcp_headers *headers, const char *body, size_t len);
/* Cancels, if it is still waiting, and releases. */
void mcp_call_done(struct mcp_call *c);
/* Of an MCP_WAITING call, after one of what follows. */
void mcp_complete(struct mcp_call *c);

/* --- how handlers end --------------------------------------------------------------------------------------------- */
/* All give MCP_ANSWERED. What is stolen may be NULL, which is out of memory. */

/* `structured` is an object; `note` (NULL: none) is one more text for the model. */
enum mcp_end mcp_tool_done(struct mcp_call *c, json_t *structured, const char *note);
/* What a model can mend: wrong arguments, a name that is taken, a VM that is not there. */
enum mcp_end mcp_tool_failed(struct mcp_call *c, const char *text);
enum mcp_end mcp_contents(struct mcp_call *c, const char *uri, const char *mime_type, const char *text);
enum mcp_end mcp_no_resource(struct mcp_call *c, const char *uri);
/* A fault of ours; `text` is sent. */
enum mcp_end mcp_fail(struct mcp_call *c, enum mcp_code code, const char *text);

/* notifications/progress of a call whose `progress` is set, the caller's; NULL: out of memory. */
json_t *mcp_progress(struct mcp_call *c, const char *text);

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

/* Something changed: true if the client is to be told (once, however often it changes until mcp_listen_next). */
bool mcp_resource_changed(struct mcp_call *c, const char *uri);
bool mcp_resources_changed(struct mcp_call *c); /* which there are */
/* The next message of an MCP_LISTENING call, the caller's; the first is there at once. NULL: nothing to tell. */
json_t *mcp_listen_next(struct mcp_call *c);
/* The last message: the server ends the subscription. */
json_t *mcp_listen_end(const struct mcp_call *c);

/* A message as an event of a stream. */
void mcp_event(struct strbuf *b, const json_t *message);
