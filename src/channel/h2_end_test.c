/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that end otherwise: cancelled, broken off, malformed, or with their session. */
#include "channel/frames.h"
#include "channel/pair.h"

static void test_reset(void **state)
{
    struct pair p;
    struct end before = {0}, after = {0}, by_server = {0}, last = {0};

    (void)state;
    pair_open(&p, serve_nothing);
    ask(&p, &before, "GET", "/before-it-was-sent", NULL);
    h2_stream_reset(before.stream);
    h2_stream_reset(before.stream);
    assert_int_equal(before.closes, 0); /* never from within the call */
    assert_true(h2_wants_pull(p.client));
    pump(&p);
    end_done(&before, -ECANCELED);
    assert_int_equal(p.n_accepted, 0);

    ask(&p, &after, "GET", "/after", NULL);
    ask(&p, &by_server, "GET", "/by-server", NULL);
    pump(&p);
    h2_stream_reset(after.stream);
    h2_stream_reset(p.accepted[1].stream);
    h2_stream_wake(after.stream);
    h2_stream_consume(after.stream, 1);
    assert_int_equal(h2_respond(p.accepted[1].stream, 200, NULL, NULL), -ECANCELED);
    pump(&p);
    end_done(&after, -ECANCELED);
    end_done(&by_server, -ECANCELED);
    assert_int_equal(p.accepted[0].err, -ECANCELED);
    assert_int_equal(p.accepted[1].err, -ECANCELED);

    p.serve = serve_text;
    ask(&p, &last, "GET", "/", NULL);
    pump(&p);
    end_done(&last, 0);
    pair_close(&p);
}

static void test_source_error(void **state)
{
    struct pair p;
    struct end e = {.out_err = -EIO};
    struct h2_source body = source(&e, "half", 4);

    (void)state;
    pair_open(&p, serve_nothing);
    ask(&p, &e, "PUT", "/", &body);
    pump(&p);
    assert_int_equal(p.accepted[0].ends, 0);
    assert_int_equal(p.accepted[0].err, -ECANCELED);
    end_done(&e, -ECANCELED);
    pair_close(&p);
}

static void test_free_closes_all(void **state)
{
    struct pair p;
    struct end e[3] = {0}, late = {0};

    (void)state;
    pair_open(&p, serve_nothing);
    for (size_t i = 0; i < ARRAY_LEN(e); i++)
        ask(&p, &e[i], "GET", "/", NULL);
    pump(&p);
    h2_stream_reset(e[1].stream);
    ask(&p, &late, "GET", "/never-sent", NULL);
    pair_close(&p);
    for (size_t i = 0; i < ARRAY_LEN(e); i++)
        end_done(&e[i], i == 1 ? -ECANCELED : -ECONNRESET);
    end_done(&late, -ECONNRESET);
    assert_int_equal(p.accepted[0].err, -ECONNRESET);
}

/* Callbacks ask for more: each answer's end starts the next request, the last cancels another stream. */
struct chain {
    struct pair *p;
    int left, closes, refused;
    struct end *other;
};

static void chain_closed(struct h2_stream *s, void *arg, int err);
static const struct h2_stream_ops chain_ops = {.closed = chain_closed};

static void chain_closed(struct h2_stream *s, void *arg, int err)
{
    struct chain *c = arg;
    struct h2_stream *next;
    int r;

    h2_stream_reset(s);
    h2_stream_wake(s);
    h2_stream_consume(s, 1);
    c->closes++;
    if (c->left-- > 0) {
        r = h2_request(c->p->client, "GET", "/", NULL, &chain_ops, c, &next);
        if (r < 0) c->refused++;
        if (err == 0) assert_int_equal(r, 0);
    } else if (c->other->stream) {
        h2_stream_reset(c->other->stream);
    }
}

static void serve_by_path(struct pair *p, struct end *e)
{
    if (strcmp(e->path, "/held") != 0) serve_text(p, e);
}

static void test_reentrancy(void **state)
{
    struct pair p;
    struct end held = {0};
    struct chain c = {.p = &p, .left = 5, .other = &held}, lost = {.p = &p, .left = 5, .other = &held};
    struct h2_stream *first;

    (void)state;
    pair_open(&p, serve_by_path);
    ask(&p, &held, "GET", "/held", NULL);
    assert_int_equal(h2_request(p.client, "GET", "/", NULL, &chain_ops, &c, &first), 0);
    pump(&p);
    assert_int_equal(c.closes, 6);
    end_done(&held, -ECANCELED);
    assert_int_equal(h2_request(p.client, "GET", "/held", NULL, &chain_ops, &lost, &first), 0);
    pair_close(&p);
    assert_int_equal(lost.closes, 1);
    assert_int_equal(lost.refused, 1); /* not while it is being freed */
}

/* A body that has not the announced length never ends. */
static void test_announced_length(void **state)
{
    static const struct {
        const char *length, *body;
        int ends;
    } cases[] = {{"4", "four", 1}, {"5", "four", 0}, {"3", "four", 0}, {NULL, "four", 1}, {"0", "", 1}, {"1", "", 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        auto_(h2_freep) struct h2 *client = NULL;
        auto_strbuf b = {0};
        struct end e = {0};
        const char *why;
        char out[4096];

        assert_int_equal(h2_new_client(&client), 0);
        assert_int_equal(h2_request(client, "GET", "/", NULL, &stream_ops, &e, &e.stream), 0);
        assert_true(h2_pull(client, out, sizeof(out)) > 0);
        put_frame(&b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        put_response(&b, 1, "100", NULL, false);
        put_response(&b, 1, "200", cases[i].length, false);
        put_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, cases[i].body, strlen(cases[i].body));
        assert_int_equal(h2_feed(client, b.data, b.len, &why), 0);
        assert_true(h2_pull(client, out, sizeof(out)) > 0);
        assert_int_equal(e.heads, 1);
        assert_int_equal(e.status, 200);
        assert_int_equal(e.ends, cases[i].ends);
        end_done(&e, cases[i].ends ? 0 : -ECANCELED);
    }
}

/* A protocol error on one end is told to the other by GOAWAY, and both are over. */
static void test_protocol_error(void **state)
{
    struct pair p;
    struct end e = {0};
    char out[4096];
    const char *why = NULL;
    auto_strbuf b = {0};
    ssize_t n;

    (void)state;
    pair_open(&p, serve_nothing);
    ask(&p, &e, "GET", "/", NULL);
    pump(&p);
    put_frame(&b, NGHTTP2_DATA, 0, 4711, "x", 1);
    assert_int_equal(h2_feed(p.server, b.data, b.len, &why), 0);
    assert_null(h2_why(p.server));
    assert_true((n = h2_pull(p.server, out, sizeof(out))) > 0);
    assert_non_null(h2_why(p.server));
    assert_true(h2_finished(p.server));
    assert_int_equal(h2_feed(p.server, b.data, b.len, &why), -EPROTO);
    assert_ptr_equal(why, h2_why(p.server));
    assert_int_equal(h2_feed(p.client, out, (size_t)n, &why), -EPROTO);
    assert_int_equal(h2_request(p.client, "GET", "/", NULL, &stream_ops, &e, &e.stream), -ENOTCONN);
    assert_int_equal(h2_ping(p.client), -ENOTCONN);
    pair_close(&p);
    end_done(&e, -ECONNRESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_source_error),
        cmocka_unit_test(test_free_closes_all),
        cmocka_unit_test(test_reentrancy),
        cmocka_unit_test(test_announced_length),
        cmocka_unit_test(test_protocol_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
