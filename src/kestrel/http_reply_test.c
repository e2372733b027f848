/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/http_reply.h"

#include <string.h>

#include "base/unit.h"

static const struct {
    const char *text;
    enum http_step step;
    int status;
    const char *line; /* it begins with */
} table[] = {
    {"HTTP/1.1 200 OK\r\n", HTTP_DONE, 200, "HTTP/1.1 200 OK"},
    {"HTTP/1.0 204\n", HTTP_DONE, 204, "HTTP/1.0 204"},
    {"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nbody", HTTP_DONE, 503, "HTTP/1.1 503 Service Unavailable"},
    {"HTTP/1.1 999 \r\n", HTTP_DONE, 999, "HTTP/1.1 999 "},
    {"HTTP/1.1 101 Switching Protocols\r\n", HTTP_DONE, 101, "HTTP/1.1 101"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", HTTP_DONE, 200, "HTTP/1.1 200 OK"},
    {"HTTP/1.1 103 Early\r\nLink: HTTP/1.1 500\r\n\r\nHTTP/1.1 100 C\n\nHTTP/1.1 404 No\n", HTTP_DONE, 404,
     "HTTP/1.1 404"},
    {"HTTP/1.1 200 OK", HTTP_MORE, 0, NULL},
    {"HTTP/1.1 200 OK\r", HTTP_MORE, 0, NULL},
    {"HTTP/1.1 103 Early\r\nHTTP/1.1 200 OK\r\n", HTTP_MORE, 0, NULL},
    {"", HTTP_MORE, 0, NULL},
    {"\r\n", HTTP_BAD, 0, ""},
    {"220 mail.example ESMTP\r\n", HTTP_BAD, 0, "220 mail"},
    {"HTTP/2 200 OK\r\n", HTTP_BAD, 0, "HTTP/2"},
    {"HTTP/1.x 200 OK\r\n", HTTP_BAD, 0, "HTTP/1.x"},
    {"HTTP/1.1  200\r\n", HTTP_BAD, 0, "HTTP/1.1"},
    {"HTTP/1.1 20 OK\r\n", HTTP_BAD, 0, "HTTP/1.1"},
    {"HTTP/1.1 2000 OK\r\n", HTTP_BAD, 0, "HTTP/1.1"},
    {"HTTP/1.1 099 OK\r\n", HTTP_BAD, 0, "HTTP/1.1"},
    {"HTTP/1.1 200OK\r\n", HTTP_BAD, 0, "HTTP/1.1"},
    {"HTTP/1.\n", HTTP_BAD, 0, "HTTP/1."},
    {"http/1.1 200 OK\r\n", HTTP_BAD, 0, "http/1.1"},
    {"HTTP/1.1 103 E\r\n\r\nhello\r\n", HTTP_BAD, 0, "hello"},
};

static void check(size_t i, const struct http_reply *r, enum http_step step)
{
    if (step != table[i].step || r->status != table[i].status) fail_msg("%s: %d %d", table[i].text, step, r->status);
    if (table[i].line && strncmp(r->line, table[i].line, strlen(table[i].line)) != 0)
        fail_msg("%s: '%s'", table[i].text, r->line);
    assert_int_equal(step == HTTP_BAD, r->why != NULL);
}

static void test_whole_and_in_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct http_reply whole = {0}, bytes = {0};
        enum http_step step = HTTP_MORE;

        check(i, &whole, http_reply_feed(&whole, table[i].text, strlen(table[i].text)));
        for (const char *at = table[i].text; *at && step == HTTP_MORE; at++)
            step = http_reply_feed(&bytes, at, 1);
        check(i, &bytes, step);
    }
}

/* However it is spread: one line, many lines, interim heads without end. */
static void test_it_does_not_read_for_ever(void **state)
{
    static const char *const pieces[] = {"x", "A: b\r\n", "HTTP/1.1 100 Continue\r\n\r\n"};
    static const char *const first[] = {"", "HTTP/1.1 103 Early\r\n", ""};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct http_reply r = {0};
        enum http_step step = http_reply_feed(&r, first[i], strlen(first[i]));
        size_t fed = strlen(first[i]);

        while (step == HTTP_MORE && fed <= 2UL * HTTP_HEAD_MAX) {
            step = http_reply_feed(&r, pieces[i], strlen(pieces[i]));
            fed += strlen(pieces[i]);
        }
        assert_int_equal(step, HTTP_BAD);
        assert_in_range(fed, HTTP_HEAD_MAX, HTTP_HEAD_MAX + 100);
        assert_string_equal(r.why, "sends 64 KiB and no status");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_in_bytes),
        cmocka_unit_test(test_it_does_not_read_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
