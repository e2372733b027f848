/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See agent.h. Everything hangs on one loop. Once the workload is ready no timer is armed and nothing wakes it up but
 * the checks of its health, if it has one.
 */
#include "kestrel/agent.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/str.h"
#include "channel/agent.h"
#include "kestrel/api.h"
#include "kestrel/console.h"
#include "kestrel/health.h"
#include "kestrel/network.h"
#include "kestrel/output.h"
#include "kestrel/ready.h"
#include "kestrel/workload.h"

#define OUTPUT_DRAIN_MS  200 /* for grandchildren that hold the pipes when the workload has ended */
#define HOST_FLUSH_MS    100
#define HOST_COME_MS     2000
#define HOST_ASK_MS      250
#define YOUNG_MS         5000
#define CONSOLE_DRAIN_MS 1000
#define CONSOLE_SAY_MS   200
#define CONSOLE_END      (16ul * 1024) /* of what waits for it at the end: bytes of last words */
#define KILL_WAIT_MS     2000          /* from SIGKILL until the end is declared without it */

struct agent {
    struct loop *loop;
    const struct guest_config *config;
    bool machine;
    struct logs logs;
    struct console console;
    struct output out, err;
    struct api api;
    struct ports ports;
    struct channel_agent *channel; /* NULL until there is a way to the host */
    struct ready ready;            /* one of the two */
    struct health health;
    struct timer kill_timer;
    int64_t began_ms; /* mono_ms */
    int code, signal; /* of the workload, once it has ended */
};

static const int signals[] = {SIGCHLD};

int agent_block_signals(void)
{
    return signals_block(signals, ARRAY_LEN(signals));
}

/* The workload */

static void over(struct agent *a, int code, int signo)
{
    a->code = code;
    a->signal = signo;
    a->api.state.pid = 0;
    ready_stop(&a->ready);
    health_stop(&a->health);
    loop_untimer(&a->kill_timer);
    loop_stop(a->loop); /* finish() does the rest */
}

/* PID 1 inherits every orphan of the machine, so all that has ended is reaped. */
static void on_child(int signo, void *arg)
{
    struct agent *a = arg;
    int status, sig = 0;
    pid_t pid;

    (void)signo;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (health_reap(&a->health, pid, status) || pid != a->api.state.pid) continue;
        status = workload_exit_code(status, &sig);
        over(a, status, sig);
    }
}

static void on_unkillable(struct timer *t)
{
    over(container_of(t, struct agent, kill_timer), 128 + SIGKILL, SIGKILL);
}

static void on_grace_over(struct timer *t)
{
    struct agent *a = container_of(t, struct agent, kill_timer);

    (void)kill(-a->api.state.pid, SIGKILL);
    (void)loop_timer(a->loop, t, mono_ms() + KILL_WAIT_MS, on_unkillable);
}

static void on_ready(void *arg)
{
    struct agent *a = arg;
    struct api_state st = a->api.state;

    st.ready = true;
    api_set_state(&a->api, &st);
}

static void on_health_checked(void *arg)
{
    struct agent *a = arg;
    struct api_state st = a->api.state;

    st.health = a->health.state;
    st.ready = st.health == HEALTH_HEALTHY;
    memcpy(st.reason, a->health.reason, sizeof(st.reason));
    api_set_state(&a->api, &st);
}

static void on_grown(void *arg)
{
    struct agent *a = arg;

    api_logs_grown(&a->api, false);
}

/* The host */

static void flush(void *arg)
{
    struct agent *a = arg;

    if (a->channel) channel_agent_flush(a->channel);
}

static int set_clock(void *arg, int64_t unix_us)
{
    const struct agent *a = arg;
    struct timeval tv = {.tv_sec = unix_us / 1000000, .tv_usec = unix_us % 1000000};

    if (!a->machine) return -EPERM;
    return settimeofday(&tv, NULL) < 0 ? -errno : 0;
}

/* Asked again, the newest grace counts: somebody has become impatient. What is to end is asked for its health no more.
 */
static void poweroff(void *arg, int grace_ms)
{
    struct agent *a = arg;

    if (a->api.state.pid <= 0) return;
    health_stop(&a->health);
    (void)kill(-a->api.state.pid, workload_stop_signal(&a->config->workload));
    (void)loop_timer(a->loop, &a->kill_timer, mono_ms() + grace_ms, on_grace_over);
}

static const struct api_ops host_ops = {.flush = flush, .set_clock = set_clock, .poweroff = poweroff};

static void open_channel(void *arg, int ctl_fd, int sync_fd)
{
    struct agent *a = arg;

    if (channel_agent_new(a->loop, ctl_fd, sync_fd, &api_h2_ops, &a->api, &a->channel) < 0)
        console_say(a->console.fd, 0, "volant: no control channel: out of memory or descriptors");
}

/* Start and end */

static int start_workload(struct agent *a, struct vl_error *err)
{
    struct api_state st = {.state = WORKLOAD_RUNNING};
    struct child child;
    int r;

    if ((r = workload_start(&a->config->workload, &child, err)) < 0) return r;
    st.pid = child.pid;
    if ((r = output_start(&a->out, a->loop, child.out_fd)) < 0 ||
        (r = output_start(&a->err, a->loop, child.err_fd)) < 0)
        return vl_fail_errno(err, r, "watch the workload's output");
    if (a->config->health_check.type) {
        st.health = HEALTH_STARTING;
    } else {
        st.ready = a->config->ready_port == 0;
    }
    api_set_state(&a->api, &st);
    return 0;
}

static int await_ready(struct agent *a, struct vl_error *err)
{
    struct address address = {.addr = INADDR_LOOPBACK};

    if (a->config->health_check.type) return health_start(&a->health, a->loop, a->config, on_health_checked, a, err);
    if (a->api.state.ready) return 0;
    if (a->config->network.address) (void)address_parse(a->config->network.address, &address);
    ready_start(&a->ready, a->loop, address.addr, (uint16_t)a->config->ready_port, on_ready, a);
    return 0;
}

static int start(struct agent *a, const struct agent_opts *opts, struct vl_error *err)
{
    int r;

    if ((r = loop_new(&a->loop)) < 0 || (r = logs_init(&a->logs, LOGS_BYTES)) < 0 ||
        (r = loop_signals(a->loop, signals, ARRAY_LEN(signals), on_child, a)) < 0)
        return vl_fail_errno(err, r, "start the agent");
    console_init(&a->console, a->loop, opts->console_fd);
    api_init(&a->api, &a->logs, &host_ops, a);
    a->out.console = a->err.console = &a->console;
    a->out.logs = a->err.logs = &a->logs;
    a->out.grown = a->err.grown = on_grown;
    a->out.arg = a->err.arg = a;
    a->out.stream = LOG_STDOUT;
    a->err.stream = LOG_STDERR;
    if ((r = start_workload(a, err)) < 0 || (r = await_ready(a, err)) < 0) return r;
    if (opts->ctl_fd >= 0) {
        open_channel(a, opts->ctl_fd, opts->sync_fd);
    } else if (a->machine && ports_start(&a->ports, a->loop, open_channel, a) < 0) {
        console_say(a->console.fd, 0, "volant: no control channel: the kernel's events cannot be had");
    }
    return 0;
}

static void drain_output(struct agent *a)
{
    int64_t deadline = mono_ms() + OUTPUT_DRAIN_MS;

    while (!(output_ended(&a->out) && output_ended(&a->err)) && mono_ms() < deadline)
        (void)loop_step(a->loop, deadline_left(deadline));
    output_stop(&a->out);
    output_stop(&a->err);
    api_logs_grown(&a->api, true);
}

/*
 * A workload that did its work in a moment has ended before the host has come, which then asks for its output as soon
 * as it can: it gets the time for that.
 */
static void await_host(struct agent *a)
{
    int64_t deadline = mono_ms() + HOST_COME_MS;

    if (!a->machine || mono_ms() - a->began_ms > YOUNG_MS) return;
    while (!api_session(&a->api, false) && mono_ms() < deadline)
        (void)loop_step(a->loop, deadline_left(deadline));
    if (!api_session(&a->api, false)) return;
    deadline = mono_ms() + HOST_ASK_MS;
    while (!a->api.logs_asked && mono_ms() < deadline)
        (void)loop_step(a->loop, deadline_left(deadline));
}

/* An answered PING says that the host has everything that was sent before it; log readers get what credit allows. */
static void tell_host(struct agent *a)
{
    struct api_state st = {.state = WORKLOAD_EXITED, .code = a->code, .signal = a->signal};
    int64_t deadline = mono_ms() + HOST_FLUSH_MS;
    struct h2 *session;
    uint64_t pongs;

    api_set_state(&a->api, &st);
    session = api_session(&a->api, false);
    if (!session || h2_ping(session) < 0) return;
    pongs = h2_pongs(session);
    flush(a);
    while (mono_ms() < deadline && api_session(&a->api, false) == session &&
           (h2_pongs(session) == pongs || api_session(&a->api, true)))
        (void)loop_step(a->loop, deadline_left(deadline));
}

static void drain_console(struct agent *a)
{
    int64_t deadline = mono_ms() + CONSOLE_DRAIN_MS;

    console_keep_end(&a->console, CONSOLE_END);
    while (console_busy(&a->console) && mono_ms() < deadline)
        (void)loop_step(a->loop, deadline_left(deadline));
    /* The queue may end within a line, which the machine's last one must not become a part of. */
    if (console_busy(&a->console))
        console_say(a->console.fd, CONSOLE_SAY_MS, "\nvolant: the console is slow: what waited for it is left out");
}

static void agent_free(struct agent *a)
{
    output_stop(&a->out);
    output_stop(&a->err);
    ready_stop(&a->ready);
    health_done(&a->health);
    loop_untimer(&a->kill_timer);
    ports_stop(&a->ports);
    if (a->channel) channel_agent_free(a->channel);
    console_done(&a->console);
    logs_done(&a->logs);
    loop_free(a->loop);
    free(a);
}

int agent_run(const struct guest_config *config, const struct agent_opts *opts, int *ret_code, struct vl_error *err)
{
    struct agent *a = calloc(1, sizeof(*a));
    int r;

    if (!a) return vl_fail_errno(err, ENOMEM, "start the agent");
    a->config = config;
    a->began_ms = mono_ms();
    a->machine = opts->machine;
    a->out.fd = a->err.fd = a->ready.fd = a->ports.events_fd = -1;
    if ((r = start(a, opts, err)) == 0 && (r = loop_run(a->loop)) < 0) (void)vl_fail_errno(err, r, "wait for events");
    if (r == 0) {
        drain_output(a);
        await_host(a);
        tell_host(a);
        drain_console(a);
        *ret_code = a->code;
    }
    agent_free(a);
    return r;
}
