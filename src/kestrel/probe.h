/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One health check of the workload, under way: an HTTP request or a connection to the machine's own port, or a command
 * in the workload's surroundings. The workload is not trusted to answer, to end or to say little: everything is
 * bounded, nothing waits. When it has to be over is the caller's business (probe_expire).
 */
#pragma once
#include <sys/types.h>

#include "base/loop.h"
#include "kestrel/dial.h"
#include "kestrel/http_reply.h"
#include "kestrel/user.h"
#include "model/guest.h"

/* What all checks of a workload have in common. */
struct probe_plan {
    const struct guest_config *config; /* borrowed */
    struct health_target target;       /* http, tcp */
    struct sockaddr_in to[2];          /* the loopback, then the machine's own address */
    size_t n_to;
    char *request; /* http */
    size_t request_len;
    struct user user; /* exec: looked up once, as the workload may change the files */
};
/* VL_INVALID where the check cannot be made out; *ret is the caller's. */
int probe_plan_make(const struct guest_config *config, struct probe_plan *ret, struct vl_error *err);
void probe_plan_done(struct probe_plan *p);

struct probe {
    struct loop *loop;
    const struct probe_plan *plan;
    bool active;
    int fd; /* the connection, or the reading end of the command's output; -1: none */
    struct watch watch;
    size_t at;   /* network: which of plan->to */
    size_t sent; /* http: of the request */
    struct http_reply reply;
    pid_t pid; /* exec: until it is reaped, which may be after the check's end; 0: none */
    size_t line_len;
    char line[HTTP_LINE_MAX], last[HTTP_LINE_MAX + 1]; /* exec: of the output, as it comes, and the last one */
    void (*done)(void *arg, const char *why);          /* why: what is wrong, printable; NULL: passed */
    void *arg;
};

void probe_init(struct probe *p, struct loop *l, const struct probe_plan *plan,
                void (*done)(void *arg, const char *why), void *arg);
/* done is called once, perhaps from within. Not while one is active. */
void probe_begin(struct probe *p);
/* Its time is over: done is called with what it was waiting for. A command is killed with its group. */
void probe_expire(struct probe *p);
/* Ends it without a word. Idempotent. */
void probe_abort(struct probe *p);
/* A child of ours has been reaped: true if it was the command. */
bool probe_reap(struct probe *p, pid_t pid, int status);

/* Between probe.c and probe_exec.c. */
void probe_finish(struct probe *p, const char *fmt, ...) printf_(2, 3); /* NULL: passed */
void probe_close(struct probe *p);
void probe_exec_begin(struct probe *p);
void probe_exec_expire(struct probe *p);
