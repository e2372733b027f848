/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/router.h"

#include <string.h>

#include "base/unit.h"

static enum api_end answer(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    (void)err;
    return api_empty(req, 204);
}

static enum api_end refuse(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    (void)req;
    vl_fail(err, VL_NOT_FOUND, "nothing here");
    return API_FAILED;
}

static const struct api_route routes[] = {
    {"GET", "/a", answer, ROLE_READ, BODY_KEPT},         {"POST", "/a", answer, ROLE_READ, BODY_KEPT},
    {"GET", "/a/:x", answer, ROLE_READ, BODY_KEPT},      {"DELETE", "/a/:x", answer, ROLE_READ, BODY_KEPT},
    {"GET", "/a/:x/logs", answer, ROLE_READ, BODY_KEPT}, {"HEAD", "/b/:x", answer, ROLE_READ, BODY_KEPT},
    {"GET", "/c/:x/d/:y", refuse, ROLE_READ, BODY_KEPT},
};

static void routes_are_found(void **state)
{
    static const struct {
        const char *method, *target;
        size_t route;
        const char *first, *second;
    } table[] = {
        {"GET", "/a", 0, NULL, NULL},           {"POST", "/a", 1, NULL, NULL},
        {"HEAD", "/a", 0, NULL, NULL},          {"GET", "/a?x=/b", 0, NULL, NULL},
        {"GET", "/a/web", 2, "web", NULL},      {"DELETE", "/a/web", 3, "web", NULL},
        {"GET", "/a/a%2Fb", 2, "a/b", NULL},    {"GET", "/a/a+b", 2, "a+b", NULL},
        {"GET", "/a/web/logs", 4, "web", NULL}, {"HEAD", "/b/sha256:00", 5, "sha256:00", NULL},
        {"GET", "/a/logs", 2, "logs", NULL},    {"GET", "/c/%31/d/2", 6, "1", "2"},
        {"HEAD", "/a/..", 2, "..", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(api_req_done) struct api_req req = {0};

        assert_int_equal(api_req_init(&req, table[i].method, table[i].target, NULL), 0);
        assert_ptr_equal(router_find(routes, ARRAY_LEN(routes), &req), &routes[table[i].route]);
        assert_true(str_eq(req.params[0], table[i].first));
        assert_true(str_eq(req.params[1], table[i].second));
        assert_int_equal(req.reply.status, 0);
    }
}

static void the_rest_is_answered(void **state)
{
    static const struct {
        const char *method, *target;
        unsigned status;
        const char *header;
    } table[] = {
        {"GET", "/", 404, NULL},
        {"GET", "", 404, NULL},
        {"GET", "*", 404, NULL},
        {"GET", "//a", 404, NULL},
        {"GET", "/a//", 404, NULL},
        {"GET", "/a//logs", 404, NULL},
        {"GET", "/ab", 404, NULL},
        {"GET", "/b/x", 404, NULL},
        {"PUT", "/a", 404, NULL},
        {"OPTIONS", "/a", 404, NULL},
        {"get", "/a", 404, NULL},
        {"GET", "/A", 404, NULL},
        {"GET", "/a/x/logs/y", 404, NULL},
        {"GET", "/a/%zz", 400, NULL},
        {"GET", "/a/%00", 400, NULL},
        {"GET", "/a/", 301, "Location: /a"},
        {"HEAD", "/a/", 301, "Location: /a"},
        {"POST", "/a/", 307, "Location: /a"},
        {"GET", "/a/web/logs/?tail=1", 301, "Location: /a/web/logs?tail=1"},
        {"PUT", "/a/", 404, NULL},
        {"GET", "/zzz/", 404, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(api_req_done) struct api_req req = {0};

        assert_int_equal(api_req_init(&req, table[i].method, table[i].target, NULL), 0);
        assert_null(router_find(routes, ARRAY_LEN(routes), &req));
        assert_int_equal(req.reply.status, table[i].status);
        assert_null(req.params[0]);
        if (table[i].status == 404) assert_string_equal(req.reply.body, "404 page not found");
        if (table[i].header) assert_string_equal(req.reply.headers.items[0], table[i].header);
    }
}

static void failures_become_replies(void **state)
{
    auto_(api_req_done) struct api_req req = {.method = "GET"};

    (void)state;
    assert_int_equal(router_run(NULL, &req, refuse), API_DONE);
    assert_int_equal(req.reply.status, 404);
    assert_string_equal(req.reply.body, "{\"error\":\"nothing here\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_are_found),
        cmocka_unit_test(the_rest_is_answered),
        cmocka_unit_test(failures_become_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
