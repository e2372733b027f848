/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/internal.h"

#include "base/unit.h"

static void names_are_compared_decoded(void **state)
{
    static const struct {
        const char *header, *value;
        bool same;
    } table[] = {
        {"create_vm", "create_vm", true},
        {" \tcreate_vm  ", "create_vm", true},
        {"Create_vm", "create_vm", false},
        {"", "", true},
        {NULL, "", false},
        {"=?base64?Y3JlYXRlX3Zt?=", "create_vm", true},
        {"=?base64?w6Q=?=", "\xc3\xa4", true},
        {"=?base64?YWI=?=", "ab", true},
        {"=?base64?YQ==?=", "a", true},
        {"=?base64?"
         "?=",
         "", true},
        {"=?BASE64?YQ==?=", "a", false},
        {"=?base64?YQ?=", "a", false},    /* no padding */
        {"=?base64?YR==?=", "a", false},  /* bits left over */
        {"=?base64?Y Q=?=", "a", false},  /* not of the alphabet */
        {"=?base64?YQ===?=", "a", false}, /* too much padding */
        {"=?base64?/w==?=", "\xff", false} /* no UTF-8 */,
        {"=?base64?YQA=?=", "a", false} /* a NUL */,
        {"=?base64?=", "=?base64?=", true} /* too short to be the marked form */,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (header_names(table[i].header, table[i].value) != table[i].same) fail_msg("%s", table[i].header);
}

static void types_are_understood(void **state)
{
    static const struct {
        const char *accept, *type;
        bool good;
    } table[] = {
        {NULL, "application/json", true},
        {"application/json, text/event-stream", "application/json", true},
        {"application/json, text/event-stream", "text/event-stream", true},
        {"application/json", "text/event-stream", false},
        {"text/html;q=0.9 , APPLICATION/JSON; q=0.1", "application/json", true},
        {"*/*", "application/json", true},
        {"application/*", "application/json", true},
        {"application/*", "text/event-stream", false},
        {"app/*", "application/json", false},
        {"text/html", "application/json", false},
        {"", "application/json", false},
        {",,;,", "application/json", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (accepts(table[i].accept, table[i].type) != table[i].good) fail_msg("%s", table[i].accept);
    assert_true(is_json_type("application/json"));
    assert_true(is_json_type(" Application/JSON; charset=utf-8"));
    assert_false(is_json_type("application/jsonp"));
    assert_false(is_json_type("text/plain"));
    assert_false(is_json_type(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_compared_decoded),
        cmocka_unit_test(types_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
