/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sends what it likes to the host's session, for as long as it lives: each attack is ended after a bounded
 * number of bytes and of CPU time and leaves no memory behind.
 */
#include <malloc.h>
#include <string.h>
#include <time.h>

#include "base/unit.h"
#include "channel/frames.h"
#include "channel/h2.h"

#define CHUNK      65536
#define FED_MAX    (4 << 20) /* no attack gets more in */
#define MEMORY_MAX (1 << 20)
#define CPU_MAX_MS 400 /* a sanitizer and a busy machine included; 1 to 30 without */

/* One more piece of the attack; round 0 comes first, after SETTINGS and the head of the answer on stream 1. */
typedef void attack_fn(struct strbuf *b, unsigned round);

static void repeat(struct strbuf *b, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
    for (size_t start = b->len; b->len - start < CHUNK;)
        put_frame(b, type, flags, stream, payload, n);
}

static void garbage(struct strbuf *b, unsigned round)
{
    for (unsigned i = 0; i < CHUNK / 4; i++)
        put_u32(b, (round * CHUNK + i) * 2654435761u ^ i << 7);
}

static void settings_flood(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void settings_acks(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

static void window_toggle(struct strbuf *b, unsigned round)
{
    (void)round;
    while (b->len < CHUNK) {
        put_setting(b, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
        put_setting(b, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff);
    }
}

static void ping_flood(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void slow_ping_flood(struct strbuf *b, unsigned round)
{
    (void)round;
    for (int i = 0; i < 40; i++) /* below what nghttp2 counts within one feed */
        put_frame(b, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void ping_acks(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678", 8);
}

static void resets(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\1", 4);
}

static void empty_data(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_DATA, 0, 1, NULL, 0);
}

static void padding_only(struct strbuf *b, unsigned round)
{
    static const char padding[256] = {(char)255};

    (void)round;
    repeat(b, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, padding, sizeof(padding));
}

static void priorities(struct strbuf *b, unsigned round)
{
    for (uint32_t i = 0; b->len < CHUNK; i++)
        put_frame(b, NGHTTP2_PRIORITY, 0, 2 * (round * 5000 + i) + 3, "\0\0\0\0\10", 5);
}

static void window_updates(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void window_overflow(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4);
}

static void stream_window_overflow(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_WINDOW_UPDATE, 0, 1, "\x7f\xff\xff\xff", 4);
}

static void window_update_of_zero(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_WINDOW_UPDATE, 0, 1, "\0\0\0\0", 4);
}

static void goaways(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_GOAWAY, 0, 0, "\x7f\xff\xff\xff\0\0\0\0", 8);
}

static void unknown_frames(struct strbuf *b, unsigned round)
{
    static const char payload[1000];

    (void)round;
    repeat(b, 0xbe, 0, 1, payload, sizeof(payload));
}

static void empty_unknown_frames(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, 0xbe, 0xff, 0, NULL, 0);
}

static void huge_unknown_frame(struct strbuf *b, unsigned round)
{
    static const char payload[16384];

    (void)round;
    repeat(b, 0xef, 0, 7, payload, sizeof(payload));
}

static void interim_answers(struct strbuf *b, unsigned round)
{
    if (round == 0) put_frame(b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\0", 4);
    while (b->len < CHUNK)
        put_response(b, 3, "103", NULL, false);
}

static void continuations(struct strbuf *b, unsigned round)
{
    if (round == 0) put_frame(b, NGHTTP2_HEADERS, 0, 3, "\x88", 1);
    repeat(b, NGHTTP2_CONTINUATION, 0, 3, NULL, 0);
}

static void hpack_bomb(struct strbuf *b, unsigned round)
{
    static char block[16384];
    auto_strbuf first = {0};
    char value[4000];

    if (round == 0) { /* one entry of 4000 bytes goes into the dynamic table: index 62 */
        memset(value, 'a', sizeof(value));
        strbuf_add(&first, "\x88\x40\x01x\x7f\xa1\x1e", 7);
        strbuf_add(&first, value, sizeof(value));
        put_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, first.data, first.len);
    }
    memset(block, 0x80 | 62, sizeof(block));
    repeat(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, block, sizeof(block));
}

static void push_promise(struct strbuf *b, unsigned round)
{
    (void)round;
    repeat(b, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82\x84\x86", 7);
}

static void oversize_frame(struct strbuf *b, unsigned round)
{
    static char payload[20000];

    (void)round;
    repeat(b, NGHTTP2_DATA, 0, 1, payload, sizeof(payload));
}

static void oversize_settings(struct strbuf *b, unsigned round)
{
    static char payload[17 * 6];

    (void)round;
    repeat(b, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
}

static void unopened_stream(struct strbuf *b, unsigned round)
{
    (void)round;
    put_response(b, 4711, "200", NULL, false);
}

static void guest_opens_stream(struct strbuf *b, unsigned round)
{
    (void)round;
    put_response(b, 2, "200", NULL, false);
}

static void headers_again(struct strbuf *b, unsigned round)
{
    (void)round;
    while (b->len < CHUNK)
        put_response(b, 1, "200", NULL, false);
}

static void beyond_the_window(struct strbuf *b, unsigned round)
{
    static char payload[16384];

    (void)round;
    repeat(b, NGHTTP2_DATA, 0, 1, payload, sizeof(payload));
}

static void bad_preface(struct strbuf *b, unsigned round)
{
    (void)round;
    strbuf_adds(b, "HTTP/1.1 400 Bad Request\r\nServer: nobody\r\n\r\n");
}

static const struct {
    const char *name;
    attack_fn *attack;
    bool from_start; /* without SETTINGS and an answer */
} attacks[] = {
    {"garbage", garbage, true},
    {"garbage after the handshake", garbage, false},
    {"HTTP/1.1", bad_preface, true},
    {"SETTINGS flood", settings_flood, false},
    {"SETTINGS acknowledgements", settings_acks, false},
    {"INITIAL_WINDOW_SIZE to and fro", window_toggle, false},
    {"PING flood", ping_flood, false},
    {"PING flood in small pieces", slow_ping_flood, false},
    {"PING acknowledgements", ping_acks, false},
    {"RST_STREAM flood", resets, false},
    {"empty DATA", empty_data, false},
    {"DATA with nothing but padding", padding_only, false},
    {"PRIORITY flood", priorities, false},
    {"WINDOW_UPDATE flood", window_updates, false},
    {"connection window overflow", window_overflow, false},
    {"stream window overflow", stream_window_overflow, false},
    {"WINDOW_UPDATE of zero", window_update_of_zero, false},
    {"GOAWAY flood", goaways, false},
    {"unknown frames", unknown_frames, false},
    {"empty unknown frames", empty_unknown_frames, false},
    {"large unknown frames", huge_unknown_frame, false},
    {"1xx without end", interim_answers, false},
    {"CONTINUATION without end", continuations, false},
    {"HPACK bomb", hpack_bomb, false},
    {"PUSH_PROMISE", push_promise, false},
    {"oversize frame", oversize_frame, false},
    {"oversize SETTINGS", oversize_settings, false},
    {"answer to no request", unopened_stream, false},
    {"a stream of the guest's", guest_opens_stream, false},
    {"the same answer again", headers_again, false},
    {"DATA beyond the window", beyond_the_window, false},
};

static int closes;

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    (void)s;
    (void)arg;
    (void)err;
    closes++;
}

/* Takes nothing, as a reader would that has stopped. */
static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    (void)s;
    (void)arg;
    (void)data;
    (void)n;
}

static const struct h2_stream_ops stream_ops = {.data = on_data, .closed = on_closed};

static size_t drain(struct h2 *h)
{
    static char out[CHUNK];
    size_t sum = 0;
    ssize_t n;

    while ((n = h2_pull(h, out, sizeof(out))) > 0)
        sum += (size_t)n;
    return sum;
}

static int64_t cpu_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t memory(void)
{
    const struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static struct h2 *connect_client(void)
{
    struct h2_stream *s;
    struct h2 *h;

    assert_int_equal(h2_new_client(&h), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(h2_request(h, "GET", "/v1/events", NULL, &stream_ops, NULL, &s), 0);
    (void)drain(h);
    return h;
}

/* The guest reads nothing where `deaf`: not even its end can be told. Gives the bytes it took. */
static size_t run(attack_fn *attack, bool from_start, bool deaf, size_t *ret_memory)
{
    struct h2 *h = connect_client();
    size_t fed = 0, before;
    const char *why = NULL;
    bool over = false;

    closes = 0;
    *ret_memory = 0;
    before = memory();
    for (unsigned round = 0; !over && fed < FED_MAX; round++) {
        auto_strbuf b = {0};

        if (round == 0 && !from_start) {
            put_frame(&b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
            put_response(&b, 1, "200", NULL, false);
        }
        attack(&b, round);
        fed += b.len;
        over = h2_feed(h, b.data, b.len, &why) < 0;
        strbuf_done(&b);
        if (!deaf) (void)drain(h);
        over |= h2_finished(h);
        if (memory() > before + *ret_memory) *ret_memory = memory() - before;
    }
    if (over) assert_non_null(h2_why(h));
    h2_free(h);
    assert_int_equal(closes, 2);
    return fed;
}

static void test_attacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        for (int deaf = 0; deaf < 2; deaf++) {
            int64_t before = cpu_ms(), spent;
            size_t grown, fed = run(attacks[i].attack, attacks[i].from_start, deaf, &grown);

            spent = cpu_ms() - before;
            if (fed >= FED_MAX || grown > MEMORY_MAX || spent > CPU_MAX_MS)
                fail_msg("%s%s: %zu bytes, %zu bytes of memory, %lld ms", attacks[i].name, deaf ? ", deaf" : "", fed,
                         grown, (long long)spent);
        }
    }
}

/* What an honest guest does never trips the budget: many small frames, each with content. */
static void test_honest_load(void **state)
{
    struct h2 *h = connect_client();
    auto_strbuf b = {0};
    const char *why;
    char payload[64] = {0};

    (void)state;
    closes = 0;
    put_frame(&b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    put_response(&b, 1, "200", NULL, false);
    assert_int_equal(h2_feed(h, b.data, b.len, &why), 0);
    for (int i = 0; i < 1000; i++) {
        strbuf_consume(&b, b.len);
        put_frame(&b, NGHTTP2_DATA, 0, 1, payload, sizeof(payload));
        assert_int_equal(h2_feed(h, b.data, b.len, &why), 0);
        (void)drain(h);
    }
    h2_free(h);
    assert_int_equal(closes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_honest_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
