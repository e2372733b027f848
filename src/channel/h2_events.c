/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nghttp2 reports, and the budget that nghttp2 does not keep. A stream is found by its user data alone, which is
 * taken away when the stream is cancelled: nothing here ever meets a stream that was freed.
 *
 * The budget (figures by measurement): every frame but DATA with content costs 1, and 1 for each 64 bytes of
 * it, as 16 KiB of HEADERS may hold as many fields; DATA in and out earns length/512, our own HEADERS earn 8, time
 * earns 1 a millisecond, never above 4096. Honest loads of 200,000 messages a second stay above 3,700; a flood of
 * RST_STREAM, PRIORITY, WINDOW_UPDATE, 1xx or empty DATA ends after some thousand frames.
 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "channel/h2_internal.h"

#define CREDIT_MAX     4096
#define CREDIT_HEADERS 8
#define BYTES_A_CREDIT 512
#define BYTES_A_COST   64
#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */

/* The budget */

static void earn(struct h2 *h, int64_t n)
{
    h->credit = h->credit + n < CREDIT_MAX ? h->credit + n : CREDIT_MAX;
}

void h2_budget_refill(struct h2 *h)
{
    int64_t now = mono_ms();

    earn(h, h->refilled_ms ? now - h->refilled_ms : CREDIT_MAX);
    h->refilled_ms = now;
}

/* Called for every frame of a known type, before its content. Our peers never pad, so padding is no content. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct h2 *h = user;

    (void)session;
    h->framed += 9 + hd->length;
    if (hd->type == NGHTTP2_DATA && hd->length > 0 && !(hd->flags & NGHTTP2_FLAG_PADDED)) {
        earn(h, (int64_t)(hd->length / BYTES_A_CREDIT));
    } else if ((h->credit -= 1 + (int64_t)(hd->length / BYTES_A_COST)) <= 0) {
        h->over = "more frames than an honest peer sends";
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS) earn(h, CREDIT_HEADERS);
    if (frame->hd.type == NGHTTP2_DATA) earn(h, (int64_t)(frame->hd.length / BYTES_A_CREDIT));
    return 0;
}

/* Header blocks */

void h2_block_clear(struct h2_block *b)
{
    free(b->method);
    free(b->path);
    free(b->content_type);
    *b = (struct h2_block){.content_length = -1};
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s;

    h2_block_clear(&h->block);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (!(s = h2_stream_new(h, NULL, NULL))) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->id = frame->hd.stream_id;
    if (nghttp2_session_set_stream_user_data(session, s->id, s) != 0) {
        h2_stream_close(s, -ECANCELED);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static int keep(char **slot, const uint8_t *value, size_t n)
{
    char *copy = strndup((const char *)value, n);

    if (!copy) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    free(*slot);
    *slot = copy;
    return 0;
}

/* SETTINGS_MAX_HEADER_LIST_SIZE is only advice to the peer; here it is enforced. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct h2_block *b = &((struct h2 *)user)->block;
    const char *key = (const char *)name; /* nghttp2 terminates both */
    uint64_t number;

    (void)session;
    (void)frame;
    (void)flags;
    b->size += name_len + value_len + FIELD_OVERHEAD;
    if (b->size > H2_HEADER_MAX) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (strcmp(key, ":method") == 0) return keep(&b->method, value, value_len);
    if (strcmp(key, ":path") == 0) return keep(&b->path, value, value_len);
    if (strcmp(key, "content-type") == 0) return keep(&b->content_type, value, value_len);
    if (strcmp(key, ":status") == 0 && parse_u64((const char *)value, 100, 999, &number) == 0) b->status = (int)number;
    if (strcmp(key, "content-length") == 0 && parse_u64((const char *)value, 0, INT64_MAX, &number) == 0)
        b->content_length = (int64_t)number;
    return 0;
}

/* Frames */

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static void got_request(struct h2 *h, struct h2_stream *s)
{
    const struct h2_block *b = &h->block;
    const struct h2_head head = {
        .method = b->method ? b->method : "",
        .path = b->path ? b->path : "", /* CONNECT has none */
        .content_type = b->content_type,
        .content_length = b->content_length,
    };

    s->head_given = true;
    h->ops->request(h, h->arg, s, &head);
    if (!s->ops && !s->responded) h2_stream_reset(s); /* nobody would ever answer */
}

/* 1xx is no answer yet, and a trailer has no status. */
static void got_response(struct h2 *h, struct h2_stream *s)
{
    const struct h2_block *b = &h->block;
    const struct h2_head head = {
        .status = b->status, .content_type = b->content_type, .content_length = b->content_length};

    if (b->status < 200 || s->head_given) return;
    s->head_given = true;
    if (s->ops->head) s->ops->head(s, s->arg, &head);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s;

    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) h->pongs++;
    if (frame->hd.type == NGHTTP2_GOAWAY && !h->over) h->over = "the peer ended the session";
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if (!(s = find(session, frame->hd.stream_id))) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        if (!h->ops)
            got_response(h, s);
        else if (!s->head_given)
            got_request(h, s);
        h2_block_clear(&h->block);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !s->cancelled && s->ops && s->ops->end) s->ops->end(s, s->arg);
    return 0;
}

/* Connection credit returns at once: a stream that nobody reads must not stop the others. */
static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
    struct h2_stream *s = find(session, id);

    (void)flags;
    (void)user;
    if (nghttp2_session_consume_connection(session, n) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!s) return 0;
    if (s->ops && s->ops->data) {
        s->ops->data(s, s->arg, data, n);
    } else {
        h2_stream_consume(s, n);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user)
{
    struct h2_stream *s = find(session, id);
    bool complete = error_code == NGHTTP2_NO_ERROR && nghttp2_session_get_stream_local_close(session, id) == 1 &&
                    nghttp2_session_get_stream_remote_close(session, id) == 1;

    (void)user;
    if (s) h2_stream_close(s, complete ? 0 : -ECANCELED);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    struct h2 *h = user;

    (void)session;
    (void)frame;
    h->invalid = nghttp2_strerror(error);
    return 0;
}

void h2_set_callbacks(nghttp2_session_callbacks *c)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
}

/* Bodies of our own. Copied: DATA_FLAG_NO_COPY would pay for bulk transfers, of which there are none yet. */

static ssize_t read_text(struct h2_stream *s, uint8_t *buf, size_t n, uint32_t *flags)
{
    size_t left = s->text_len - s->text_at;

    if (n >= left) {
        n = left;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    memcpy(buf, s->text + s->text_at, n);
    s->text_at += n;
    return (ssize_t)n;
}

ssize_t h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                     nghttp2_data_source *source, void *user)
{
    struct h2_stream *s = find(session, id);
    ssize_t r;

    (void)source;
    (void)user;
    if (!s) return NGHTTP2_ERR_DEFERRED; /* cancelled: its RST_STREAM is on the way */
    if (s->text) return read_text(s, buf, n, flags);
    r = s->source.read(s->source.arg, buf, n);
    if (r == -EAGAIN) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (r < 0 || (size_t)r > n) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* nghttp2 resets the stream */
    if (r == 0) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return r;
}
