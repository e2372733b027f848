/* SPDX-License-Identifier: Apache-2.0 */
/* The whole agent as an ordinary process: a workload, a console (a pipe), and an exit code. */
#include "kestrel/agent.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "kestrel/power.h"
#include "kestrel/testdir.h"
#include "kestrel/workload.h"

static int run(const char *script, int ready_port, char **ret_console, int *ret_code, struct vl_error *err)
{
    struct guest_config config = {.ready_port = ready_port};
    struct agent_opts opts = {.ctl_fd = -1, .sync_fd = -1};
    int console[2], r;
    size_t len;

    assert_int_equal(strv_add(&config.workload.entrypoint, "/bin/sh"), 0);
    assert_int_equal(strv_add(&config.workload.entrypoint, "-c"), 0);
    assert_int_equal(strv_add(&config.workload.entrypoint, script), 0);
    assert_int_equal(pipe2(console, O_CLOEXEC), 0);
    opts.console_fd = console[1];
    r = agent_run(&config, &opts, ret_code, err);
    if (r == 0) power_last_line(console[1], *ret_code);
    (void)close(console[1]);
    assert_int_equal(read_all(console[0], 1 << 20, ret_console, &len), 0);
    (void)close(console[0]);
    guest_config_done(&config);
    return r;
}

static void test_output_and_code_reach_the_console(void **state)
{
    static const struct {
        const char *script, *console;
        int code;
    } table[] = {
        {"true", "volant: workload exited code=0\n", 0},
        {"echo one; exit 3", "one\nvolant: workload exited code=3\n", 3},
        {"printf 'no newline' >&2", "no newline\nvolant: workload exited code=0\n", 0},
        {"echo bye; kill -9 $$", "bye\nvolant: workload exited code=137\n", 137},
        {"(sleep 0.05; echo late) & echo early", "early\nlate\nvolant: workload exited code=0\n", 0},
        {"(exit 9) & (exit 8) & wait; exit 5", "volant: workload exited code=5\n", 5},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_free char *console = NULL;
        struct vl_error err = {0};
        int code = -1;

        if (run(table[i].script, 0, &console, &code, &err) < 0) fail_msg("%s: %s", table[i].script, err.msg);
        assert_string_equal(console, table[i].console);
        assert_int_equal(code, table[i].code);
    }
}

static void test_a_grandchild_holds_nothing_up(void **state)
{
    auto_free char *console = NULL;
    struct vl_error err = {0};
    int64_t began = mono_ms();
    int code = -1;

    (void)state;
    assert_int_equal(run("sleep 5 & exit 4", 1, &console, &code, &err), 0);
    assert_int_equal(code, 4);
    assert_in_range(mono_ms() - began, 190, 3000);
}

/* Nobody reads the console until the end: what its queue does not hold is left out, and the workload does not notice.
 */
static void test_a_stuck_console_holds_nothing_up(void **state)
{
    auto_free char *console = NULL;
    struct vl_error err = {0};
    int code = -1;

    (void)state;
    assert_int_equal(
        run("i=0; while [ $i -lt 20000 ]; do echo line number $i; i=$((i+1)); done; exit 6", 0, &console, &code, &err),
        0);
    assert_int_equal(code, 6);
    assert_true(str_starts(console, "line number 0\nline number 1\n"));
}

struct slow_reader {
    int fd;
    struct strbuf text;
};

static void *read_slowly(void *arg)
{
    const struct timespec pause = {0, 20000000};
    struct slow_reader *r = arg;
    char buf[4096];
    ssize_t n;

    while ((n = read(r->fd, buf, sizeof(buf))) > 0) {
        strbuf_add(&r->text, buf, (size_t)n);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

/* Of more than a slow console takes, the last words are what stays, and each line is whole. */
static void test_last_words_reach_a_slow_console(void **state)
{
    static const char last[] = "\nvolant: workload exited code=6\n";
    struct guest_config config = {0};
    struct agent_opts opts = {.ctl_fd = -1, .sync_fd = -1};
    struct slow_reader reader = {0};
    struct vl_error err = {0};
    int console[2], code = -1;
    char *save = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(strv_add(&config.workload.entrypoint, "/bin/sh"), 0);
    assert_int_equal(strv_add(&config.workload.entrypoint, "-c"), 0);
    assert_int_equal(strv_add(&config.workload.entrypoint,
                              "yes 'a line of some length' | head -n 40000; echo FATAL: the reason >&2; exit 6"),
                     0);
    assert_int_equal(pipe2(console, O_CLOEXEC), 0);
    opts.console_fd = console[1];
    reader.fd = console[0];
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(agent_run(&config, &opts, &code, &err), 0);
    power_last_line(console[1], code);
    (void)close(console[1]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(console[0]);
    assert_false(reader.text.failed);
    assert_true(str_ends(reader.text.data, last));
    assert_non_null(strstr(reader.text.data, "\nvolant: the console is slow: "));
    assert_non_null(strstr(reader.text.data, "\nFATAL: the reason\n"));
    for (char *line = strtok_r(reader.text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        assert_true(str_eq(line, "a line of some length") || str_starts(line, "volant: ") ||
                    str_eq(line, "FATAL: the reason"));
    strbuf_done(&reader.text);
    guest_config_done(&config);
}

/* Each of the two children has its own end: the checks fail with 9, the workload, which waits for three, ends with 3.
 */
static void test_checks_end_beside_the_workload(void **state)
{
    struct guest_config config = {0};
    struct agent_opts opts = {.console_fd = -1, .ctl_fd = -1, .sync_fd = -1};
    struct vl_error err = {0};
    struct testdir t = {0};
    int code = -1;

    (void)state;
    testdir_make(&t);
    assert_int_equal(strv_add(&config.workload.entrypoint, "/bin/sh"), 0);
    assert_int_equal(strv_add(&config.workload.entrypoint, "-c"), 0);
    assert_int_equal(strv_add(&config.workload.entrypoint, "until [ -e 111 ]; do sleep 0.01; done; exit 3"), 0);
    config.workload.workdir = strdup(t.path);
    config.health_check =
        (struct health_check){.type = strdup("exec"), .interval_ms = 100, .check_timeout_ms = 10000, .retries = 3};
    assert_int_equal(strv_add(&config.health_check.command, "/bin/sh"), 0);
    assert_int_equal(strv_add(&config.health_check.command, "-c"), 0);
    assert_int_equal(
        strv_add(&config.health_check.command, "n=1; while [ -e $n ]; do n=1$n; done; echo no; touch $n; exit 9"), 0);
    if (agent_run(&config, &opts, &code, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(code, 3);
    guest_config_done(&config);
    testdir_remove(&t);
}

static void test_what_cannot_start_says_so(void **state)
{
    struct guest_config config = {0};
    struct agent_opts opts = {.console_fd = -1, .ctl_fd = -1, .sync_fd = -1};
    struct vl_error err = {0};
    int code = -1;

    (void)state;
    assert_int_equal(strv_add(&config.workload.entrypoint, "/nonexistent"), 0);
    assert_true(agent_run(&config, &opts, &code, &err) < 0);
    assert_int_equal(workload_failure_code(&err), 127);
    assert_int_equal(code, -1);
    guest_config_done(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_code_reach_the_console),
        cmocka_unit_test(test_a_grandchild_holds_nothing_up),
        cmocka_unit_test(test_a_stuck_console_holds_nothing_up),
        cmocka_unit_test(test_last_words_reach_a_slow_console),
        cmocka_unit_test(test_checks_end_beside_the_workload),
        cmocka_unit_test(test_what_cannot_start_says_so),
    };

    if (agent_block_signals() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
