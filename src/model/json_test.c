/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/unit.h"
#include "model/schema.h"

static void bad_text_is_placed(void **state)
{
    static const struct {
        const char *text, *begins;
    } table[] = {
        {"", "body is empty, JSON is expected"},
        {" ", "body is not JSON: '[' or '{' expected near end of file at line 1, column 1 (byte 1)"},
        {"5", "body is not JSON: '[' or '{' expected"},
        {"{", "body is not JSON: string or '}' expected near end of file at line 1, column 1 (byte 1)"},
        {"{\n\"a\":1,\n\"a\":2}", "body is not JSON: duplicate object key near '\"a\"' at line 3, column 3 (byte 12)"},
        {"{}x", "body is not JSON: end of file expected near 'x' at line 1, column 3 (byte 3)"},
        {"{} {}", "body is not JSON: end of file expected"},
        {"{'a':1}", "body is not JSON: string or '}' expected near '''"},
        {"{\"a\":\x1b}", "body is not JSON: invalid token near '\\x1b'"},
        {"{\"a\":01}", "body is not JSON: "},
        {"{\"a\":NaN}", "body is not JSON: "},
        {"{\"a\":9223372036854775808}", "body is not JSON: too big integer"},
        {"{\"a\":\"\\u0000\"}", "body is not JSON: \\u0000 is not allowed"},
        {"{\"\\u0000\":1}", "body is not JSON: "},
        {"{\"a\":\"\xff\"}", "body is not JSON: unable to decode byte 0xff"},
        {"{\"a\":\"\xed\xa0\x80\"}", "body is not JSON: unable to decode byte"},
        {"{\"a\":\"\n\"}", "body is not JSON: "},
    };
    json_t *const untouched = (json_t *)state;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        json_t *j = untouched;

        assert_int_equal(json_parse(table[i].text, strlen(table[i].text), "body", &j, &err), -EINVAL);
        assert_ptr_equal(j, untouched);
        assert_int_equal(err.kind, VL_INVALID);
        if (!str_starts(err.msg, table[i].begins)) fail_msg("%s\nexpected: %s", err.msg, table[i].begins);
    }
}

static void depth_is_bounded(void **state)
{
    struct vl_error err = {0};
    json_t *j = NULL;
    char text[200];

    (void)state;
    memset(text, '[', 65);
    memset(text + 64, ']', 64);
    assert_int_equal(json_parse(text, 128, "body", &j, &err), 0);
    json_decref(j);
    memset(text, '[', 65);
    text[3] = '\n';
    assert_int_equal(json_parse(text, 66, "body", &j, &err), -EINVAL);
    text[3] = '[';
    text[0] = '\n';
    text[65] = '{';
    assert_int_equal(json_parse(text, 66, "body", &j, &err), -EINVAL);
    assert_string_equal(err.msg, "body nests deeper than 64 levels at line 2, column 65 (byte 66)");
}

static void brackets_in_strings_are_text(void **state)
{
    static const char text[] =
        "{\"\\\\\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}";
    auto_free char *back = NULL;
    json_auto_t *j = NULL;
    struct vl_error err;

    (void)state;
    assert_int_equal(json_parse(text, strlen(text), "body", &j, &err), 0);
    assert_non_null(back = json_text(j));
    assert_string_equal(back, text);
}

static void text_is_compact(void **state)
{
    json_auto_t *j = json_pack("{s:[i,b,n], s:s}", "list", 1, 1, "text", "\xc3\xa9\n");
    auto_free char *text = json_text(j);

    (void)state;
    assert_string_equal(text, "{\"list\":[1,true,null],\"text\":\"\xc3\xa9\\n\"}");
    assert_null(json_text(NULL));
}

static void text_of_any_length(void **state)
{
    (void)state;
    for (size_t n = 1000; n < 1050; n++) {
        auto_free char *value = calloc(1, n + 1), *text = NULL;
        json_auto_t *j = NULL;

        assert_non_null(value);
        memset(value, 'x', n);
        assert_non_null(j = json_string(value));
        assert_non_null(text = json_text(j));
        assert_int_equal(strlen(text), n + 2);
        assert_memory_equal(text + 1, value, n);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_text_is_placed),           cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(brackets_in_strings_are_text), cmocka_unit_test(text_is_compact),
        cmocka_unit_test(text_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
