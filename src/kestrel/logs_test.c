/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/logs.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/unit.h"

#define SMALL (3UL * LOG_LINE_MAX)

static struct log_line line;

static void add(struct logs *l, unsigned number, size_t width)
{
    static char text[LOG_LINE_MAX];

    memset(text, '.', sizeof(text));
    (void)snprintf(text, sizeof(text), "%u", number);
    text[strlen(text)] = '.';
    logs_add(l, number % 2 ? LOG_STDERR : LOG_STDOUT, number, text, width);
}

static void expect(struct logs *l, struct logs_cursor *c, unsigned number, size_t width)
{
    char head[16];

    assert_true(logs_next(l, c, &line));
    (void)snprintf(head, sizeof(head), "%u.", number);
    assert_memory_equal(line.text, head, strlen(head));
    assert_int_equal(line.n, width);
    assert_int_equal(line.wall_ms, number);
    assert_int_equal(line.stream, number % 2 ? LOG_STDERR : LOG_STDOUT);
}

static void test_lines_are_kept_and_followed(void **state)
{
    struct logs l;
    struct logs_cursor all, last_two, none;

    (void)state;
    assert_int_equal(logs_init(&l, SMALL), 0);
    all = logs_tail(&l, -1);
    assert_false(logs_next(&l, &all, &line));
    for (unsigned i = 0; i < 5; i++)
        add(&l, i, 10);
    last_two = logs_tail(&l, 2);
    none = logs_tail(&l, 0);
    for (unsigned i = 0; i < 5; i++)
        expect(&l, &all, i, 10);
    assert_false(logs_next(&l, &all, &line));
    expect(&l, &last_two, 3, 10);
    assert_int_equal(line.lost, 0);
    assert_false(logs_next(&l, &none, &line));
    add(&l, 5, 10);
    expect(&l, &none, 5, 10);
    expect(&l, &all, 5, 10);
    logs_done(&l);
}

static void test_the_oldest_go_first(void **state)
{
    struct logs l;
    struct logs_cursor slow, c;
    unsigned kept;

    (void)state;
    assert_int_equal(logs_init(&l, SMALL), 0);
    slow = logs_tail(&l, -1);
    for (unsigned i = 0; i < 3000; i++)
        add(&l, i, 10 + i % 997);
    assert_true(logs_next(&l, &slow, &line));
    kept = 3000 - (unsigned)line.lost;
    assert_in_range(kept, 40, 200);
    c = logs_tail(&l, 1000000);
    for (unsigned i = 3000 - kept; i < 3000; i++)
        expect(&l, &c, i, 10 + i % 997);
    assert_false(logs_next(&l, &c, &line));
    logs_done(&l);
}

static void test_a_line_is_valid_and_bounded(void **state)
{
    static char junk[LOG_LINE_MAX];
    struct logs_cursor c;
    struct logs l;
    size_t total = 0;

    (void)state;
    assert_int_equal(logs_init(&l, 5UL * LOG_LINE_MAX), 0);
    memset(junk, 0xff, sizeof(junk));
    logs_add(&l, LOG_STDOUT, 1, junk, sizeof(junk));
    logs_add(&l, LOG_STDOUT, 1, "", 0);
    c = logs_tail(&l, -1);
    while (logs_next(&l, &c, &line)) {
        assert_in_range(line.n, 0, LOG_LINE_MAX);
        assert_int_equal(utf8_prefix(line.text, line.n), line.n);
        total += line.n;
    }
    assert_int_equal(total, 3 * sizeof(junk));
    assert_int_equal(line.n, 0);
    logs_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_kept_and_followed),
        cmocka_unit_test(test_the_oldest_go_first),
        cmocka_unit_test(test_a_line_is_valid_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
