/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's client against a process that plays the VMM, well-behaved and otherwise. */
#include "base/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "vmm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define OK       "{\"return\": {}}\r\n"
#define EVENT    "{\"event\": \"SHUTDOWN\", \"data\": {}}\r\n"

struct monitor {
    int listener;
    const char *greeting;
    const char *answers[3]; /* one for each line that comes; NULL hangs up */
    char heard[512];
};

static void serve(struct monitor *m)
{
    struct pollfd p = {.fd = m->listener, .events = POLLIN};
    auto_close int fd = -1;
    size_t len = 0;

    if (poll(&p, 1, 10000) != 1 || (fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC)) < 0) return;
    (void)send(fd, m->greeting, strlen(m->greeting), MSG_NOSIGNAL);
    for (size_t i = 0; i < ARRAY_LEN(m->answers) && m->answers[i]; i++) {
        do {
            ssize_t n = recv(fd, m->heard + len, sizeof(m->heard) - 1 - len, 0);

            if (n <= 0) return;
            len += (size_t)n;
        } while (m->heard[len - 1] != '\n');
        (void)send(fd, m->answers[i], strlen(m->answers[i]), MSG_NOSIGNAL);
    }
}

static int run(const struct monitor *monitor, char heard[static 512], int timeout_ms, struct vl_error *err)
{
    char dir[] = "/tmp/volant-qmp-XXXXXX", path[64];
    struct monitor *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child;
    int r;

    assert_true(m != MAP_FAILED);
    *m = *monitor;
    assert_non_null(mkdtemp(dir));
    assert_true(strf(path, sizeof(path), "%s/qmp", dir) > 0);
    assert_true((m->listener = unix_listen(path, 4, 0600)) >= 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        serve(m);
        _exit(0);
    }
    (void)close(m->listener);
    r = qmp_run(path, "quit", mono_ms() + timeout_ms, NULL, err);
    assert_int_equal(waitpid(child, NULL, 0), child);
    memcpy(heard, m->heard, sizeof(m->heard));
    (void)munmap(m, sizeof(*m));
    assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
    return r;
}

static void good(void **state)
{
    struct monitor plain = {.greeting = GREETING, .answers = {OK, OK}};
    struct monitor events = {.greeting = GREETING, .answers = {EVENT OK, EVENT OK}};
    struct vl_error err;
    char heard[512];

    (void)state;
    assert_int_equal(run(&plain, heard, 10000, &err), 0);
    assert_string_equal(heard, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n");
    assert_int_equal(run(&events, heard, 10000, &err), 0);
}

static void bad(void **state)
{
    static char endless[70000], many[300 * 16];
    struct {
        struct monitor m;
        const char *says;
    } table[] = {
        {{.greeting = ""}, "hung up"},
        {{.greeting = "hello\n"}, "QMP"},
        {{.greeting = "{}\n"}, "does not speak QMP"},
        {{.greeting = GREETING}, "QMP"}, /* hung up: seen when we write, or when we read */
        {{.greeting = GREETING, .answers = {OK}}, "QMP"},
        {{.greeting = GREETING, .answers = {OK, "{\"error\": {\"class\": \"X\", \"desc\": \"no\\u001b!\"}}\n"}},
         "no\\x1b!"},
        {{.greeting = GREETING, .answers = {OK, "{\"error\": 3}\n"}}, "no reason"},
        {{.greeting = GREETING, .answers = {"[\n"}}, "QMP"},
        {{.greeting = endless}, "a line of more than"},
        {{.greeting = GREETING, .answers = {many}}, "no answer in"},
    };

    (void)state;
    memset(endless, 'x', sizeof(endless) - 1);
    for (size_t i = 0; i < 300; i++)
        memcpy(many + 16 * i, "{\"event\":\"abc\"}\n", 16);
    many[sizeof(many) - 1] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vl_error err = {0};
        char heard[512];

        assert_int_not_equal(run(&table[i].m, heard, 10000, &err), 0);
        if (!strstr(err.msg, table[i].says)) fail_msg("%zu: '%s' does not say '%s'", i, err.msg, table[i].says);
    }
}

/* The greeting comes only once another client has left: the deadline decides. */
static void busy(void **state)
{
    char dir[] = "/tmp/volant-qmp-XXXXXX", path[64];
    auto_close int listener = -1;
    struct vl_error err;
    int64_t begin = mono_ms();

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_true(strf(path, sizeof(path), "%s/qmp", dir) > 0);
    assert_int_equal(qmp_run(path, "quit", begin + 1000, NULL, &err), -ENOENT);
    assert_true((listener = unix_listen(path, 4, 0600)) >= 0);
    assert_int_equal(qmp_run(path, "quit", begin + 50, NULL, &err), -ETIMEDOUT);
    assert_true(mono_ms() - begin >= 50);
    assert_int_equal(remove_tree_at(AT_FDCWD, dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
