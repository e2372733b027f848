/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

static void fail_sets_kind_and_gives_errno(void **state)
{
    static const struct {
        enum vl_kind kind;
        int errnum;
    } table[] = {
        {VL_INTERNAL, EIO},    {VL_INVALID, EINVAL},  {VL_NOT_FOUND, ENOENT},   {VL_CONFLICT, EEXIST},
        {VL_TOO_LARGE, EFBIG}, {VL_NO_SPACE, ENOSPC}, {VL_UNAVAILABLE, EAGAIN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {.errnum = 5};

        assert_int_equal(vl_fail(&err, table[i].kind, "no VM '%s'", "web"), -table[i].errnum);
        assert_int_equal(err.kind, table[i].kind);
        assert_int_equal(err.errnum, 0);
        assert_string_equal(err.msg, "no VM 'web'");
        assert_int_equal(vl_fail(NULL, table[i].kind, "x"), -table[i].errnum);
        assert_int_equal(vl_wrap(&err, "outer"), -table[i].errnum);
    }
}

static void fail_errno_appends_its_text(void **state)
{
    struct vl_error err;

    (void)state;
    assert_int_equal(vl_fail_errno(&err, ENOENT, "open %s", "a"), -ENOENT);
    assert_string_equal(err.msg, "open a: No such file or directory");
    assert_int_equal(err.kind, VL_INTERNAL);
    assert_int_equal(err.errnum, ENOENT);
    assert_int_equal(vl_fail_errno(&err, -ENOSPC, "write"), -ENOSPC);
    assert_string_equal(err.msg, "write: No space left on device");
    assert_int_equal(err.kind, VL_NO_SPACE);
    assert_int_equal(vl_fail_errno(&err, EDQUOT, "write"), -EDQUOT);
    assert_int_equal(err.kind, VL_NO_SPACE);
    assert_int_equal(vl_fail_errno(&err, 0, "lost"), -EIO);
    assert_int_equal(vl_fail_errno(NULL, -EPERM, "x"), -EPERM);
    assert_string_equal(vl_strerror(99999), "unknown error");
}

static void wrap_puts_its_text_in_front(void **state)
{
    struct vl_error err;

    (void)state;
    (void)vl_fail_errno(&err, EACCES, "open tap");
    assert_int_equal(vl_wrap(&err, "start VM '%s'", "web"), -EACCES);
    assert_string_equal(err.msg, "start VM 'web': open tap: Permission denied");
    assert_true(vl_wrap(NULL, "x") < 0);
    /* the message may be its own argument */
    (void)vl_fail(&err, VL_CONFLICT, "again: %s", err.msg);
    assert_string_equal(err.msg, "again: start VM 'web': open tap: Permission denied");
}

/* Whatever the offset, a text cut at the buffer's end is valid UTF-8 and as long as it can be. */
static void long_texts_are_cut_between_characters(void **state)
{
    static const char *const chars[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xa6"};

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(chars); c++)
        for (int offset = 0; offset < 5; offset++) {
            auto_strbuf text = {0};
            struct vl_error err;
            size_t len;

            strbuf_addf(&text, "%.*s", offset, "aaaaa");
            while (text.len < 2 * sizeof(err.msg))
                strbuf_adds(&text, chars[c]);
            for (int how = 0; how < 3; how++) {
                if (how == 0) (void)vl_fail(&err, VL_INVALID, "%s", text.data);
                if (how == 1) (void)vl_fail_errno(&err, ENOENT, "%s", text.data);
                if (how == 2) (void)vl_wrap(&err, "%s", "outer");
                len = strlen(err.msg);
                assert_int_equal(utf8_prefix(err.msg, len), len);
                assert_in_range(len, sizeof(err.msg) - strlen(chars[c]), sizeof(err.msg) - 1);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_sets_kind_and_gives_errno),
        cmocka_unit_test(fail_errno_appends_its_text),
        cmocka_unit_test(wrap_puts_its_text_in_front),
        cmocka_unit_test(long_texts_are_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
