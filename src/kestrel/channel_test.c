/* SPDX-License-Identifier: Apache-2.0 */
/* The whole agent in a process of its own, and the host's end of the channel in this one, joined by two sockets. */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/str.h"
#include "channel/host.h"
#include "kestrel/agent.h"
#include "kestrel/testdir.h"

#define TIMEOUT_MS 20000

struct stream {
    struct strbuf body;
    int status, err;
    bool closed;
};

struct host {
    struct loop *loop;
    struct channel_host *channel;
    struct stream events, logs, poweroff;
    bool asked;
};

static void on_head(struct h2_stream *s, void *arg, const struct h2_head *head)
{
    (void)s;
    ((struct stream *)arg)->status = head->status;
}

static void on_data(struct h2_stream *s, void *arg, const void *data, size_t n)
{
    strbuf_add(&((struct stream *)arg)->body, data, n);
    h2_stream_consume(s, n);
}

static void on_closed(struct h2_stream *s, void *arg, int err)
{
    struct stream *st = arg;

    (void)s;
    st->closed = true;
    st->err = err;
}

static const struct h2_stream_ops ops = {.head = on_head, .data = on_data, .closed = on_closed};

static void get(struct h2 *h, const char *method, const char *path, struct stream *st)
{
    struct h2_stream *s;

    assert_int_equal(h2_request(h, method, path, NULL, &ops, st, &s), 0);
}

static void on_up(void *arg, struct h2 *h)
{
    struct host *host = arg;

    get(h, "GET", "/v1/events", &host->events);
    get(h, "GET", "/v1/logs?follow=1", &host->logs);
}

static void on_down(void *arg, const char *why, bool final)
{
    (void)arg;
    (void)why;
    (void) final;
}

static const struct channel_host_ops host_ops = {.up = on_up, .down = on_down};

static int accept_one(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int fd = poll(&p, 1, TIMEOUT_MS) == 1 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

    (void)close(listener);
    return fd;
}

static int add_script(struct strv *v, const char *script)
{
    return strv_add(v, "/bin/sh") < 0 || strv_add(v, "-c") < 0 ? -ENOMEM : strv_add(v, script);
}

/* check: a command; NULL: none */
_Noreturn static void run_agent(int ctl_listener, int sync_listener, const char *script, const char *check)
{
    struct agent_opts opts = {
        .console_fd = -1, .ctl_fd = accept_one(ctl_listener), .sync_fd = accept_one(sync_listener)};
    struct guest_config config = {0};
    struct vl_error err;
    int code = 1;

    if (check) {
        config.health_check =
            (struct health_check){.type = strdup("exec"), .interval_ms = 100, .check_timeout_ms = 10000, .retries = 3};
        if (add_script(&config.health_check.command, check) < 0) _exit(1);
    }
    if (opts.ctl_fd < 0 || opts.sync_fd < 0 || add_script(&config.workload.entrypoint, script) < 0 ||
        agent_run(&config, &opts, &code, &err) < 0)
        _exit(1);
    _exit(code);
}

static void step(struct host *host)
{
    (void)loop_step(host->loop, 100);
    if (host->asked || !host->logs.body.data || !strstr(host->logs.body.data, "\"up\"")) return;
    host->asked = true;
    get(channel_host_session(host->channel), "POST", "/v1/poweroff?grace_ms=15000", &host->poweroff);
    channel_host_flush(host->channel);
}

/* From "up" to a power-off of the workload; the events it told are the caller's. */
static char *watch_and_end(const struct testdir *t, const char *script, const char *check)
{
    int64_t deadline = mono_ms() + TIMEOUT_MS;
    struct host host = {0};
    char ctl[96], sync[96];
    int ctl_fd, sync_fd, status;
    pid_t pid;

    (void)snprintf(ctl, sizeof(ctl), "%s/ctl", t->path);
    (void)snprintf(sync, sizeof(sync), "%s/sync", t->path);
    ctl_fd = unix_listen(ctl, 1, 0600);
    sync_fd = unix_listen(sync, 1, 0600);
    assert_true(ctl_fd >= 0 && sync_fd >= 0);
    pid = fork();
    if (pid == 0) run_agent(ctl_fd, sync_fd, script, check);
    (void)close(ctl_fd);
    (void)close(sync_fd);
    assert_int_equal(loop_new(&host.loop), 0);
    assert_int_equal(channel_host_new(host.loop, ctl, sync, &host_ops, &host, &host.channel), 0);
    assert_int_equal(channel_host_connect(host.channel, deadline), 0);
    while (!(host.events.closed && host.poweroff.closed) && mono_ms() < deadline)
        step(&host);
    assert_int_equal(host.poweroff.status, 202);
    assert_true(host.logs.closed);
    assert_int_equal(host.logs.err, 0); /* a complete end, not a broken one */
    assert_non_null(strstr(host.logs.body.data, "\"bye\""));
    assert_non_null(
        strstr(host.events.body.data, "\"type\":\"workload_exited\",\"state\":\"exited\",\"ready\":false,\"code\":42"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    channel_host_free(host.channel);
    loop_free(host.loop);
    strbuf_done(&host.logs.body);
    strbuf_done(&host.poweroff.body);
    return strbuf_take(&host.events.body);
}

static void test_a_host_watches_and_ends_the_workload(void **state)
{
    auto_free char *events = NULL;
    struct testdir t = {0};

    (void)state;
    testdir_make(&t);
    events = watch_and_end(&t, "trap 'echo bye; exit 42' TERM; echo up; while :; do sleep 0.01; done", NULL);
    assert_true(str_starts(events, "{\"type\":\"state\",\"state\":\"running\",\"ready\":true}\n"));
    assert_null(strstr(events, "health"));
    testdir_remove(&t);
}

/* It is ready when the check passes (its second one begins when that is told), and left in peace once it is to end. */
static void test_a_checked_workload(void **state)
{
    auto_free char *events = NULL, *script = NULL, *check = NULL, *late = NULL;
    struct testdir t = {0};

    (void)state;
    testdir_make(&t);
    script = strf_new("trap 'touch %s/ending; sleep 0.5; echo bye; exit 42' TERM; "
                      "while [ ! -e %s/twice ]; do sleep 0.01; done; echo up; while :; do sleep 0.01; done",
                      t.path, t.path);
    check = strf_new("[ ! -e %s/ending ] || touch %s/late; [ ! -e %s/once ] || touch %s/twice; touch %s/once", t.path,
                     t.path, t.path, t.path, t.path);
    events = watch_and_end(&t, script, check);
    assert_non_null(strstr(events, "\"state\":\"running\",\"ready\":true,\"health\":\"healthy\"}\n"));
    late = testdir_read(&t, "late");
    assert_null(late);
    testdir_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_watches_and_ends_the_workload),
        cmocka_unit_test(test_a_checked_workload),
    };

    if (agent_block_signals() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
