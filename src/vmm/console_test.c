/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"
#include "vmm/console.h"

struct row {
    const char *text;
    enum console_verdict verdict;
    int code;
    const char *panic;
};

static void verdicts(void **state)
{
    static const struct row table[] = {
        {"", CONSOLE_NOTHING, 0, ""},
        {"hello\r\n", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=0\r\n", CONSOLE_EXIT_CODE, 0, ""},
        {"x\r\nvolant: workload exited code=137\r\n", CONSOLE_EXIT_CODE, 137, ""},
        {"x\nvolant: workload exited code=3\n", CONSOLE_EXIT_CODE, 3, ""},
        /* said by the workload first, then by kestrel */
        {"volant: workload exited code=0\nvolant: workload exited code=9\r\n[    1.2] reboot: Restarting system\r\n",
         CONSOLE_EXIT_CODE, 9, ""},
        /* not a line of its own, cut off, out of range, no number */
        {"he said volant: workload exited code=0\r\n", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=1", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=256\r\n", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=99999999999999999999\r\n", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=\r\n", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=-1\r\n", CONSOLE_NOTHING, 0, ""},
        {"volant: workload exited code=1x\r\n", CONSOLE_NOTHING, 0, ""},
        {"[    0.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n[   0.6] CPU: 0\r\n",
         CONSOLE_PANIC, 0, "Attempted to kill init! exitcode=0x00000100"},
        {"Kernel panic - not syncing: cut", CONSOLE_PANIC, 0, "cut"},
        {"Kernel panic - not syncing: a\nvolant: workload exited code=2\r\n", CONSOLE_EXIT_CODE, 2, ""},
        {"volant: workload exited code=2\r\nKernel panic - not syncing: b\n", CONSOLE_PANIC, 0, "b"},
        {"Kernel panic - not syncing: \x1b[31m\xff\n", CONSOLE_PANIC, 0, "\\x1b[31m\\xff"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t len = strlen(table[i].text);
        auto_free char *exact = malloc(len + (len == 0)); /* a sanitizer sees any byte too far */
        struct console_end end = {.code = 77};

        assert_non_null(exact);
        memcpy(exact, table[i].text, len); /* NOLINT(bugprone-not-null-terminated-result) */
        console_end_of(exact, len, &end);
        if (end.verdict != table[i].verdict || end.code != table[i].code || strcmp(end.text, table[i].panic) != 0)
            fail_msg("%zu: verdict %d, code %d, text '%s'", i, (int)end.verdict, end.code, end.text);
    }
}

static void out_of_memory(void **state)
{
    static const char killed[] = "[   21.4] Out of memory: Killed process 71 (httpd) total-vm:90000kB\r\n"
                                 "volant: workload exited code=137\r\n",
                      panic[] = "[   21.4] Kernel panic - not syncing: System is deadlocked on memory\r\n",
                      honest[] = "volant: workload exited code=137\r\n";
    struct console_end end;

    (void)state;
    console_end_of(killed, strlen(killed), &end);
    assert_int_equal(end.verdict, CONSOLE_EXIT_CODE);
    assert_int_equal(end.code, 137);
    assert_true(end.out_of_memory);
    console_end_of(panic, strlen(panic), &end);
    assert_int_equal(end.verdict, CONSOLE_PANIC);
    assert_true(end.out_of_memory);
    console_end_of(honest, strlen(honest), &end);
    assert_false(end.out_of_memory);
}

static void long_panic(void **state)
{
    char text[2048];
    struct console_end end;
    int n = snprintf(text, sizeof(text), "Kernel panic - not syncing: ");

    (void)state;
    for (; n < 2000; n += 2) {
        text[n] = '\xc3';
        text[n + 1] = '\xa4';
    }
    console_end_of(text, 2000, &end);
    assert_int_equal(end.verdict, CONSOLE_PANIC);
    assert_int_equal(strlen(end.text), sizeof(end.text) - 2); /* an odd number of bytes would cut a character */
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[128];
    auto_close int fd = -1;

    assert_true(strf(path, sizeof(path), "%s/%s", dir, name) > 0);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write_all(fd, text, strlen(text), -1), 0);
}

static void expect_tail(const char *dir, size_t max, const char *expected)
{
    auto_free char *text = NULL;
    size_t len;

    assert_int_equal(vmm_console_tail(dir, max, &text, &len), 0);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
}

static void tails(void **state)
{
    char dir[] = "/tmp/volant-tail-XXXXXX", *untouched = dir;
    struct console_end end;
    size_t len = 5;

    (void)state;
    assert_non_null(mkdtemp(dir));
    expect_tail(dir, 100, "");
    vmm_console_end(dir, &end);
    assert_int_equal(end.verdict, CONSOLE_NOTHING);
    put(dir, "console.log", "newer\n");
    expect_tail(dir, 100, "newer\n");
    expect_tail(dir, 3, "er\n");
    put(dir, "console.log.1", "older\nvolant: workload exi");
    put(dir, "console.log", "ted code=4\r\n");
    expect_tail(dir, 14, "xited code=4\r\n");
    expect_tail(dir, 0, "");
    vmm_console_end(dir, &end); /* over the seam of the two files */
    assert_int_equal(end.verdict, CONSOLE_EXIT_CODE);
    assert_int_equal(end.code, 4);
    assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
    assert_int_equal(vmm_console_tail(dir, 10, &untouched, &len), -ENOENT);
    assert_ptr_equal(untouched, dir);
    assert_int_equal(len, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(long_panic),
        cmocka_unit_test(tails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
