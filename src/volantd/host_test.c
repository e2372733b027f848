/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/host.h"

#include "base/unit.h"

static void fields_are_found(void **state)
{
    static const char text[] = "MemTotal:       16000 kB\nMemAvailableX: 1 kB\nMemAvailable:\t8000 kB\nEmpty:\n";

    (void)state;
    assert_int_equal(host_field(text, "MemTotal"), 16000);
    assert_int_equal(host_field(text, "MemAvailable"), 8000);
    assert_int_equal(host_field(text, "Empty"), 0);
    assert_int_equal(host_field(text, "Mem"), 0);
    assert_int_equal(host_field("", "Mem"), 0);
}

static void ticks_are_added_up(void **state)
{
    struct host_cpu cpu = {0};

    (void)state;
    host_cpu_parse("cpu  10 1 20 300 40 5 6 7 1000 2000\ncpu0 1 1 1 1\n", &cpu);
    assert_int_equal(cpu.total, 389);
    assert_int_equal(cpu.idle, 340);
    host_cpu_parse("", &cpu);
    assert_int_equal(cpu.total, 0);
}

static void this_host_is_alive(void **state)
{
    struct host_cpu cpu = {0};
    struct host_memory m;
    double percent = host_cpu_percent(&cpu);

    (void)state;
    assert_true(percent >= 0 && percent <= 100);
    assert_true(cpu.total > 0);
    assert_true(host_memory_percent() > 0 && host_memory_percent() < 100);
    host_memory_read(&m);
    assert_true(m.own > 0 && m.own < m.total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found),
        cmocka_unit_test(ticks_are_added_up),
        cmocka_unit_test(this_host_is_alive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
