/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volar mcp: a message of MCP per line on stdin, each a POST of its own to volantd, answers as lines on stdout in the
 * order in which they come. Nothing is remembered but the revision that a handshake agreed on.
 */
#include "volar/mcp.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/schema.h"
#include "volar/api_curl.h"
#include "volar/volar.h"

#define ANSWER_MAX      (64UL * 1024 * 1024)
#define REQUESTS_MAX    64
#define CALL_S          120L
#define POLL_MS         1000
#define DRAIN_MS        35000 /* for what is under way when stdin ends */
#define INVALID_REQUEST (-32600)
#define PARSE_ERROR     (-32700)
#define INTERNAL        (-32603)

static const char too_large[] = "a message is larger than 1 MiB";

struct bridge {
    struct api_address address;
    CURLM *multi;
    struct request *requests;
    size_t n_requests;
    struct strbuf in;
    bool skipping; /* the rest of a line that is too long */
    bool ended;    /* stdin */
    bool failed;   /* stdout */
    bool initialized;
    char version[16]; /* of the handshake; "" none */
};

struct request {
    struct bridge *bridge;
    struct request *next;
    CURL *curl;
    struct curl_slist *headers;
    char *body;
    json_t *id;
    bool listens, answered;
    struct strbuf got; /* of a stream: what is no whole line yet */
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Takes `line`; NULL: out of memory. */
static void put_line(struct bridge *b, char *line)
{
    if (!line || fputs(line, stdout) == EOF || putchar('\n') == EOF || fflush(stdout) == EOF) b->failed = true;
    free(line);
}

static bool is_stream(const struct request *q)
{
    char *type = NULL;

    return curl_easy_getinfo(q->curl, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type &&
           str_starts(type, "text/event-stream");
}

/* Each "data:" is a message; comments and what else there is goes. */
static int take_event_line(void *arg, const char *line, size_t n)
{
    struct request *q = arg;
    json_auto_t *j = NULL;
    const json_t *id;

    if (n > 0 && line[n - 1] == '\r') n--;
    if (n < 5 || memcmp(line, "data:", 5) != 0 || !(j = json_loadb(line + 5, n - 5, 0, NULL))) return 0;
    id = json_object_get(j, "id");
    if (id && json_equal(id, q->id)) {
        if (q->listens) put_line(q->bridge, mcp_cancelled_line(q->id)); /* which the protocol has on stdio alone */
        q->answered = true;
    }
    put_line(q->bridge, json_text(j));
    return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct request *q = arg;

    (void)size; /* always 1 */
    if (q->got.len + n > ANSWER_MAX) return 0;
    strbuf_add(&q->got, data, n);
    if (q->got.failed) return 0;
    if (!is_stream(q)) return n;
    (void)strbuf_each_line(&q->got, take_event_line, q);
    return q->bridge->failed ? 0 : n;
}

static void request_free(struct request *q)
{
    if (q->curl) {
        (void)curl_multi_remove_handle(q->bridge->multi, q->curl);
        curl_easy_cleanup(q->curl);
    }
    curl_slist_free_all(q->headers);
    strbuf_done(&q->got);
    json_decref(q->id);
    free(q->body);
    free(q);
}
DEFINE_AUTO(struct request *, request_free)

static void request_end(struct request *q)
{
    struct request **at = &q->bridge->requests;

    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    q->bridge->n_requests--;
    request_free(q);
}

static void complete(struct request *q, CURLcode code)
{
    struct bridge *b = q->bridge;
    char text[400];
    long status = 0;

    (void)curl_easy_getinfo(q->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 0) {
        (void)strf(text, sizeof(text), "volantd does not answer at %s: %s",
                   *b->address.socket ? b->address.socket : b->address.base, curl_easy_strerror(code));
        put_line(b, mcp_error_line(q->id, INTERNAL, text));
    } else if (is_stream(q) || code != CURLE_OK) {
        if (!q->answered)
            put_line(b, mcp_error_line(q->id, INTERNAL, "volantd ended the answer before it was complete"));
    } else {
        put_line(b, mcp_answer_line(q->id, status, q->got.data ? q->got.data : "", q->got.len, b->version));
    }
    request_end(q);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static int add_headers(struct request *q, const json_t *message)
{
    static const char *const always[] = {"Content-Type: application/json",
                                         "Accept: application/json, text/event-stream", "Expect:"};
    auto_strv headers = {0};
    int r = mcp_headers(message, *q->bridge->version ? q->bridge->version : NULL, &headers);

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(always) + headers.len; i++) {
        struct curl_slist *more =
            curl_slist_append(q->headers, i < ARRAY_LEN(always) ? always[i] : headers.items[i - ARRAY_LEN(always)]);

        if (!more) return -ENOMEM;
        q->headers = more;
    }
    return r;
}

static int request_begin(struct bridge *b, const json_t *message, struct vl_error *err)
{
    auto_(request_freep) struct request *q = calloc(1, sizeof(*q));
    int r;

    if (!q) return vl_fail_errno(err, ENOMEM, "request");
    q->bridge = b;
    q->id = json_incref(json_object_get(message, "id"));
    q->listens = str_eq(json_string_value(json_object_get(message, "method")), "subscriptions/listen");
    if (!(q->body = json_text(message)) || !(q->curl = curl_easy_init()) || add_headers(q, message) < 0)
        return vl_fail_errno(err, ENOMEM, "request");
    if ((r = api_curl_setup(q->curl, &b->address, "POST", "/mcp", err)) < 0) return r;
    (void)curl_easy_setopt(q->curl, CURLOPT_POSTFIELDS, q->body);
    (void)curl_easy_setopt(q->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(q->body));
    (void)curl_easy_setopt(q->curl, CURLOPT_HTTPHEADER, q->headers);
    (void)curl_easy_setopt(q->curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(q->curl, CURLOPT_WRITEDATA, q);
    (void)curl_easy_setopt(q->curl, CURLOPT_PRIVATE, q);
    if (!q->listens) (void)curl_easy_setopt(q->curl, CURLOPT_TIMEOUT, CALL_S);
    if (curl_multi_add_handle(b->multi, q->curl) != CURLM_OK) return vl_fail_errno(err, ENOMEM, "request");
    q->next = b->requests;
    b->requests = take_ptr(q);
    b->n_requests++;
    return 0;
}

/* The client wants nothing more of it: the closed request tells volantd. */
static void cancel(struct bridge *b, const json_t *id)
{
    for (struct request *q = b->requests; id && q; q = q->next) {
        if (!json_equal(id, q->id)) continue;
        request_end(q);
        return;
    }
}

static void take_request(struct bridge *b, const json_t *message, const json_t *id, const char *method)
{
    struct vl_error err = {0};

    if (str_eq(method, "initialize")) b->initialized = true;
    if (!mcp_is_modern(message) && !b->initialized && !str_eq(method, "ping"))
        put_line(b, mcp_error_line(id, INVALID_REQUEST, "without the envelope of 2026-07-28, initialize comes first"));
    else if (b->n_requests >= REQUESTS_MAX)
        put_line(b, mcp_error_line(id, INTERNAL, "too many requests at once: wait for an answer"));
    else if (request_begin(b, message, &err) < 0)
        put_line(b, mcp_error_line(id, INTERNAL, err.msg));
}

static void take_line(struct bridge *b, const char *line, size_t n)
{
    json_auto_t *message = NULL;
    const json_t *id;
    const char *method;
    struct vl_error err = {0};

    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    if (n == 0) return;
    if (n > MCP_LINE_MAX) {
        put_line(b, mcp_error_line(NULL, INVALID_REQUEST, too_large));
        return;
    }
    if (json_parse(line, n, "the line", &message, &err) < 0) {
        put_line(b, mcp_error_line(NULL, PARSE_ERROR, err.msg));
        return;
    }
    id = json_object_get(message, "id");
    method = json_string_value(json_object_get(message, "method"));
    if (!json_is_object(message) ||
        (!method && id && !json_object_get(message, "result") && !json_object_get(message, "error")))
        put_line(b, mcp_error_line(json_is_string(id) || json_is_integer(id) ? id : NULL, INVALID_REQUEST,
                                   "a JSON-RPC message is an object with a method"));
    else if (method && id)
        take_request(b, message, id, method);
    else if (str_eq(method, "notifications/cancelled"))
        cancel(b, json_object_get(json_object_get(message, "params"), "requestId"));
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static int take_whole_line(void *arg, const char *line, size_t n)
{
    struct bridge *b = arg;

    if (!b->skipping) take_line(b, line, n);
    b->skipping = false;
    return 0;
}

static void take_lines(struct bridge *b)
{
    (void)strbuf_each_line(&b->in, take_whole_line, b);
    if (b->in.len <= MCP_LINE_MAX) return;
    if (!b->skipping) put_line(b, mcp_error_line(NULL, INVALID_REQUEST, too_large));
    b->skipping = true;
    strbuf_consume(&b->in, b->in.len);
}

static void read_stdin(struct bridge *b)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char piece[64 * 1024];
    ssize_t n;

    if (b->ended || poll(&p, 1, 0) <= 0) return;
    if ((n = read(STDIN_FILENO, piece, sizeof(piece))) < 0 && errno == EINTR) return;
    if (n > 0) {
        strbuf_add(&b->in, piece, (size_t)n);
        if (b->in.failed) b->failed = true;
        take_lines(b);
        return;
    }
    b->ended = true;
    if (b->in.len > 0 && !b->skipping) take_line(b, b->in.data, b->in.len);
}

/* Nobody is left who would end a subscription. */
static void end_subscriptions(struct bridge *b)
{
    struct request *next;

    for (struct request *q = b->requests; q; q = next) {
        next = q->next;
        if (q->listens) request_end(q);
    }
}

static void finish_requests(struct bridge *b)
{
    const CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(b->multi, &left))) {
        char *q = NULL;

        if (msg->msg == CURLMSG_DONE && curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &q) == CURLE_OK && q)
            complete((struct request *)(void *)q, msg->data.result);
    }
}

static void serve(struct bridge *b)
{
    int64_t deadline = INT64_MAX;
    int running;

    while (!b->failed && !(b->ended && !b->requests) && mono_ms() < deadline) {
        struct curl_waitfd in = {.fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN};

        (void)curl_multi_poll(b->multi, &in, b->ended ? 0 : 1, POLL_MS, NULL);
        read_stdin(b);
        if (b->ended && deadline == INT64_MAX) {
            deadline = mono_ms() + DRAIN_MS;
            end_subscriptions(b);
        }
        (void)curl_multi_perform(b->multi, &running);
        finish_requests(b);
    }
}

int mcp(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct bridge b = {0};
    struct vl_error err = {0};
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (api_address_find(v->api_url, &b.address, &err) < 0) return volar_fail(&err);
    if (api_curl_begin(&b.address) != CURLE_OK || !(b.multi = curl_multi_init())) {
        vl_fail_errno(&err, ENOMEM, "libcurl");
        return volar_fail(&err);
    }
    serve(&b);
    while (b.requests)
        request_end(b.requests);
    strbuf_done(&b.in);
    (void)curl_multi_cleanup(b.multi);
    return b.failed ? EXIT_FAILED : EXIT_DONE;
}
