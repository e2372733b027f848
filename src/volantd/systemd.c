/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog is fed by a round trip: a timer of the loop posts an empty transaction, whose end on the loop sends
 * WATCHDOG=1. A loop that spins or a store that hangs is not fed, and systemd starts volantd anew, which costs no VM.
 * The transaction takes the write lock and writes nothing: a full disk is no reason to be ended.
 */
#include "volantd/systemd.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define STATUS_MAX 256

struct systemd {
    struct systemd_config cfg;
    struct timer timer;
    int64_t every_ms; /* 0: there is no watchdog */
    struct store_op op;
    bool probing, deaf, closed;
};

void systemd_status_text(const struct engine_summary *s, char *buf, size_t size)
{
    const char *before = ": ";
    int len = snprintf(buf, size, "%zu VM%s", s->vms, s->vms == 1 ? "" : "s");

    for (size_t i = 0; i < ARRAY_LEN(s->by_status); i++) {
        if (s->by_status[i] == 0 || len < 0 || (size_t)len >= size) continue;
        len += snprintf(buf + len, size - (size_t)len, "%s%zu %s", before, s->by_status[i],
                        vm_status_name((enum vm_status)i));
        before = ", ";
    }
}

/* Whoever does not listen any more is no reason to stop. */
static void tell(struct systemd *s, const char *what)
{
    char status[STATUS_MAX] = "";
    int r;

    s->cfg.status(s->cfg.arg, status, sizeof(status));
    r = sd_notifyf(0, "%s\nSTATUS=%s", what, status);
    if (r < 0 && !s->deaf) log_warn("systemd cannot be told that volantd lives: %s", vl_strerror(r));
    s->deaf = r < 0;
}

static int probe_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    (void)op;
    (void)tx;
    (void)err;
    return 0;
}

static void probe_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct systemd *s = container_of(op, struct systemd, op);

    s->probing = false;
    if (s->closed)
        free(s);
    else if (r < 0)
        log_err("the watchdog is not fed, as no transaction can be made: %s", err->msg);
    else
        tell(s, "WATCHDOG=1");
}

static void tick(struct timer *t)
{
    struct systemd *s = container_of(t, struct systemd, timer);

    if (loop_timer(s->cfg.loop, t, mono_ms() + s->every_ms, tick) < 0) log_err("watchdog: no memory for a timer");
    if (s->probing) return;
    s->probing = true;
    s->op = (struct store_op){.run = probe_run, .done = probe_done};
    store_post(s->cfg.store, &s->op);
}

/* The manager's watchdog has another time than the unit's: what is the process's is no struct's. */
static bool patient;

void systemd_patience(int64_t ms)
{
    if (sd_watchdog_enabled(0, NULL) <= 0) return;
    patient = true;
    (void)sd_notifyf(0, "WATCHDOG_USEC=%lld", (long long)ms * 1000);
}

int systemd_ready(const struct systemd_config *cfg, struct systemd **ret, struct vl_error *err)
{
    struct systemd *s = calloc(1, sizeof(*s));
    char ready[64] = "READY=1";
    uint64_t usec = 0;
    int r;

    if (!s) return vl_fail_errno(err, ENOMEM, "service manager");
    s->cfg = *cfg;
    if ((r = sd_watchdog_enabled(0, &usec)) < 0)
        log_warn("WATCHDOG_USEC or WATCHDOG_PID of the environment cannot be read, going on without: %s",
                 vl_strerror(r));
    if (r > 0) s->every_ms = usec / 2000 > 0 ? (int64_t)(usec / 2000) : 1;
    if (r > 0 && patient) (void)strf(ready, sizeof(ready), "READY=1\nWATCHDOG_USEC=%llu", (unsigned long long)usec);
    patient = false;
    tell(s, ready);
    if (s->every_ms > 0 && (r = loop_timer(cfg->loop, &s->timer, mono_ms() + s->every_ms, tick)) < 0) {
        free(s);
        return vl_fail_errno(err, r, "watchdog");
    }
    *ret = s;
    return 0;
}

void systemd_free(struct systemd *s)
{
    if (!s) return;
    loop_untimer(&s->timer);
    s->closed = true;
    if (!s->probing) free(s);
}

void systemd_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1\nSTATUS=stopping; VMs go on");
}
