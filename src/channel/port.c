/* SPDX-License-Identifier: Apache-2.0 */
/* See port.h. */
#include "channel/port.h"

#include <string.h>

#include "base/str.h"

#define PORT_HEX 32 /* a nonce in hex */

static void make_marker(uint8_t marker[static PORT_MARKER], const uint8_t nonce[static PORT_NONCE])
{
    memcpy(marker, "SYNC", PORT_MARKER - PORT_NONCE);
    memcpy(marker + PORT_MARKER - PORT_NONCE, nonce, PORT_NONCE);
}

/* Keeps the last `max` bytes of what was seen. */
static void keep_tail(void *tail, size_t *n_tail, size_t max, const void *data, size_t n)
{
    size_t kept = n >= max ? 0 : *n_tail + n > max ? max - n : *n_tail;

    if (n > max) {
        data = (const char *)data + (n - max);
        n = max;
    }
    memmove(tail, (char *)tail + (*n_tail - kept), kept);
    memcpy((char *)tail + kept, data, n);
    *n_tail = kept + n;
}

void port_search_begin(struct port_search *p, const uint8_t nonce[static PORT_NONCE])
{
    make_marker(p->marker, nonce);
    p->n_tail = 0;
}

ssize_t port_search_feed(struct port_search *p, const void *data, size_t n)
{
    uint8_t seam[2 * (PORT_MARKER - 1)];
    size_t head = n < PORT_MARKER - 1 ? n : PORT_MARKER - 1;
    const uint8_t *at;

    memcpy(seam, p->tail, p->n_tail);
    memcpy(seam + p->n_tail, data, head);
    if ((at = memmem(seam, p->n_tail + head, p->marker, PORT_MARKER)))
        return at + PORT_MARKER - seam - (ssize_t)p->n_tail;
    if ((at = memmem(data, n, p->marker, PORT_MARKER))) return at + PORT_MARKER - (const uint8_t *)data;
    keep_tail(p->tail, &p->n_tail, sizeof(p->tail), data, n);
    return -ENOENT;
}

/* The nonce of the line that ends with the newline at `end`. */
static bool parse_line(const char *text, const char *end, uint8_t ret_nonce[static PORT_NONCE])
{
    const char *line = end - (PORT_SYNC_LINE - 1);
    char hex[PORT_HEX + 1] = {0};

    if (end - text < PORT_SYNC_LINE - 1 || memcmp(line, "SYNC ", 5) != 0) return false;
    memcpy(hex, line + 5, PORT_HEX);
    return hex_decode(hex, ret_nonce, PORT_NONCE) == 0;
}

bool port_line_feed(struct port_line *p, const void *data, size_t n, uint8_t ret_nonce[static PORT_NONCE])
{
    char text[sizeof(p->tail) + PORT_SYNC_CHUNK];
    uint8_t nonce[PORT_NONCE];
    size_t len = p->n_tail + n;
    bool found = false;

    memcpy(text, p->tail, p->n_tail);
    memcpy(text + p->n_tail, data, n);
    for (const char *end = text + len; !found && (end = memrchr(text, '\n', (size_t)(end - text)));)
        found = parse_line(text, end, nonce);
    keep_tail(p->tail, &p->n_tail, sizeof(p->tail), data, n);
    if (found) memcpy(ret_nonce, nonce, PORT_NONCE);
    return found;
}

int port_line_make(char line[static PORT_SYNC_LINE + 1], uint8_t nonce[static PORT_NONCE])
{
    char hex[PORT_HEX + 1];
    int r = random_hex(hex, PORT_NONCE);

    if (r < 0 || (r = hex_decode(hex, nonce, PORT_NONCE)) < 0 ||
        (r = strf(line, PORT_SYNC_LINE + 1, "SYNC %s\n", hex)) < 0)
        return r;
    return 0;
}

static int refill(struct port_out *o, struct h2 *const *slot)
{
    struct h2 *h = *slot;
    ssize_t n = h ? h2_pull(h, o->data + o->len, sizeof(o->data) - o->len) : 0;

    if (*slot != h) {
        o->at = o->len = 0;
        return -ECANCELED;
    }
    if (n < 0) return (int)n;
    o->len += (size_t)n;
    return 0;
}

int port_out_begin(struct port_out *o, const uint8_t nonce[static PORT_NONCE], struct h2 *const *slot)
{
    make_marker(o->data, nonce);
    o->at = 0;
    o->len = PORT_MARKER;
    return refill(o, slot);
}

int port_out_flush(struct port_out *o, const int *fd, struct h2 *const *slot)
{
    ssize_t n;
    int r;

    for (;;) {
        if (o->at == o->len) {
            o->at = o->len = 0;
            if ((r = refill(o, slot)) < 0) return r;
            if (o->len == 0) return 0;
        }
        if ((n = write(*fd, o->data + o->at, o->len - o->at)) > 0) {
            o->at += (size_t)n;
        } else if (n == 0 || errno == EAGAIN) {
            return 1;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}
