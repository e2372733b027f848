/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/api.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/schema.h"
#include "volar/api_curl.h"
#include "volar/progress.h"
#include "volar/volar.h"

#define ANSWER_MAX   (64UL * 1024 * 1024)
#define CONNECT_MS   5000L
#define POLL_MS      100
#define EXPECT_MS    10000L /* for volantd to say that it wants a body; then it is sent all the same */
#define UPLOAD_STALL 60L    /* seconds below a byte a second */

struct api {
    struct api_address address;
    CURL *curl;
    CURLM *multi;
};

/* One exchange on its way. */
struct exchange {
    CURL *curl;
    struct api_answer answer;
    int (*take)(void *arg, const char *data, size_t n); /* NULL: into the answer */
    void *arg;
    int (*stop)(void *arg); /* NULL: nobody stops it */
    void *stop_arg;
    int taken; /* what take said, or -ENOMEM, -EFBIG */
    int given; /* -errno of reading what is sent; -ESTALE: it became shorter meanwhile */
    struct progress progress;
    uint64_t sent;
    int fd;
};

void api_answer_done(struct api_answer *a)
{
    strbuf_done(&a->body);
}

CURLcode api_curl_begin(const struct api_address *a)
{
    return curl_global_init(str_starts(a->base, "https://") ? CURL_GLOBAL_SSL : CURL_GLOBAL_NOTHING);
}

static int api_open(struct volar *v, struct vl_error *err)
{
    auto_free struct api *a = NULL;
    int r;

    if (v->api) return 0;
    if (!(a = calloc(1, sizeof(*a)))) return vl_fail_errno(err, ENOMEM, "API client");
    if ((r = api_address_find(v->api_url, &a->address, err)) < 0) return r;
    if (api_curl_begin(&a->address) != CURLE_OK || !(a->curl = curl_easy_init()) || !(a->multi = curl_multi_init())) {
        curl_easy_cleanup(a->curl);
        return vl_fail_errno(err, ENOMEM, "libcurl");
    }
    v->api = take_ptr(a);
    return 0;
}

void api_close(struct volar *v)
{
    if (!v->api) return;
    curl_easy_cleanup(v->api->curl);
    (void)curl_multi_cleanup(v->api->multi);
    free(v->api);
    v->api = NULL;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;

    (void)size; /* always 1 */
    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->answer.status);
    if (x->take && x->answer.status < 300) {
        x->taken = x->take(x->arg, data, n);
        return x->taken < 0 ? 0 : n;
    }
    if (x->answer.body.len + n > ANSWER_MAX) {
        x->taken = -EFBIG;
        return 0;
    }
    strbuf_add(&x->answer.body, data, n);
    return n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    static const char warning[] = "volant-warning:";

    (void)size;
    (void)arg;
    if (n > sizeof(warning) && strncasecmp(data, warning, sizeof(warning) - 1) == 0) {
        auto_strbuf shown = {0};
        size_t at = sizeof(warning) - 1, end = n;

        while (at < end && data[at] == ' ')
            at++;
        while (end > at && (data[end - 1] == '\r' || data[end - 1] == '\n'))
            end--;
        strbuf_add_printable(&shown, data + at, end - at);
        (void)fprintf(stderr, "volar: warning: %s\n", shown.data ? shown.data : "");
    }
    return n;
}

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    uint64_t left = x->progress.total - x->sent;
    ssize_t got = read(x->fd, buf, size * n < left ? size * n : left);

    if (got < 0 || (got == 0 && left > 0)) { /* shorter than promised: volantd would wait for the rest */
        x->given = got < 0 ? -errno : -ESTALE;
        return CURL_READFUNC_ABORT;
    }
    x->sent += (uint64_t)got;
    return (size_t)got;
}

static int no_volantd(const struct api *a, struct vl_error *err)
{
    if (*a->address.socket)
        return vl_fail(err, VL_UNAVAILABLE,
                       "volantd does not answer at %s: start it with `volantd`, or name another with "
                       "--api",
                       a->address.socket);
    return vl_fail(err, VL_UNAVAILABLE,
                   "volantd does not answer at %s: start it with `volantd --listen HOST:PORT`, or name "
                   "another with --api",
                   a->address.base);
}

/* No answer, or not all of it. */
static int broken_off(const struct api *a, const struct exchange *x, CURLcode code, struct vl_error *err)
{
    if (x->answer.status > 0 && x->take)
        return vl_fail(err, VL_UNAVAILABLE,
                       "volantd ended the stream before all was sent: it stopped, or the token was revoked");
    if (x->answer.status == 0 && !*a->address.socket && str_starts(a->address.base, "http://"))
        return vl_fail(err, VL_UNAVAILABLE, "%s gave no answer (%s): the port may speak TLS, try https://%s",
                       a->address.base, curl_easy_strerror(code), a->address.base + strlen("http://"));
    return vl_fail(err, VL_UNAVAILABLE, "talk to volantd: %s", curl_easy_strerror(code));
}

static int curl_failed(const struct api *a, const struct exchange *x, CURLcode code, struct vl_error *err)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
        if (*a->address.socket && access(a->address.socket, F_OK) == 0 && access(a->address.socket, R_OK | W_OK) < 0)
            return vl_fail(err, VL_UNAVAILABLE, "%s: no permission: be root, or a member of the socket's group",
                           a->address.socket);
        return no_volantd(a, err);
    case CURLE_OPERATION_TIMEDOUT:
        return vl_fail(err, VL_UNAVAILABLE, "volantd did not answer in time");
    case CURLE_ABORTED_BY_CALLBACK:
        if (x->given == -ESTALE)
            return vl_fail(err, VL_INVALID, "the file became shorter while it was sent: try again when it is complete");
        return vl_fail_errno(err, x->given, "read what is to be sent");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return vl_fail(err, VL_UNAVAILABLE,
                       "the certificate of %s is not trusted (%s): name the file of one that vouches for it in "
                       "VOLANT_API_CA",
                       a->address.base, curl_easy_strerror(code));
    case CURLE_SSL_CONNECT_ERROR:
        return vl_fail(err, VL_UNAVAILABLE, "%s: no TLS connection (%s): the port may speak none, try http://",
                       a->address.base, curl_easy_strerror(code));
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: no HTTP at all */
        return broken_off(a, x, code, err);
    case CURLE_WRITE_ERROR:
        if (x->taken < 0) return vl_fail_errno(err, x->taken, "take the answer");
        break;
    default:
        break;
    }
    return vl_fail(err, VL_UNAVAILABLE, "talk to volantd: %s", curl_easy_strerror(code));
}

/* Multi, not easy: so that the progress line moves while nothing arrives. */
static CURLcode perform(const struct api *a, struct exchange *x)
{
    CURLcode code = CURLE_OK;
    int running = 1, left;
    const CURLMsg *msg;

    if (curl_multi_add_handle(a->multi, a->curl) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    while (curl_multi_perform(a->multi, &running) == CURLM_OK && running) {
        progress_tick(&x->progress, x->sent);
        if (x->stop && (x->taken = x->stop(x->stop_arg)) < 0) {
            code = CURLE_WRITE_ERROR;
            break;
        }
        (void)curl_multi_poll(a->multi, NULL, 0, POLL_MS, NULL);
    }
    while ((msg = curl_multi_info_read(a->multi, &left)))
        if (msg->msg == CURLMSG_DONE) code = msg->data.result;
    (void)curl_multi_remove_handle(a->multi, a->curl);
    progress_end(&x->progress);
    return code;
}

int api_curl_setup(CURL *c, const struct api_address *a, const char *method, const char *path, struct vl_error *err)
{
    char url[1024];

    if (strf(url, sizeof(url), "%s%s", a->base, path) < 0) return vl_fail(err, VL_INVALID, "path too long: %s", path);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "volar");
    if (*a->socket) (void)curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, a->socket);
    if (*a->ca) (void)curl_easy_setopt(c, CURLOPT_CAINFO, a->ca);
    if (*a->token) {
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        (void)curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, a->token);
    }
    return 0;
}

static int request_setup(const struct api *a, const char *method, const char *path, struct exchange *x,
                         struct vl_error *err)
{
    CURL *c = x->curl = a->curl;
    int r;

    curl_easy_reset(c);
    if ((r = api_curl_setup(c, &a->address, method, path, err)) < 0) return r;
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    return 0;
}

static enum vl_kind kind_of(long status)
{
    switch (status) {
    case 404:
        return VL_NOT_FOUND;
    case 409:
        return VL_CONFLICT;
    case 413:
        return VL_TOO_LARGE;
    case 503:
        return VL_UNAVAILABLE;
    case 507:
        return VL_NO_SPACE;
    default:
        return status < 500 ? VL_INVALID : VL_INTERNAL;
    }
}

/* {"error": "text"}, made safe for a terminal. */
static int refused(const struct api *api, const struct api_answer *a, struct vl_error *err)
{
    json_auto_t *j = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(j, "error"));
    auto_strbuf shown = {0};

    if (!text)
        return vl_fail(err, kind_of(a->status),
                       "%s answered with status %ld and without volantd's words: is it volantd?",
                       *api->address.socket ? api->address.socket : api->address.base, a->status);
    strbuf_add_printable(&shown, text, strlen(text));
    return vl_fail(err, kind_of(a->status), "%s%s", shown.data ? shown.data : "",
                   a->status == 401 ? "; volar sends that of VOLANT_API_TOKEN" : "");
}

static int exchange_end(const struct api *a, struct exchange *x, struct vl_error *err)
{
    CURLcode code = perform(a, x);
    int r;

    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->answer.status);
    if ((r = curl_failed(a, x, code, err)) < 0) return r;
    if (x->answer.body.failed) return vl_fail_errno(err, ENOMEM, "take the answer");
    return x->answer.status >= 300 ? refused(a, &x->answer, err) : 0;
}

int api_call(struct volar *v, const char *method, const char *path, const char *body, int timeout_s,
             struct api_answer *ret, struct vl_error *err)
{
    struct exchange x = {.fd = -1};
    int r;

    if ((r = api_open(v, err)) < 0 || (r = request_setup(v->api, method, path, &x, err)) < 0) return r;
    (void)curl_easy_setopt(v->api->curl, CURLOPT_TIMEOUT, (long)timeout_s);
    if (body) {
        (void)curl_easy_setopt(v->api->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        (void)curl_easy_setopt(v->api->curl, CURLOPT_POSTFIELDS, body);
    }
    progress_begin(&x.progress, "waiting for volantd", 0);
    if ((r = exchange_end(v->api, &x, err)) < 0 || !ret) {
        api_answer_done(&x.answer);
        return r;
    }
    *ret = x.answer;
    return 0;
}

int api_json(struct volar *v, const char *method, const char *path, const char *body, int timeout_s, json_t **ret,
             struct vl_error *err)
{
    auto_answer a = {0};
    int r;

    if ((r = api_call(v, method, path, body, timeout_s, &a, err)) < 0) return r;
    return json_parse(a.body.data ? a.body.data : "", a.body.len, "volantd's answer", ret, err);
}

int api_stream(struct volar *v, const char *path, int (*take)(void *arg, const char *data, size_t n), void *take_arg,
               int (*stop)(void *arg), void *stop_arg, struct vl_error *err)
{
    struct exchange x = {.fd = -1, .take = take, .arg = take_arg, .stop = stop, .stop_arg = stop_arg};
    int r;

    if ((r = api_open(v, err)) < 0 || (r = request_setup(v->api, "GET", path, &x, err)) < 0) return r;
    r = exchange_end(v->api, &x, err);
    api_answer_done(&x.answer);
    return r;
}

static int upload_stopped(void *arg)
{
    const struct volar *v = arg;

    return *v->stop ? -EINTR : 0;
}

int api_upload(struct volar *v, const char *path, int fd, uint64_t size, const char *label, struct vl_error *err)
{
    struct exchange x = {.fd = fd, .stop = v->stop ? upload_stopped : NULL, .stop_arg = v};
    struct curl_slist *headers = NULL;
    int r;

    if ((r = api_open(v, err)) < 0 || (r = request_setup(v->api, "PUT", path, &x, err)) < 0) return r;
    /*
     * A round trip before the first byte, so that what the head alone is refused for is read. Without it volantd
     * answers and closes while we send, and one time in twenty all that is left of the reason is that sending failed.
     */
    if (!(headers = curl_slist_append(NULL, "Expect: 100-continue"))) return vl_fail_errno(err, ENOMEM, "upload");
    (void)curl_easy_setopt(v->api->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_MS);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_READDATA, &x);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_LOW_SPEED_TIME, UPLOAD_STALL);
    progress_begin(&x.progress, label, size);
    r = exchange_end(v->api, &x, err);
    curl_slist_free_all(headers);
    api_answer_done(&x.answer);
    return r;
}

int api_exists(struct volar *v, const char *path, struct vl_error *err)
{
    struct exchange x = {.fd = -1};
    int r;

    if ((r = api_open(v, err)) < 0 || (r = request_setup(v->api, "HEAD", path, &x, err)) < 0) return r;
    (void)curl_easy_setopt(v->api->curl, CURLOPT_NOBODY, 1L);
    (void)curl_easy_setopt(v->api->curl, CURLOPT_TIMEOUT, 30L);
    r = exchange_end(v->api, &x, err);
    api_answer_done(&x.answer);
    if (r < 0 && x.answer.status == 404) return 0;
    return r < 0 ? r : 1;
}
