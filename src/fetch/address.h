/* SPDX-License-Identifier: Apache-2.0 */
/* Where a download may connect to. */
#pragma once
#include <sys/socket.h>

#include "base/defs.h"

/* How far inside an address lies. */
enum reach {
    REACH_PUBLIC,
    REACH_PRIVATE,  /* of this site: RFC 1918, RFC 6598, fc00::/7 */
    REACH_LOOPBACK, /* this host's own, and the unspecified address, which is that too */
    REACH_LINK,     /* 169.254.0.0/16 and fe80::/10, where clouds keep a machine's credentials; also multicast */
};
/* An address of any other family is REACH_LINK: nobody may go there. */
enum reach address_reach(const struct sockaddr *a);

/*
 * Whether a redirect that began at an address of `from` (the innermost of those tried) may lead to `to`: as far inside
 * as the URL that the administrator wrote, or less. Nothing may lead to REACH_LINK; a first address has from = to.
 */
bool reach_allowed(enum reach from, enum reach to);
