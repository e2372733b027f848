/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine with a guest whose agent answers, played by the test program, for this folder's tests only. What the guest
 * does is told over the machine's monitor: guest_does("x-unhealthy"). Its name says what it is like from the start:
 * "check": it has a health check, which has not passed yet; "deaf": it does not end when it is asked to.
 */
#pragma once
#include "base/unit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/str.h"
#include "channel/agent.h"
#include "channel/relay.h"
#include "vmm/fake_monitor.h"
#include "vmm/qmp.h"

static struct machine {
    struct loop *loop;
    struct relay relay;
    struct channel_agent *agent;
    struct watch monitor;
    struct h2_stream *events;
    char line[512];
    size_t sent;
    const char *health; /* "": no check */
    bool deaf, over;
} machine;

static inline ssize_t machine_events(void *arg, void *buf, size_t n)
{
    size_t left = strlen(machine.line) - machine.sent;

    (void)arg;
    if (left == 0) return -EAGAIN;
    if (n > left) n = left;
    memcpy(buf, machine.line + machine.sent, n);
    machine.sent += n;
    return (ssize_t)n;
}

static inline void machine_event(const char *type, int code)
{
    bool well = !*machine.health || str_eq(machine.health, "healthy");
    char more[64] = "";

    if (code >= 0) (void)strf(more, sizeof(more), ",\"code\":%d", code);
    (void)strf(machine.line, sizeof(machine.line),
               "{\"type\":\"%s\",\"state\":\"running\",\"ready\":%s,\"health\":\"%s\",\"reason\":\"so it says\"%s}\n",
               type, well ? "true" : "false", machine.health, more);
    machine.sent = 0;
    if (!machine.events) return;
    h2_stream_wake(machine.events);
    channel_agent_flush(machine.agent);
}

static inline void machine_ends(int code)
{
    (void)dprintf(VMM_FD_CONSOLE, "volant: workload exited code=%d\r\n", code);
    machine.over = true;
}

static inline void machine_closed(struct h2_stream *s, void *arg, int err)
{
    (void)arg;
    (void)err;
    if (machine.events == s) machine.events = NULL;
}

static inline void machine_asked(struct h2 *h, void *arg, struct h2_stream *s, const struct h2_head *head)
{
    static const struct h2_stream_ops ops = {.closed = machine_closed};
    const struct h2_source source = {.read = machine_events};
    char text[256] = "{}";

    (void)h;
    (void)arg;
    if (str_eq(head->path, "/v1/events")) {
        h2_stream_own(s, &ops, NULL);
        machine.events = s;
        machine_event("state", -1);
        (void)h2_respond(s, 200, "application/x-ndjson", &source);
        return;
    }
    if (str_eq(head->path, "/v1/health"))
        (void)strf(text, sizeof(text),
                   "{\"api\":2,\"version\":\"0.1\",\"state\":\"running\",\"ready\":%s,\"health\":\"%s\","
                   "\"reason\":\"so it says\",\"uptime_ms\":1}",
                   !*machine.health || str_eq(machine.health, "healthy") ? "true" : "false", machine.health);
    (void)h2_respond_text(s, 200, "application/json", text, strlen(text));
    if (str_eq(head->path, "/v1/poweroff") && !machine.deaf) machine_ends(143);
}

static inline void machine_told(const char *line)
{
    static const char *const states[] = {"starting", "healthy", "unhealthy"};
    const char *x = strstr(line, "\"x-");
    int code;

    if (!x) return;
    x += 3;
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_starts(x, states[i])) machine.health = states[i];
    if (str_starts(x, "exit")) {
        code = x[4] - '0';
        machine_event("workload_exited", code);
        machine_ends(code);
    } else {
        machine_event("health", -1);
    }
}

static inline void machine_monitor(struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    if (serve_monitor(machine_told)) machine.over = true;
}

static inline int be_machine(const char *name)
{
    static const struct h2_ops ops = {.request = machine_asked};
    int64_t until = mono_ms() + 60000;
    int ctl, sync;

    machine.health = strstr(name, "check") ? "starting" : "";
    machine.deaf = strstr(name, "deaf") != NULL;
    if (loop_new(&machine.loop) < 0) return 9;
    machine.relay = (struct relay){.loop = machine.loop, .seed = 1, .piece = RELAY_QUEUE};
    ctl = relay_port_take(&machine.relay, &machine.relay.ctl, VMM_FD_CTL);
    sync = relay_port_take(&machine.relay, &machine.relay.sync, VMM_FD_SYNC);
    if (channel_agent_new(machine.loop, ctl, sync, &ops, NULL, &machine.agent) < 0 ||
        (!strstr(name, "stubborn") &&
         loop_watch(machine.loop, &machine.monitor, VMM_FD_QMP, EPOLLIN, machine_monitor) < 0))
        return 9;
    while (!machine.over && mono_ms() < until) {
        if (monitor_paused)
            machine.over = serve_monitor(machine_told); /* nothing else moves */
        else if (loop_step(machine.loop, 1000) < 0)
            return 9;
    }
    for (int i = 0; i < 5; i++)
        (void)loop_step(machine.loop, 1); /* its last word leaves */
    return machine.over ? 0 : 9;          /* 9: the test has failed long ago */
}

/* For the test: the guest of the machine in this folder does that. */
static inline void guest_does(const char *folder, const char *what)
{
    struct vl_error err = {0};
    char path[256];

    assert_true(strf(path, sizeof(path), "%s/qmp", folder) > 0);
    if (qmp_run(path, what, mono_ms() + 10000, NULL, &err) < 0) fail_msg("%s: %s", what, err.msg);
}
