/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as far as a workload's base_url goes: plain HTTP, a host, a port, and what follows. No user, no escapes. */
#include <string.h>

#include "model/manifest_rules.h"

#define PORT_DEFAULT 80

bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) return true;
    return false;
}

static bool is_host_char(char c, bool bracketed)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.') return true;
    if (bracketed) return c == ':';
    return (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '-' || c == '_';
}

int base_url_parse(const char *url, struct base_url *ret)
{
    struct base_url u = {.port = PORT_DEFAULT};
    uint64_t port = PORT_DEFAULT;
    const char *end;
    bool bracketed;

    if (!str_starts(url, "http://") || has_control(url) || strchr(url, ' ')) return -EINVAL;
    u.host = url + strlen("http://");
    bracketed = *u.host == '[';
    for (end = u.host + bracketed; is_host_char(*end, bracketed);)
        end++;
    if (end == u.host + bracketed || (bracketed && *end++ != ']')) return -EINVAL;
    u.host_len = (size_t)(end - u.host);
    if (*end == ':') {
        size_t len = strcspn(++end, "/?#");
        char port_text[6];

        if (strf(port_text, sizeof(port_text), "%.*s", (int)len, end) < 0) return -EINVAL;
        if (parse_u64(port_text, 1, 65535, &port) < 0) return -EINVAL;
        end += len;
    }
    if (!strchr("/?#", *end)) return -EINVAL; /* the end of the string is found too */
    u.port = (int64_t)port;
    u.path = end;
    *ret = u;
    return 0;
}

int64_t workload_port(const struct workload *w)
{
    struct base_url url;

    return w->base_url && base_url_parse(w->base_url, &url) == 0 ? url.port : 0;
}
