/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP side over a Unix socket, with routes of its own instead of the API's. Client and server share one loop. */
#include "volantd/http.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/unit.h"

#define WAIT_MS 2000

struct api {
    struct api_req *waiting;
    int released;
    size_t room; /* of the sink */
    size_t sunk;
    int left; /* pieces of the stream */
};

static void count_release(struct api_req *req)
{
    struct api *api = req->state;

    api->released++;
    if (api->waiting == req) api->waiting = NULL;
}

static void keep(struct api *api, struct api_req *req)
{
    api->waiting = req;
    req->state = api;
    req->release = count_release;
}

static enum api_end hello(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    api_header(req, "X-Test", "yes");
    return api_json_text(req, 200, strdup("{\"hello\":1}"), err);
}

static enum api_end echo(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    return api_json_text(req, 201, strdup(req->body.len ? req->body.data : "empty"), err);
}

static enum api_end conflict(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    vl_fail(err, VL_CONFLICT, "'%s' is taken", req->params[0]);
    return API_FAILED;
}

static enum api_end suspend(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)err;
    keep(api, req);
    return API_SUSPENDED;
}

static ssize_t stream_read(struct api_req *req, char *buf, size_t size)
{
    struct api *api = req->state;

    if (api->left < 0) return api->left;
    if (api->left == 0) return 0;
    api->left--;
    return strf(buf, size, "piece\n");
}

static enum api_end stream(struct api *api, struct api_req *req, struct vl_error *err)
{
    static const struct api_source source = {.read = stream_read};

    (void)err;
    keep(api, req);
    req->reply.status = 200;
    req->reply.content_type = "text/plain";
    req->reply.source = &source;
    return API_STREAM;
}

static size_t sink_write(struct api_req *req, const char *data, size_t n)
{
    struct api *api = req->state;

    (void)data;
    if (n > api->room) n = api->room;
    api->room -= n;
    api->sunk += n;
    return n;
}

static enum api_end sink_end(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    (void)err;
    return api_empty(req, 201);
}

static enum api_end upload(struct api *api, struct api_req *req, struct vl_error *err)
{
    static const struct api_sink sink = {.write = sink_write, .end = sink_end};

    (void)err;
    if (str_eq(req->params[0], "present")) return api_empty(req, 200);
    keep(api, req);
    req->sink = &sink;
    return API_DONE;
}

static const struct api_route routes[] = {
    {"GET", "/hello", hello, ROLE_READ, BODY_KEPT},          {"POST", "/echo", echo, ROLE_READ, BODY_KEPT},
    {"POST", "/fail/:name", conflict, ROLE_READ, BODY_KEPT}, {"GET", "/suspend", suspend, ROLE_READ, BODY_KEPT},
    {"GET", "/stream", stream, ROLE_READ, BODY_KEPT},        {"PUT", "/upload/:name", upload, ROLE_READ, BODY_STREAMED},
};

struct fixture {
    struct loop *loop;
    struct http *http;
    struct access *access;
    struct api api;
    char dir[32], path[64];
    int client;
    struct strbuf got;
};

static int connect_client(const struct fixture *f)
{
    int fd = unix_connect(f->path);

    assert_true(fd >= 0);
    return fd;
}

static int setup(void **state)
{
    static const struct access_rules rules;
    struct fixture *f = calloc(1, sizeof(*f));
    struct vl_error err = {0};
    int fd;

    assert_non_null(f);
    (void)strf(f->dir, sizeof(f->dir), "/tmp/http_test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)strf(f->path, sizeof(f->path), "%s/s", f->dir);
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(access_new(NULL, &rules, &f->access, &err), 0);
    assert_int_equal(http_new(f->loop, &f->api, f->access, routes, ARRAY_LEN(routes), &f->http, &err), 0);
    assert_true((fd = unix_listen(f->path, 16, 0600)) >= 0);
    assert_int_equal(http_listen(f->http, fd, NULL, &err), 0);
    f->client = connect_client(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->client >= 0) (void)close(f->client);
    http_free(f->http);
    access_free(f->access);
    loop_free(f->loop);
    strbuf_done(&f->got);
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static void send_text(struct fixture *f, const char *text)
{
    assert_int_equal(write_all(f->client, text, strlen(text), mono_ms() + WAIT_MS), 0);
}

/* Runs the loop for what can happen now; true if the peer has closed. */
static bool pump(struct fixture *f)
{
    char buf[8192];
    ssize_t n;

    assert_int_equal(loop_step(f->loop, 10), 0);
    while ((n = read(f->client, buf, sizeof(buf))) > 0)
        strbuf_add(&f->got, buf, (size_t)n);
    return n == 0 || errno != EAGAIN;
}

/* Until what came holds the text, or forever is over; then forgets it. */
static void expect(struct fixture *f, const char *text)
{
    int64_t until = mono_ms() + WAIT_MS;

    while (!f->got.data || !strstr(f->got.data, text)) {
        if (mono_ms() > until) fail_msg("wanted '%s', got '%s'", text, f->got.data ? f->got.data : "");
        (void)pump(f);
    }
    strbuf_done(&f->got);
}

static void expect_closed(struct fixture *f)
{
    int64_t until = mono_ms() + WAIT_MS;

    while (!pump(f))
        assert_true(mono_ms() < until);
    (void)close(f->client);
    f->client = -1;
}

static void pump_until(struct fixture *f, const bool *done)
{
    int64_t until = mono_ms() + WAIT_MS;

    while (!*done) {
        assert_true(mono_ms() < until);
        (void)pump(f);
    }
}

static void requests_share_a_connection(void **state)
{
    struct fixture *f = *state;

    send_text(f, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "\r\n\r\n{\"hello\":1}");
    send_text(f, "GET /hello?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "X-Test: yes");
    send_text(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    (void)pump(f);
    send_text(f, "cde");
    expect(f, "\r\n\r\nabcde");
    send_text(f,
              "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    expect(f, "\r\n\r\nabcde");
    send_text(f, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    expect(f, "\r\n\r\nempty");
    send_text(f, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "Content-Length: 11");
    send_text(f, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "text/plain");
    (void)pump(f);
    assert_null(f->got.data); /* no last chunk */
    send_text(f, "POST /fail/a%20b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    expect(f, "{\"error\":\"'a b' is taken\"}");
    send_text(f, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "404 page not found");
}

static void refusals_come_from_the_head_alone(void **state)
{
    static const struct {
        const char *head, *reply;
    } table[] = {
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", "413 "},
        {"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "404 "},
        {"PUT /upload/present HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "200 "},
        {"GET /hello HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\n\r\n", "403 "},
        {"GET /hello?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400 "},
        {"POST /fail/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400 "},
        {"GET /hello/ HTTP/1.1\r\nHost: x\r\n\r\n", "Location: /hello\r\n"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        send_text(f, table[i].head);
        expect(f, table[i].reply);
        (void)close(f->client);
        f->client = connect_client(f);
    }
}

static void heads_are_bounded(void **state)
{
    struct fixture *f = *state;
    auto_strbuf b = {0};

    strbuf_adds(&b, "GET /hello HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 9000; i++)
        strbuf_adds(&b, "x");
    strbuf_adds(&b, "\r\n\r\n");
    send_text(f, b.data);
    expect(f, "HTTP/1.1 4");
}

/* Whatever its length, it is answered: also where the library's own memory for the connection is just used up. */
static void targets_are_bounded(void **state)
{
    struct fixture *f = *state;

    for (size_t n = 3900; n < 8300; n += 20) {
        auto_strbuf b = {0};

        strbuf_adds(&b, "GET /hello?");
        for (size_t i = strlen("/hello?"); i < n; i++)
            strbuf_adds(&b, "x");
        strbuf_adds(&b, " HTTP/1.1\r\nHost: x\r\nAccept: x\r\n\r\n");
        send_text(f, b.data);
        expect(f, n > 4096 ? "HTTP/1.1 414 " : "{\"hello\":1}");
        (void)close(f->client);
        f->client = connect_client(f);
    }
}

static void bodies_without_length_are_bounded(void **state)
{
    struct fixture *f = *state;
    auto_strbuf piece = {0};

    strbuf_adds(&piece, "8000\r\n");
    for (int i = 0; i < 0x8000; i++)
        strbuf_adds(&piece, "x");
    strbuf_adds(&piece, "\r\n");
    send_text(f, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++) {
        for (size_t sent = 0; sent < piece.len;) {
            ssize_t n = write(f->client, piece.data + sent, piece.len - sent);

            if (n > 0) sent += (size_t)n;
            (void)pump(f);
        }
    }
    send_text(f, "0\r\n\r\n");
    expect(f, "413 ");
}

static void suspended_requests_are_resumed(void **state)
{
    struct fixture *f = *state;

    send_text(f, "GET /suspend HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!f->api.waiting)
        (void)pump(f);
    (void)pump(f);
    assert_null(f->got.data);
    (void)api_empty(f->api.waiting, 204);
    api_resume(f->api.waiting);
    expect(f, "204 No Content");
    assert_int_equal(f->api.released, 1);
    send_text(f, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "{\"hello\":1}");
}

static void clients_that_leave_while_suspended_are_noticed(void **state)
{
    struct fixture *f = *state;
    int64_t until = mono_ms() + WAIT_MS;

    send_text(f, "GET /suspend HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!f->api.waiting)
        (void)pump(f);
    (void)close(f->client);
    f->client = -1;
    while (f->api.released == 0) {
        assert_true(mono_ms() < until);
        assert_int_equal(loop_step(f->loop, 10), 0);
    }
    assert_null(f->api.waiting);
}

static void streams_rest_until_there_is_more(void **state)
{
    struct fixture *f = *state;

    f->api.left = 2;
    send_text(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "6\r\npiece\n\r\n6\r\npiece\n\r\n");
    (void)pump(f);
    assert_null(f->got.data);
    f->api.left = 1;
    api_resume(f->api.waiting);
    expect(f, "6\r\npiece\n\r\n");
    f->api.left = -ENODATA;
    api_resume(f->api.waiting);
    expect(f, "0\r\n\r\n");
    assert_int_equal(f->api.released, 1);
}

static void broken_streams_are_cut(void **state)
{
    struct fixture *f = *state;

    f->api.left = 1;
    send_text(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "piece");
    f->api.left = -EIO;
    api_resume(f->api.waiting);
    expect_closed(f);
    assert_true(!f->got.data || !strstr(f->got.data, "0\r\n\r\n"));
    assert_int_equal(f->api.released, 1);
}

static void readers_that_leave_a_stream_are_noticed(void **state)
{
    struct fixture *f = *state;
    int64_t until = mono_ms() + WAIT_MS;

    send_text(f, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "200 OK");
    (void)close(f->client);
    f->client = -1;
    while (f->api.released == 0) {
        assert_true(mono_ms() < until);
        assert_int_equal(loop_step(f->loop, 10), 0);
    }
}

static void uploads_wait_for_room(void **state)
{
    struct fixture *f = *state;
    bool full = false, done = false;

    f->api.room = 3;
    send_text(f, "PUT /upload/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    while (!full) {
        (void)pump(f);
        full = f->api.sunk == 3;
    }
    (void)pump(f);
    assert_null(f->got.data);
    f->api.room = 100;
    api_resume(f->api.waiting);
    while (!done) {
        (void)pump(f);
        done = f->api.sunk == 10;
    }
    pump_until(f, &done);
    expect(f, "201 Created");
    assert_int_equal(f->api.released, 1);
}

/* Whatever a request is doing, closing answers or drops it, and its handler hears of the end. */
static void closing_ends_every_request(void **state)
{
    static const char *const requests[] = {
        "GET /suspend HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
        "PUT /upload/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01",
        "GET /hello HTTP/1.1\r\nHo",
        "",
    };
    struct fixture *f = *state;
    int clients[ARRAY_LEN(requests)];
    char buf[1024] = "";

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        clients[i] = connect_client(f);
        assert_int_equal(write_all(clients[i], requests[i], strlen(requests[i]), mono_ms() + WAIT_MS), 0);
    }
    for (int i = 0; i < 20; i++)
        (void)pump(f);
    http_free(take_ptr(f->http));
    assert_int_equal(f->api.released, 3);
    assert_true(read(clients[0], buf, sizeof(buf) - 1) > 0);
    assert_non_null(strstr(buf, "503 Service Unavailable"));
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        (void)close(clients[i]);
}

static void beyond_the_limit_clients_are_refused(void **state)
{
    struct fixture *f = *state;
    int clients[HTTP_CONNS_MAX + 10];
    char buf[256] = "";
    ssize_t n;

    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = connect_client(f);
        (void)pump(f);
    }
    (void)pump(f);
    n = read(clients[ARRAY_LEN(clients) - 1], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    assert_non_null(strstr(buf, "503 "));
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        (void)close(clients[i]);
    send_text(f, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "{\"hello\":1}");
}

/* With clients connected and nothing to do, nothing wakes the loop. */
static void resting_connections_wake_nobody(void **state)
{
    struct fixture *f = *state;
    int64_t begun;

    send_text(f, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(f, "{\"hello\":1}");
    send_text(f, "GET /suspend HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!f->api.waiting)
        (void)pump(f);
    for (int i = 0; i < 5; i++)
        (void)pump(f);
    begun = mono_ms();
    assert_int_equal(loop_step(f->loop, 100), 0);
    assert_true(mono_ms() - begun >= 95);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_share_a_connection),
        TEST(refusals_come_from_the_head_alone),
        TEST(heads_are_bounded),
        TEST(targets_are_bounded),
        TEST(bodies_without_length_are_bounded),
        TEST(suspended_requests_are_resumed),
        TEST(clients_that_leave_while_suspended_are_noticed),
        TEST(streams_rest_until_there_is_more),
        TEST(broken_streams_are_cut),
        TEST(readers_that_leave_a_stream_are_noticed),
        TEST(uploads_wait_for_room),
        TEST(closing_ends_every_request),
        TEST(beyond_the_limit_clients_are_refused),
        TEST(resting_connections_wake_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
