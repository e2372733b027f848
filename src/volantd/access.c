/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/access.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

bool access_is_loopback(const char *host, size_t n)
{
    char text[16];
    uint32_t addr;

    if (n == strlen("localhost") && strncasecmp(host, "localhost", n) == 0) return true;
    if (n == strlen("[::1]") && memcmp(host, "[::1]", n) == 0) return true;
    if (strf(text, sizeof(text), "%.*s", (int)n, host) < 0) return false;
    return parse_ipv4(text, &addr) == 0 && addr >> 24 == 127;
}

/* The length of "host" in "host:port"; 0 if it is not of that form. */
static size_t host_length(const char *s)
{
    size_t n = *s == '[' ? strcspn(s, "]") + 1 : strcspn(s, ":");
    uint64_t port;

    if (n > strlen(s)) return 0;
    if (s[n] == '\0') return n;
    return s[n] == ':' && parse_u64(s + n + 1, 0, 65535, &port) == 0 ? n : 0;
}

const char *access_refusal(bool tcp, const char *host, const char *origin)
{
    size_t n = host ? host_length(host) : 0;

    if (tcp && (n == 0 || !access_is_loopback(host, n)))
        return "the Host header does not name this machine's loopback: use 127.0.0.1, localhost or [::1]";
    if (!origin) return NULL;
    if (!host || !str_starts(origin, "http://") || strcasecmp(origin + strlen("http://"), host) != 0)
        return "requests of web pages from elsewhere (Origin header) are refused";
    return NULL;
}
