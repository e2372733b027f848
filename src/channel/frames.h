/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: HTTP/2 frames by hand, as a peer that keeps no rule would write them (RFC 9113 section 6). */
#pragma once
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/str.h"

static inline void put_u32(struct strbuf *b, uint32_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    strbuf_add(b, bytes, sizeof(bytes));
}

static inline void put_frame(struct strbuf *b, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                             size_t n)
{
    const uint8_t head[] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags};

    strbuf_add(b, head, sizeof(head));
    put_u32(b, stream);
    if (n > 0) strbuf_add(b, payload, n);
}

static inline void put_setting(struct strbuf *b, uint16_t id, uint32_t value)
{
    const uint8_t payload[] = {(uint8_t)(id >> 8),     (uint8_t)id,           (uint8_t)(value >> 24),
                               (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

    put_frame(b, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
}

/* A literal field without indexing, texts below 127 bytes. */
static inline void put_field(struct strbuf *b, const char *name, const char *value)
{
    const uint8_t literal = 0, name_len = (uint8_t)strlen(name), value_len = (uint8_t)strlen(value);

    strbuf_add(b, &literal, 1);
    strbuf_add(b, &name_len, 1);
    strbuf_add(b, name, name_len);
    strbuf_add(b, &value_len, 1);
    strbuf_add(b, value, value_len);
}

/* A response's head; content_length NULL: none. */
static inline void put_response(struct strbuf *b, uint32_t stream, const char *status, const char *content_length,
                                bool end)
{
    auto_strbuf block = {0};

    put_field(&block, ":status", status);
    if (content_length) put_field(&block, "content-length", content_length);
    put_frame(b, NGHTTP2_HEADERS, (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0)), stream,
              block.data, block.len);
}
