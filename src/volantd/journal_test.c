/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/unit.h"

static void the_stream_is_the_descriptors_file_or_not(void **state)
{
    static const char *const bad[] = {NULL, "", ":", "1", "1:", ":1", "-1:2", "1:2:3", "99999999999999999999999999:1",
                                      "a:b"};
    auto_close int fd = memfd_create("stderr", MFD_CLOEXEC);
    struct stat st;
    char text[64];

    (void)state;
    assert_int_equal(fstat(fd, &st), 0);
    (void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    assert_true(journal_is_stream(text, fd));
    assert_false(journal_is_stream(text, -1));
    (void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino + 1);
    assert_false(journal_is_stream(text, fd));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(journal_is_stream(bad[i], fd));
}

static void the_vm_is_at_the_beginning_of_a_line(void **state)
{
    static const struct {
        const char *text, *vm;
    } cases[] = {
        {"vm=web tap=x: cannot", "web"},
        {"vm=web: cannot", "web"},
        {"vm=web", "web"},
        {"vm=web, and more", "web"},
        {"vm= nothing", ""},
        {"", ""},
        {"volantd serves", ""},
        {"the guest says vm=root", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *at = NULL;
        size_t n = journal_vm_of(cases[i].text, &at);

        assert_int_equal(n, strlen(cases[i].vm));
        if (n > 0) assert_memory_equal(at, cases[i].vm, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_is_the_descriptors_file_or_not),
        cmocka_unit_test(the_vm_is_at_the_beginning_of_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
