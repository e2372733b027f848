/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/user.h"

#include "base/str.h"
#include "kestrel/testdir.h"

#define PASSWD                                                                                                         \
    "root:x:0:0:root:/root:/bin/sh\n"                                                                                  \
    "# a remark\n"                                                                                                     \
    "\n"                                                                                                               \
    "broken\n"                                                                                                         \
    "worse:x:12:\n"                                                                                                    \
    "big:x:4294967296:1::/:\n"                                                                                         \
    "www:x:33:34:web:/var/www:/bin/false\n"                                                                            \
    "33:x:77:78:a number as a name:/n:/bin/false\n"                                                                    \
    "app:x:1000:1000::relative:/bin/sh\n"                                                                              \
    "last:x:5:6"
#define GROUP                                                                                                          \
    "root:x:0:\n"                                                                                                      \
    "www-data:x:34:www\n"                                                                                              \
    "tty:x:5:app,www\n"                                                                                                \
    "nothing\n"                                                                                                        \
    "bad:x:-1:www\n"                                                                                                   \
    "video:x:44:wwwx,app,other\n"                                                                                      \
    "audio:x:29:www"

static const struct {
    const char *spec;
    uid_t uid;
    gid_t gid;
    const char *home, *groups;
} good[] = {
    {"root", 0, 0, "/root", ""},
    {"0", 0, 0, "/root", ""},
    {"www", 33, 34, "/var/www", "5 29 "},
    {"33", 77, 78, "/n", ""}, /* a name goes before a number */
    {"77", 77, 78, "/n", ""},
    {"1000", 1000, 1000, "/", "5 44 "},
    {"app", 1000, 1000, "/", "5 44 "},
    {"app:video", 1000, 44, "/", ""},
    {"app:7", 1000, 7, "/", ""},
    {"65533", 65533, 65533, "/", ""},
    {"65533:0", 65533, 0, "/", ""},
    {"last", 5, 6, "/", ""},
    {"4294967294", 4294967294, 4294967294, "/", ""},
};

static const char *const bad[] = {"",   "nobody", "wwwx",  "-1",     "4294967295", "app:nogroup", "app:",
                                  ":5", "big",    "worse", "broken", "33 ",        "app:bad",     "# a remark"};

static void test_users_are_found(void **state)
{
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "etc/passwd", PASSWD);
    testdir_write(&t, "etc/group", GROUP);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct vl_error err = {0};
        struct user u;
        auto_strbuf groups = {0};

        if (user_find(t.fd, good[i].spec, &u, &err) < 0) fail_msg("%s: %s", good[i].spec, err.msg);
        assert_int_equal(u.uid, good[i].uid);
        assert_int_equal(u.gid, good[i].gid);
        assert_string_equal(u.home, good[i].home);
        for (size_t g = 0; g < u.n_groups; g++)
            strbuf_addf(&groups, "%u ", u.groups[g]);
        assert_string_equal(groups.data ? groups.data : "", good[i].groups);
    }
    testdir_remove(&t);
}

static void test_others_are_refused(void **state)
{
    struct testdir t;

    (void)state;
    testdir_make(&t);
    testdir_write(&t, "etc/passwd", PASSWD);
    testdir_write(&t, "etc/group", GROUP);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct user u = {.uid = 4711};
        struct vl_error err = {0};

        if (user_find(t.fd, bad[i], &u, &err) == 0) fail_msg("'%s' was found", bad[i]);
        assert_int_equal(err.kind, VL_INVALID);
        assert_non_null(strstr(err.msg, "workload.user"));
        assert_int_equal(u.uid, 4711);
    }
    testdir_remove(&t);
}

static void test_an_image_without_users(void **state)
{
    struct vl_error err = {0};
    struct testdir t;
    struct user u;

    (void)state;
    testdir_make(&t);
    assert_int_equal(user_find(t.fd, "7:8", &u, &err), 0);
    assert_int_equal(u.uid, 7);
    assert_int_equal(u.gid, 8);
    assert_true(user_find(t.fd, "www", &u, &err) < 0);
    testdir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_are_found),
        cmocka_unit_test(test_others_are_refused),
        cmocka_unit_test(test_an_image_without_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
