/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See probe.h. Here: the check by a command. Its output is read so that it never blocks, and dropped but for the last
 * line, which says what is wrong. It leads a process group; what is left of that when it ends, ends too.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/str.h"
#include "kestrel/probe.h"
#include "kestrel/workload.h"

#define READ_BYTES 4096
#define REST_READS 16 /* of what is in the pipe when it has ended, which holds no more */

static const char *program(const struct probe *p)
{
    return p->plan->config->health_check.command.items[0];
}

/* Lines of nothing but spaces say nothing. */
static void end_line(struct probe *p)
{
    size_t n = p->line_len;

    p->line_len = 0;
    for (size_t i = 0; i < n; i++)
        if (p->line[i] == '\0') p->line[i] = ' '; /* or it would end there */
    while (n > 0 && (p->line[n - 1] == ' ' || p->line[n - 1] == '\t' || p->line[n - 1] == '\r'))
        n--;
    if (n == 0) return;
    memcpy(p->last, p->line, n);
    p->last[n] = '\0';
}

/* How much it was, 0 at the end of the output, -errno. */
static ssize_t read_some(struct probe *p)
{
    static char buf[READ_BYTES]; /* one thread, used up before it returns */
    ssize_t n = read(p->fd, buf, sizeof(buf));

    if (n < 0) return -errno;
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n')
            end_line(p);
        else if (p->line_len < sizeof(p->line))
            p->line[p->line_len++] = buf[i];
    }
    return n;
}

/* One bounded read a round. It may have closed its output and go on. */
static void on_output(struct watch *w, uint32_t events)
{
    struct probe *p = container_of(w, struct probe, watch);
    ssize_t n = read_some(p);

    (void)events;
    if (n <= 0 && n != -EAGAIN && n != -EINTR) probe_close(p);
}

static void read_rest(struct probe *p)
{
    for (int i = 0; p->fd >= 0 && i < REST_READS && read_some(p) > 0; i++)
        continue;
    end_line(p);
}

void probe_exec_begin(struct probe *p)
{
    const struct guest_config *c = p->plan->config;
    struct vl_error err = {0};
    struct child child;

    if (p->pid > 0) {
        probe_finish(p, "%.60s was killed and does not end", program(p));
        return;
    }
    p->line_len = 0;
    p->last[0] = '\0';
    if (workload_command(&c->workload, &p->plan->user, &c->health_check.command, "health_check.command", &child, &err) <
        0) {
        probe_finish(p, "%s", err.msg);
        return;
    }
    p->pid = child.pid;
    p->fd = child.out_fd;
    if (set_nonblock(p->fd, true) < 0 || loop_watch(p->loop, &p->watch, p->fd, EPOLLIN, on_output) < 0) {
        (void)kill(-p->pid, SIGKILL);
        probe_finish(p, "out of memory");
    }
}

static void say_end(struct probe *p, int status)
{
    const char *colon = p->last[0] ? ": " : "";
    int signo, code = workload_exit_code(status, &signo);

    if (signo) {
        probe_finish(p, "%.60s was ended by signal %d%s%s", program(p), signo, colon, p->last);
    } else if (code != 0) {
        probe_finish(p, "%.60s ends with %d%s%s", program(p), code, colon, p->last);
    } else {
        probe_finish(p, NULL);
    }
}

bool probe_reap(struct probe *p, pid_t pid, int status)
{
    if (p->pid <= 0 || pid != p->pid) return false;
    (void)kill(-pid, SIGKILL); /* what it started and left behind */
    p->pid = 0;
    if (!p->active) return true;
    read_rest(p);
    say_end(p, status);
    return true;
}

void probe_exec_expire(struct probe *p)
{
    int ms = (int)p->plan->config->health_check.check_timeout_ms;

    (void)kill(-p->pid, SIGKILL);
    read_rest(p);
    probe_finish(p, "%.60s was killed after %d ms%s%s", program(p), ms, p->last[0] ? ": " : "", p->last);
}
