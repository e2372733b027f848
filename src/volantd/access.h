/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask. There are no tokens yet: the Unix socket is guarded by its mode, TCP by being loopback alone. What is
 * left are web pages that the user's browser shows, which must not reach volantd under another site's name.
 */
#pragma once
#include "base/error.h"

/*
 * NULL if a request may go on, else a constant text for a 403. Over TCP the Host header must name loopback (a page
 * whose name was rebound to 127.0.0.1 names itself); an Origin header must be that of the Host. Both headers may be
 * NULL.
 */
const char *access_refusal(bool tcp, const char *host, const char *origin);

/* "127.0.0.1", "[::1]" or "localhost", without a port. */
bool access_is_loopback(const char *host, size_t n);
