/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/access.h"

#include "base/unit.h"

static void requests_of_this_host_pass(void **state)
{
    static const struct {
        bool tcp;
        const char *host, *origin;
    } table[] = {
        {true, "127.0.0.1:7777", NULL},
        {true, "127.0.0.1", NULL},
        {true, "127.8.9.10:1", NULL},
        {true, "localhost:7777", NULL},
        {true, "LocalHost", NULL},
        {true, "[::1]:7777", NULL},
        {true, "[::1]", NULL},
        {true, "localhost:7777", "http://localhost:7777"},
        {true, "localhost:7777", "http://LOCALHOST:7777"},
        {false, NULL, NULL},
        {false, "anything at all", NULL},
        {false, "volant", "http://volant"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_null(access_refusal(table[i].tcp, table[i].host, table[i].origin));
}

static void requests_of_others_do_not(void **state)
{
    static const struct {
        bool tcp;
        const char *host, *origin;
    } table[] = {
        {true, NULL, NULL},
        {true, "", NULL},
        {true, "evil.example", NULL},
        {true, "localhost.evil.example:7777", NULL},
        {true, "127.0.0.1.evil.example", NULL},
        {true, "128.0.0.1", NULL},
        {true, "0.0.0.0:7777", NULL},
        {true, "[::2]:7777", NULL},
        {true, "[::1", NULL},
        {true, "::1", NULL},
        {true, "127.0.0.1:x", NULL},
        {true, "127.0.0.1:7777:7777", NULL},
        {true, "localhost@evil", NULL},
        {true, "localhost:7777", "http://evil.example"},
        {true, "localhost:7777", "http://localhost:8080"},
        {true, "localhost:7777", "https://localhost:7777"},
        {true, "localhost:7777", "null"},
        {true, "localhost:7777", ""},
        {false, NULL, "http://evil.example"},
        {false, "localhost", "http://evil.example"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_non_null(access_refusal(table[i].tcp, table[i].host, table[i].origin));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_this_host_pass),
        cmocka_unit_test(requests_of_others_do_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
