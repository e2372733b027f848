/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that come to a good end: heads, bodies, many streams, readers that stall. */
#include "channel/pair.h"

static void test_get(void **state)
{
    static const size_t pieces[] = {1, 7, 100, 16384};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct pair p;
        struct end e = {0};

        pair_open(&p, serve_text);
        ask(&p, &e, "GET", "/v1/health?x=1", NULL);
        pump_by(&p, pieces[i]);
        assert_string_equal(p.accepted[0].method, "GET");
        assert_string_equal(p.accepted[0].path, "/v1/health?x=1");
        assert_int_equal(p.accepted[0].ends, 1);
        assert_int_equal(p.accepted[0].err, 0);
        assert_int_equal(e.heads, 1);
        assert_int_equal(e.ends, 1);
        assert_int_equal(e.status, 200);
        assert_int_equal(e.length, 5);
        assert_string_equal(e.type, "text/plain");
        assert_memory_equal(e.body.data, "hello", 5);
        end_done(&e, 0);
        pair_close(&p);
    }
}

static void serve_no_content(struct pair *p, struct end *e)
{
    (void)p;
    assert_int_equal(h2_respond_text(e->stream, 204, "text/plain", "", 0), 0);
}

static void serve_failure(struct pair *p, struct end *e)
{
    (void)p;
    assert_int_equal(h2_respond(e->stream, 503, NULL, NULL), 0);
}

static void test_no_body(void **state)
{
    static const struct {
        void (*serve)(struct pair *p, struct end *e);
        int status;
    } cases[] = {{serve_no_content, 204}, {serve_failure, 503}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair p;
        struct end e = {0};

        pair_open(&p, cases[i].serve);
        ask(&p, &e, "GET", "/", NULL);
        pump(&p);
        assert_int_equal(e.status, cases[i].status);
        assert_string_equal(e.type, "");
        assert_int_equal(e.ends, 1);
        assert_int_equal(e.body.len, 0);
        end_done(&e, 0);
        pair_close(&p);
    }
}

static void unowned(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head)
{
    (void)h;
    if (arg && strcmp(head->path, "/") == 0) assert_int_equal(h2_respond_text(s, 404, "text/plain", "no", 2), 0);
}

/* Nobody owns the stream: its answer goes out; without one it is reset. */
static void test_unowned(void **state)
{
    static const struct h2_ops ops = {.request = unowned};
    static const char *const paths[] = {"/", "/forgotten"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *text = big_text(200000);
        struct pair p = {0};
        struct end e = {0};
        struct h2_source body = source(&e, text, 200000);

        assert_int_equal(h2_new_client(&p.client), 0);
        assert_int_equal(h2_new_server(&ops, &p, &p.server), 0);
        ask(&p, &e, "PUT", paths[i], &body);
        pump(&p);
        assert_int_equal(e.status, i ? 0 : 404);
        end_done(&e, i ? -ECANCELED : 0);
        pair_close(&p);
        free(text);
    }
}

/* Echo: what arrives is sent back at the end. */
static void serve_upload(struct pair *p, struct end *e)
{
    (void)p;
    (void)e;
}

static void echo_now(struct end *e)
{
    struct h2_source body = source(e, e->body.data, e->body.len);

    e->out_step = 1000;
    e->out_pauses = true;
    assert_int_equal(h2_respond(e->stream, 200, "application/octet-stream", &body), 0);
}

static void test_bodies(void **state)
{
    static const struct {
        size_t size, step;
        bool pauses;
    } cases[] = {{0, 0, false}, {1, 0, true}, {65536, 0, false}, {300000, 777, true}, {3000000, 0, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t size = cases[i].size;
        char *text = big_text(size + 1);
        struct pair p;
        struct end e = {.out_step = cases[i].step, .out_pauses = cases[i].pauses}, *served = &p.accepted[0];
        struct h2_source body = source(&e, text, size);

        pair_open(&p, serve_upload);
        ask(&p, &e, "POST", "/echo", &body);
        for (int rounds = 0; served->ends == 0 && rounds < 100000; rounds++) {
            pump(&p);
            h2_stream_wake(e.stream);
        }
        assert_int_equal(served->ends, 1);
        assert_int_equal(served->body.len, size);
        echo_now(served);
        for (int rounds = 0; e.ends == 0 && rounds < 100000; rounds++) {
            pump(&p);
            if (served->stream) h2_stream_wake(served->stream);
        }
        assert_int_equal(e.body.len, size);
        if (size) assert_memory_equal(e.body.data, text, size);
        end_done(&e, 0);
        pair_close(&p);
        free(text);
    }
}

static void test_many_streams(void **state)
{
    static struct pair p;
    static struct end ends[300];
    size_t refused = 0;

    (void)state;
    pair_open(&p, serve_nothing);
    memset(ends, 0, sizeof(ends));
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        int r = h2_request(p.client, "GET", "/", NULL, &stream_ops, &ends[i], &ends[i].stream);

        if (r == -EAGAIN)
            refused++;
        else
            assert_int_equal(r, 0);
    }
    assert_int_equal(refused, ARRAY_LEN(ends) - H2_MAX_STREAMS);
    pump(&p);
    assert_int_equal(p.n_accepted, H2_MAX_STREAMS);
    for (size_t i = 0; i < ARRAY_LEN(ends) - H2_MAX_STREAMS; i++)
        serve_text(&p, &p.accepted[i]);
    pump(&p);
    for (size_t i = H2_MAX_STREAMS; i < ARRAY_LEN(ends); i++)
        ask(&p, &ends[i], "GET", "/", NULL);
    pump(&p);
    assert_int_equal(p.n_accepted, ARRAY_LEN(ends));
    for (size_t i = ARRAY_LEN(ends) - H2_MAX_STREAMS; i < ARRAY_LEN(ends); i++)
        serve_text(&p, &p.accepted[i]);
    pump(&p);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        assert_int_equal(ends[i].body.len, 5);
        end_done(&ends[i], 0);
    }
    pair_close(&p);
}

static char *stall_text;

static void serve_big(struct pair *p, struct end *e)
{
    struct h2_source body = source(e, stall_text, 2000000);

    (void)p;
    assert_int_equal(h2_respond(e->stream, 200, NULL, &body), 0);
}

/* Twenty readers that take nothing hold one window each, and no one else up. */
static void test_stalled_readers(void **state)
{
    struct pair p;
    struct end stalled[20] = {0}, other = {0};

    (void)state;
    stall_text = big_text(2000000);
    pair_open(&p, serve_big);
    for (size_t i = 0; i < ARRAY_LEN(stalled); i++) {
        stalled[i].stalled = true;
        ask(&p, &stalled[i], "GET", "/", NULL);
    }
    pump(&p);
    for (size_t i = 0; i < ARRAY_LEN(stalled); i++)
        assert_int_equal(stalled[i].body.len, H2_STREAM_WINDOW);
    ask(&p, &other, "GET", "/", NULL);
    pump(&p);
    assert_int_equal(other.body.len, 2000000);
    end_done(&other, 0);
    h2_stream_consume(stalled[0].stream, H2_STREAM_WINDOW);
    pump(&p);
    assert_int_equal(stalled[0].body.len, 2 * H2_STREAM_WINDOW);
    stalled[0].stalled = false;
    h2_stream_consume(stalled[0].stream, H2_STREAM_WINDOW);
    pump(&p);
    assert_int_equal(stalled[0].body.len, 2000000);
    assert_memory_equal(stalled[0].body.data, stall_text, 2000000);
    for (size_t i = 1; i < ARRAY_LEN(stalled); i++)
        h2_stream_reset(stalled[i].stream);
    pump(&p);
    for (size_t i = 0; i < ARRAY_LEN(stalled); i++)
        end_done(&stalled[i], i ? -ECANCELED : 0);
    pair_close(&p);
    free(stall_text);
}

/* What was on its way to readers that go is skipped without a word, and must not be taken for a flood. */
static void test_readers_that_go(void **state)
{
    const size_t room = 2UL * H2_CONNECTION_WINDOW;
    uint8_t *flight = malloc(room);
    struct pair p;
    struct end readers[20] = {0}, other = {0};
    size_t n = 0;
    const char *why;

    (void)state;
    stall_text = big_text(2000000);
    pair_open(&p, serve_big);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        ask(&p, &readers[i], "GET", "/", NULL);
    while (move(p.client, p.server, 16384))
        ;
    for (ssize_t got = 1; got > 0; n += (size_t)got) {
        got = h2_pull(p.server, flight + n, room - n);
        assert_true(got >= 0);
    }
    assert_true(n > 10UL * H2_STREAM_WINDOW);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        h2_stream_reset(readers[i].stream);
    assert_int_equal(h2_feed(p.client, flight, n, &why), 0);
    pump(&p);
    ask(&p, &other, "GET", "/", NULL);
    pump(&p);
    assert_int_equal(other.body.len, 2000000);
    end_done(&other, 0);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        end_done(&readers[i], -ECANCELED);
    pair_close(&p);
    free(stall_text);
    free(flight);
}

static void test_ping(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p, serve_nothing);
    pump(&p);
    assert_int_equal(h2_pongs(p.client), 0);
    assert_int_equal(h2_ping(p.client), 0);
    pump(&p);
    assert_int_equal(h2_pongs(p.client), 1);
    assert_int_equal(h2_ping(p.server), 0);
    pump(&p);
    assert_int_equal(h2_pongs(p.server), 1);
    assert_false(h2_finished(p.client) || h2_finished(p.server));
    pair_close(&p);
}

/* Only the stream that has it is refused. */
static void test_large_head(void **state)
{
    static char path[20000];
    struct pair p;
    struct end large = {0}, small = {0};

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    pair_open(&p, serve_text);
    ask(&p, &large, "GET", path, NULL);
    ask(&p, &small, "GET", "/", NULL);
    pump(&p);
    assert_int_equal(p.n_accepted, 1);
    end_done(&large, -ECANCELED);
    end_done(&small, 0);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),    cmocka_unit_test(test_no_body),      cmocka_unit_test(test_unowned),
        cmocka_unit_test(test_bodies), cmocka_unit_test(test_many_streams), cmocka_unit_test(test_stalled_readers),
        cmocka_unit_test(test_ping),   cmocka_unit_test(test_large_head),   cmocka_unit_test(test_readers_that_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
