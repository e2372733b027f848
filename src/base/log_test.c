/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/str.h"
#include "base/unit.h"

static int real_stderr, captured;

static int capture_begin(void **state)
{
    (void)state;
    real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    captured = memfd_create("stderr", MFD_CLOEXEC);
    return real_stderr < 0 || captured < 0 || dup2(captured, STDERR_FILENO) < 0 ? -1 : 0;
}

static int capture_end(void **state)
{
    (void)state;
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    (void)close(captured);
    return 0;
}

/* What was logged, the caller's. */
static char *logged(void)
{
    char *text = NULL;

    (void)lseek(captured, 0, SEEK_SET);
    assert_int_equal(read_all(captured, 1 << 20, &text, NULL), 0);
    return text;
}

static void a_line_has_time_level_thread_and_text(void **state)
{
    auto_free char *text = NULL;
    char t;

    (void)state;
    errno = ENOTTY;
    log_warn("vm=%s: cannot set MTU", "web");
    assert_int_equal(errno, ENOTTY);
    text = logged();
    assert_string_equal(text + 24, " warn  main   vm=web: cannot set MTU\n");
    assert_int_equal(sscanf(text, "%*4d-%*2d-%*2d%c%*2d:%*2d:%*2d.%*3dZ", &t), 1);
    assert_int_equal(t, 'T');
    assert_int_equal(text[23], 'Z');
}

static void control_bytes_are_escaped(void **state)
{
    auto_free char *text = NULL;

    (void)state;
    log_err("a\nb\x1b[2J%s", "\xff");
    text = logged();
    assert_string_equal(text + 24, " error main   a\\x0ab\\x1b[2J\\xff\n");
}

static void long_lines_are_cut_visibly(void **state)
{
    for (int shift = 0; shift < 6; shift++) {
        auto_free char *text = NULL;
        size_t len;

        assert_int_equal(ftruncate(captured, 0), 0);
        (void)lseek(captured, 0, SEEK_SET);
        log_err("%.*s%05000d", shift, "\n\n\n\n\n\n", 0);
        text = logged();
        len = strlen(text);
        assert_in_range(len, 4000, 4096);
        assert_string_equal(text + len - 5, "0...\n");
    }
    (void)state;
}

static void levels_hide_lines(void **state)
{
    enum log_level level = LOG_LEVEL_WARN;
    auto_free char *text = NULL;

    (void)state;
    assert_int_equal(log_parse_level("verbose", &level), -EINVAL);
    assert_int_equal(log_parse_level(NULL, &level), -EINVAL);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_parse_level("error", &level), 0);
    assert_true(log_enabled(LOG_LEVEL_INFO) && !log_enabled(LOG_LEVEL_DEBUG));
    log_debug("hidden");
    log_set_level(level);
    log_warn("hidden");
    log_err("shown");
    log_set_level(LOG_LEVEL_INFO);
    text = logged();
    assert_string_equal(text + 24, " error main   shown\n");
}

static void *named_thread(void *arg)
{
    log_set_thread("a-name-that-is-too-long");
    log_info("%s", (const char *)arg);
    return NULL;
}

static void threads_have_names_of_their_own(void **state)
{
    auto_free char *text = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, named_thread, "x"), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    log_info("y");
    text = logged();
    assert_non_null(strstr(text, " info  a-name-that-is- x\n"));
    assert_non_null(strstr(text, " info  main   y\n"));
}

static struct log_entry taken;
static char taken_text[64];
static bool sink_takes;

static bool take(const struct log_entry *e)
{
    taken = *e;
    (void)snprintf(taken_text, sizeof(taken_text), "%s", e->text);
    errno = EIO;
    return sink_takes;
}

static void a_sink_gets_lines_and_stderr_what_it_cannot_take(void **state)
{
    auto_free char *text = NULL;

    (void)state;
    log_set_sink(take);
    sink_takes = true;
    errno = ENOTTY;
    log_warn("vm=%s a\nb", "web");
    assert_int_equal(errno, ENOTTY);
    assert_string_equal(taken_text, "vm=web a\\x0ab");
    assert_int_equal(taken.level, LOG_LEVEL_WARN);
    assert_string_equal(taken.thread, "main");
    assert_string_equal(taken.place->func, __func__);
    assert_true(str_ends(taken.place->file, "base/log_test.c") && taken.place->line > 100);
    log_debug("hidden");
    assert_string_equal(taken_text, "vm=web a\\x0ab");
    sink_takes = false;
    log_warn("not taken");
    assert_string_equal(taken_text, "not taken");
    log_set_sink(NULL);
    log_warn("without");
    assert_string_equal(taken_text, "not taken");
    text = logged();
    assert_null(strstr(text, "web"));
    assert_ptr_equal(strstr(text, " warn  main   not taken\n"), text + 24);
    assert_non_null(strstr(text, " warn  main   without\n"));
}

#define captured_test(f) cmocka_unit_test_setup_teardown(f, capture_begin, capture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        captured_test(a_line_has_time_level_thread_and_text),
        captured_test(control_bytes_are_escaped),
        captured_test(long_lines_are_cut_visibly),
        captured_test(levels_hide_lines),
        captured_test(threads_have_names_of_their_own),
        captured_test(a_sink_gets_lines_and_stderr_what_it_cannot_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
