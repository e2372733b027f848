/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of an HTTP/1 response, read as it comes from a server that may be anything: interim responses (1xx) are
 * skipped, everything after the final status line is nobody's business. Bounded, no allocation.
 */
#pragma once
#include "base/defs.h"

#define HTTP_HEAD_MAX 65536 /* bytes until the final status line has to be complete */
#define HTTP_LINE_MAX 100   /* bytes of a line that are kept */

struct http_reply {
    int status;      /* once known: 200 to 999, or 101 */
    const char *why; /* of HTTP_BAD: what goes after "the server" */
    size_t total, len;
    bool interim; /* in the head of a 1xx */
    char line[HTTP_LINE_MAX + 1];
};

enum http_step { HTTP_MORE, HTTP_DONE, HTTP_BAD };
/* Zero-initialised is the beginning. Not to be fed after HTTP_DONE or HTTP_BAD; `line` is then the line that decided.
 */
enum http_step http_reply_feed(struct http_reply *r, const char *data, size_t n);
