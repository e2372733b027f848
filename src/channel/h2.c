/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See h2.h. Memory is bounded by streams x stream window (256 x 64 KiB = 16 MiB): windows are never raised, so the
 * limit of streams is the budget. nghttp2_session_del reports no stream, therefore all streams are in a list of our
 * own.
 */
#include "channel/h2.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "channel/h2_internal.h"

#define UNKNOWN_BYTES_MAX 65536 /* of frames of unknown types, which nghttp2 skips without a callback */
/* What an honest peer may have sent before it hears of a reset: the window, in small frames. nghttp2 skips it like
 * those. */
#define CANCELLED_BYTES_MAX (2UL * H2_STREAM_WINDOW)
#define OUTBOUND_ACK_MAX    64 /* PING and SETTINGS of the peer within one feed */
#define SETTINGS_MAX        16
#define HPACK_TABLE_MAX     4096

DEFINE_AUTO(nghttp2_option *, nghttp2_option_del)
DEFINE_AUTO(nghttp2_session_callbacks *, nghttp2_session_callbacks_del)

/* The session */

static int set_options(nghttp2_option **ret)
{
    nghttp2_option *o;

    if (nghttp2_option_new(&o) != 0) return -ENOMEM;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_outbound_ack(o, OUTBOUND_ACK_MAX);
    nghttp2_option_set_max_settings(o, SETTINGS_MAX);
    nghttp2_option_set_max_deflate_dynamic_table_size(o, HPACK_TABLE_MAX);
    nghttp2_option_set_peer_max_concurrent_streams(o, H2_MAX_STREAMS); /* until the peer's SETTINGS come */
    *ret = o;
    return 0;
}

static int send_settings(struct h2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->ops ? H2_MAX_STREAMS : 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_MAX},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, /* last: only a client may say it */
    };
    size_t n = ARRAY_LEN(settings) - (h->ops ? 1 : 0);

    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, n) != 0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW) != 0)
        return -ENOMEM;
    return 0;
}

static int new_session(const struct h2_ops *ops, void *arg, struct h2 **ret)
{
    auto_(nghttp2_option_delp) nghttp2_option *option = NULL;
    auto_(nghttp2_session_callbacks_delp) nghttp2_session_callbacks *callbacks = NULL;
    auto_(h2_freep) struct h2 *h = calloc(1, sizeof(*h));
    int r;

    if (!h || set_options(&option) < 0 || nghttp2_session_callbacks_new(&callbacks) != 0) return -ENOMEM;
    h2_set_callbacks(callbacks);
    h->ops = ops;
    h->arg = arg;
    h2_block_clear(&h->block);
    h2_budget_refill(h);
    r = ops ? nghttp2_session_server_new2(&h->session, callbacks, h, option)
            : nghttp2_session_client_new2(&h->session, callbacks, h, option);
    if (r != 0 || send_settings(h) < 0) return -ENOMEM;
    *ret = take_ptr(h);
    return 0;
}

int h2_new_server(const struct h2_ops *ops, void *arg, struct h2 **ret)
{
    return new_session(ops, arg, ret);
}

int h2_new_client(struct h2 **ret)
{
    return new_session(NULL, NULL, ret);
}

void h2_free(struct h2 *h)
{
    if (!h) return;
    assert(!h->busy);
    h->busy = h->fatal = true; /* nothing that a callback asks for reaches nghttp2 any more */
    h->over = "the session is being closed";
    while (h->streams)
        h2_stream_close(h->streams, h->streams->cancelled ? -ECANCELED : -ECONNRESET);
    h2_block_clear(&h->block);
    nghttp2_session_del(h->session);
    free(h);
}

static void close_cancelled(struct h2 *h)
{
    while (h->n_cancelled > 0) {
        struct h2_stream *s = h->streams;

        while (!s->cancelled)
            s = s->next;
        h2_stream_close(s, -ECANCELED);
    }
}

int h2_feed(struct h2 *h, const void *data, size_t n, const char **why)
{
    ssize_t r;

    assert(!h->busy);
    if (!h->over) {
        h->busy = true;
        h2_budget_refill(h);
        h->fed += n;
        if ((r = nghttp2_session_mem_recv(h->session, data, n)) < 0) h->fatal = true;
        close_cancelled(h);
        h->busy = false;
        if (r < 0 && !h->over) h->over = nghttp2_strerror((int)r);
        if (!h->over && h->fed > h->framed + UNKNOWN_BYTES_MAX) h->over = "too many frames of unknown types";
    }
    if (!h->over) return 0;
    *why = h->over;
    return -EPROTO;
}

ssize_t h2_pull(struct h2 *h, void *buf, size_t n)
{
    size_t got = 0, part;
    ssize_t r = 0;

    assert(!h->busy);
    if (h->fatal) return -EPROTO;
    h->busy = true;
    while (got < n) {
        if (h->out_len == 0) {
            if ((r = nghttp2_session_mem_send(h->session, &h->out)) <= 0) break;
            h->out_len = (size_t)r;
        }
        part = h->out_len < n - got ? h->out_len : n - got;
        memcpy((uint8_t *)buf + got, h->out, part);
        h->out += part;
        h->out_len -= part;
        got += part;
    }
    if (r < 0) {
        h->fatal = true;
        if (!h->over) h->over = nghttp2_strerror((int)r);
    } else if (!h->over && !nghttp2_session_want_read(h->session)) {
        h->over = h->invalid ? h->invalid : "protocol error"; /* and GOAWAY is on its way out */
    }
    close_cancelled(h);
    h->busy = false;
    return r < 0 ? -EPROTO : (ssize_t)got;
}

bool h2_wants_pull(const struct h2 *h)
{
    return !h->fatal && (h->out_len > 0 || h->n_cancelled > 0 || nghttp2_session_want_write(h->session));
}

bool h2_finished(const struct h2 *h)
{
    return h->over && !h2_wants_pull(h);
}

const char *h2_why(const struct h2 *h)
{
    return h->over;
}

int h2_ping(struct h2 *h)
{
    if (h->over) return -ENOTCONN;
    return nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) == 0 ? 0 : -ENOMEM;
}

uint64_t h2_pongs(const struct h2 *h)
{
    return h->pongs;
}

/* Streams */

struct h2_stream *h2_stream_new(struct h2 *h, const struct h2_stream_ops *ops, void *arg)
{
    struct h2_stream *s = calloc(1, sizeof(*s));

    if (!s) return NULL;
    *s = (struct h2_stream){.h2 = h, .ops = ops, .arg = arg, .next = h->streams, .link = &h->streams};
    if (s->next) s->next->link = &s->next;
    h->streams = s;
    h->n_streams++;
    return s;
}

void h2_stream_close(struct h2_stream *s, int err)
{
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    s->h2->n_streams--;
    if (s->cancelled) s->h2->n_cancelled--;
    s->closing = true;
    if (s->ops) s->ops->closed(s, s->arg, err);
    free(s->text);
    free(s);
}

/* Whether nghttp2 still knows the stream and may be asked about it. */
static bool is_live(const struct h2_stream *s)
{
    return !s->cancelled && !s->closing && !s->h2->fatal;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)name, .value = (uint8_t *)value, .namelen = strlen(name), .valuelen = strlen(value)};
}

int h2_request(struct h2 *h, const char *method, const char *path, const struct h2_source *body,
               const struct h2_stream_ops *ops, void *arg, struct h2_stream **ret)
{
    const nghttp2_nv headers[] = {header(":method", method), header(":scheme", "http"), header(":authority", "guest"),
                                  header(":path", path)};
    const nghttp2_data_provider provider = {.read_callback = h2_read_body};
    struct h2_stream *s;
    int32_t id;

    if (h->over) return -ENOTCONN;
    if (h->n_streams >= H2_MAX_STREAMS ||
        h->n_streams >= nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
        return -EAGAIN;
    if (!(s = h2_stream_new(h, NULL, arg))) return -ENOMEM;
    id = nghttp2_submit_request(h->session, NULL, headers, ARRAY_LEN(headers), body ? &provider : NULL, s);
    if (id < 0) {
        h2_stream_close(s, -ECANCELED);
        return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ENOTCONN;
    }
    s->id = id;
    s->ops = ops;
    if (body) s->source = *body;
    *ret = s;
    return 0;
}

void h2_stream_own(struct h2_stream *s, const struct h2_stream_ops *ops, void *arg)
{
    s->ops = ops;
    s->arg = arg;
}

static int respond(struct h2_stream *s, int status, const char *content_type, size_t length, bool body)
{
    const nghttp2_data_provider provider = {.read_callback = h2_read_body};
    char status_text[8], length_text[24];
    nghttp2_nv headers[3];
    size_t n = 0;

    if (!is_live(s)) return -ECANCELED;
    if (s->responded) return -EALREADY;
    if (strf(status_text, sizeof(status_text), "%d", status) < 0) return -EINVAL;
    headers[n++] = header(":status", status_text);
    if (content_type) headers[n++] = header("content-type", content_type);
    if (length > 0 && strf(length_text, sizeof(length_text), "%zu", length) > 0)
        headers[n++] = header("content-length", length_text);
    if (nghttp2_submit_response(s->h2->session, s->id, headers, n, body ? &provider : NULL) != 0) return -ENOMEM;
    s->responded = true;
    return 0;
}

int h2_respond(struct h2_stream *s, int status, const char *content_type, const struct h2_source *body)
{
    int r = respond(s, status, content_type, 0, body);

    if (r == 0 && body) s->source = *body;
    return r;
}

int h2_respond_text(struct h2_stream *s, int status, const char *content_type, const char *text, size_t n)
{
    auto_free char *copy = NULL;
    int r;

    if (n > 0) {
        if (!(copy = malloc(n))) return -ENOMEM;
        memcpy(copy, text, n);
    }
    if ((r = respond(s, status, n > 0 ? content_type : NULL, n, n > 0)) < 0) return r;
    s->text = take_ptr(copy);
    s->text_len = n;
    return 0;
}

/* Whatever nghttp2 may object to here ends the stream anyway: it is of a stream whose end has come, or out of memory.
 */

void h2_stream_consume(struct h2_stream *s, size_t n)
{
    if (n > 0 && is_live(s)) (void)nghttp2_session_consume_stream(s->h2->session, s->id, n);
}

void h2_stream_wake(struct h2_stream *s)
{
    if (!s->deferred || !is_live(s)) return;
    s->deferred = false;
    (void)nghttp2_session_resume_data(s->h2->session, s->id);
}

void h2_stream_reset(struct h2_stream *s)
{
    if (!is_live(s)) return;
    s->cancelled = true;
    s->h2->n_cancelled++;
    (void)nghttp2_session_set_stream_user_data(s->h2->session, s->id, NULL);
    (void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    s->h2->framed += CANCELLED_BYTES_MAX;
}
