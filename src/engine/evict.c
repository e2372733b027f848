/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a VM that is none of the registry's, on somebody's word: its agent is asked, so that the workload has its
 * SIGTERM and its time, then the VMM itself, then signals; last its cgroup and its folder go. One whose record says
 * that it has no agent is not waited for.
 */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/drift.h"

struct evict {
    struct drift *drift;
    int64_t id;
    char dir[256];
    struct vmm_run run;
    struct watch vmm;
    struct guest *guest;
    struct timer timer;
    struct job job;
    bool asked, ending;
    int r;
    struct vl_error err;
};

static void detach(struct evict *v)
{
    loop_untimer(&v->timer);
    if (v->vmm.fd >= 0) {
        loop_unwatch(&v->vmm);
        (void)close(v->vmm.fd);
        v->vmm.fd = -1;
    }
    guest_free(take_ptr(v->guest));
}

static void evict_end(struct evict *v, int r)
{
    struct drift *d = v->drift;
    struct vl_error err = v->err;

    detach(v);
    free(v);
    d->evict = NULL;
    if (r == 0 && d->engine->strangers > 0) d->engine->strangers--;
    drift_fixed(d, r, &err, "ended, and its folder removed");
}

void evict_abort(struct evict *v)
{
    if (!v->ending) evict_end(v, -ECANCELED);
}

static void end_run(struct job *j)
{
    struct evict *v = container_of(j, struct evict, job);
    const struct engine_config *cfg = &v->drift->engine->cfg;
    struct vmm_exit e = {0};

    if ((v->r = vmm_end(v->dir, &v->run, cfg->quit_ms, cfg->term_ms, &v->err)) < 0) return;
    if (vmm_exit_wait(v->dir, &v->run, mono_ms() + cfg->shim_ms, &e, NULL) == 0) vmm_exit_done(&e);
    CRASH_POINT("repair.stranger_ended");
    (void)vmm_cgroup_remove(cfg->host, v->id);
    v->r = vmm_folder_remove(cfg->vms_dir, v->id, &v->err);
}

static void end_done(struct job *j, bool cancelled)
{
    struct evict *v = container_of(j, struct evict, job);

    evict_end(v, cancelled ? -ECANCELED : v->r);
}

/* Its guest has ended, or will not. */
static void end_vmm(struct evict *v)
{
    int r;

    if (v->ending) return;
    v->ending = true;
    detach(v);
    v->job = (struct job){.run = end_run, .done = end_done};
    if ((r = pool_submit(v->drift->engine->pool, &v->job)) < 0) evict_end(v, r);
}

static void vmm_ended(struct watch *w, uint32_t events)
{
    (void)events;
    end_vmm(container_of(w, struct evict, vmm));
}

static void late(struct timer *t)
{
    struct evict *v = container_of(t, struct evict, timer);

    log_info("stranger id=%lld: its guest %s, ending its VMM", (long long)v->id,
             v->asked ? "did not end in time" : "does not answer");
    end_vmm(v);
}

static void poweroff_asked(void *arg, int r)
{
    struct evict *v = arg;

    /* Not from within its own callback: the guest would be freed under it. */
    if (r < 0 && r != -ECANCELED) (void)loop_timer(v->drift->engine->cfg.loop, &v->timer, mono_ms(), late);
}

static void guest_up(void *arg, const struct guest_health *health)
{
    struct evict *v = arg;
    const struct engine_config *cfg = &v->drift->engine->cfg;
    int64_t until = mono_ms() + cfg->stop_grace_ms + cfg->agent_ms;

    (void)health;
    if (v->asked) return;
    v->asked = guest_poweroff(v->guest, cfg->stop_grace_ms, poweroff_asked, v) == 0;
    if (v->asked)
        (void)loop_timer(cfg->loop, &v->timer, until, late); /* re-armed; else the one for the agent goes on */
}

static void guest_event(void *arg, const struct guest_event *ev)
{
    (void)arg;
    (void)ev;
}

static void guest_down(void *arg, const char *why, bool final)
{
    (void)arg; /* the timer decides */
    (void)why;
    (void) final;
}

static const struct guest_ops guest_ops = {.up = guest_up, .event = guest_event, .down = guest_down};

/* As far as its record tells, if it has one that can be read. */
static bool may_have_agent(const struct item *item)
{
    const char *text = item->row.manifest;
    json_auto_t *j = NULL;
    auto_manifest m = {0};

    if (!text || json_parse(text, strlen(text), "manifest", &j, NULL) < 0) return true;
    return manifest_decode_stored(j, &m, NULL) < 0 || manifest_has_agent(&m);
}

void evict_begin(struct drift *d, struct item *item)
{
    struct loop *loop = d->engine->cfg.loop;
    struct evict *v = calloc(1, sizeof(*v));
    int64_t until = mono_ms() + d->engine->cfg.agent_ms;
    int fd = -1;

    if (!v) return drift_fixed(d, -ENOMEM, NULL, NULL);
    v->drift = d;
    v->id = item->finding.id;
    v->run = item->run;
    v->vmm.fd = -1;
    d->evict = v;
    (void)strf(v->dir, sizeof(v->dir), "%s/%lld", d->engine->cfg.vms_dir, (long long)v->id);
    log_warn("stranger id=%lld: is ended, as was asked for", (long long)v->id);
    if (!may_have_agent(item) || proc_open(&v->run.vmm, &fd) < 0 ||
        loop_watch(loop, &v->vmm, fd, EPOLLIN, vmm_ended) < 0) {
        if (fd >= 0) (void)close(fd);
        v->vmm.fd = -1;
        end_vmm(v);
        return;
    }
    if (guest_new(loop, v->dir, &guest_ops, v, &v->guest) < 0 || guest_connect(v->guest, until) < 0 ||
        loop_timer(loop, &v->timer, until, late) < 0)
        end_vmm(v);
}
