/* SPDX-License-Identifier: Apache-2.0 */
/* See http_reply.h. */
#include "kestrel/http_reply.h"

#include "base/str.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.x NNN", then a reason or nothing; 0 if it is none. */
static int parse_status(const char *line)
{
    static const char head[] = "HTTP/1.";
    const char *s = line + sizeof(head) - 1;

    if (!str_starts(line, head) || !is_digit(s[0]) || s[1] != ' ') return 0;
    if (s[2] < '1' || s[2] > '9' || !is_digit(s[3]) || !is_digit(s[4])) return 0;
    if (s[5] != ' ' && s[5] != '\0') return 0;
    return (s[2] - '0') * 100 + (s[3] - '0') * 10 + (s[4] - '0');
}

static enum http_step end_line(struct http_reply *r)
{
    int status;

    if (r->len > 0 && r->line[r->len - 1] == '\r') r->len--;
    r->line[r->len] = '\0';
    if (r->interim) {
        r->interim = r->len > 0; /* an empty line ends the head */
        return HTTP_MORE;
    }
    if ((status = parse_status(r->line)) == 0) {
        r->why = "does not speak HTTP/1";
        return HTTP_BAD;
    }
    r->interim = status < 200 && status != 101;
    if (r->interim) return HTTP_MORE;
    r->status = status;
    return HTTP_DONE;
}

enum http_step http_reply_feed(struct http_reply *r, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum http_step step;

        if (++r->total > HTTP_HEAD_MAX) {
            r->line[r->len] = '\0';
            r->why = "sends 64 KiB and no status";
            return HTTP_BAD;
        }
        if (data[i] != '\n') {
            if (r->len < HTTP_LINE_MAX) r->line[r->len++] = data[i];
            continue;
        }
        if ((step = end_line(r)) != HTTP_MORE) return step;
        r->len = 0;
    }
    return HTTP_MORE;
}
