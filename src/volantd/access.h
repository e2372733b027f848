/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask, and for what. The Unix socket is guarded by its mode, and whoever may open it owns this volantd. Over
 * TCP a request is looked at in this order: the client's address (allowed networks; forwarding headers count only from
 * proxies that were named), the Host header (a page whose name was rebound to this host names itself), the Origin
 * header (web pages from elsewhere), and its token, whose role says what it may do. On loopback no token is needed
 * until there is one; on other addresses, and for clients that a proxy on this host brings from there, always.
 *
 * A token is sent as `Authorization: Bearer TOKEN` (RFC 6750) or as `X-Volant-API-Key: TOKEN`, never in a URL. Only
 * their SHA-256 is kept, in the table `tokens`.
 */
#pragma once
#include "net/cidr.h"
#include "volantd/request.h"

struct store;

/* What the settings say. All zero: any address, loopback names alone, no pages from elsewhere, no key. */
struct access_rules {
    struct cidrs allow;       /* networks of clients; empty: any */
    struct cidrs proxies;     /* whose X-Forwarded-For and X-Forwarded-Proto are believed */
    struct strv names;        /* for the Host header, besides addresses */
    struct strv origins;      /* "https://host[:port]" of pages that may ask, or "*": with a token, any may */
    char *key;                /* a token of role admin that is in no table; NULL: none */
    char *tls_cert, *tls_key; /* paths of PEM files; both or neither */
};
void access_rules_done(struct access_rules *r);
/* Origins with commas between them; VL_INVALID begins with `what`. */
int access_origins_parse(const char *text, const char *what, struct strv *ret, struct vl_error *err);
/* Host names with commas between them, without ports. */
int access_names_parse(const char *text, const char *what, struct strv *ret, struct vl_error *err);

const char *role_name(enum api_role role);
/* "read", "operate", "admin"; -EINVAL. */
int role_parse(const char *text, enum api_role *ret);

#define TOKEN_PREFIX "volant_"
#define TOKEN_SIZE   72 /* bytes of a new one, with its NUL */
#define TOKEN_HASH   32

/* What the key of the settings is called in logs, and therefore no token. */
#define ACCESS_KEY_NAME "VOLANT_API_KEY"

struct access_token {
    struct access_token *next;
    char name[64];
    enum api_role role;
    int64_t created_ms;
    unsigned char hash[TOKEN_HASH];
    bool going; /* its end is being recorded */
};

struct access {
    const struct access_rules *rules;
    struct access_token *tokens; /* by name */
    unsigned char key_hash[TOKEN_HASH];
};
/* Reads the tokens. rules are borrowed; store NULL: there are none (tests). */
int access_new(struct store *store, const struct access_rules *rules, struct access **ret, struct vl_error *err);
/* After the store was closed. NULL is fine. */
void access_free(struct access *a);
DEFINE_AUTO(struct access *, access_free)

/*
 * Judges the head of a request by its peer, method and headers: true, and its role and caller are set; or the reply is
 * complete: 403, 401, or 204 for a page that asks first (OPTIONS). Adds the headers that such pages need.
 */
bool access_admit(const struct access *a, struct api_req *req);
/* Whether a client at this address is worth a handshake: it may ask, or is a proxy that we believe. */
bool access_knows(const struct access *a, const struct net_addr *addr);
/* Whether its role is enough; else the reply is complete: 403. */
bool access_allows(struct api_req *req, enum api_role wanted);
/* Whether the client speaks TLS, with us or with a proxy that we believe. */
bool access_secure(const struct access *a, const struct api_req *req);

/* Whether there is a token or key at all. */
bool access_has_tokens(const struct access *a);
/* How many besides this one would be left; the key counts. */
size_t access_others(const struct access *a, const struct access_token *t);
struct access_token *access_find(const struct access *a, const char *name);
/* Takes the token. */
void access_add(struct access *a, struct access_token *t);
/* Frees it. */
void access_remove(struct access *a, struct access_token *t);
/* A new secret (of 256 random bits), and its hash. -errno. */
int access_token_make(char ret_text[static TOKEN_SIZE], unsigned char ret_hash[static TOKEN_HASH]);
