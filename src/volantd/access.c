/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/access.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "store/store.h"

#define SECRET_BYTES 32
#define ORIGIN_MAX   300 /* bytes */

static const char *const role_names[] = {[ROLE_NONE] = "none", "read", "operate", "admin"};

const char *role_name(enum api_role role)
{
    return role_names[role];
}

int role_parse(const char *text, enum api_role *ret)
{
    for (enum api_role r = ROLE_READ; r <= ROLE_ADMIN; r++)
        if (str_eq(text, role_names[r])) {
            *ret = r;
            return 0;
        }
    return -EINVAL;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

void access_rules_done(struct access_rules *r)
{
    cidrs_done(&r->allow);
    cidrs_done(&r->proxies);
    strv_done(&r->names);
    strv_done(&r->origins);
    free(r->key);
    free(r->tls_cert);
    free(r->tls_key);
    *r = (struct access_rules){0};
}

static bool is_host_name(const char *s)
{
    return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")] == '\0' &&
           *s != '-' && *s != '.';
}

/* "http://" or "https://", a host with or without a port, and nothing behind it (RFC 6454). */
static bool is_origin(const char *s)
{
    const char *host = str_starts(s, "https://") ? s + 8 : str_starts(s, "http://") ? s + 7 : NULL;
    size_t n;
    uint64_t port;

    if (str_eq(s, "*")) return true;
    if (!host || strlen(s) >= ORIGIN_MAX) return false;
    n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (n == 0 || n > strlen(host) || host[strcspn(host, "/?#@ ")] != '\0') return false;
    return host[n] == '\0' || (host[n] == ':' && parse_u64(host + n + 1, 1, 65535, &port) == 0);
}

static int parse_list(const char *text, const char *what, bool (*good)(const char *s), const char *like,
                      struct strv *ret, struct vl_error *err)
{
    auto_strv list = {0};

    while (*text) {
        size_t skip = strspn(text, ", "), n = strcspn(text += skip, ", ");

        if (n == 0) continue;
        if (strv_addf(&list, "%.*s", (int)n, text) < 0) return vl_fail_errno(err, ENOMEM, "%s", what);
        if (!good(list.items[list.len - 1]))
            return vl_fail(err, VL_INVALID, "%s has '%.60s': write %s", what, list.items[list.len - 1], like);
        text += n;
    }
    *ret = list;
    list = (struct strv){0};
    return 0;
}

int access_origins_parse(const char *text, const char *what, struct strv *ret, struct vl_error *err)
{
    return parse_list(text, what, is_origin, "https://host or http://host:port, as browsers send it, or *", ret, err);
}

int access_names_parse(const char *text, const char *what, struct strv *ret, struct vl_error *err)
{
    return parse_list(text, what, is_host_name, "a host name without a port", ret, err);
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static int hash_text(const char *text, unsigned char ret[static TOKEN_HASH])
{
    return EVP_Digest(text, strlen(text), ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int access_token_make(char ret_text[static TOKEN_SIZE], unsigned char ret_hash[static TOKEN_HASH])
{
    char hex[2 * SECRET_BYTES + 1];
    int r = random_hex(hex, SECRET_BYTES);

    if (r < 0 || (r = strf(ret_text, TOKEN_SIZE, TOKEN_PREFIX "%s", hex)) < 0) return r;
    OPENSSL_cleanse(hex, sizeof(hex));
    return hash_text(ret_text, ret_hash);
}

bool access_has_tokens(const struct access *a)
{
    return a->tokens || a->rules->key;
}

size_t access_others(const struct access *a, const struct access_token *t)
{
    size_t n = a->rules->key ? 1 : 0;

    for (const struct access_token *other = a->tokens; other; other = other->next)
        n += other != t && !other->going;
    return n;
}

struct access_token *access_find(const struct access *a, const char *name)
{
    for (struct access_token *t = a->tokens; t; t = t->next)
        if (str_eq(t->name, name)) return t;
    return NULL;
}

void access_add(struct access *a, struct access_token *t)
{
    struct access_token **at = &a->tokens;

    while (*at && strcmp((*at)->name, t->name) < 0)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

void access_remove(struct access *a, struct access_token *t)
{
    struct access_token **at = &a->tokens;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    free(t);
}

/* Looks at all of them, so that the time tells nothing. */
static enum api_role role_of(const struct access *a, const char *secret, const char **ret_name)
{
    unsigned char hash[TOKEN_HASH];
    enum api_role role = ROLE_NONE;

    if (hash_text(secret, hash) < 0) return ROLE_NONE;
    for (const struct access_token *t = a->tokens; t; t = t->next)
        if (CRYPTO_memcmp(t->hash, hash, sizeof(hash)) == 0) {
            role = t->role;
            *ret_name = t->name;
        }
    if (a->rules->key && CRYPTO_memcmp(a->key_hash, hash, sizeof(hash)) == 0) {
        role = ROLE_ADMIN;
        *ret_name = ACCESS_KEY_NAME;
    }
    return role;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct reading {
    struct store_op op;
    struct access *access;
};

static int take_row(void *arg, struct token_row *row)
{
    struct access_token *t = calloc(1, sizeof(*t));
    int r;

    if (!t) return -ENOMEM;
    if ((r = strf(t->name, sizeof(t->name), "%s", row->name)) < 0 || (r = role_parse(row->role, &t->role)) < 0 ||
        (r = hex_decode(row->hash, t->hash, sizeof(t->hash))) < 0) {
        free(t);
        return r;
    }
    t->created_ms = row->created_ms;
    access_add(arg, t);
    return 0;
}

static int read_tokens(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct reading *reading = container_of(op, struct reading, op);
    int r = store_token_each(tx, take_row, reading->access, err);

    return r < 0 && !*err->msg ? vl_fail_errno(err, r, "read tokens") : r;
}

int access_new(struct store *store, const struct access_rules *rules, struct access **ret, struct vl_error *err)
{
    auto_(access_freep) struct access *a = calloc(1, sizeof(*a));
    struct reading reading = {.op.run = read_tokens, .access = a};
    int r;

    if (!a) return vl_fail_errno(err, ENOMEM, "access");
    a->rules = rules;
    if (rules->key && hash_text(rules->key, a->key_hash) < 0) return vl_fail_errno(err, ENOMEM, "access");
    if (store && (r = store_run(store, &reading.op, err)) < 0) return r;
    *ret = take_ptr(a);
    return 0;
}

void access_free(struct access *a)
{
    if (!a) return;
    while (a->tokens)
        access_remove(a, a->tokens);
    free(a);
}

/* --- a request's head --------------------------------------------------------------------------------------------- */

/* RFC 6750: what is wrong with the token, where one came. */
static bool refuse_token(struct api_req *req, unsigned status, const char *error, const char *text)
{
    char challenge[64];

    (void)strf(challenge, sizeof(challenge), "Bearer realm=\"volant\"%s%s%s", error ? ", error=\"" : "",
               error ? error : "", error ? "\"" : "");
    api_header(req, "WWW-Authenticate", challenge);
    (void)api_error(req, status, text);
    return false;
}

static bool refuse(struct api_req *req, unsigned status, const char *text)
{
    (void)api_error(req, status, text);
    return false;
}

/* The last address that no proxy of ours has added; -EINVAL for what is no address. */
static int forwarded(const struct access *a, const char *list, struct net_addr *ret)
{
    size_t end = strlen(list);

    while (end > 0) {
        size_t begin = end, from, to = end;

        while (begin > 0 && list[begin - 1] != ',')
            begin--;
        for (from = begin; from < to && (list[from] == ' ' || list[from] == '\t');)
            from++;
        while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
            to--;
        if (net_addr_parse(list + from, to - from, ret) < 0) return -EINVAL;
        if (!cidrs_have(&a->rules->proxies, ret)) return 0;
        end = begin > 0 ? begin - 1 : 0;
    }
    return 0;
}

static const char *last_header(const struct api_req *req, const char *name)
{
    return req->last_header ? req->last_header(req, name) : NULL;
}

static bool by_proxy(const struct access *a, const struct api_req *req)
{
    return req->peer.tcp && cidrs_have(&a->rules->proxies, &req->peer.addr);
}

bool access_secure(const struct access *a, const struct api_req *req)
{
    const char *proto = by_proxy(a, req) ? last_header(req, "X-Forwarded-Proto") : NULL;

    return proto ? strcasecmp(proto, "https") == 0 : req->peer.tls;
}

bool access_knows(const struct access *a, const struct net_addr *addr)
{
    return a->rules->allow.len == 0 || cidrs_have(&a->rules->allow, addr) || cidrs_have(&a->rules->proxies, addr);
}

/* Where the client itself is. */
static bool admit_address(const struct access *a, struct api_req *req, bool *ret_here)
{
    struct net_addr addr = req->peer.addr;
    const char *list = by_proxy(a, req) ? last_header(req, "X-Forwarded-For") : NULL;

    net_addr_text(&addr, req->from);
    if (list && forwarded(a, list, &addr) < 0) return refuse(req, 403, "invalid client IP");
    if (a->rules->allow.len > 0 && !cidrs_have(&a->rules->allow, &addr)) return refuse(req, 403, "access denied");
    net_addr_text(&addr, req->from);
    *ret_here = req->peer.loopback && (!list || net_addr_is_loopback(&addr));
    return true;
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

/* Addresses cannot be rebound to this host, names can: only those that are known. */
static bool admit_host(const struct access *a, struct api_req *req, const char *host)
{
    size_t n = host ? host_length(host) : 0;
    struct net_addr addr;

    if (n > 0 && (host[0] == '[' || !memchr(host, ':', n)) && net_addr_parse(host, n, &addr) == 0 &&
        (!req->peer.loopback || net_addr_is_loopback(&addr)))
        return true;
    if (n == strlen("localhost") && strncasecmp(host, "localhost", n) == 0) return true;
    for (size_t i = 0; n > 0 && i < a->rules->names.len; i++)
        if (strlen(a->rules->names.items[i]) == n && strncasecmp(host, a->rules->names.items[i], n) == 0) return true;
    return refuse(req, 403,
                  "the Host header does not name this volantd: use its address, or tell it its names by --names");
}

/* How a page from elsewhere may ask. */
enum cross { CROSS_NOT, CROSS_LISTED, CROSS_ANY, CROSS_REFUSED };

/* An image or a link of another page has no Origin, and the page cannot read the answer; but it did ask. */
static bool is_embedded(const struct api_req *req)
{
    const char *site = api_req_header(req, "Sec-Fetch-Site"); /* pages cannot set it */

    return str_eq(site, "cross-site") || str_eq(site, "same-site");
}

/* Tools act for whoever asks: pages that may use them are named one by one, never by "*". */
static bool is_mcp(const struct api_req *req)
{
    return str_eq(req->path, "/mcp") || str_eq(req->path, "/api/v1/mcp");
}

static enum cross cross_of(const struct access *a, const struct api_req *req, const char *host, const char *origin)
{
    const char *scheme = access_secure(a, req) ? "https://" : "http://";
    enum cross cross = CROSS_REFUSED;

    if (!origin) return is_embedded(req) ? CROSS_REFUSED : CROSS_NOT;
    if (str_eq(origin, "null")) return CROSS_REFUSED; /* of a file, or of a page that hides whose it is */
    if (host && str_starts(origin, scheme) && strcasecmp(origin + strlen(scheme), host) == 0) return CROSS_NOT;
    for (size_t i = 0; i < a->rules->origins.len; i++) {
        if (strcasecmp(a->rules->origins.items[i], origin) == 0) return CROSS_LISTED;
        if (str_eq(a->rules->origins.items[i], "*") && !is_mcp(req)) cross = CROSS_ANY;
    }
    return cross;
}

/* What the browser asks for (contract 1.2, and "*" never with credentials). */
static void add_cors(struct api_req *req, enum cross cross, const char *origin)
{
    api_header(req, "Access-Control-Allow-Origin", cross == CROSS_ANY ? "*" : origin);
    if (cross == CROSS_LISTED) api_header(req, "Access-Control-Allow-Credentials", "true");
    api_header(req, "Vary", "Origin");
    api_header(req, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
    api_header(req, "Access-Control-Allow-Headers",
               "Content-Type, Authorization, X-Requested-With, X-Volant-API-Key, Last-Event-ID, MCP-Protocol-Version, "
               "Mcp-Method, Mcp-Name");
    api_header(req, "Access-Control-Expose-Headers", "Content-Type, X-Total-Count, Volant-Warning");
}

static const char *presented(const struct api_req *req)
{
    const char *text = api_req_header(req, "Authorization");

    /* Another scheme is for somebody before us, such as a proxy. */
    if (!text || strncasecmp(text, "Bearer", 6) != 0 || (text[6] && text[6] != ' '))
        return api_req_header(req, "X-Volant-API-Key");
    return text + 6 + strspn(text + 6, " ");
}

static bool admit_token(const struct access *a, struct api_req *req, bool wanted)
{
    const char *secret = presented(req), *name = "";

    if (secret) {
        if ((req->role = role_of(a, secret, &name)) == ROLE_NONE)
            return refuse_token(req, 401, "invalid_token",
                                "invalid api key: this volantd has no such token, see `volar tokens list`");
        (void)strf(req->caller, sizeof(req->caller), "%s", name);
        return true;
    }
    if (!wanted) {
        req->role = ROLE_ADMIN;
        return true;
    }
    if (api_query(req, "api_key"))
        return refuse_token(req, 401, NULL,
                            "invalid api key: send the token as a header (Authorization: Bearer), not in the URL");
    return refuse_token(
        req, 401, NULL,
        "invalid api key: the request has no token; send one as a header (Authorization: Bearer), which `volar tokens "
        "create` on volantd's host makes");
}

bool access_admit(const struct access *a, struct api_req *req)
{
    const char *host = api_req_header(req, "Host"), *origin = api_req_header(req, "Origin");
    bool here = !req->peer.tcp;
    enum cross cross;

    if (req->peer.tcp && (!admit_address(a, req, &here) || !admit_host(a, req, host))) return false;
    if ((cross = cross_of(a, req, host, origin)) == CROSS_REFUSED)
        return refuse(
            req, 403,
            "requests of web pages from elsewhere (Origin or Sec-Fetch-Site header) are refused, see --cors-origins");
    if (cross != CROSS_NOT && strlen(origin) < ORIGIN_MAX) add_cors(req, cross, origin);
    if (str_eq(req->method, "OPTIONS") && a->rules->origins.len > 0) {
        (void)api_empty(req, 204);
        return false;
    }
    /* What would tell OAuth clients where to log in does not exist, with a token or without. */
    if (req->path && str_starts(req->path, "/.well-known/")) return true;
    return admit_token(a, req, cross == CROSS_ANY || !here || (req->peer.tcp && access_has_tokens(a)));
}

bool access_allows(struct api_req *req, enum api_role wanted)
{
    char text[192];

    if (req->role >= wanted) return true;
    (void)strf(text, sizeof(text), "token '%s' has the role %s, which is not enough: this needs %s", req->caller,
               role_name(req->role), role_name(wanted));
    return refuse_token(req, 403, "insufficient_scope", text);
}
