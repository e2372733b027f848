/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload answers to its health check: the same whether it comes whole or in bytes, and within bounds. */
#include "fuzz.h"

#include <string.h>

#include "kestrel/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_reply whole = {0}, bytes = {0};
    enum http_step step = http_reply_feed(&whole, (const char *)data, size), again = HTTP_MORE;

    for (size_t i = 0; i < size && again == HTTP_MORE; i++)
        again = http_reply_feed(&bytes, (const char *)data + i, 1);
    must(step == again && whole.status == bytes.status && whole.total == bytes.total);
    must(whole.len <= HTTP_LINE_MAX && whole.total <= HTTP_HEAD_MAX + 1);
    must((step == HTTP_DONE) == (whole.status >= 101 && whole.status <= 999));
    if (step != HTTP_MORE) must(strlen(whole.line) <= HTTP_LINE_MAX && strcmp(whole.line, bytes.line) == 0);
    return 0;
}
