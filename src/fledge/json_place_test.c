/* SPDX-License-Identifier: Apache-2.0 */
#include "fledge/json_place.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

static const char text[] = "{\n"
                           "  \"name\": \"a\\\"}b\",\n"
                           "  \"workload\": {\"env\": {\"A.B\": \"\xc3\xa9\"}, \"entrypoint\": [\"/x\", [1, {}],\n"
                           "    {\"deep\": [ ]}]},\n"
                           "  \"work\": 5, \"empty\": {}, \"list\": []\n"
                           "}\n";

static void test_places(void **state)
{
    static const struct {
        const char *path;
        unsigned line, column;
    } table[] = {
        {"name is \"x\"", 2, 11},
        {"name", 2, 11},
        {"workload", 3, 15},
        {"work is 5", 5, 11},
        {"workload.env.A.B is wrong", 3, 31},
        {"workload.entrypoint[0] is", 3, 52},
        {"workload.entrypoint[1][1] x", 3, 62},
        {"workload.entrypoint[2].deep", 4, 14},
        {"workload.entrypoint: x", 3, 51},
        {"workload.missing is missing", 3, 15}, /* as far as it goes */
        {"workload.entrypoint[3] is", 3, 51},
        {"workload.entrypoint[x]", 3, 51},
        {"workload.entrypoint[2].deep[0]", 4, 14},
        {"empty.x", 5, 23},
        {"list[0]", 5, 35},
        {"nothing", 1, 1},
        {"", 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct json_place at = json_place_of(text, strlen(text), table[i].path);

        if (at.line != table[i].line || at.column != table[i].column)
            fail_msg("%s: %u:%u, expected %u:%u", table[i].path, at.line, at.column, table[i].line, table[i].column);
    }
}

/* Whatever it is given, it ends, and stays within. */
static void test_what_is_cut_off(void **state)
{
    (void)state;
    for (size_t len = 0; len <= strlen(text); len++) {
        auto_free char *copy = malloc(len + 1);

        assert_non_null(copy);
        memcpy(copy, text, len);
        copy[len] = '\0';
        (void)json_place_of(copy, len, "workload.entrypoint[2].deep");
        (void)json_place_of(copy, len, "list[0]");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places), cmocka_unit_test(test_what_is_cut_off)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
