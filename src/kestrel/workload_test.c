/* SPDX-License-Identifier: Apache-2.0 */
#include "kestrel/workload.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/str.h"
#include "kestrel/testdir.h"

/* A workload that owns its strings; `words` and `env` end with NULL. */
static struct workload make(const char *const *words, const char *const *env)
{
    struct workload w = {0};

    for (; *words; words++)
        assert_int_equal(strv_add(&w.entrypoint, *words), 0);
    for (; env && *env; env += 2)
        assert_int_equal(strmap_set(&w.env, env[0], env[1]), 0);
    return w;
}

static void workload_free(struct workload *w)
{
    schema_done(&workload_schema, w);
}

static int finish(const struct child *c, char **ret_out, int *ret_signal)
{
    auto_free char *ignored = NULL;
    size_t len;
    int status;

    assert_int_equal(read_all(c->out_fd, 1 << 20, ret_out ? ret_out : &ignored, &len), 0);
    (void)close(c->out_fd);
    if (c->err_fd >= 0) (void)close(c->err_fd);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    return workload_exit_code(status, ret_signal);
}

static void test_exit_codes(void **state)
{
    static const struct {
        const char *words[4];
        int code, signal;
    } table[] = {
        {{"/bin/true"}, 0, 0},
        {{"true"}, 0, 0},
        {{"/bin/false"}, 1, 0},
        {{"/bin/sh", "-c", "exit 77"}, 77, 0},
        {{"/bin/sh", "-c", "kill -TERM $$"}, 143, SIGTERM},
        {{"/bin/sh", "-c", "kill -KILL $$"}, 137, SIGKILL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        auto_(workload_free) struct workload w = make(table[i].words, NULL);
        struct vl_error err = {0};
        struct child c;
        int sig = -1;

        if (workload_start(&w, &c, &err) < 0) fail_msg("%s: %s", table[i].words[0], err.msg);
        assert_int_equal(finish(&c, NULL, &sig), table[i].code);
        assert_int_equal(sig, table[i].signal);
    }
}

static void test_surroundings(void **state)
{
    static const char *const words[] = {"sh", "-c", "echo $A-$HOME-$PATH; pwd; cat; kill -0 -$$ && echo leader", NULL};
    static const char *const env[] = {"A", "b c", "PATH", "/nowhere:/bin:/usr/bin", NULL};
    auto_(workload_free) struct workload w = make(words, env);
    auto_free char *out = NULL;
    struct vl_error err = {0};
    struct child c;
    int sig;

    (void)state;
    w.workdir = strdup("/usr");
    if (workload_start(&w, &c, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(getsid(c.pid), c.pid);
    assert_int_equal(finish(&c, &out, &sig), 0);
    assert_string_equal(out, "b c-/root-/nowhere:/bin:/usr/bin\n/usr\nleader\n");
}

/* Another program where the workload runs. */
static void test_a_command_beside_it(void **state)
{
    static const char *const words[] = {"/nonexistent", NULL}, *const env[] = {"A", "b c", NULL};
    static const char *const argv[] = {"sh", "-c", "echo $A-$HOME; pwd; echo wrong >&2; exit 5", NULL};
    auto_(workload_free) struct workload w = make(words, env), other = make(argv, NULL);
    auto_free char *out = NULL;
    struct vl_error err = {0};
    struct user user;
    struct child c;
    int sig;

    (void)state;
    w.workdir = strdup("/usr");
    assert_int_equal(workload_user(&w, &user, &err), 0);
    if (workload_command(&w, &user, &other.entrypoint, "health_check.command", &c, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(c.err_fd, -1);
    assert_int_equal(finish(&c, &out, &sig), 5);
    assert_string_equal(out, "b c-/root\n/usr\nwrong\n");
    c.pid = -4711;
    assert_true(workload_command(&w, &user, &w.entrypoint, "health_check.command", &c, &err) < 0);
    assert_true(str_starts(err.msg, "health_check.command: no '/nonexistent' in the image"));
    assert_int_equal(c.pid, -4711);
}

static const struct {
    const char *word, *workdir, *user, *path; /* path: of the environment */
    int code;
    const char *says;
} bad[] = {
    {"/nonexistent/program", NULL, NULL, NULL, 127, "no '/nonexistent/program'"},
    {"no-such-program-anywhere", NULL, NULL, NULL, 127, "in PATH"},
    {"true", NULL, NULL, "/nowhere", 127, "in PATH"},
    {"/etc/passwd", NULL, NULL, NULL, 126, "0755"},
    {"passwd", NULL, NULL, "/etc", 126, "0755"},
    {"/etc", NULL, NULL, NULL, 126, "0755"},
    {"/bin/true", "/nonexistent", NULL, NULL, 126, "workload.workdir"},
    {"/bin/true", "/etc/passwd", NULL, NULL, 126, "workload.workdir"},
    {"/bin/true", NULL, "no-such-user", NULL, 126, "workload.user"},
};

static void test_what_cannot_be_started(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *words[] = {bad[i].word, NULL}, *env[] = {bad[i].path ? "PATH" : NULL, bad[i].path, NULL};
        auto_(workload_free) struct workload w = make(words, env);
        struct child c = {.pid = -4711};
        struct vl_error err = {0};

        w.workdir = bad[i].workdir ? strdup(bad[i].workdir) : NULL;
        w.user = bad[i].user ? strdup(bad[i].user) : NULL;
        if (workload_start(&w, &c, &err) == 0) fail_msg("%s was started", bad[i].word);
        if (!strstr(err.msg, bad[i].says)) fail_msg("%s: '%s'", bad[i].word, err.msg);
        assert_int_equal(workload_failure_code(&err), bad[i].code);
        assert_int_equal(c.pid, -4711);
    }
}

static void expect_exec_failure(const struct testdir *t, const char *text, int code, const char *says)
{
    char program[128];
    const char *words[] = {program, NULL};
    struct vl_error err = {0};
    struct child c;

    (void)snprintf(program, sizeof(program), "%s/program", t->path);
    testdir_write(t, "program", text);
    assert_int_equal(fchmodat(t->fd, "program", 0755, 0), 0);
    {
        auto_(workload_free) struct workload w = make(words, NULL);

        assert_true(workload_start(&w, &c, &err) < 0);
    }
    if (!strstr(err.msg, says)) fail_msg("'%s'", err.msg);
    assert_int_equal(workload_failure_code(&err), code);
}

static void test_no_loader_and_no_program(void **state)
{
    struct testdir t;

    (void)state;
    testdir_make(&t);
    expect_exec_failure(&t, "#!/nonexistent/interpreter\n", 127, "libraries = \"auto\"");
    expect_exec_failure(&t, "just a text\n", 126, "#! line");
    testdir_remove(&t);
}

static void test_stop_signals(void **state)
{
    const struct {
        const char *name;
        int number;
    } table[] = {
        {NULL, SIGTERM},
        {"SIGQUIT", SIGQUIT},
        {"QUIT", SIGQUIT},
        {"SIGWINCH", SIGWINCH},
        {"3", SIGQUIT},
        {"9", SIGKILL},
        {"SIGRTMIN+3", SIGRTMIN + 3},
        {"RTMIN", SIGRTMIN},
        {"RTMAX-1", SIGRTMAX - 1},
        {"RTMIN+99", SIGTERM},
        {"RTMIN-1", SIGTERM},
        {"RTMINx", SIGTERM},
        {"0", SIGTERM},
        {"999", SIGTERM},
        {"", SIGTERM},
        {"SIG", SIGTERM},
        {"sigquit", SIGTERM},
        {"SIGNONSENSE", SIGTERM},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct workload w = {.stop_signal = table[i].name ? strdup(table[i].name) : NULL};
        int signo = workload_stop_signal(&w);

        if (signo != table[i].number) fail_msg("%s: %d", w.stop_signal, signo);
        free(w.stop_signal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_surroundings),
        cmocka_unit_test(test_a_command_beside_it),
        cmocka_unit_test(test_what_cannot_be_started),
        cmocka_unit_test(test_no_loader_and_no_program),
        cmocka_unit_test(test_stop_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
