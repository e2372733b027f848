/* SPDX-License-Identifier: Apache-2.0 */
/* Requests taken apart and replies put together, without knowing how they travel. */
#include "volantd/request.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "model/schema.h"

#define JSON_TYPE       "application/json; charset=utf-8"
#define WARNING_MAX     256  /* bytes of one */
#define WARNINGS_BYTES  1024 /* of all, as headers live in the connection's small pool */
#define WARNINGS_HEADER "Volant-Warning"

/* --- taking apart ------------------------------------------------------------------------------------------------- */

int api_percent_decode(const char *s, size_t n, bool plus, char **ret)
{
    auto_free char *out = calloc(1, n + 1);
    size_t len = 0;

    if (!out) return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '%') {
            char digits[3] = {0};

            if (n - i < 3) return -EINVAL;
            memcpy(digits, s + i + 1, 2);
            if (hex_decode(digits, &c, 1) < 0) return -EINVAL;
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0') return -EINVAL;
        out[len++] = (char)c;
    }
    *ret = take_ptr(out);
    return 0;
}

static int parse_pair(struct api_req *req, const char *s, size_t n)
{
    const char *equals = memchr(s, '=', n);
    size_t name_len = equals ? (size_t)(equals - s) : n;
    auto_free char *name = NULL, *value = NULL;
    int r;

    if ((r = api_percent_decode(s, name_len, true, &name)) < 0) return r;
    if (equals && (r = api_percent_decode(equals + 1, n - name_len - 1, true, &value)) < 0) return r;
    if (!equals && !(value = strdup(""))) return -ENOMEM;
    req->pairs[req->n_pairs++] = (struct api_pair){take_ptr(name), take_ptr(value)};
    return 0;
}

static int parse_query(struct api_req *req, struct vl_error *err)
{
    const char *s = req->query;
    int r;

    while (s && *s) {
        size_t n = strcspn(s, "&");

        if (n > 0 && req->n_pairs == API_QUERY_MAX)
            return vl_fail(err, VL_INVALID, "the query has more than %d parameters", API_QUERY_MAX);
        if (n > 0 && (r = parse_pair(req, s, n)) == -EINVAL)
            return vl_fail(err, VL_INVALID,
                           "the query has a '%%' that two hexadecimal digits (but not 00) do not follow");
        if (n > 0 && r < 0) return vl_fail_errno(err, r, "query");
        s += n + (s[n] == '&');
    }
    return 0;
}

/* Original clients escape "history?limit=N" as a whole: what is one segment for them is path and query (contract 1.5).
 */
static void split_escaped(struct api_req *req)
{
    char *mark = strrchr(req->path, '/');

    if (req->query || !mark || strncasecmp(mark, "/history%3F", 11) != 0) return;
    if (api_percent_decode(mark + 11, strlen(mark + 11), false, &req->query) == 0) mark[8] = '\0';
}

int api_req_init(struct api_req *req, const char *method, const char *target, struct vl_error *err)
{
    size_t path_len = strcspn(target, "?");

    req->method = method;
    if (!(req->path = strndup(target, path_len))) return vl_fail_errno(err, ENOMEM, "request");
    if (target[path_len] == '\0') split_escaped(req);
    if (target[path_len] == '\0') return parse_query(req, err);
    if (!(req->query = strdup(target + path_len + 1))) return vl_fail_errno(err, ENOMEM, "request");
    return parse_query(req, err);
}

void api_req_done(struct api_req *req)
{
    if (req->release) req->release(req);
    for (size_t i = 0; i < API_PARAMS_MAX; i++)
        free(req->params[i]);
    for (size_t i = 0; i < req->n_pairs; i++) {
        free(req->pairs[i].name);
        free(req->pairs[i].value);
    }
    free(req->path);
    free(req->query);
    strbuf_done(&req->body);
    free(req->reply.body);
    strv_done(&req->reply.headers);
    *req = (struct api_req){0};
}

const char *api_query(const struct api_req *req, const char *name)
{
    for (size_t i = 0; i < req->n_pairs; i++)
        if (str_eq(req->pairs[i].name, name)) return req->pairs[i].value;
    return NULL;
}

const char *api_req_header(const struct api_req *req, const char *name)
{
    return req->header ? req->header(req, name) : NULL;
}

int api_query_u64(const struct api_req *req, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
                  struct vl_error *err)
{
    const char *text = api_query(req, name);
    char shown[QUOTED_SIZE];

    if (!text) return 0;
    if (parse_u64(text, min, max, ret) < 0)
        return vl_fail(err, VL_INVALID, "parameter '%s' is %s, allowed %llu to %llu", name, quoted(text, shown),
                       (unsigned long long)min, (unsigned long long)max);
    return 0;
}

int api_query_bool(const struct api_req *req, const char *name, bool *ret, struct vl_error *err)
{
    const char *text = api_query(req, name);
    char shown[QUOTED_SIZE];

    if (!text) return 0;
    if (str_eq(text, "1") || str_eq(text, "true"))
        *ret = true;
    else if (str_eq(text, "0") || str_eq(text, "false"))
        *ret = false;
    else
        return vl_fail(err, VL_INVALID, "parameter '%s' is %s, allowed 0, 1, true, false", name, quoted(text, shown));
    return 0;
}

int api_body_json(const struct api_req *req, json_t **ret, struct vl_error *err)
{
    if (req->body.len == 0) return vl_fail(err, VL_INVALID, "EOF: the body is empty, a JSON object is wanted");
    return json_parse(req->body.data, req->body.len, "body", ret, err);
}

/* --- putting together --------------------------------------------------------------------------------------------- */

enum api_end api_empty(struct api_req *req, unsigned status)
{
    req->reply.status = status;
    return API_DONE;
}

enum api_end api_json_text(struct api_req *req, unsigned status, char *text, struct vl_error *err)
{
    if (!text) {
        vl_fail_errno(err, ENOMEM, "reply");
        return API_FAILED;
    }
    free(req->reply.body);
    req->reply.status = status;
    req->reply.content_type = JSON_TYPE;
    req->reply.body = text;
    req->reply.body_len = strlen(text);
    return API_DONE;
}

enum api_end api_json(struct api_req *req, unsigned status, json_t *steal, struct vl_error *err)
{
    json_auto_t *j = steal;

    return api_json_text(req, status, j ? json_text(j) : NULL, err);
}

enum api_end api_error(struct api_req *req, unsigned status, const char *text)
{
    auto_strbuf b = {0};
    char *body;

    strbuf_adds(&b, "{\"error\":");
    strbuf_add_json(&b, text, strlen(text));
    strbuf_adds(&b, "}");
    if (!(body = strbuf_take(&b)) || api_json_text(req, status, body, NULL) != API_DONE) req->reply.status = status;
    return API_DONE;
}

static unsigned status_of(enum vl_kind kind)
{
    switch (kind) {
    case VL_INVALID:
        return 400;
    case VL_NOT_FOUND:
        return 404;
    case VL_CONFLICT:
        return 409;
    case VL_CHANGED:
        return 412;
    case VL_TOO_LARGE:
        return 413;
    case VL_NO_SPACE:
        return 507;
    case VL_UNAVAILABLE:
        return 503;
    case VL_INTERNAL:
        break;
    }
    return 500;
}

void api_fail(struct api_req *req, const struct vl_error *err)
{
    unsigned status = status_of(err->kind);
    const char *text = *err->msg ? err->msg : "internal error";

    if (status == 500 || status == 507) log_err("%s %s: %s", req->method, req->path ? req->path : "", text);
    if (status == 503) api_header(req, "Retry-After", "1");
    /* Whoever may open the Unix socket may read the log too, and is helped best by what it says. */
    if (status == 500 && req->peer.tcp) text = "internal error: volantd's log tells more";
    (void)api_error(req, status, text);
}

void api_header(struct api_req *req, const char *name, const char *value)
{
    if (strv_addf(&req->reply.headers, "%s: %s", name, value) < 0) log_warn("no memory for header %s", name);
}

void api_warn(struct api_req *req, const struct strv *warnings)
{
    size_t used = 0, i;
    char text[WARNING_MAX];

    for (i = 0; i < warnings->len; i++) {
        (void)escape_printable(text, sizeof(text), warnings->items[i], strlen(warnings->items[i]));
        if ((used += strlen(text) + sizeof(WARNINGS_HEADER)) > WARNINGS_BYTES) break;
        api_header(req, WARNINGS_HEADER, text);
    }
    if (i == warnings->len) return;
    (void)strf(text, sizeof(text), "and %zu more", warnings->len - i);
    api_header(req, WARNINGS_HEADER, text);
}

void api_resume(struct api_req *req)
{
    req->resume(req);
}
