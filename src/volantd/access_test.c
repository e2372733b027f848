/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/access.h"

#include <string.h>
#include <strings.h>

#include "base/unit.h"

#define SECRET "volant_0123456789"

/* A request's head, and what comes of it. */
struct head {
    struct api_req req;
    const char *headers[8][2];
};

static const char *header(const struct api_req *req, const char *name)
{
    const struct head *h = (const void *)((const char *)req - offsetof(struct head, req));

    for (size_t i = 0; i < ARRAY_LEN(h->headers) && h->headers[i][0]; i++)
        if (strcasecmp(h->headers[i][0], name) == 0) return h->headers[i][1];
    return NULL;
}

static const char *last_header(const struct api_req *req, const char *name)
{
    const struct head *h = (const void *)((const char *)req - offsetof(struct head, req));
    const char *found = NULL;

    for (size_t i = 0; i < ARRAY_LEN(h->headers) && h->headers[i][0]; i++)
        if (strcasecmp(h->headers[i][0], name) == 0) found = h->headers[i][1];
    return found;
}

/* From this address ("": over the Unix socket), to a listener on loopback if the address is. */
static struct head head(const char *from, const char *host)
{
    struct head h = {.req = {.method = "GET", .header = header, .last_header = last_header},
                     .headers = {{"Host", host}}};

    if (*from) {
        h.req.peer.tcp = true;
        assert_int_equal(net_addr_parse(from, strlen(from), &h.req.peer.addr), 0);
        h.req.peer.loopback = net_addr_is_loopback(&h.req.peer.addr);
    }
    if (!host) h.headers[0][0] = NULL;
    return h;
}

static void with(struct head *h, const char *name, const char *value)
{
    size_t i = 0;

    while (h->headers[i][0])
        i++;
    h->headers[i][0] = name;
    h->headers[i][1] = value;
}

/* 0: admitted, else the status. Releases the head. */
static unsigned judged(const struct access *a, struct head *h)
{
    bool admitted = access_admit(a, &h->req);
    unsigned status = admitted ? 0 : h->req.reply.status;

    assert_int_equal(admitted, h->req.role != ROLE_NONE);
    api_req_done(&h->req);
    return status;
}

static bool replies(const struct api_req *req, const char *line)
{
    for (size_t i = 0; i < req->reply.headers.len; i++)
        if (str_eq(req->reply.headers.items[i], line)) return true;
    return false;
}

static struct access *make(const struct access_rules *rules)
{
    struct vl_error err = {0};
    struct access *a = NULL;

    assert_int_equal(access_new(NULL, rules, &a, &err), 0);
    return a;
}

/* --- host and origin ---------------------------------------------------------------------------------------------- */

static void requests_of_this_host_pass(void **state)
{
    static const struct access_rules none;
    static const struct {
        const char *from, *host, *origin;
    } table[] = {
        {"127.0.0.1", "127.0.0.1:7777", NULL},
        {"127.0.0.1", "127.0.0.1", NULL},
        {"127.0.0.1", "127.8.9.10:1", NULL},
        {"127.0.0.1", "localhost:7777", NULL},
        {"127.0.0.1", "LocalHost", NULL},
        {"::1", "[::1]:7777", NULL},
        {"::1", "[::1]", NULL},
        {"127.0.0.1", "localhost:7777", "http://localhost:7777"},
        {"127.0.0.1", "localhost:7777", "http://LOCALHOST:7777"},
        {"", NULL, NULL},
        {"", "anything at all", NULL},
        {"", "volant", "http://volant"},
    };
    auto_(access_freep) struct access *a = make(&none);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct head h = head(table[i].from, table[i].host);

        if (table[i].origin) with(&h, "Origin", table[i].origin);
        if (judged(a, &h) != 0) fail_msg("%zu is refused", i);
    }
}

static void requests_of_others_do_not(void **state)
{
    static const struct access_rules none;
    static const struct {
        const char *from, *host, *origin;
    } table[] = {
        {"127.0.0.1", NULL, NULL},
        {"127.0.0.1", "", NULL},
        {"127.0.0.1", "evil.example", NULL},
        {"127.0.0.1", "localhost.evil.example:7777", NULL},
        {"127.0.0.1", "127.0.0.1.evil.example", NULL},
        {"127.0.0.1", "128.0.0.1", NULL},
        {"127.0.0.1", "0.0.0.0:7777", NULL},
        {"127.0.0.1", "[::2]:7777", NULL},
        {"127.0.0.1", "[::1", NULL},
        {"127.0.0.1", "::1", NULL},
        {"127.0.0.1", "127.0.0.1:x", NULL},
        {"127.0.0.1", "127.0.0.1:7777:7777", NULL},
        {"127.0.0.1", "localhost@evil", NULL},
        {"127.0.0.1", "localhost:7777", "http://evil.example"},
        {"127.0.0.1", "localhost:7777", "http://localhost:8080"},
        {"127.0.0.1", "localhost:7777", "https://localhost:7777"},
        {"127.0.0.1", "localhost:7777", "null"},
        {"127.0.0.1", "localhost:7777", ""},
        {"", NULL, "http://evil.example"},
        {"", "localhost", "http://evil.example"},
    };
    auto_(access_freep) struct access *a = make(&none);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct head h = head(table[i].from, table[i].host);

        if (table[i].origin) with(&h, "Origin", table[i].origin);
        if (judged(a, &h) != 403) fail_msg("%zu passes", i);
    }
}

/* Images, links and forms of other pages say where they come from, if not by Origin. */
static void what_other_pages_embed_is_refused(void **state)
{
    static const struct access_rules none;
    static const struct {
        const char *site;
        unsigned status;
    } table[] = {{"cross-site", 403}, {"same-site", 403}, {"same-origin", 0}, {"none", 0}};
    auto_(access_freep) struct access *a = make(&none);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct head h = head("127.0.0.1", "localhost:7777");

        with(&h, "Sec-Fetch-Site", table[i].site);
        assert_int_equal(judged(a, &h), table[i].status);
    }
}

static void names_are_those_that_were_told(void **state)
{
    struct access_rules rules = {0};
    auto_(access_freep) struct access *a = make(&rules);
    struct vl_error err = {0};
    struct head h;

    (void)state;
    assert_int_equal(access_names_parse("volant.example, other.example", "NAMES", &rules.names, &err), 0);
    h = head("127.0.0.1", "Volant.example:7777");
    assert_int_equal(judged(a, &h), 0);
    h = head("127.0.0.1", "volant.example.evil:7777");
    assert_int_equal(judged(a, &h), 403);
    h = head("192.0.2.9", "192.0.2.1:7777"); /* an address cannot be rebound: the token decides */
    assert_int_equal(judged(a, &h), 401);
    h = head("192.0.2.9", "evil.example:7777");
    assert_int_equal(judged(a, &h), 403);
    assert_int_equal(access_names_parse("volant.example:7777", "NAMES", &(struct strv){0}, &err), -EINVAL);
    access_rules_done(&rules);
}

static void pages_from_listed_origins_may_ask(void **state)
{
    struct access_rules rules = {0};
    auto_(access_freep) struct access *a = make(&rules);
    struct vl_error err = {0};
    struct head h = head("127.0.0.1", "localhost:7777");

    (void)state;
    assert_int_equal(access_origins_parse("https://ui.example", "ORIGINS", &rules.origins, &err), 0);
    with(&h, "Origin", "https://UI.example");
    assert_true(access_admit(a, &h.req));
    assert_true(replies(&h.req, "Access-Control-Allow-Origin: https://UI.example"));
    assert_true(replies(&h.req, "Access-Control-Allow-Credentials: true"));
    assert_true(replies(&h.req, "Vary: Origin"));
    api_req_done(&h.req);
    h = head("127.0.0.1", "localhost:7777");
    with(&h, "Origin", "https://ui.example.evil");
    assert_int_equal(judged(a, &h), 403);
    h = head("127.0.0.1", "localhost:7777");
    h.req.method = "OPTIONS";
    with(&h, "Origin", "https://ui.example");
    assert_int_equal(judged(a, &h), 204);
    access_rules_done(&rules);
}

static void pages_from_anywhere_need_a_token_and_get_no_credentials(void **state)
{
    char key[] = SECRET;
    struct access_rules rules = {0}, open = {0};
    auto_(access_freep) struct access *a = NULL;
    auto_(access_freep) struct access *tokenless = make(&open);
    struct vl_error err = {0};
    struct head h;

    (void)state;
    assert_int_equal(access_origins_parse("*", "ORIGINS", &rules.origins, &err), 0);
    assert_int_equal(access_origins_parse("*", "ORIGINS", &open.origins, &err), 0);
    rules.key = strdup(key);
    a = make(&rules);
    h = head("127.0.0.1", "localhost:7777");
    with(&h, "Origin", "https://ui.example");
    assert_int_equal(judged(a, &h), 401);
    h = head("127.0.0.1", "localhost:7777"); /* where nobody else needs one */
    with(&h, "Origin", "https://ui.example");
    assert_int_equal(judged(tokenless, &h), 401);
    h = head("127.0.0.1", "localhost:7777");
    with(&h, "Origin", "https://ui.example");
    with(&h, "Authorization", "Bearer " SECRET);
    assert_true(access_admit(a, &h.req));
    assert_true(replies(&h.req, "Access-Control-Allow-Origin: *"));
    assert_false(replies(&h.req, "Access-Control-Allow-Credentials: true"));
    api_req_done(&h.req);
    access_rules_done(&rules);
    access_rules_done(&open);
}

static void what_is_no_origin_is_refused(void **state)
{
    static const char *const bad[] = {
        "ui.example",           "ftp://ui.example",     "https://",    "https://ui.example/",
        "https://ui.example:0", "https://ui.example:x", "https://a@b", "null"};
    struct vl_error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct strv list = {0};

        if (access_origins_parse(bad[i], "ORIGINS", &list, &err) == 0) fail_msg("%s passes", bad[i]);
        assert_non_null(strstr(err.msg, "ORIGINS"));
    }
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static unsigned from_through(const struct access *a, const char *peer, const char *forwarded, const char *again)
{
    struct head h = head(peer, "127.0.0.1");

    h.req.peer.loopback = true;
    if (forwarded) with(&h, "X-Forwarded-For", forwarded);
    if (again) with(&h, "X-Forwarded-For", again);
    return judged(a, &h);
}

static void only_allowed_networks_pass(void **state)
{
    struct access_rules rules = {0};
    auto_(access_freep) struct access *a = make(&rules);
    struct vl_error err = {0};
    struct head h;

    (void)state;
    assert_int_equal(cidrs_parse("10.0.0.0/8", "ALLOW", &rules.allow, &err), 0);
    assert_int_equal(from_through(a, "10.1.2.3", NULL, NULL), 0);
    assert_int_equal(from_through(a, "11.1.2.3", NULL, NULL), 403);
    assert_int_equal(from_through(a, "11.1.2.3", "10.1.2.3", NULL), 403); /* anybody can claim that */
    assert_int_equal(from_through(a, "::1", NULL, NULL), 403);
    h = head("", NULL); /* the socket's owner is not looked up */
    assert_int_equal(judged(a, &h), 0);
    access_rules_done(&rules);
}

static void proxies_that_were_named_are_believed(void **state)
{
    struct access_rules rules = {0};
    auto_(access_freep) struct access *a = make(&rules);
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(cidrs_parse("10.0.0.0/8", "ALLOW", &rules.allow, &err), 0);
    assert_int_equal(cidrs_parse("127.0.0.1,192.0.2.0/24", "PROXIES", &rules.proxies, &err), 0);
    assert_int_equal(from_through(a, "127.0.0.1", "10.1.2.3", NULL), 401); /* its network may, and it has no token */
    assert_int_equal(from_through(a, "127.0.0.1", "11.1.2.3, 10.1.2.3 , 192.0.2.9", NULL), 401);
    assert_int_equal(from_through(a, "127.0.0.1", "10.1.2.3, 11.1.2.3", NULL), 403); /* what the client claimed */
    assert_int_equal(from_through(a, "127.0.0.1", "10.1.2.3", "11.1.2.3"), 403);
    assert_int_equal(from_through(a, "127.0.0.1", NULL, NULL), 403);
    assert_int_equal(from_through(a, "127.0.0.1", "unknown", NULL), 403);
    assert_int_equal(from_through(a, "127.0.0.1", "10.1.2.3,", NULL), 403);
    assert_int_equal(from_through(a, "127.0.0.1", "[fd00::1]", NULL), 403);
    access_rules_done(&rules);
}

static void whom_a_proxy_brings_from_elsewhere_needs_a_token(void **state)
{
    struct access_rules rules = {0};
    auto_(access_freep) struct access *a = make(&rules);
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(cidrs_parse("127.0.0.1", "PROXIES", &rules.proxies, &err), 0);
    assert_int_equal(from_through(a, "127.0.0.1", NULL, NULL), 0);
    assert_int_equal(from_through(a, "127.0.0.1", "127.0.0.9", NULL), 0);
    assert_int_equal(from_through(a, "127.0.0.1", "192.0.2.9", NULL), 401);
    assert_int_equal(from_through(a, "127.0.0.1", "127.0.0.1, 192.0.2.9, 127.0.0.1", NULL), 401);
    access_rules_done(&rules);
}

static void a_proxy_says_whether_the_client_speaks_tls(void **state)
{
    struct access_rules rules = {0};
    auto_(access_freep) struct access *a = make(&rules);
    struct vl_error err = {0};
    struct head h = head("127.0.0.1", "localhost");

    (void)state;
    with(&h, "X-Forwarded-Proto", "https");
    assert_false(access_secure(a, &h.req));
    assert_int_equal(cidrs_parse("127.0.0.1", "PROXIES", &rules.proxies, &err), 0);
    assert_true(access_secure(a, &h.req));
    with(&h, "Origin", "https://localhost");
    assert_int_equal(judged(a, &h), 0);
    access_rules_done(&rules);
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static struct access_token *token(const char *name, enum api_role role, char text[static TOKEN_SIZE])
{
    struct access_token *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    assert_int_equal(access_token_make(text, t->hash), 0);
    (void)strf(t->name, sizeof(t->name), "%s", name);
    t->role = role;
    return t;
}

static unsigned with_token(const struct access *a, const char *name, const char *value)
{
    struct head h = head("127.0.0.1", "localhost");

    if (name) with(&h, name, value);
    return judged(a, &h);
}

static void loopback_needs_a_token_once_there_is_one(void **state)
{
    static const struct access_rules none;
    auto_(access_freep) struct access *a = make(&none);
    char text[TOKEN_SIZE], bearer[TOKEN_SIZE + 16];
    struct head h = head("", NULL);

    (void)state;
    assert_int_equal(with_token(a, NULL, NULL), 0);
    assert_int_equal(with_token(a, "Authorization", "Bearer nonsense"), 401);
    access_add(a, token("ci", ROLE_READ, text));
    assert_true(str_starts(text, TOKEN_PREFIX));
    (void)strf(bearer, sizeof(bearer), "bearer  %s", text);
    assert_int_equal(with_token(a, NULL, NULL), 401);
    assert_int_equal(with_token(a, "Authorization", bearer), 0);
    assert_int_equal(with_token(a, "X-Volant-API-Key", text), 0);
    assert_int_equal(with_token(a, "Authorization", text), 401);
    assert_int_equal(with_token(a, "Authorization", "Basic dXNlcjpwdw=="), 401);
    assert_int_equal(with_token(a, "X-Volant-API-Key", ""), 401);
    text[TOKEN_SIZE - 3] ^= 1;
    assert_int_equal(with_token(a, "X-Volant-API-Key", text), 401);
    assert_int_equal(judged(a, &h), 0); /* the socket's owner needs none */
    access_remove(a, access_find(a, "ci"));
    assert_int_equal(with_token(a, NULL, NULL), 0);
}

static void a_role_may_what_those_before_it_may(void **state)
{
    static const struct access_rules none;
    auto_(access_freep) struct access *a = make(&none);

    (void)state;
    for (enum api_role role = ROLE_READ; role <= ROLE_ADMIN; role++) {
        char text[TOKEN_SIZE];
        struct head h = head("127.0.0.1", "localhost");

        access_add(a, token(role_name(role), role, text));
        with(&h, "X-Volant-API-Key", text);
        assert_true(access_admit(a, &h.req));
        assert_string_equal(h.req.caller, role_name(role));
        for (enum api_role wanted = ROLE_READ; wanted <= ROLE_ADMIN; wanted++) {
            assert_int_equal(access_allows(&h.req, wanted), wanted <= role);
            if (wanted > role) assert_int_equal(h.req.reply.status, 403);
        }
        api_req_done(&h.req);
    }
}

static void the_key_of_the_settings_is_an_admin(void **state)
{
    char key[] = SECRET;
    const struct access_rules rules = {.key = key};
    auto_(access_freep) struct access *a = make(&rules);
    struct head h = head("192.0.2.9", "192.0.2.1");

    (void)state;
    assert_int_equal(with_token(a, NULL, NULL), 401);
    with(&h, "X-Volant-API-Key", SECRET);
    assert_true(access_admit(a, &h.req));
    assert_int_equal(h.req.role, ROLE_ADMIN);
    api_req_done(&h.req);
    assert_int_equal(access_others(a, NULL), 1);
}

static void a_token_in_the_url_does_not_count(void **state)
{
    char key[] = SECRET;
    const struct access_rules rules = {.key = key};
    auto_(access_freep) struct access *a = make(&rules);
    struct head h = head("127.0.0.1", "localhost");
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(api_req_init(&h.req, "GET", "/healthz?api_key=" SECRET, &err), 0);
    assert_false(access_admit(a, &h.req));
    assert_int_equal(h.req.reply.status, 401);
    assert_non_null(strstr(h.req.reply.body, "not in the URL"));
    assert_true(replies(&h.req, "WWW-Authenticate: Bearer realm=\"volant\""));
    api_req_done(&h.req);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_this_host_pass),
        cmocka_unit_test(requests_of_others_do_not),
        cmocka_unit_test(what_other_pages_embed_is_refused),
        cmocka_unit_test(names_are_those_that_were_told),
        cmocka_unit_test(pages_from_listed_origins_may_ask),
        cmocka_unit_test(pages_from_anywhere_need_a_token_and_get_no_credentials),
        cmocka_unit_test(what_is_no_origin_is_refused),
        cmocka_unit_test(only_allowed_networks_pass),
        cmocka_unit_test(proxies_that_were_named_are_believed),
        cmocka_unit_test(whom_a_proxy_brings_from_elsewhere_needs_a_token),
        cmocka_unit_test(a_proxy_says_whether_the_client_speaks_tls),
        cmocka_unit_test(loopback_needs_a_token_once_there_is_one),
        cmocka_unit_test(a_role_may_what_those_before_it_may),
        cmocka_unit_test(the_key_of_the_settings_is_an_admin),
        cmocka_unit_test(a_token_in_the_url_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
