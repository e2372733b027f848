/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of a helper that does well, fails, lies, dies, hangs. The real one has its tests in tests/e2e. */
#include <sys/eventfd.h>

#include "artifact/testdir.h"
#include "base/clock.h"
#include "base/str.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* SHA-256 of "abc" (FIPS 180-2) */

static struct testdir dir;

static int make(void **state)
{
    (void)state;
    testdir_make(&dir);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    testdir_remove(&dir);
    return 0;
}

/* A helper that is this script. */
static int fetch_by(const char *script, struct artifact_source source)
{
    char path[128];
    auto_free char *text = strf_new("#!/bin/sh\n%s\n", script);
    auto_close int at = open_dir(dir.path);

    assert_true(at >= 0);
    assert_int_equal(write_file_atomic_at(at, "helper", text, strlen(text), 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/helper", dir.path);
    source.helper = path;
    source.url = source.url ? source.url : "http://user:secret@host.example/abc?key=secret";
    if (!source.timeout_s) source.timeout_s = 30;
    source.stall_s = 2;
    if (source.stop_fd == 0) source.stop_fd = -1;
    return artifact_fetch(dir.a, ABC, &source, &dir.err);
}

static void nothing_is_left(void)
{
    assert_false(artifact_present(dir.a, ABC, NULL));
    assert_int_equal(testdir_entries(&dir, "sha256") + testdir_entries(&dir, "tmp"), 0);
    assert_null(strstr(dir.err.msg, "secret"));
    if (!strstr(dir.err.msg, "http://host.example/abc")) fail_msg("%s", dir.err.msg);
}

static void what_is_fetched_is_there(void **state)
{
    static const char *const scripts[] = {
        "printf '3\\nabc'",
        "printf -- '-\\nabc'",
        "printf 3; sleep 0.05; printf '\\na'; sleep 0.05; printf bc",
        "read -r url <&0 || true; test \"$url\" = 'http://user:secret@host.example/abc?key=secret' && printf '3\\nabc'",
        "test \"$1 $2 $3 $4 $5\" = '--timeout 30 --stall 2 ' && printf '3\\nabc'",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        if (fetch_by(scripts[i], (struct artifact_source){.size = i == 0 ? 3 : 0, .reserve = 1}) < 0)
            fail_msg("%s: %s", scripts[i], dir.err.msg);
        assert_true(artifact_present(dir.a, ABC, NULL));
        assert_int_equal(testdir_entries(&dir, "tmp"), 0);
        assert_int_equal(artifact_remove(dir.a, ABC, &dir.err), 0);
    }
}

static void what_goes_wrong_leaves_nothing(void **state)
{
    static const struct {
        const char *script;
        struct artifact_source source;
        enum vl_kind kind;
        const char *part;
    } table[] = {
        {"printf '3\\nabd'", {0}, VL_INVALID, "digest"},
        {"printf '3\\nab'", {0}, VL_UNAVAILABLE, "only 2 of 3"},
        {"printf '3\\nabcd'", {0}, VL_INVALID, "more than 3"},
        {"printf '3\\nabc'", {.size = 4}, VL_INVALID, "the manifest says 4"},
        {"printf -- '-\\nabc'", {.size = 2}, VL_INVALID, "more than 2"},
        {"printf '9000000000000000000\\n'; exec sleep 60", {0}, VL_NO_SPACE, "make room"},
        {"printf '3\\nabc'", {.reserve = 1ULL << 62}, VL_NO_SPACE, "VOLANT_DISK_RESERVE"},
        {"printf -- '-\\nabc'", {.reserve = 1ULL << 62}, VL_NO_SPACE, "VOLANT_DISK_RESERVE"},
        {"printf 'many\\nabc'", {0}, VL_INTERNAL, "how many bytes"},
        {"printf '%040d' 1", {0}, VL_INTERNAL, "how many bytes"},
        {"exit 0", {0}, VL_INTERNAL, "nothing"},
        {"echo 'it says no: later' >&2; echo more >&2; exit 3", {0}, VL_UNAVAILABLE, "it says no: later"},
        {"printf 'x\\033[1my\\n' >&2; exit 4", {0}, VL_INVALID, "x\\x1b[1my"},
        {"printf '3\\nabc'; exit 1", {0}, VL_INTERNAL, "without a word"},
        {"printf '3\\nabc'; kill -9 $$", {0}, VL_INTERNAL, "signal 9"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        fails_with(fetch_by(table[i].script, table[i].source), dir, table[i].kind, table[i].part);
        nothing_is_left();
    }
}

static void a_helper_that_is_not_there_is_told(void **state)
{
    const struct artifact_source source = {
        .url = "http://host.example/abc", .helper = "/nonexistent/volant-fetch", .timeout_s = 5, .stop_fd = -1};

    (void)state;
    fails_with(artifact_fetch(dir.a, ABC, &source, &dir.err), dir, VL_INTERNAL, "/nonexistent/volant-fetch");
    nothing_is_left();
}

static void it_ends_when_it_is_told_to(void **state)
{
    auto_close int stop = eventfd(1, EFD_CLOEXEC);
    int64_t before = mono_ms();

    (void)state;
    fails_with(fetch_by("printf '3\\na'; exec sleep 60", (struct artifact_source){.stop_fd = stop}), dir,
               VL_UNAVAILABLE, "stopping");
    nothing_is_left();
    assert_true(mono_ms() - before < 30000);
}

static void urls_are_shown_without_secrets(void **state)
{
    static const char *const table[][2] = {
        {"http://host/a", "http://host/a"},
        {"https://user:pa@ss@host:8443/a/b?token=x#y", "https://host:8443/a/b"},
        {"http://user@host", "http://host"},
        {"http://host?x@y", "http://host"},
        {"http://host/@a", "http://host/@a"},
        {"user:secret@host/x", "(no URL)"},
        {"http://h/\x1b[0m", "http://h/\\x1b[0m"},
        {"x?key=secret://y", "(no URL)"},
        {"", "(no URL)"},
        {"://", "://"},
    };
    char shown[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        url_public(table[i][0], shown, sizeof(shown));
        assert_string_equal(shown, table[i][1]);
    }
    url_public("http://user:secret@host/abcdef", shown, 14);
    assert_string_equal(shown, "http://host/a");
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_dir(what_is_fetched_is_there),
        with_dir(what_goes_wrong_leaves_nothing),
        with_dir(a_helper_that_is_not_there_is_told),
        with_dir(it_ends_when_it_is_told_to),
        cmocka_unit_test(urls_are_shown_without_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
