/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control channel against a peer that sends anything. Byte 0: bit 0 chooses our end, the rest how the input is cut
 * into pieces; what we would send is drained after each. Every stream that was opened or owned is closed exactly once.
 */
#include "fuzz.h"

#include "channel/h2.h"

struct seen {
    int opened, closed;
};

static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    (void)arg;
    must(data || n == 0);
    h2_stream_consume(s, n);
}

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct seen *seen = arg;

    (void)s;
    must(err == 0 || err == -ECONNRESET || err == -ECANCELED);
    seen->closed++;
}

static const struct h2_stream_ops stream_ops = {.data = on_data, .closed = on_closed};

static void on_request(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head)
{
    struct seen *seen = arg;

    (void)h;
    must(head->method && head->path);
    h2_stream_own(s, &stream_ops, seen);
    seen->opened++;
    (void)h2_respond_text(s, 200, "text/plain", "here\n", 5);
}

static void drain(struct h2 *h)
{
    char out[4096];

    while (h2_wants_pull(h) && h2_pull(h, out, sizeof(out)) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct h2_ops server_ops = {.request = on_request};
    struct seen seen = {0};
    struct h2 *h = NULL;
    const char *why = NULL;
    size_t piece;

    if (size == 0) return 0;
    piece = (size_t)(data[0] >> 1) + 1;
    if (data[0] & 1) {
        must(h2_new_server(&server_ops, &seen, &h) == 0);
    } else {
        struct h2_stream *s = NULL;

        must(h2_new_client(&h) == 0);
        must(h2_request(h, "GET", "/v1/events", NULL, &stream_ops, &seen, &s) == 0);
        seen.opened++;
    }
    drain(h);
    for (size_t at = 1; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;

        if (h2_feed(h, data + at, n, &why) < 0) {
            must(why);
            break;
        }
        drain(h);
        if (h2_finished(h)) break;
    }
    h2_free(h);
    must(seen.opened == seen.closed);
    return 0;
}
