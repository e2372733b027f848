/* SPDX-License-Identifier: Apache-2.0 */
/* One request with a deadline and a bounded answer. */
#include <string.h>

#include "base/clock.h"
#include "guest/internal.h"

static void unlink_call(struct call *c)
{
    loop_untimer(&c->deadline);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
}

static void give_up(struct call *c, int r)
{
    if (c->result == 0) c->result = r;
    h2_stream_reset(c->stream);
}

static void on_deadline(struct timer *t)
{
    struct call *c = container_of(t, struct call, deadline);
    struct guest *g = c->g;

    give_up(c, -ETIMEDOUT);
    channel_host_flush(g->host); /* `closed` comes from it */
}

static void on_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    (void)s;
    ((struct call *)arg)->status = head->status;
}

static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    struct call *c = arg;

    h2_stream_consume(s, n);
    if (c->body.len + n > CALL_BODY_MAX)
        give_up(c, -EMSGSIZE);
    else
        strbuf_add(&c->body, data, n);
}

static void on_end(struct h2_stream *s, void *arg)
{
    (void)s;
    ((struct call *)arg)->ended = true;
}

static int result(const struct call *c, int err)
{
    if (c->result != 0) return c->result;
    if (err == -ECONNRESET) return err;
    if (err != 0 || !c->ended) return -EPROTO;
    if (c->body.failed) return -ENOMEM;
    return c->status >= 200 && c->status < 300 ? 0 : -EREMOTEIO;
}

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct call *c = arg;

    (void)s;
    if (c->g) {
        unlink_call(c);
        c->finish(c, result(c, err));
    }
    strbuf_done(&c->out);
    strbuf_done(&c->body);
    free(c);
}

static const struct h2_stream_ops stream_ops = {.head = on_head, .data = on_data, .end = on_end, .closed = on_closed};

static ssize_t read_out(void *arg, void *buf, size_t n)
{
    struct call *c = arg;
    size_t left = c->out.len - c->out_at;

    if (n > left) n = left;
    if (n > 0) memcpy(buf, c->out.data + c->out_at, n);
    c->out_at += n;
    return (ssize_t)n;
}

int call_open(struct guest *g, const char *method, const char *path, const char *text,
              void (*finish)(struct call *c, int r), struct call **ret)
{
    struct h2 *session = channel_host_session(g->host);
    struct call *c = session ? calloc(1, sizeof(*c)) : NULL;
    const struct h2_source body = {.read = read_out, .arg = c};
    int r = session ? -ENOMEM : -ENOTCONN;

    if (!c) return r;
    if (text) strbuf_adds(&c->out, text);
    if (c->out.failed || (r = loop_timer(g->loop, &c->deadline, mono_ms() + CALL_MS, on_deadline)) < 0 ||
        (r = h2_request(session, method, path, text ? &body : NULL, &stream_ops, c, &c->stream)) < 0) {
        loop_untimer(&c->deadline);
        strbuf_done(&c->out);
        free(c);
        return r;
    }
    c->g = g;
    c->finish = finish;
    c->next = g->calls;
    c->link = &g->calls;
    if (c->next) c->next->link = &c->next;
    g->calls = c;
    guest_flush(g);
    if (ret) *ret = c;
    return 0;
}

void call_set_timeout(struct call *c, int ms)
{
    (void)loop_timer(c->g->loop, &c->deadline, mono_ms() + ms, on_deadline); /* it is armed: this cannot fail */
}

int call_decode(const struct call *c, const struct schema *schema, void *ret)
{
    json_auto_t *json = NULL;
    int r = json_parse(c->body.data ? c->body.data : "", c->body.len, "answer", &json, NULL);

    return r < 0 ? r : schema_decode(schema, json, "answer", ret, NULL, NULL);
}

void call_cancel_all(struct guest *g)
{
    struct call *c;

    while ((c = g->calls)) {
        unlink_call(c);
        c->finish(c, -ECANCELED);
        c->g = NULL;
    }
}
