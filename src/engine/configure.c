/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another configuration for a VM that exists. It is an intent like start and stop, so that it comes in its turn; judged
 * when that has come, recorded in the same transaction as the restart it may ask for, and in memory after that.
 */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/draft.h"
#include "model/config_patch.h"

struct configure {
    struct vm_also also;
    struct vm_request req; /* empty where there is a patch, until its turn comes */
    json_t *patch;
    bool owned; /* revision is to be written */
    int64_t revision;
    int64_t as_of; /* version that it is to change; 0: any */
    bool restart;
    struct draft draft;
};

void configure_free(struct configure *c)
{
    if (!c) return;
    draft_done(&c->draft);
    vm_request_done(&c->req);
    json_decref(c->patch);
    free(c);
}
DEFINE_AUTO(struct configure *, configure_free)

bool configure_restarts(const struct configure *c)
{
    return c->restart;
}

static int configure_run(struct vm_also *also, struct store_tx *tx, const char *status, struct vl_error *err)
{
    struct configure *c = container_of(also, struct configure, also);
    const struct vm_row *row = &c->draft.row;
    int r;

    if ((r = store_vm_configure(tx, row, err)) < 0 || (r = store_port_clear(tx, row->id, err)) < 0 ||
        (r = draft_insert_ports(&c->draft, tx, err)) < 0)
        return r;
    return store_event_add(tx, row->id, row->name, "VM_UPDATED", status, "vm configuration changed", wall_ms(), err);
}

/* Called with the row's other changes applied, the intent still at the queue's head. */
void configure_apply(struct vm *vm, struct configure *c)
{
    auto_free char *old = manifest_checksum(&vm->manifest) ? strdup(manifest_checksum(&vm->manifest)) : NULL;

    CRASH_POINT("configure.committed");
    draft_swap(&c->draft);
    draft_done(&c->draft);
    CRASH_POINT("configure.applied");
    artifact_release(vm->engine, old);
    log_info("vm=%s configured%s", vm->row.name, c->restart ? ", restarting" : "");
}

json_t *engine_vm_config(const struct vm *vm)
{
    json_auto_t *config = schema_encode(&vm_config_schema, &vm->config), *manifest = NULL;

    if (!config || json_parse(vm->row.manifest, strlen(vm->row.manifest), "manifest", &manifest, NULL) < 0 ||
        json_object_set(config, "manifest", manifest) < 0)
        return NULL;
    return take_ptr(config);
}

int64_t engine_vm_config_version(const struct vm *vm, int64_t *ret_since_ms)
{
    *ret_since_ms = vm->row.config_ms;
    return vm->row.config_version;
}

/* What is there may have changed since the patch came. */
static int lay_patch(const struct vm *vm, struct configure *c, struct vl_error *err)
{
    json_auto_t *present = engine_vm_config(vm), *body = NULL;
    json_t *config = NULL;
    int r;

    if (!present) return vl_fail_errno(err, ENOMEM, "configure VM");
    if ((r = vm_config_patch(present, c->patch, false, &config, NULL, err)) < 0) return r;
    if (!(body = json_pack("{s:s, s:o}", "name", vm->row.name, "config", config)))
        return vl_fail_errno(err, ENOMEM, "configure VM");
    return vm_request_decode(body, &c->req, NULL, err);
}

int engine_vm_check_own(const struct vm *vm, struct vl_error *err)
{
    if (!vm->row.deployment || !*vm->row.deployment) return 0;
    return vl_fail(err, VL_CONFLICT,
                   "VM '%s' is a replica of deployment '%s' and has its configuration: change that with "
                   "`volar deployments update %s`",
                   vm->row.name, vm->row.deployment, vm->row.deployment);
}

int configure_judge(struct vm *vm, struct configure *c, struct vm_also **ret, struct vl_error *err)
{
    int r;

    if (!c->owned && (r = engine_vm_check_own(vm, err)) < 0) return r;
    if (c->as_of && c->as_of != vm->row.config_version)
        return vl_fail(err, VL_CHANGED,
                       "the configuration of VM '%s' has become version %lld: look at that, and send the change again "
                       "with its ETag",
                       vm->row.name, (long long)vm->row.config_version);
    if (c->patch && (r = lay_patch(vm, c, err)) < 0) return r;
    if ((r = draft_judge(&c->draft, vm->engine, &c->req, vm, c->restart || vm->desire == DESIRE_RUNNING, err)) < 0)
        return r;
    c->draft.row.revision = c->owned ? c->revision : vm->row.revision;
    c->draft.row.config_version = vm->row.config_version + 1;
    c->draft.row.config_ms = wall_ms();
    c->also.run = configure_run;
    *ret = &c->also;
    return 0;
}

int engine_vm_configure(struct engine *e, const struct vm_request *req, const struct vm_owner *owner, int64_t as_of,
                        bool restart, enum vm_want want, int timeout_ms, engine_vm_done done, void *arg,
                        struct vl_error *err)
{
    auto_(configure_freep) struct configure *c = calloc(1, sizeof(*c));
    int r;

    if (!c || schema_copy(&vm_request_schema, req, &c->req) < 0) return vl_fail_errno(err, ENOMEM, "configure VM");
    c->owned = owner != NULL;
    if (owner) c->revision = owner->revision;
    c->as_of = as_of;
    c->restart = restart;
    r = vm_ask(e, req->name, INTENT_CONFIGURE, c, restart ? (enum wait_for)want : WAIT_COMMIT, timeout_ms, done, arg,
               err);
    if (r == 0) (void)take_ptr(c);
    return r;
}

int engine_vm_patch(struct engine *e, const char *name, const json_t *patch, int64_t as_of, int timeout_ms,
                    engine_vm_done done, void *arg, struct vl_error *err)
{
    auto_(configure_freep) struct configure *c = calloc(1, sizeof(*c));
    int r;

    if (!c || !(c->patch = json_deep_copy(patch))) return vl_fail_errno(err, ENOMEM, "configure VM");
    c->as_of = as_of;
    if ((r = vm_ask(e, name, INTENT_CONFIGURE, c, WAIT_COMMIT, timeout_ms, done, arg, err)) == 0) (void)take_ptr(c);
    return r;
}
