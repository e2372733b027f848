/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/events/vms (contract 1.9): server-sent events, which begin after Last-Event-ID where the client names one
 * and never end by themselves. What happened before is read from the store page by page, so that a slow client holds
 * one page and a position, and nobody waits for it.
 */
#include <string.h>

#include "model/schema.h"
#include "volantd/api.h"
#include "volantd/events.h"
#include "volantd/events_query.h"

#define PAGE     64 /* events read from the store at a time */
#define RETRY_MS 2000
#define BLOCK    2048

struct page;

struct stream {
    struct events_reader reader;
    struct api *api;
    struct api_req *req;
    struct strbuf text; /* our own words, and pages */
    size_t text_sent;
    struct event *now; /* on its way to the client */
    size_t now_sent;
    int64_t sent_id;   /* the client has everything that it wants up to here */
    struct page *page; /* being read */
    bool catching_up, ending, failed;
};

/* --- from the store ----------------------------------------------------------------------------------------------- */

struct page {
    struct store_op op;
    struct stream *stream; /* NULL: nobody waits any more */
    int64_t after;
    struct event_row rows[PAGE];
    size_t n;
};

static int keep_row(void *arg, struct event_row *row)
{
    struct page *p = arg;

    p->rows[p->n++] = *row;
    *row = (struct event_row){0}; /* moved */
    return 0;
}

static int page_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct page *p = container_of(op, struct page, op);

    return store_event_each(tx, p->after, PAGE, keep_row, p, err);
}

static void page_free(struct page *p)
{
    for (size_t i = 0; i < p->n; i++)
        event_row_done(&p->rows[i]);
    free(p);
}
DEFINE_AUTO(struct page *, page_free)

static void add_event(struct stream *s, const struct event_row *row)
{
    struct event *e;

    if (!events_match(&s->reader.filter, row->vm_name, row->type)) return;
    if (!(e = event_of_row(row))) {
        s->failed = true;
        return;
    }
    strbuf_add(&s->text, e->text, e->len);
    event_unref(e);
}

static void add_page(struct stream *s, const struct page *p)
{
    if (s->sent_id > 0 && p->n > 0 && p->rows[0].id > s->sent_id + 1)
        strbuf_addf(&s->text, ": events %lld to %lld are kept no more\n\n", (long long)s->sent_id + 1,
                    (long long)p->rows[0].id - 1);
    for (size_t i = 0; i < p->n; i++)
        add_event(s, &p->rows[i]);
    if (p->n > 0) s->sent_id = p->rows[p->n - 1].id;
    if (p->n == PAGE) return;
    s->catching_up = false;
    /* All that was committed before this page was read has been told to the readers: what follows is theirs. */
    events_rejoin(&s->reader, s->sent_id);
}

static void page_done(struct store_op *op, int r, const struct vl_error *err)
{
    auto_(page_freep) struct page *p = container_of(op, struct page, op);
    struct stream *s = p->stream;

    (void)err;
    if (!s) return;
    s->page = NULL;
    if (r < 0)
        s->failed = true;
    else
        add_page(s, p);
    api_resume(s->req);
}

static void page_begin(struct stream *s)
{
    struct page *p = calloc(1, sizeof(*p));

    if (!p) {
        s->failed = true;
        return;
    }
    *p = (struct page){.op = {.run = page_run, .done = page_done}, .stream = s, .after = s->sent_id};
    s->page = p;
    store_post(s->api->store, &p->op);
}

/* --- to the client ------------------------------------------------------------------------------------------------ */

static size_t give(char *buf, size_t size, const char *data, size_t len, size_t *sent)
{
    size_t n = len - *sent < size ? len - *sent : size;

    memcpy(buf, data + *sent, n);
    *sent += n;
    return n;
}

static size_t give_text(struct stream *s, char *buf, size_t size)
{
    size_t n = give(buf, size, s->text.data, s->text.len, &s->text_sent);

    if (s->text_sent == s->text.len) {
        strbuf_done(&s->text);
        s->text_sent = 0;
    }
    return n;
}

static size_t give_event(struct stream *s, char *buf, size_t size)
{
    size_t n = give(buf, size, s->now->text, s->now->len, &s->now_sent);

    if (s->now_sent == s->now->len) {
        event_unref(take_ptr(s->now));
        s->now_sent = 0;
    }
    return n;
}

static void say_goodbye(struct stream *s)
{
    strbuf_addf(&s->text,
                "id: %lld\nevent: STREAM_DROPPED\ndata: {\"type\":\"STREAM_DROPPED\",\"name\":\"\",\"status\":\"\","
                "\"message\":\"this client reads too slowly: connect again with Last-Event-ID to get what it "
                "missed\"}\n\n",
                (long long)s->sent_id);
    s->ending = true;
}

/* What comes next, into `now` or `text`; false: nothing yet. */
static bool advance(struct stream *s)
{
    if (s->page) return false;
    if (s->catching_up) {
        page_begin(s);
        return s->failed;
    }
    switch (events_next(&s->reader, &s->now)) {
    case EVENTS_NOTHING:
        return false;
    case EVENTS_EVENT:
        s->sent_id = s->now->id;
        break;
    case EVENTS_HEARTBEAT:
        strbuf_adds(&s->text, ":\n\n");
        break;
    case EVENTS_LOST:
        say_goodbye(s);
        break;
    }
    return true;
}

static ssize_t stream_read(struct api_req *req, char *buf, size_t size)
{
    struct stream *s = req->state;

    for (;;) {
        if (s->failed || s->text.failed) return -ENOMEM;
        if (s->text.len > 0) return (ssize_t)give_text(s, buf, size);
        if (s->now) return (ssize_t)give_event(s, buf, size);
        if (s->ending) return -ENODATA;
        if (!advance(s)) return 0;
    }
}

static void stream_wake(struct events_reader *r)
{
    api_resume(container_of(r, struct stream, reader)->req);
}

static void stream_release(struct api_req *req)
{
    struct stream *s = req->state;

    events_leave(&s->reader);
    if (s->page) s->page->stream = NULL;
    if (s->now) event_unref(s->now);
    strbuf_done(&s->text);
    free(s);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

static int stream_begin(struct stream *s, struct vl_error *err)
{
    int64_t last = events_last_id(s->api->events), after = last;
    int r;

    if ((r = events_query_parse(s->req, &s->reader.filter, &after, err)) < 0) return r;
    strbuf_addf(&s->text, ": events of volantd\nretry: %d\n", RETRY_MS);
    if (after > last) {
        strbuf_addf(&s->text, ": there is no event %lld yet, only new ones follow\n", (long long)after);
        after = last;
    }
    strbuf_addf(&s->text, "id: %lld\n\n", (long long)after);
    s->sent_id = after;
    s->catching_up = after < last;
    return events_join(s->api->events, &s->reader, after, err);
}

enum api_end events_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    static const struct api_source source = {.read = stream_read, .block = BLOCK};
    struct stream *s = calloc(1, sizeof(*s));

    if (!s) {
        vl_fail_errno(err, ENOMEM, "events");
        return API_FAILED;
    }
    s->api = api;
    s->req = req;
    s->reader.wake = stream_wake;
    req->state = s;
    req->release = stream_release;
    if (stream_begin(s, err) < 0) return API_FAILED;
    api_header(req, "Cache-Control", "no-cache");
    req->reply.status = 200;
    req->reply.content_type = "text/event-stream";
    req->reply.source = &source;
    return API_STREAM;
}
