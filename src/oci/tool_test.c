/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/tool.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/unit.h"

static void test_output(void **state)
{
    static const char *const argv[] = {"printf", "%s", "a b", NULL};
    const struct oci_job job = {0};
    auto_free char *out = NULL;
    struct vl_error err = {0};
    size_t len;

    (void)state;
    if (tool_run(argv, "coreutils", NULL, &job, 100, &out, &len, &err) < 0) fail_msg("%s", err.msg);
    assert_string_equal(out, "a b");
    assert_true(tool_run(argv, "coreutils", NULL, &job, 2, &out, &len, &err) < 0);
}

static void test_environment(void **state)
{
    static const char *const argv[] = {"printenv", "VOLANT_TEST", NULL};
    static const char *const env[] = {"VOLANT_TEST=here", NULL};
    const struct oci_job job = {0};
    auto_free char *out = NULL;
    struct vl_error err = {0};
    size_t len;

    (void)state;
    if (tool_run(argv, "coreutils", env, &job, 100, &out, &len, &err) < 0) fail_msg("%s", err.msg);
    assert_string_equal(out, "here\n");
}

/* The token of volar, which may have started us. */
static void test_no_secrets(void **state)
{
    static const char *const argv[] = {"env", NULL};
    const struct oci_job job = {0};
    auto_free char *out = NULL;
    struct vl_error err = {0};
    size_t len;

    (void)state;
    assert_int_equal(setenv("VOLANT_API_TOKEN", "volant_0", 1), 0);      /* NOLINT(concurrency-mt-unsafe): one thread */
    assert_int_equal(setenv("VOLANT_API_TOKEN_FILE", "/nowhere", 1), 0); /* NOLINT(concurrency-mt-unsafe): likewise */
    if (tool_run(argv, "coreutils", NULL, &job, 100000, &out, &len, &err) < 0) fail_msg("%s", err.msg);
    assert_non_null(strstr(out, "VOLANT_API_TOKEN_FILE="));
    assert_null(strstr(out, "volant_0"));
}

static void test_failure(void **state)
{
    static const char *const argv[] = {"ls", "--", "/nonexistent/\x1b[1m", NULL};
    static const char *const none[] = {"volant-no-such-program", NULL};
    const struct oci_job job = {0};
    struct vl_error err = {0};

    (void)state;
    assert_true(tool_run(argv, "coreutils", NULL, &job, 0, NULL, NULL, &err) < 0);
    assert_true(str_starts(err.msg, "ls ended with 2: ls: "));
    assert_null(strchr(err.msg, '\x1b'));
    assert_true(tool_run(none, "some-package", NULL, &job, 0, NULL, NULL, &err) < 0);
    assert_string_equal(
        err.msg, "the program 'volant-no-such-program' is not installed: install Debian's package 'some-package'");
}

static void test_feeding(void **state)
{
    static const char *const argv[] = {"wc", "-c", NULL};
    static char data[3000000];
    const struct oci_job job = {0};
    auto_free char *out = NULL;
    struct vl_error err = {0};
    struct tool t;
    size_t len;

    (void)state;
    assert_int_equal(tool_start(argv, "coreutils", NULL, true, &t, &err), 0);
    assert_int_equal(tool_feed(&t, &job, data, sizeof(data), &err), 0);
    assert_int_equal(tool_finish(&t, &job, 100, &out, &len, &err), 0);
    assert_string_equal(out, "3000000\n");
}

/* It ends before it has read all: why is told at the end. */
static void test_feeding_what_ends(void **state)
{
    static const char *const argv[] = {"ls", "--no-such-option", NULL};
    static char data[3000000];
    const struct oci_job job = {0};
    struct vl_error err = {0};
    struct tool t;

    (void)state;
    assert_int_equal(tool_start(argv, "coreutils", NULL, true, &t, &err), 0);
    assert_true(tool_feed(&t, &job, data, sizeof(data), &err) < 0);
    assert_int_equal(err.errnum, EPIPE);
    assert_true(tool_finish(&t, &job, 0, NULL, NULL, &err) < 0);
    assert_true(str_starts(err.msg, "ls ended with 2"));
}

static void test_deadline(void **state)
{
    static const char *const argv[] = {"sleep", "60", NULL};
    const struct oci_job job = {.timeout_s = 1};
    int64_t begun = mono_ms();
    struct vl_error err = {0};

    (void)state;
    assert_true(tool_run(argv, "coreutils", NULL, &job, 0, NULL, NULL, &err) < 0);
    assert_int_equal(err.kind, VL_UNAVAILABLE);
    assert_true(mono_ms() - begun < 20000);
}

static volatile sig_atomic_t stop;

static void on_alarm(int signo)
{
    stop = signo;
}

/* A signal that comes while we wait ends it, and the child. */
static void test_stop(void **state)
{
    static const char *const argv[] = {"sleep", "60", NULL};
    const struct oci_job job = {.stop = &stop};
    struct sigaction action = {.sa_handler = on_alarm};
    int64_t begun = mono_ms();
    struct vl_error err = {0};

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    (void)alarm(1);
    assert_true(tool_run(argv, "coreutils", NULL, &job, 0, NULL, NULL, &err) < 0);
    assert_int_equal(err.kind, VL_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "interrupted by signal 14"));
    assert_true(mono_ms() - begun < 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_no_secrets),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_feeding),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_feeding_what_ends),
        cmocka_unit_test(test_stop),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
