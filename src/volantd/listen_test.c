/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/listen.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

static void loopback_addresses_are_taken(void **state)
{
    static const struct {
        const char *text, *bound; /* without its port */
    } table[] = {
        {"127.0.0.1:0", "127.0.0.1:"},
        {"localhost:0", "127.0.0.1:"},
        {"127.1.2.3:0", "127.1.2.3:"},
        {"[::1]:0", "[::1]:"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        struct listen_addr a;
        auto_close int fd = -1;
        char text[64];

        assert_int_equal(listen_parse(table[i].text, "--listen", &a, &err), 0);
        if (listen_tcp(&a, &fd, text, &err) < 0) { /* a host may be without IPv6 */
            assert_int_equal(a.addr.ss_family, AF_INET6);
            continue;
        }
        assert_int_equal(strncmp(text, table[i].bound, strlen(table[i].bound)), 0);
        assert_string_not_equal(text + strlen(table[i].bound), "0");
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } table[] = {
        {"example.org:80", "not ADDRESS:PORT"},
        {"127.0.0.1", "not ADDRESS:PORT"},
        {":7777", "not ADDRESS:PORT"},
        {"127.0.0.1:", "not ADDRESS:PORT"},
        {"127.0.0.1:65536", "not ADDRESS:PORT"},
        {"127.0.0.1:x", "not ADDRESS:PORT"},
        {"", "not ADDRESS:PORT"},
        {"7777", "not ADDRESS:PORT"},
        {"::1:7777", "not ADDRESS:PORT"},
        {"http://127.0.0.1:7777", "not ADDRESS:PORT"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        struct listen_addr a = {.len = 4711};

        assert_int_equal(listen_parse(table[i].text, "--listen", &a, &err), -EINVAL);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, "--listen is '"));
        assert_non_null(strstr(err.msg, table[i].says));
        assert_int_equal(a.len, 4711);
    }
}

static void other_addresses_are_known_as_such(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } table[] = {{"127.9.9.9:1", true}, {"[::1]:1", true},      {"localhost:1", true},     {"0.0.0.0:7777", false},
                 {"[::]:7777", false},  {"192.0.2.1:7", false}, {"[2001:db8::1]:7", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        struct listen_addr a;
        char text[64];

        assert_int_equal(listen_parse(table[i].text, "--listen", &a, &err), 0);
        assert_int_equal(listen_is_loopback(&a), table[i].loopback);
        listen_text(&a, text);
        if (!str_eq(table[i].text, "localhost:1")) assert_string_equal(text, table[i].text);
    }
}

static void taken_ports_are_conflicts(void **state)
{
    struct vl_error err = {0};
    struct listen_addr a;
    auto_close int first = -1;
    int second = 4711;
    char text[64];

    (void)state;
    assert_int_equal(listen_parse("127.0.0.1:0", "--listen", &a, &err), 0);
    assert_int_equal(listen_tcp(&a, &first, text, &err), 0);
    assert_int_equal(listen_parse(text, "--listen", &a, &err), 0);
    assert_true(listen_tcp(&a, &second, text, &err) < 0);
    assert_int_equal(err.kind, VL_CONFLICT);
    assert_int_equal(second, 4711);
}

static void groups_are_found(void **state)
{
    static const char text[] = "root:x:0:\nvolantd:x:7:\nbroken\nvolant:x:4711:a,b\nbad:x:y:\n";
    char path[] = "/tmp/listen_test.XXXXXX";
    auto_close int fd = mkstemp(path);
    unsigned gid = 1;

    (void)state;
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(listen_group(path, "nobody", &gid), -ENOENT);
    assert_int_equal(listen_group(path, "broken", &gid), -ENOENT);
    assert_int_equal(listen_group(path, "bad", &gid), -EINVAL);
    assert_int_equal(gid, 1);
    assert_int_equal(listen_group(path, "volant", &gid), 0);
    assert_int_equal(gid, 4711);
    (void)unlink(path);
    assert_int_equal(listen_group(path, "volant", &gid), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_addresses_are_taken),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(other_addresses_are_known_as_such),
        cmocka_unit_test(taken_ports_are_conflicts),
        cmocka_unit_test(groups_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
