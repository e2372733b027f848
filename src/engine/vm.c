/* SPDX-License-Identifier: Apache-2.0 */
/* One VM: its row, its waiters, its transactions, and the step that decides what happens next. */
#include "engine/vm.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define COMMIT_RETRY_MS 1000

static const char *const desire_names[] = {"running", "stopped", "deleted"};

const char *vm_desire_name(enum vm_desire d)
{
    return desire_names[d];
}

static int desire_parse(const char *s, enum vm_desire *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(desire_names); i++)
        if (str_eq(s, desire_names[i])) {
            *ret = (enum vm_desire)i;
            return 0;
        }
    return -EINVAL;
}

static int vm_decode(struct vm *vm, const struct vm_row *row, struct vl_error *err)
{
    json_auto_t *config = NULL, *manifest = NULL;
    int r;

    if ((r = json_parse(row->config, strlen(row->config), "config", &config, err)) < 0) return r;
    if ((r = schema_decode(&vm_config_schema, config, "config", &vm->config, NULL, err)) < 0) return r;
    if ((r = json_parse(row->manifest, strlen(row->manifest), "manifest", &manifest, err)) < 0) return r;
    if ((r = vm_config_lay_medium(&vm->config, manifest, err)) < 0) return r;
    if ((r = manifest_decode_stored(manifest, &vm->manifest, err)) < 0) return r;
    if (vm_status_parse(row->status, &vm->status) < 0 || desire_parse(row->desired, &vm->desire) < 0)
        return vl_fail(err, VL_INTERNAL, "unknown status '%s' or desire '%s'", row->status, row->desired);
    return 0;
}

struct vm *vm_prepare(struct engine *e, const struct vm_row *row, struct vl_error *err)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    if (!vm) {
        (void)vl_fail_errno(err, ENOMEM, "VM");
        return NULL;
    }
    vm->engine = e;
    vm->vmm_watch.fd = -1;
    vm->since_ms = mono_ms();
    if (strf(vm->dir, sizeof(vm->dir), "%s/%lld", e->cfg.vms_dir, (long long)INT64_MAX) < 0)
        (void)vl_fail(err, VL_INTERNAL, "folder name too long");
    else if (vm_decode(vm, row, err) == 0)
        return vm;
    vm_free(vm);
    return NULL;
}

void vm_take_row(struct vm *vm, struct vm_row *row)
{
    vm->row = *row;
    *row = (struct vm_row){0};
    (void)strf(vm->dir, sizeof(vm->dir), "%s/%lld", vm->engine->cfg.vms_dir, (long long)vm->row.id);
    (void)strf(vm->console, sizeof(vm->console), "%s/console.sock", vm->dir);
    /* From here on the enums stand for the two strings. */
    freep(&vm->row.status);
    freep(&vm->row.desired);
    vm->row.status = vm->row.desired = NULL;
}

struct vm *vm_new(struct engine *e, struct vm_row *row, struct vl_error *err)
{
    struct vm *vm = vm_prepare(e, row, err);

    if (vm) vm_take_row(vm, row);
    return vm;
}

void vm_free(struct vm *vm)
{
    vm_detach(vm); /* its timers, too */
    vm_slot_release(vm);
    while (vm->intents) {
        struct intent *i = vm->intents;

        vm->intents = i->next;
        waiter_free(i->waiter);
        intent_free(i);
    }
    while (vm->waiters) {
        struct waiter *w = vm->waiters;

        vm->waiters = w->next;
        waiter_free(w);
    }
    free(vm->health_reason);
    vm_text_done(&vm->text);
    schema_done(&vm_config_schema, &vm->config);
    manifest_done(&vm->manifest);
    vm_row_done(&vm->row);
    free(vm->found_cmdline);
    free(vm);
}

void vm_insert(struct engine *e, struct vm *vm)
{
    struct vm **at = &e->vms;

    while (*at && (*at)->row.id < vm->row.id)
        at = &(*at)->next;
    vm->next = *at;
    *at = vm;
}

void vm_remove(struct vm *vm)
{
    struct vm **at = &vm->engine->vms;

    while (*at != vm)
        at = &(*at)->next;
    *at = vm->next;
}

/* --- waiters ---------------------------------------------------------------------------------------------------- */

void waiter_free(struct waiter *w)
{
    if (!w) return;
    loop_untimer(&w->timer);
    free(w);
}

void waiter_end(struct waiter *w, int r, const struct vl_error *err, struct vm *vm)
{
    engine_vm_done done = w->done;
    void *arg = w->arg;

    waiter_free(w);
    if (done) done(arg, r, err, vm);
}

static bool wait_over(const struct vm *vm, enum wait_for what)
{
    bool ended = vm_status_ended(vm->status);

    switch (what) {
    case WAIT_PROCESS:
        return ended || ((vm->status == VM_STARTING || vm->status == VM_RUNNING) && vm->row.pid > 0);
    case WAIT_RUNNING:
        return ended || (vm->status == VM_RUNNING && !vm->paused);
    case WAIT_READY:
        return ended || vm_is_ready(vm);
    case WAIT_PAUSED:
        return ended || (vm->status == VM_PAUSED && vm->paused);
    case WAIT_AGENT:
        return ended || !manifest_has_agent(&vm->manifest) || (vm->guest && guest_is_up(vm->guest));
    case WAIT_ENDED:
        return ended;
    case WAIT_DOWN:
        return ended || vm->status == VM_PENDING;
    case WAIT_GONE:
        return false; /* vm_erase answers */
    case WAIT_COMMIT:
        return true;
    }
    return false;
}

bool vm_is_ready(const struct vm *vm)
{
    return vm->status == VM_RUNNING && vm->ready && !vm->paused && !vm->hung && !vm->found;
}

static void tell_observers(struct vm *vm, bool gone)
{
    struct vm_view view;

    for (size_t i = 0; i < ENGINE_OBSERVERS_MAX && !vm->engine->closing; i++) {
        const struct observer *o = &vm->engine->observers[i];

        if (!o->changed) continue;
        engine_vm_view(vm, &view);
        o->changed(o->arg, &view, gone);
    }
}

void vm_gone(struct vm *vm)
{
    tell_observers(vm, true);
}

void vm_fail_waiters(struct vm *vm, enum wait_for what, const struct vl_error *err)
{
    struct waiter **at = &vm->waiters, *w;

    while ((w = *at)) {
        if (w->what != what) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        waiter_end(w, -EIO, err, NULL);
        at = &vm->waiters;
    }
}

void vm_settle(struct vm *vm)
{
    struct waiter **at = &vm->waiters;

    tell_observers(vm, false);

    while (*at) {
        struct waiter *w = *at;

        if (!wait_over(vm, w->what)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        waiter_end(w, 0, NULL, vm);
        at = &vm->waiters; /* the callback may have changed the list */
    }
}

/* It did not even get its turn: then it is as if it had not been asked for. */
static bool take_back(struct vm *vm, const struct waiter *w)
{
    struct intent **at = &vm->intents, *i;
    struct vl_error err = {0};
    int r;

    while ((i = *at) && i->waiter != w)
        at = &i->next;
    if (!i) return false;
    if (i->taken) return true; /* the commit is under way, vm_add_waiter looks at the time again */
    *at = i->next;
    r = vl_fail(&err, VL_UNAVAILABLE, "VM '%s' is busy with what it was asked before: try again", vm->row.name);
    waiter_end(i->waiter, r, &err, NULL);
    intent_free(i);
    return true;
}

static void waiter_late(struct timer *t)
{
    struct waiter *w = container_of(t, struct waiter, timer);
    struct vm *vm = w->vm;
    struct waiter **at = &vm->waiters;

    if (take_back(vm, w)) return;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    waiter_end(w, 0, NULL, vm);
}

int waiter_begin(struct waiter *w)
{
    return loop_timer(w->vm->engine->cfg.loop, &w->timer, w->until_ms, waiter_late);
}

void vm_add_waiter(struct vm *vm, struct waiter *w)
{
    w->vm = vm;
    w->next = vm->waiters;
    vm->waiters = w;
    if (waiter_begin(w) < 0) waiter_late(&w->timer);
}

/* --- transactions ------------------------------------------------------------------------------------------------ */

struct commit {
    struct store_op op;
    struct vm *vm;
    struct vm_row row; /* the new one; its strings are borrowed from the VM or from `owned` */
    char *owned[3];
    char event[32], *message;
    void (*then)(struct vm *vm);
    void (*failed)(struct vm *vm, int r, const struct vl_error *err);
    enum vm_desire desire;
    enum vm_status status;
    struct vm_also *also;
};

static void commit_free(struct commit *c)
{
    for (size_t i = 0; i < ARRAY_LEN(c->owned); i++)
        free(c->owned[i]);
    free(c->message);
    free(c);
}

static int commit_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct commit *c = container_of(op, struct commit, op);
    int r;

    if ((r = store_vm_update(tx, &c->row, err)) < 0) return r;
    if (c->also && (r = c->also->run(c->also, tx, c->row.status, err)) < 0) return r;
    if (!*c->event) return 0;
    return store_event_add(tx, c->row.id, c->row.name, c->event, c->row.status, c->message ? c->message : "",
                           c->row.updated_ms, err);
}

static void replace_string(char **dst, char **owned)
{
    if (!*owned) return;
    free(*dst);
    *dst = take_ptr(*owned);
}

static void commit_apply(struct commit *c)
{
    struct vm *vm = c->vm;

    replace_string(&vm->row.reason, &c->owned[0]);
    replace_string(&vm->row.boot, &c->owned[1]);
    replace_string(&vm->row.kernel_cmdline, &c->owned[2]);
    vm->row.pid = c->row.pid;
    vm->row.has_exit_code = c->row.has_exit_code;
    vm->row.exit_code = c->row.exit_code;
    vm->row.updated_ms = c->row.updated_ms;
    vm->row.restarts = c->row.restarts;
    vm->row.not_before_ms = c->row.not_before_ms;
    vm->row.started_ms = c->row.started_ms;
    vm->row.revision = c->row.revision;
    if (vm->status != c->status || *c->event) vm->since_ms = mono_ms();
    vm->status = c->status;
    vm->desire = c->desire;
    if (vm->status == VM_PENDING) vm_queue(vm);
    if (vm->status != VM_STARTING) vm_slot_release(vm);
}

/* The one timer stands for whatever waits: a step, and a silent agent. */
static void step_again(struct timer *t)
{
    struct vm *vm = container_of(t, struct vm, retry);

    vm->retry_ms = 0;
    vm_try_agent(vm);
    vm_step(vm);
}

void vm_step_later(struct vm *vm, int ms)
{
    int64_t at = mono_ms() + ms;

    if (vm->retry_ms > 0 && vm->retry_ms <= at) return; /* sooner anyway */
    if (loop_timer(vm->engine->cfg.loop, &vm->retry, at, step_again) < 0)
        log_err("vm=%s: no memory for a timer", vm->row.name);
    else
        vm->retry_ms = at;
}

static void not_committed(struct vm *vm, int r, const struct vl_error *err,
                          void (*failed)(struct vm *vm, int r, const struct vl_error *err))
{
    log_err("vm=%s: %s", vm->row.name, err->msg);
    if (failed)
        failed(vm, r, err);
    else
        vm_step_later(vm, COMMIT_RETRY_MS);
}

static void commit_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct commit *c = container_of(op, struct commit, op);
    struct vm *vm = c->vm;
    void (*then)(struct vm *) = c->then;
    void (*failed)(struct vm *, int, const struct vl_error *) = c->failed;

    vm->busy = false;
    if (r < 0) {
        commit_free(c);
        not_committed(vm, r, err, failed);
        return;
    }
    if (vm->status != c->status)
        log_info("vm=%s status=%s%s%s", vm->row.name, c->row.status, *c->row.reason ? " " : "", c->row.reason);
    commit_apply(c);
    commit_free(c);
    if (then) then(vm);
    vm_settle(vm);
    vm_step(vm);
}

struct vm_change vm_change_of(const struct vm *vm)
{
    return (struct vm_change){.desire = vm->desire,
                              .status = vm->status,
                              .pid = vm->live ? vm->run.vmm.pid : -1,
                              .restarts = -1,
                              .not_before_ms = -1,
                              .started_ms = -1,
                              .revision = -1};
}

static int copy_string(char **owned, const char *s)
{
    return s && !(*owned = strdup(s)) ? -ENOMEM : 0;
}

/* tr: what the change is, NULL for one that stays in its status without an event. */
static struct commit *commit_new(struct vm *vm, const struct vm_change *c, const struct transition *tr)
{
    struct commit *t = calloc(1, sizeof(*t));
    const char *message = c->message;

    if (!t) return NULL;
    if (!message && tr) message = c->reason && *c->reason ? c->reason : tr->message;
    t->op = (struct store_op){.run = commit_run, .done = commit_done};
    t->vm = vm;
    t->row = vm->row;
    t->status = c->status;
    t->desire = c->desire;
    t->also = c->also;
    if (copy_string(&t->owned[0], c->reason) < 0 || copy_string(&t->owned[1], c->boot) < 0 ||
        copy_string(&t->owned[2], c->kernel_cmdline) < 0 || copy_string(&t->message, message) < 0) {
        commit_free(t);
        return NULL;
    }
    if (t->owned[0]) t->row.reason = t->owned[0];
    if (t->owned[1]) t->row.boot = t->owned[1];
    if (t->owned[2]) t->row.kernel_cmdline = t->owned[2];
    if (tr) (void)strf(t->event, sizeof(t->event), "%s", tr->event);
    t->row.status = (char *)vm_status_name(c->status);
    t->row.desired = (char *)vm_desire_name(c->desire);
    if (c->pid >= 0) t->row.pid = c->pid;
    if (c->restarts >= 0) t->row.restarts = c->restarts;
    if (c->not_before_ms >= 0) t->row.not_before_ms = c->not_before_ms;
    if (c->started_ms >= 0) t->row.started_ms = c->started_ms;
    if (c->revision >= 0) t->row.revision = c->revision;
    if (c->new_exit_code || c->clear_exit_code) {
        t->row.has_exit_code = c->new_exit_code;
        t->row.exit_code = c->new_exit_code ? c->exit_code : 0;
    }
    /* Later than the one before it, whatever the clock says: it tells them apart (engine_vm_delete_as_of). */
    t->row.updated_ms = wall_ms();
    if (t->row.updated_ms <= vm->row.updated_ms) t->row.updated_ms = vm->row.updated_ms + 1;
    return t;
}

void vm_commit(struct vm *vm, const struct vm_change *c, void (*then)(struct vm *vm),
               void (*failed)(struct vm *vm, int r, const struct vl_error *err))
{
    const struct transition *tr = NULL;
    struct vl_error err = {0};
    struct commit *t = NULL;
    int r = 0;

    if ((c->event || c->status != vm->status) && !(tr = transition_find(vm->status, c->status, c->event)))
        r = vl_fail(&err, VL_INTERNAL, "VM '%s': from %s to %s by %s is no transition", vm->row.name,
                    vm_status_name(vm->status), vm_status_name(c->status), c->event ? c->event : "any event");
    else if (!(t = commit_new(vm, c, tr)))
        r = vl_fail_errno(&err, ENOMEM, "record VM '%s'", vm->row.name);
    if (!t) {
        not_committed(vm, r, &err, failed);
        return;
    }
    t->then = then;
    t->failed = failed;
    vm->busy = true;
    store_post(vm->engine->cfg.store, &t->op);
}
