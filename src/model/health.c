/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a health check asks: volantd judges a manifest by it, kestrel goes there. The machine asked is always the guest
 * itself; base_url and endpoint say the port, the path, and which of its hosts a server is to think it was asked as.
 */
#include <string.h>
#include <strings.h>

#include "model/manifest_rules.h"

int64_t health_check_budget_ms(const struct health_check *h)
{
    return h->timeout_ms < HEALTH_TIMEOUT_MS_MIN ? HEALTH_TIMEOUT_MS_MIN : h->timeout_ms;
}

/* Printable ASCII without spaces, as it goes into a request's first line. */
static bool is_target(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f) return false;
    return true;
}

/* "scheme:", which a relative path must not look like either. */
static bool has_scheme(const char *s)
{
    return s[strcspn(s, ":/?")] == ':';
}

static bool same_place(const struct base_url *a, const struct base_url *b)
{
    return a->port == b->port && a->host_len == b->host_len && strncasecmp(a->host, b->host, a->host_len) == 0;
}

/* RFC 3986, 5.2, as far as servers do not do it themselves: `..` stays. */
static char *resolve(const char *base, const char *endpoint)
{
    int path_len = (int)strcspn(base, "?#"), folder_len = path_len;

    if (!endpoint) return strf_new("%s%.*s", *base == '/' ? "" : "/", (int)strcspn(base, "#"), base);
    if (*endpoint == '/') return strdup(endpoint);
    if (*endpoint == '?') return strf_new("%.*s%s", path_len ? path_len : 1, path_len ? base : "/", endpoint);
    while (folder_len > 0 && base[folder_len - 1] != '/')
        folder_len--;
    return strf_new("%.*s%s", folder_len ? folder_len : 1, folder_len ? base : "/", endpoint);
}

static int http_target(const struct health_check *h, const struct base_url *base, struct health_target *t)
{
    const char *endpoint = h->endpoint && *h->endpoint ? h->endpoint : NULL;
    struct base_url own, at = *base;

    if (endpoint && (!is_target(endpoint) || strchr(endpoint, '#') || str_starts(endpoint, "//"))) return -EINVAL;
    if (endpoint && has_scheme(endpoint)) {
        if (base_url_parse(endpoint, &own) < 0 || !same_place(&own, base)) return -EINVAL;
        at.path = own.path;
        endpoint = NULL;
    }
    t->path = resolve(at.path, endpoint);
    t->host = t->port == 80 ? strf_new("%.*s", (int)at.host_len, at.host)
                            : strf_new("%.*s:%d", (int)at.host_len, at.host, (int)t->port);
    if (!t->path || !t->host) return -ENOMEM;
    return is_target(t->path) ? 0 : -EINVAL;
}

int health_target_make(const struct health_check *h, const struct workload *w, struct health_target *ret)
{
    static const char self[] = "127.0.0.1";
    struct base_url base = {.host = self, .host_len = strlen(self), .path = "/"};
    struct health_target t = {0};
    int r = 0;

    if (w->base_url && base_url_parse(w->base_url, &base) < 0) return -EINVAL;
    if (h->port > 0) base.port = h->port;
    if (base.port < 1 || base.port > 65535) return -EINVAL;
    t.port = (uint16_t)base.port;
    if (str_eq(h->type, "http")) r = http_target(h, &base, &t);
    if (r < 0) {
        health_target_done(&t);
        return r;
    }
    *ret = t;
    return 0;
}

void health_target_done(struct health_target *t)
{
    free(t->host);
    free(t->path);
    *t = (struct health_target){0};
}
