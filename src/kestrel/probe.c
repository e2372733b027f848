/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See probe.h. Here: the plan, the checks over the network. A server may listen on the loopback or on the machine's own
 * address alone: where nobody is on the one, the other is asked within the same check.
 */
#include "kestrel/probe.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/str.h"
#include "config.h"
#include "kestrel/network.h"
#include "kestrel/workload.h"

#define READ_BYTES 4096

static bool is_type(const struct probe_plan *plan, const char *type)
{
    return str_eq(plan->config->health_check.type, type);
}

/* The plan */

static void plan_addresses(struct probe_plan *p)
{
    const char *own = p->config->network.address;
    struct address address;
    uint32_t addrs[2] = {INADDR_LOOPBACK};

    p->n_to = 1;
    if (own && address_parse(own, &address) == 0) addrs[p->n_to++] = address.addr;
    for (size_t i = 0; i < p->n_to; i++)
        p->to[i] = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons(p->target.port), .sin_addr.s_addr = htonl(addrs[i])};
}

static int plan_network(struct probe_plan *p, struct vl_error *err)
{
    int r = health_target_make(&p->config->health_check, &p->config->workload, &p->target);

    if (r == -EINVAL)
        return vl_fail(err, VL_INVALID, "health_check cannot be read: check its endpoint and port, and base_url");
    if (r < 0) return vl_fail_errno(err, r, "prepare the health check");
    plan_addresses(p);
    if (!p->target.path) return 0;
    p->request = strf_new("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kestrel/" VOLANT_VERSION
                          "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                          p->target.path, p->target.host);
    if (!p->request) return vl_fail_errno(err, ENOMEM, "prepare the health check");
    p->request_len = strlen(p->request);
    return 0;
}

int probe_plan_make(const struct guest_config *config, struct probe_plan *ret, struct vl_error *err)
{
    struct probe_plan p = {.config = config};
    int r;

    if (is_type(&p, "exec")) {
        if (config->health_check.command.len == 0)
            return vl_fail(err, VL_INVALID, "health_check.command is empty: name the program to run");
        r = workload_user(&config->workload, &p.user, err);
    } else {
        r = plan_network(&p, err);
    }
    if (r < 0) {
        probe_plan_done(&p);
        return r;
    }
    *ret = p;
    return 0;
}

void probe_plan_done(struct probe_plan *p)
{
    health_target_done(&p->target);
    free(take_ptr(p->request));
}

/* Beginning and end */

void probe_init(struct probe *p, struct loop *l, const struct probe_plan *plan,
                void (*done)(void *arg, const char *why), void *arg)
{
    *p = (struct probe){.loop = l, .plan = plan, .fd = -1, .done = done, .arg = arg};
}

void probe_close(struct probe *p)
{
    loop_unwatch(&p->watch);
    if (p->fd >= 0) (void)close(take_fd(&p->fd));
}

void probe_finish(struct probe *p, const char *fmt, ...)
{
    char raw[1024], why[HEALTH_REASON_MAX + 1];
    va_list args;

    probe_close(p);
    p->active = false;
    if (!fmt) {
        p->done(p->arg, NULL);
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(raw, sizeof(raw), fmt, args);
    va_end(args);
    (void)escape_printable(why, sizeof(why), raw, strlen(raw));
    p->done(p->arg, why);
}

void probe_abort(struct probe *p)
{
    probe_close(p);
    if (p->active && p->pid > 0) (void)kill(-p->pid, SIGKILL);
    p->active = false;
}

/* The network */

static void dial_next(struct probe *p);

static void fail_to_connect(struct probe *p, int r)
{
    int port = p->plan->target.port;

    probe_close(p);
    if (++p->at < p->plan->n_to) {
        dial_next(p);
    } else if (r == -ECONNREFUSED) {
        probe_finish(p, "nobody listens on port %d", port);
    } else {
        probe_finish(p, "cannot connect to port %d: %s", port, vl_strerror(-r));
    }
}

static void say_status(struct probe *p)
{
    const struct http_reply *r = &p->reply;
    const struct health_target *t = &p->plan->target;

    if (r->status >= 200 && r->status <= 299) {
        probe_finish(p, NULL);
    } else {
        probe_finish(p, "GET %.80s on port %d answers %.60s", t->path, t->port, strchr(r->line, ' ') + 1);
    }
}

static void on_reply(struct watch *w, uint32_t events)
{
    static char buf[READ_BYTES]; /* one thread, used up before it returns */
    struct probe *p = container_of(w, struct probe, watch);
    const struct health_target *t = &p->plan->target;
    ssize_t n = recv(p->fd, buf, sizeof(buf), 0);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
        probe_finish(p, "GET %.80s on port %d: %s", t->path, t->port, vl_strerror(errno));
    } else if (n == 0) {
        probe_finish(p, "port %d closes without an answer to GET %.80s", t->port, t->path);
    } else {
        switch (http_reply_feed(&p->reply, buf, (size_t)n)) {
        case HTTP_MORE:
            return;
        case HTTP_DONE:
            say_status(p);
            return;
        case HTTP_BAD:
            probe_finish(p, "the server on port %d %s: \"%.60s\"", t->port, p->reply.why, p->reply.line);
        }
    }
}

/* A request fits into an empty socket buffer; a server that reads none of it has until the deadline. */
static void on_sendable(struct watch *w, uint32_t events)
{
    struct probe *p = container_of(w, struct probe, watch);
    const struct probe_plan *plan = p->plan;
    ssize_t n = send(p->fd, plan->request + p->sent, plan->request_len - p->sent, MSG_NOSIGNAL);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
        probe_finish(p, "GET %.80s on port %d: %s", plan->target.path, plan->target.port, vl_strerror(errno));
        return;
    }
    p->sent += (size_t)n;
    if (p->sent < plan->request_len) return;
    loop_unwatch(&p->watch);
    if (loop_watch(p->loop, &p->watch, p->fd, EPOLLIN, on_reply) < 0) probe_finish(p, "out of memory");
}

static void on_decided(struct watch *w, uint32_t events)
{
    struct probe *p = container_of(w, struct probe, watch);
    int r = dial_result(p->fd);

    if (r < 0) {
        fail_to_connect(p, r);
    } else if (is_type(p->plan, "tcp")) {
        probe_finish(p, NULL);
    } else {
        loop_unwatch(&p->watch);
        if (loop_watch(p->loop, &p->watch, p->fd, EPOLLOUT, on_sendable) < 0)
            probe_finish(p, "out of memory");
        else
            on_sendable(&p->watch, events);
    }
}

static void dial_next(struct probe *p)
{
    int r = dial(&p->plan->to[p->at], &p->fd);

    if (r == 0) r = loop_watch(p->loop, &p->watch, p->fd, EPOLLOUT, on_decided);
    if (r < 0) fail_to_connect(p, r);
}

void probe_begin(struct probe *p)
{
    p->active = true;
    if (is_type(p->plan, "exec")) {
        probe_exec_begin(p);
        return;
    }
    p->at = p->sent = 0;
    p->reply = (struct http_reply){0};
    dial_next(p);
}

void probe_expire(struct probe *p)
{
    const struct health_target *t = &p->plan->target;
    int ms = (int)p->plan->config->health_check.check_timeout_ms;

    if (!p->active) return;
    if (is_type(p->plan, "exec")) {
        probe_exec_expire(p);
    } else if (t->path && p->sent > 0) {
        probe_finish(p, "GET %.80s on port %d: no answer within %d ms", t->path, t->port, ms);
    } else {
        probe_finish(p, "port %d accepts no connection within %d ms", t->port, ms);
    }
}
