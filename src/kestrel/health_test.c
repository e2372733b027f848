/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks against real servers, good, broken and hostile ones, and real commands. */
#include "kestrel/health.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/str.h"
#include "kestrel/agent.h"
#include "kestrel/testdir.h"

#define WAIT_MS  20000
#define DRIP_MS  20
#define CHECK_MS 150 /* check_timeout_ms here */

/* A server on a thread of its own, one visitor at a time. */
enum manner { REPLIES, SILENT, DRIPS, FLOODS, CLOSES, RESETS };

struct server {
    pthread_t thread;
    int fd, stop[2]; /* a pipe whose writing end is closed to end it */
    uint16_t port;
    _Atomic(const char *) text;
    atomic_int manner, visits;
    char request[512];
};

static bool stopped(const struct server *s, int timeout_ms)
{
    struct pollfd p = {.fd = s->stop[0], .events = POLLIN};

    return poll(&p, 1, timeout_ms) > 0;
}

static void drip(const struct server *s, int fd)
{
    for (const char *at = s->text; *at && !stopped(s, DRIP_MS); at++)
        if (send(fd, at, 1, MSG_NOSIGNAL) < 0) return;
}

static void flood(int fd)
{
    static char x[4096];

    memset(x, 'x', sizeof(x));
    while (send(fd, x, sizeof(x), MSG_NOSIGNAL) > 0)
        continue;
}

static void wait_for_them_to_leave(const struct server *s, int fd)
{
    struct pollfd p[] = {{.fd = s->stop[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    char buf[512];

    do {
        (void)poll(p, 2, WAIT_MS);
    } while (!p[0].revents && recv(fd, buf, sizeof(buf), 0) > 0);
}

static void serve(struct server *s, int fd)
{
    const struct linger at_once = {.l_onoff = 1};
    const char *text = s->text;
    ssize_t n;

    s->visits++;
    switch ((enum manner)s->manner) {
    case REPLIES:
        if ((n = recv(fd, s->request, sizeof(s->request) - 1, 0)) >= 0) s->request[n] = '\0';
        (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
        return;
    case SILENT:
        wait_for_them_to_leave(s, fd);
        return;
    case DRIPS:
        drip(s, fd);
        return;
    case FLOODS:
        flood(fd);
        return;
    case RESETS:
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        return;
    case CLOSES:
        (void)shutdown(fd, SHUT_WR);
        wait_for_them_to_leave(s, fd);
        return;
    }
}

static void *run_server(void *arg)
{
    struct server *s = arg;
    struct pollfd p[] = {{.fd = s->stop[0], .events = POLLIN}, {.fd = s->fd, .events = POLLIN}};

    while (poll(p, 2, -1) > 0 && !p[0].revents) {
        auto_close int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) serve(s, fd);
    }
    return NULL;
}

static void server_open(struct server *s, const char *address, enum manner manner, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);

    memset(s, 0, sizeof(*s));
    s->manner = (int)manner;
    s->text = text;
    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    assert_true((s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pipe2(s->stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
}

static void server_close(struct server *s)
{
    (void)close(s->stop[1]);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->stop[0]);
    (void)close(s->fd);
}

/* The machine: a configuration, a loop, one health. */
struct bench {
    struct loop *loop;
    struct guest_config config;
    struct health health;
    int checks;
    pid_t reaped;
};

static int open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(d);
    while (readdir(d)) /* NOLINT(concurrency-mt-unsafe): the server's thread reads no folder */
        n++;
    (void)closedir(d);
    return n;
}

static int fds_before;

static int count_fds(void **state)
{
    (void)state;
    fds_before = open_fds();
    return 0;
}

static int expect_as_many_fds(void **state)
{
    (void)state;
    return open_fds() == fds_before ? 0 : -1;
}

static void on_child(int signo, void *arg)
{
    struct bench *b = arg;
    int status;
    pid_t pid;

    (void)signo;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (health_reap(&b->health, pid, status)) b->reaped = pid;
}

static void note(void *arg)
{
    ((struct bench *)arg)->checks++;
}

static void bench_open(struct bench *b, const char *type, uint16_t port)
{
    static const int signals[] = {SIGCHLD};
    struct health_check *h = &b->config.health_check;

    memset(b, 0, sizeof(*b));
    assert_int_equal(loop_new(&b->loop), 0);
    assert_int_equal(loop_signals(b->loop, signals, 1, on_child, b), 0);
    h->type = strdup(type);
    h->port = port;
    h->interval_ms = 100;
    h->check_timeout_ms = CHECK_MS;
    h->retries = 3;
}

static void bench_start(struct bench *b)
{
    struct vl_error err = {0};

    if (health_start(&b->health, b->loop, &b->config, note, b, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(b->health.state, HEALTH_STARTING);
    assert_int_equal(b->checks, 0);
}

static void bench_close(struct bench *b)
{
    health_done(&b->health);
    health_done(&b->health);
    loop_free(b->loop);
    guest_config_done(&b->config);
}

#define AWAIT(b, condition)                                                                                            \
    do {                                                                                                               \
        int64_t until_ = mono_ms() + WAIT_MS;                                                                          \
        while (!(condition)) {                                                                                         \
            if (mono_ms() > until_) fail_msg("waited for " #condition "; '%s'", (b)->health.reason);                   \
            assert_int_equal(loop_step((b)->loop, 20), 0);                                                             \
        }                                                                                                              \
    } while (0)

static void spend(struct bench *b, int64_t ms)
{
    int64_t until = mono_ms() + ms;

    while (mono_ms() < until)
        assert_int_equal(loop_step(b->loop, deadline_left(until)), 0);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void test_http_passes(void **state)
{
    static const char *const replies[] = {OK, "HTTP/1.0 204 None\r\n\r\n", "HTTP/1.1 299\n",
                                          ("HTTP/1.1 103 Early\r\nA: b\r\n\r\n" OK)};
    char expected[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct server s;
        struct bench b;

        server_open(&s, "127.0.0.1", REPLIES, replies[i]);
        bench_open(&b, "http", 0);
        b.config.workload.base_url = strf_new("http://web.example:%d/app/", s.port);
        b.config.health_check.endpoint = strdup("up?x=1");
        bench_start(&b);
        AWAIT(&b, b.checks == 1);
        assert_int_equal(b.health.state, HEALTH_HEALTHY);
        assert_string_equal(b.health.reason, "");
        (void)strf(expected, sizeof(expected), "GET /app/up?x=1 HTTP/1.1\r\nHost: web.example:%d\r\n", s.port);
        assert_true(str_starts(s.request, expected));
        assert_true(str_ends(s.request, "\r\nConnection: close\r\n\r\n"));
        bench_close(&b);
        server_close(&s);
    }
}

static const struct {
    const char *text, *why;
    enum manner manner;
    bool late; /* it takes all the time a check has */
} broken[] = {
    {"HTTP/1.1 503 Busy\r\n\r\n", "answers 503 Busy", REPLIES, false},
    {"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", "answers 301 Moved", REPLIES, false},
    {"HTTP/1.1 500 \x1b[31m\xff\r\n", "answers 500 \\x1b[31m\\xff", REPLIES, false},
    {"220 mail\r\n", "does not speak HTTP/1: \"220 mail\"", REPLIES, false},
    {"HTTP/1.1 20", "closes without an answer", REPLIES, false},
    {"", "closes without an answer", REPLIES, false},
    {"", "closes without an answer", CLOSES, false},
    {"", "", RESETS, false}, /* at this or that moment */
    {"", "no answer within 150 ms", SILENT, true},
    {OK, "no answer within 150 ms", DRIPS, true},
    {"", "sends 64 KiB and no status", FLOODS, false},
};

static void test_http_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct server s;
        struct bench b;
        int64_t began;

        server_open(&s, "127.0.0.1", broken[i].manner, broken[i].text);
        bench_open(&b, "http", s.port);
        bench_start(&b);
        began = mono_ms();
        AWAIT(&b, b.checks == 1);
        if (broken[i].late) assert_true(mono_ms() - began >= CHECK_MS);
        assert_int_equal(b.health.state, HEALTH_STARTING);
        assert_true(b.health.reason[0] != '\0');
        if (!strstr(b.health.reason, broken[i].why)) fail_msg("%zu: '%s'", i, b.health.reason);
        assert_false(b.health.probe.active);
        AWAIT(&b, b.checks == 4); /* it is tried again, and again */
        bench_close(&b);
        server_close(&s);
    }
}

/* Nobody takes the connections: the backlog is full. */
static void test_a_full_backlog(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), visitors[8];
    socklen_t len = sizeof(in);
    struct bench b;

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(visitors); i++) {
        visitors[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(visitors[i], (struct sockaddr *)&in, sizeof(in));
    }
    bench_open(&b, "tcp", ntohs(in.sin_port));
    bench_start(&b);
    AWAIT(&b, b.checks == 1);
    assert_non_null(strstr(b.health.reason, "accepts no connection within 150 ms"));
    bench_close(&b);
    for (size_t i = 0; i < ARRAY_LEN(visitors); i++)
        (void)close(visitors[i]);
    (void)close(fd);
}

static void test_tcp_as_soon_as_somebody_listens(void **state)
{
    struct server s;
    struct bench b;
    uint16_t port;
    int on = 1;

    (void)state;
    server_open(&s, "127.0.0.1", SILENT, "");
    port = s.port;
    server_close(&s);
    bench_open(&b, "tcp", port);
    bench_start(&b);
    AWAIT(&b, b.checks == 5);
    assert_int_equal(b.health.state, HEALTH_STARTING);
    assert_non_null(strstr(b.health.reason, "nobody listens on port"));
    s.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(s.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(s.fd, (struct sockaddr *)&b.health.plan.to[0], sizeof(b.health.plan.to[0])), 0);
    assert_int_equal(listen(s.fd, 8), 0);
    AWAIT(&b, b.health.state == HEALTH_HEALTHY);
    assert_string_equal(b.health.reason, "");
    bench_close(&b);
    (void)close(s.fd);
}

/* A server that listens on the machine's own address alone. */
static void test_the_other_address(void **state)
{
    static const char *const types[] = {"http", "tcp"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct server s;
        struct bench b;

        server_open(&s, "127.0.0.2", REPLIES, OK);
        bench_open(&b, types[i], s.port);
        b.config.network.address = strdup("127.0.0.2/8");
        bench_start(&b);
        AWAIT(&b, b.checks == 1);
        assert_int_equal(b.health.state, HEALTH_HEALTHY);
        bench_close(&b);
        server_close(&s);
    }
}

static void test_from_healthy_to_unhealthy_and_back(void **state)
{
    struct server s;
    struct bench b;
    int64_t began;
    int before;

    (void)state;
    server_open(&s, "127.0.0.1", REPLIES, "HTTP/1.1 500 Not Yet\r\n\r\n");
    bench_open(&b, "http", s.port);
    bench_start(&b);
    AWAIT(&b, b.checks == 8); /* more failures than `retries`: it only has not started yet */
    assert_int_equal(b.health.state, HEALTH_STARTING);
    s.text = OK;
    AWAIT(&b, b.health.state == HEALTH_HEALTHY);
    s.text = "HTTP/1.1 500 Broken\r\n\r\n";
    began = mono_ms();
    AWAIT(&b, b.health.reason[0] != '\0');
    assert_int_equal(b.health.state, HEALTH_HEALTHY); /* one failure is none */
    AWAIT(&b, b.health.state == HEALTH_UNHEALTHY);
    assert_true(mono_ms() - began >= 200); /* three checks, two intervals between them */
    assert_int_equal(b.health.failures, 3);
    assert_non_null(strstr(b.health.reason, "answers 500 Broken"));
    s.text = OK;
    before = b.checks;
    AWAIT(&b, b.health.state == HEALTH_HEALTHY);
    assert_in_range(b.checks - before, 1, 2);
    bench_close(&b);
    server_close(&s);
}

static void test_the_start_period_counts_no_failures(void **state)
{
    struct server s;
    struct bench b;
    int64_t began;

    (void)state;
    server_open(&s, "127.0.0.1", REPLIES, OK);
    bench_open(&b, "http", s.port);
    b.config.health_check.start_period_ms = 500;
    b.config.health_check.retries = 1;
    bench_start(&b);
    began = mono_ms();
    AWAIT(&b, b.health.state == HEALTH_HEALTHY);
    s.manner = CLOSES;
    AWAIT(&b, b.health.state == HEALTH_UNHEALTHY);
    assert_true(mono_ms() - began >= 500);
    bench_close(&b);
    server_close(&s);
}

static void test_the_interval_is_kept(void **state)
{
    struct server s;
    struct bench b;
    int before;

    (void)state;
    server_open(&s, "127.0.0.1", REPLIES, OK);
    bench_open(&b, "http", s.port);
    bench_start(&b);
    AWAIT(&b, b.checks == 1);
    before = s.visits;
    spend(&b, 350);
    assert_in_range(s.visits - before, 1, 4);
    health_stop(&b.health);
    before = s.visits;
    spend(&b, 250);
    assert_int_equal(s.visits, before);
    bench_close(&b);
    server_close(&s);
}

static void command(struct bench *b, const char *script)
{
    struct strv *v = &b->config.health_check.command;

    bench_open(b, "exec", 0);
    b->config.health_check.check_timeout_ms = 10000; /* a slow machine is no failure here */
    assert_int_equal(strv_add(v, "/bin/sh"), 0);
    assert_int_equal(strv_add(v, "-c"), 0);
    assert_int_equal(strv_add(v, script), 0);
}

static void test_commands(void **state)
{
    static const struct {
        const char *script, *why; /* NULL: passes */
    } table[] = {
        {"true", NULL},
        {"echo fine; exit 0", NULL},
        {"exit 3", "/bin/sh ends with 3"},
        {"echo one; echo two >&2; exit 1", "/bin/sh ends with 1: two"},
        {"printf 'no newline'; exit 1", "/bin/sh ends with 1: no newline"},
        {"printf 'last\\r\\n\\n  \\n'; exit 1", "/bin/sh ends with 1: last"},
        {"printf 'a\\033[31m\\000b\\n'; exit 1", "/bin/sh ends with 1: a\\x1b[31m b"},
        {"kill -9 $$", "/bin/sh was ended by signal 9"},
        {"exec >&- 2>&-; sleep 0.05; exit 7", "/bin/sh ends with 7"},
        {"head -c 300000 /dev/zero; echo; echo end; exit 1", "/bin/sh ends with 1: end"},
        {"[ \"$PWD $A\" = '/usr x y' ]", NULL},
        {"[ -e /proc/self/fd/2 ] && ! [ -e /proc/self/fd/4 ]", NULL}, /* 3 is the shell's look at the folder */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct bench b;

        command(&b, table[i].script);
        b.config.workload.workdir = strdup("/usr");
        assert_int_equal(strmap_set(&b.config.workload.env, "A", "x y"), 0);
        bench_start(&b);
        AWAIT(&b, b.checks == 1);
        if (b.health.state != (table[i].why ? HEALTH_STARTING : HEALTH_HEALTHY))
            fail_msg("%s: %d '%s'", table[i].script, b.health.state, b.health.reason);
        assert_string_equal(b.health.reason, table[i].why ? table[i].why : "");
        bench_close(&b);
    }
}

static void test_a_command_that_is_not_there(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, "exec", 0);
    assert_int_equal(strv_add(&b.config.health_check.command, "/nonexistent/check"), 0);
    bench_start(&b);
    AWAIT(&b, b.checks == 5);
    assert_int_equal(b.health.state, HEALTH_STARTING);
    assert_string_equal(b.health.reason,
                        "health_check.command: no '/nonexistent/check' in the image, map the program in");
    bench_close(&b);
}

static pid_t read_pid(const struct testdir *t)
{
    auto_free char *text = testdir_read(t, "pid");
    uint64_t pid;

    if (!text || !strchr(text, '\n')) return 0;
    *strchr(text, '\n') = '\0';
    assert_int_equal(parse_u64(text, 2, INT32_MAX, &pid), 0);
    return (pid_t)pid;
}

/* Gone, or waiting for somebody else to reap it. */
static bool is_over(pid_t pid)
{
    char path[32], head[64] = "";
    auto_close int fd = -1;

    (void)strf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 || read(fd, head, sizeof(head) - 1) <= 0) return true;
    return strstr(head, ") Z ") || strstr(head, ") X ");
}

/* What a command starts ends with it: when its time is over, when it ends, when checks stop. */
static void test_no_process_is_left_behind(void **state)
{
    static const struct {
        const char *tail, *why;
        bool stop;
    } table[] = {
        {"echo waiting; sleep 300", "/bin/sh was killed after 1000 ms: waiting", false},
        {"yes", "/bin/sh was killed after 1000 ms: y", false},
        {"trap '' TERM; while :; do sleep 1; done", "/bin/sh was killed after 1000 ms", false},
        {"exit 4", "/bin/sh ends with 4", false},
        {"sleep 300", "", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct testdir t = {0};
        auto_free char *script = NULL;
        struct bench b;
        pid_t pid, other;

        testdir_make(&t);
        script = strf_new("sleep 300 >/dev/null 2>&1 & echo $! > %s/pid; %s", t.path, table[i].tail);
        command(&b, script);
        b.config.health_check.check_timeout_ms = 1000;
        bench_start(&b);
        AWAIT(&b, b.health.probe.pid > 0 || b.checks > 0);
        other = b.health.probe.pid;
        AWAIT(&b, (pid = read_pid(&t)) > 0);
        if (table[i].stop) {
            health_stop(&b.health);
            assert_int_equal(b.checks, 0);
        } else {
            AWAIT(&b, b.checks > 0);
            assert_string_equal(b.health.reason, table[i].why);
            health_stop(&b.health);
        }
        if (other > 0) AWAIT(&b, b.reaped > 0);
        AWAIT(&b, is_over(pid));
        AWAIT(&b, b.health.probe.pid == 0);
        bench_close(&b);
        testdir_remove(&t);
    }
}

static void test_what_cannot_be_made_out(void **state)
{
    static const struct {
        const char *type, *base_url, *endpoint, *says;
    } table[] = {
        {"http", NULL, NULL, "health_check cannot be read"},
        {"tcp", NULL, NULL, "health_check cannot be read"},
        {"http", "http://a", "/a\r\nb", "health_check cannot be read"},
        {"exec", NULL, NULL, "health_check.command is empty"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct bench b;
        struct vl_error err = {0};

        bench_open(&b, table[i].type, 0);
        b.config.workload.base_url = table[i].base_url ? strdup(table[i].base_url) : NULL;
        b.config.health_check.endpoint = table[i].endpoint ? strdup(table[i].endpoint) : NULL;
        assert_true(health_start(&b.health, b.loop, &b.config, note, &b, &err) < 0);
        assert_non_null(strstr(err.msg, table[i].says));
        assert_null(b.health.loop);
        health_stop(&b.health);
        assert_false(health_reap(&b.health, 1, 0));
        bench_close(&b);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, count_fds, expect_as_many_fds)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_http_passes),
        TEST(test_http_fails),
        TEST(test_a_full_backlog),
        TEST(test_tcp_as_soon_as_somebody_listens),
        TEST(test_the_other_address),
        TEST(test_from_healthy_to_unhealthy_and_back),
        TEST(test_the_start_period_counts_no_failures),
        TEST(test_the_interval_is_kept),
        TEST(test_commands),
        TEST(test_a_command_that_is_not_there),
        TEST(test_no_process_is_left_behind),
        TEST(test_what_cannot_be_made_out),
    };

    if (agent_block_signals() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
