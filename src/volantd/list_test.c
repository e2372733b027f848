/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/list.h"

#include <string.h>

#include "base/unit.h"

static const struct vm_view views[] = {
    {.id = 1,
     .name = "web",
     .status = "running",
     .runtime = "nginx",
     .plugin = "nginx",
     .ip_address = "192.168.127.10",
     .created_ms = 10,
     .updated_ms = 50},
    {.id = 2,
     .name = "API",
     .status = "stopped",
     .runtime = "caddy",
     .plugin = "proxy",
     .ip_address = "192.168.127.11",
     .created_ms = 20,
     .updated_ms = 40},
    {.id = 3,
     .name = "db",
     .status = "crashed",
     .runtime = "nginx",
     .plugin = "nginx",
     .created_ms = 30,
     .updated_ms = 60},
};

/* The ids, in order, of what a query lists. */
static void list(const char *target, char ret[static 8])
{
    auto_(api_req_done) struct api_req req = {0};
    const struct vm_view *found[ARRAY_LEN(views)];
    struct list_query q;
    size_t n = 0;

    assert_int_equal(api_req_init(&req, "GET", target, NULL), 0);
    assert_int_equal(list_query_parse(&req, &q, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        size_t at = n;

        if (!list_matches(&q, &views[i])) continue;
        for (; at > 0 && list_compare(&q, found[at - 1], &views[i]) > 0; at--)
            found[at] = found[at - 1];
        found[at] = &views[i];
        n++;
    }
    for (size_t i = 0; i < n; i++)
        ret[i] = (char)('0' + found[i]->id);
    ret[n] = '\0';
}

static void filters_and_orders(void **state)
{
    static const struct {
        const char *target, *ids;
    } table[] = {
        {"/", "123"},
        {"/?status=running", "1"},
        {"/?status=Running,STOPPED", "12"},
        {"/?status=running&status=crashed", "13"},
        {"/?status=", "123"},
        {"/?status=run", ""},
        {"/?status=,running,", "1"},
        {"/?runtime=NGINX", "13"},
        {"/?plugin=Proxy", "2"},
        {"/?plugin=none", ""},
        {"/?q=EB", "1"},
        {"/?q=127.1", "12"},
        {"/?q=cad", "2"},
        {"/?q=", "123"},
        {"/?q=nginx&status=crashed", "3"},
        {"/?sort=name", "231"},
        {"/?sort=name&order=desc", "132"},
        {"/?sort=status", "312"},
        {"/?sort=runtime", "213"},
        {"/?sort=runtime&order=desc", "312"},
        {"/?sort=updated_at", "213"},
        {"/?sort=created_at&order=desc", "321"},
        {"/?sort=nonsense&order=nonsense", "123"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char ids[8];

        list(table[i].target, ids);
        assert_string_equal(ids, table[i].ids);
    }
}

static void pages(void **state)
{
    static const char *const bad[] = {"/?limit=-1", "/?limit=x", "/?limit=", "/?offset=-1", "/?offset=1.5"};
    auto_(api_req_done) struct api_req req = {0};
    struct list_query q = {.limit = 4711};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        auto_(api_req_done) struct api_req bad_req = {0};
        struct vl_error err = {0};

        assert_int_equal(api_req_init(&bad_req, "GET", bad[i], NULL), 0);
        assert_int_equal(list_query_parse(&bad_req, &q, &err), -EINVAL);
        assert_non_null(strstr(err.msg, bad[i][2] == 'l' ? "invalid limit" : "invalid offset"));
        assert_int_equal(q.limit, 4711);
    }
    assert_int_equal(api_req_init(&req, "GET", "/?limit=0&offset=7", NULL), 0);
    assert_int_equal(list_query_parse(&req, &q, NULL), 0);
    assert_int_equal(q.limit, 0);
    assert_int_equal(q.offset, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_and_orders),
        cmocka_unit_test(pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
