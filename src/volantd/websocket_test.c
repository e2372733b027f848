/* SPDX-License-Identifier: Apache-2.0 */
/* The server's end over a socketpair; what a browser does is in tests/e2e. */
#include "volantd/websocket.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/unit.h"

struct fixture {
    struct loop *loop;
    struct ws *ws;
    int ours, client, writable, ended;
    struct strbuf got;
    bool refuses;
};

static void on_writable(void *arg)
{
    ((struct fixture *)arg)->writable++;
}

static void on_message(void *arg, const void *data, size_t n)
{
    strbuf_add(&((struct fixture *)arg)->got, data, n);
}

static bool wants(void *arg)
{
    return !((struct fixture *)arg)->refuses;
}

static void on_ended(void *arg)
{
    struct fixture *f = arg;

    f->ended++;
    f->ws = NULL;
    closep(&f->ours);
}

static void begin(struct fixture *f, const void *early, size_t n)
{
    static const struct ws_ops ops = {
        .writable = on_writable, .message = on_message, .wants = wants, .ended = on_ended};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    f->ours = fds[0];
    f->client = fds[1];
    assert_int_equal(ws_new(f->loop, f->ours, early, n, &ops, f, &f->ws), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->ours = f->client = -1;
    assert_int_equal(loop_new(&f->loop), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ws_stop(f->ws);
    closep(&f->ours);
    closep(&f->client);
    loop_free(f->loop);
    strbuf_done(&f->got);
    free(f);
    return 0;
}

static void steps(struct fixture *f)
{
    for (int i = 0; i < 30; i++)
        assert_int_equal(loop_step(f->loop, 1), 0);
}

/* The example of RFC 6455 1.3. */
static void the_key_is_answered(void **state)
{
    static const char *const bad[] = {"", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ",
                                      "dGhlIHNhbXBsZSBub25jZQ==x", "dGhlIHNhbXBsZSBub2!jZQ=="};
    char accept[32] = "untouched";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ws_accept_key(bad[i], accept), -EINVAL);
    assert_string_equal(accept, "untouched");
    assert_int_equal(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", accept), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void messages_go_both_ways(void **state)
{
    struct fixture *f = *state;
    static const char early[] = "\x82\x85\0\0\0\0he", rest[] = "llo";
    char buf[64];

    begin(f, early, sizeof(early) - 1);
    steps(f);
    assert_int_equal(f->writable, 1);
    assert_int_equal(f->got.len, 0);
    assert_int_equal(write(f->client, rest, 3), 3);
    steps(f);
    assert_string_equal(f->got.data, "hello");
    ws_send_text(f->ws, "hi", 2);
    ws_close(f->ws, WS_CLOSE_NORMAL, "bye");
    ws_send_text(f->ws, "late", 4);
    steps(f);
    assert_int_equal(read(f->client, buf, sizeof(buf)), 4 + 2 + 2 + 3);
    assert_memory_equal(buf,
                        "\x81\x02hi\x88\x05\x03\xe8"
                        "bye",
                        11);
    assert_int_equal(f->ended, 0); /* the client has a moment to answer */
    assert_int_equal(write(f->client, "\x88\x82\0\0\0\0\x03\xe8", 8), 8);
    steps(f);
    assert_int_equal(f->ended, 1);
}

static void a_client_that_does_not_read_is_bounded(void **state)
{
    struct fixture *f = *state;
    static const char data[4096];
    static char buf[65536];
    size_t sent = 0;

    begin(f, NULL, 0);
    steps(f);
    for (; ws_has_room(f->ws) && sent < 64ul << 20; sent += sizeof(data)) {
        ws_send_binary(f->ws, data, sizeof(data));
        assert_int_equal(loop_step(f->loop, 0), 0);
    }
    assert_true(sent < 2ul << 20);
    assert_int_equal(f->writable, 1);
    while (read(f->client, buf, sizeof(buf)) > 0)
        ;
    steps(f);
    assert_int_equal(f->writable, 2);
}

static void input_that_nobody_takes_waits_in_the_socket(void **state)
{
    struct fixture *f = *state;

    f->refuses = true;
    begin(f, NULL, 0);
    assert_int_equal(write(f->client, "\x82\x81\0\0\0\0x", 7), 7);
    steps(f);
    assert_int_equal(f->got.len, 0);
    f->refuses = false;
    ws_rearm(f->ws);
    steps(f);
    assert_string_equal(f->got.data, "x");
}

static void who_goes_is_noticed(void **state)
{
    struct fixture *f = *state;

    begin(f, NULL, 0);
    steps(f);
    closep(&f->client);
    steps(f);
    assert_int_equal(f->ended, 1);
}

int main(void)
{
#define with_ws(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_answered),
        with_ws(messages_go_both_ways),
        with_ws(a_client_that_does_not_read_is_bounded),
        with_ws(input_that_nobody_takes_waits_in_the_socket),
        with_ws(who_goes_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
