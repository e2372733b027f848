/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both ends of a virtio-serial port need. Such a port has no connections: bytes of a host that went may still
 * reach the guest, and the other way round. The host rings with a nonce on `sync`; each end then sends the nonce's
 * marker on `ctl` and throws away what it reads before the other's. Private to src/channel.
 */
#pragma once
#include "channel/h2.h"

#define PORT_NONCE      16
#define PORT_MARKER     20 /* "SYNC" and the nonce, raw */
#define PORT_SYNC_LINE  38 /* "SYNC ", the nonce in hex, newline */
#define PORT_BUFFER     65536
#define PORT_SYNC_CHUNK 4096

/* Looks for a marker in a stream that comes in pieces. */
struct port_search {
    uint8_t marker[PORT_MARKER];
    uint8_t tail[PORT_MARKER - 1]; /* of what was searched, as the marker may be cut */
    size_t n_tail;
};
void port_search_begin(struct port_search *p, const uint8_t nonce[static PORT_NONCE]);
/* Where in data the stream goes on behind the marker; -ENOENT if it is not whole yet. */
ssize_t port_search_feed(struct port_search *p, const void *data, size_t n);

/* Looks for SYNC lines in a stream that comes in pieces. */
struct port_line {
    char tail[PORT_SYNC_LINE - 1];
    size_t n_tail;
};
/*
 * Whether a SYNC line was completed; of several, the last one's nonce. A line may begin anywhere, as the rest of a
 * host's that was cut off may stand before it. n is at most PORT_SYNC_CHUNK.
 */
bool port_line_feed(struct port_line *p, const void *data, size_t n, uint8_t ret_nonce[static PORT_NONCE]);
/* A fresh nonce and its line; -errno if there is no randomness. */
int port_line_make(char line[static PORT_SYNC_LINE + 1], uint8_t nonce[static PORT_NONCE]);

/* Bytes on their way out; refilled from the session only when empty, so that the session orders what is urgent. */
struct port_out {
    size_t at, len;
    uint8_t data[PORT_BUFFER];
};
/* Drops what was left and begins anew with the marker, in one write with what the session (or NULL) has already. */
int port_out_begin(struct port_out *o, const uint8_t nonce[static PORT_NONCE], struct h2 *const *slot);
/*
 * Writes what is left and what the session (or NULL) has, until there is nothing more (0) or the descriptor would block
 * (1). -EPROTO: the session is over; -ECANCELED: a callback of the session has emptied or filled its owner's slot, and
 * what was on its way was dropped; else -errno of write.
 */
int port_out_flush(struct port_out *o, const int *fd, struct h2 *const *slot);
