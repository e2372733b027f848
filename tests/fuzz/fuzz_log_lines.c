/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest writes to its console, and what its agent says of its log. The first byte says how many of the last
 * lines are wanted. Whatever it is, clients get whole lines of JSON that name this VM, and no more than they asked for.
 */
#include <string.h>

#include "fuzz.h"
#include "model/schema.h"
#include "volantd/lines.h"

struct count {
    const char *stream; /* NULL: any */
    int64_t n;
};

static int check_line(void *arg, const char *text, size_t n)
{
    struct count *c = arg;
    json_auto_t *j = NULL;
    const char *stream;

    must(json_parse(text, n, "line", &j, NULL) == 0);
    must(str_eq(json_string_value(json_object_get(j, "name")), "web"));
    must(json_is_string(json_object_get(j, "line")) && json_is_string(json_object_get(j, "timestamp")));
    must(stream = json_string_value(json_object_get(j, "stream")));
    must(!c->stream || str_eq(stream, c->stream));
    c->n++;
    return 0;
}

static int64_t check(struct strbuf *b, const char *stream)
{
    struct count c = {.stream = stream};

    must(!b->failed);
    if (b->len > 0) must(strbuf_each_line(b, check_line, &c) == 0);
    must(b->len == 0);
    return c.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_strbuf console = {0}, agent = {0};
    int64_t tail = size > 0 ? (int8_t)data[0] : 0;
    const char *text = (const char *)data + 1;

    if (size == 0) return 0;
    if (tail < 0) tail = -1;
    lines_add_console(&console, "web", text, size - 1, tail);
    must(check(&console, "console") <= (tail < 0 ? INT64_MAX : tail));
    if (lines_add_guest(&agent, "web", text, size - 1) == 0)
        must(check(&agent, NULL) == 1);
    else
        must(agent.len == 0);
    return 0;
}
