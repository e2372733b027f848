/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "base/unit.h"

static void times_are_formatted(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } table[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782399000, "2000-02-28T23:59:59Z"},
        {951782400000, "2000-02-29T00:00:00Z"},
        {951868800000, "2000-03-01T00:00:00Z"},
        {1767323045678, "2026-01-02T03:04:05.678Z"},
        {4107542399999, "2100-02-28T23:59:59.999Z"},
        {4107542400000, "2100-03-01T00:00:00Z"},
        {253402300799000, "9999-12-31T23:59:59Z"},
        {INT64_MAX, "292278994-08-17T07:12:55.807Z"},
        {INT64_MIN, "-292275055-05-16T16:47:04.192Z"},
    };
    char buf[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        format_time(table[i].ms, buf);
        assert_string_equal(buf, table[i].text);
    }
}

/* Every day of 800 years against libc. */
static void dates_agree_with_libc(void **state)
{
    char buf[32], expected[64];

    (void)state;
    for (int64_t day = -146097; day < 146097; day++) {
        time_t t = day * 86400;
        struct tm tm;

        assert_non_null(gmtime_r(&t, &tm));
        (void)snprintf(expected, sizeof(expected), "%04d-%02d-%02dT00:00:00Z", tm.tm_year + 1900, tm.tm_mon + 1,
                       tm.tm_mday);
        format_time(day * 86400000, buf);
        assert_string_equal(buf, expected);
    }
}

static void deadlines(void **state)
{
    int64_t now = mono_ms();

    (void)state;
    assert_true(now > 0 && mono_us() / 1000 >= now && wall_ms() > 1600000000000);
    assert_int_equal(deadline_left(-1), -1);
    assert_int_equal(deadline_left(0), 0);
    assert_int_equal(deadline_left(now - 1), 0);
    assert_in_range(deadline_left(now + 60000), 1, 60000);
    assert_int_equal(deadline_left(INT64_MAX), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_formatted),
        cmocka_unit_test(dates_agree_with_libc),
        cmocka_unit_test(deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
