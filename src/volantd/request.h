/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request as handlers see it: decoded path and query, the body, and the reply they write. No socket in sight: the
 * HTTP side (http.c) owns it, tests make their own. Loop thread only; valid until `release` was called.
 */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"
#include "net/cidr.h"

struct api;
struct api_req;

/* How a handler ends. */
enum api_end {
    API_DONE,      /* `reply` is complete */
    API_FAILED,    /* err says why */
    API_SUSPENDED, /* api_resume follows, once `reply` is complete */
    API_STREAM,    /* `reply` is complete but for its body, which comes from `source` */
};

/* A body that comes piece by piece, to whoever has room for it. */
struct api_source {
    /* Fills buf: how many bytes, 0 = nothing now (api_resume follows), -ENODATA = complete end, else broken off. */
    ssize_t (*read)(struct api_req *req, char *buf, size_t size);
    size_t block; /* bytes that are kept for it, where there may be many; 0: the usual */
    /* volantd stops: what `read` gives up to -ENODATA from now on is still sent. NULL: it breaks off. */
    void (*stop)(struct api_req *req);
};

/* Where a large body goes piece by piece. A handler of such a route is called with the headers alone and sets it. */
struct api_sink {
    /* How much of it was taken; 0 = no room now (api_resume follows). */
    size_t (*write)(struct api_req *req, const char *data, size_t n);
    /* All is there. Ends as a handler does. */
    enum api_end (*end)(struct api *api, struct api_req *req, struct vl_error *err);
};

/* What a connection becomes after a reply of 101. */
struct api_upgrade {
    /* The socket, borrowed until hang_up, and what came of it already. */
    void (*begin)(struct api_req *req, int fd, const void *early, size_t n);
    /* volantd stops: hang_up is to be called now. */
    void (*stop)(struct api_req *req);
};

struct api_reply {
    unsigned status;
    const char *content_type; /* a constant; NULL: no body */
    char *body;               /* malloc'd, the reply's */
    size_t body_len;
    const struct api_source *source;
    const struct api_upgrade *upgrade;
    struct strv headers; /* "Name: value" */
};

struct api_pair {
    char *name, *value;
};

/* What a caller may do; each also what those before it may. */
enum api_role {
    ROLE_NONE,
    ROLE_READ,    /* look at everything but secrets of volantd's own */
    ROLE_OPERATE, /* make, change and end VMs, deployments and plugins; consoles */
    ROLE_ADMIN,   /* tokens, the registry's backups and repair */
};

/* Where a request comes from. */
struct api_peer {
    bool tcp;             /* not from the Unix socket, whose users own this volantd */
    bool tls;             /* TCP: encrypted */
    bool loopback;        /* TCP: came to a listener on loopback */
    struct net_addr addr; /* TCP */
};

#define API_PARAMS_MAX 2
#define API_QUERY_MAX  32
#define API_BODY_MAX   (1024ul * 1024) /* of bodies that are not streamed */

struct api_req {
    const char *method;
    char *path;  /* as sent, without the query */
    char *query; /* as sent, NULL: none */
    char *params[API_PARAMS_MAX];
    struct api_pair pairs[API_QUERY_MAX];
    size_t n_pairs;
    struct strbuf body;
    uint64_t body_length;        /* as announced, 0: unknown */
    const struct api_sink *sink; /* where the route streams its body */
    struct api_reply reply;
    struct api_peer peer;
    enum api_role role;       /* access.h: what the caller may do */
    char caller[64];          /* name of its token, "" none */
    char from[NET_ADDR_TEXT]; /* its address, through proxies that are believed; "" the Unix socket */

    /* The handler's own. `release` is called once, however the request ends; nothing may resume it afterwards. */
    void *state;
    void (*release)(struct api_req *req);

    /* Set by the HTTP side. */
    void (*resume)(struct api_req *req);
    void (*hang_up)(struct api_req *req); /* ends an upgraded connection; `release` follows */
    const char *(*header)(const struct api_req *req, const char *name);      /* the first; NULL: there are none */
    const char *(*last_header)(const struct api_req *req, const char *name); /* that which the nearest proxy added */
};
/* Splits and keeps a request target ("/path?query"). VL_INVALID for a query that cannot be decoded. */
int api_req_init(struct api_req *req, const char *method, const char *target, struct vl_error *err);
/* Releases everything, with `release` first. All zero is fine. */
void api_req_done(struct api_req *req);

/* %XX decoding into a new string; NUL and bad escapes are -EINVAL. plus: '+' is a space. */
int api_percent_decode(const char *s, size_t n, bool plus, char **ret);

/* The first value of a query parameter, or NULL. */
const char *api_query(const struct api_req *req, const char *name);
/* A header of the request, borrowed until the handler returns; or NULL. */
const char *api_req_header(const struct api_req *req, const char *name);
/* NULL-safe parsing of numbers and switches; absent leaves *ret alone. VL_INVALID names parameter and range. */
int api_query_u64(const struct api_req *req, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
                  struct vl_error *err);
int api_query_bool(const struct api_req *req, const char *name, bool *ret, struct vl_error *err);
/* The body as JSON. VL_INVALID says where it is wrong. */
int api_body_json(const struct api_req *req, json_t **ret, struct vl_error *err);

/* Replies. These end as a handler does; a NULL json (out of memory) is API_FAILED. */
enum api_end api_empty(struct api_req *req, unsigned status);
enum api_end api_json(struct api_req *req, unsigned status, json_t *steal, struct vl_error *err);
/* Takes `text`, JSON already; NULL (out of memory) is API_FAILED. */
enum api_end api_json_text(struct api_req *req, unsigned status, char *text, struct vl_error *err);
/* {"error": text} */
enum api_end api_error(struct api_req *req, unsigned status, const char *text);
/* What a handler's failure is answered with; logs what is ours to mend. */
void api_fail(struct api_req *req, const struct vl_error *err);
void api_header(struct api_req *req, const char *name, const char *value);
/* One Volant-Warning header each, as many as fit; escaped. */
void api_warn(struct api_req *req, const struct strv *warnings);

/* The reply of a suspended request is complete, its source has something again, or its sink has room again. */
void api_resume(struct api_req *req);
