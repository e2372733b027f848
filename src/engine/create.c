/* SPDX-License-Identifier: Apache-2.0 */
/* A new VM: judged against the registry, recorded with its address and ports in one transaction, then booted. */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/draft.h"

/* A VM on its way into the registry. */
struct create {
    struct store_op op;
    struct draft draft;
    struct vm *vm; /* without its row; in the registry once that is committed */
    struct waiter *waiter;
    struct engine *engine;
    bool slot; /* it boots at once */
};

static void create_free(struct create *c)
{
    draft_done(&c->draft);
    waiter_free(c->waiter);
    if (c->vm) vm_free(c->vm);
    if (c->slot) slot_give_back(c->engine);
    free(c);
}
DEFINE_AUTO(struct create *, create_free)

void creates_forget(struct engine *e, const void *arg)
{
    for (struct draft *d = e->drafts; d; d = d->next) {
        struct create *c = d->vm ? NULL : container_of(d, struct create, draft);

        if (c && c->waiter && c->waiter->arg == arg) c->waiter->done = NULL;
    }
}

/* Without a boot token where it has to wait for its turn, or is not to run yet. */
static int row_fill(struct vm_row *row, const struct vm_owner *owner, bool start, bool at_once)
{
    enum vm_status status = !start ? VM_STOPPED : at_once ? VM_STARTING : VM_PENDING;
    char token[BOOT_TOKEN_LEN + 1] = "";

    if (at_once) random_token(token);
    row->desired = strdup(vm_desire_name(start ? DESIRE_RUNNING : DESIRE_STOPPED));
    row->status = strdup(vm_status_name(status));
    row->reason = strdup("");
    row->boot = strdup(token);
    row->kernel_cmdline = strdup("");
    row->deployment = strdup(owner && owner->deployment ? owner->deployment : "");
    row->revision = owner ? owner->revision : 0;
    row->created_ms = row->updated_ms = row->config_ms = wall_ms();
    row->config_version = 1;
    return row->desired && row->status && row->reason && row->boot && row->kernel_cmdline && row->deployment ? 0
                                                                                                             : -ENOMEM;
}

/* --- the transaction ---------------------------------------------------------------------------------------------- */

static int take_address(struct create *c, struct store_tx *tx, struct vl_error *err)
{
    const struct subnet *net = &c->draft.engine->cfg.subnet;
    char ip[16], mac[18];
    uint32_t addr;
    int r;

    if ((r = store_lease_take(tx, c->draft.row.id, net->first, net->last, &addr, err)) < 0) return r;
    format_ipv4(addr, ip);
    if ((r = vm_mac(c->draft.row.name, ip, mac)) < 0) return vl_fail_errno(err, r, "MAC address");
    if (!(c->draft.row.ip_address = strdup(ip)) || !(c->draft.row.mac_address = strdup(mac)))
        return vl_fail_errno(err, ENOMEM, "address");
    return store_vm_set_address(tx, c->draft.row.id, ip, mac, err);
}

static int create_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct create *c = container_of(op, struct create, op);
    struct vm_row *row = &c->draft.row;
    int r;

    if ((r = store_vm_insert(tx, row, &row->id, err)) < 0) return r;
    CRASH_POINT("create.row_inserted");
    if ((r = take_address(c, tx, err)) < 0) return r;
    CRASH_POINT("create.address_taken");
    if ((r = draft_insert_ports(&c->draft, tx, err)) < 0) return r;
    CRASH_POINT("create.ports_taken");
    return store_event_add(tx, row->id, row->name, "VM_CREATED", row->status, "vm record created", row->created_ms,
                           err);
}

static void create_done(struct store_op *op, int r, const struct vl_error *err)
{
    auto_(create_freep) struct create *c = container_of(op, struct create, op);
    struct engine *e = c->draft.engine;
    struct vm *vm;

    if (e->closing) return;
    if (r < 0) {
        draft_done(&c->draft);
        waiter_end(take_ptr(c->waiter), r, err, NULL);
        return;
    }
    CRASH_POINT("create.committed");
    vm = take_ptr(c->vm);
    vm_take_row(vm, &c->draft.row);
    vm_insert(e, vm);
    CRASH_POINT("create.registered");
    draft_done(&c->draft); /* from here on it is the VM that has the ports and its share */
    vm->token_fresh = vm->slot = c->slot;
    c->slot = false; /* moved */
    if (vm->status == VM_PENDING) vm_queue(vm);
    log_info("vm=%s created, id %lld, address %s", vm->row.name, (long long)vm->row.id, vm->row.ip_address);
    vm_add_waiter(vm, take_ptr(c->waiter));
    vm_settle(vm);
    vm_step(vm);
}

int engine_vm_create(struct engine *e, const struct vm_request *req, const struct vm_owner *owner, enum vm_want want,
                     int timeout_ms, engine_vm_done done, void *arg, struct vl_error *err)
{
    auto_(create_freep) struct create *c = NULL;
    int r;

    if (engine_vm_find(e, req->name))
        return vl_fail(err, VL_CONFLICT, "a VM named '%s' exists already: choose another name, or delete it first",
                       req->name);
    if (!(c = calloc(1, sizeof(*c))) || !(c->waiter = calloc(1, sizeof(*c->waiter))))
        return vl_fail_errno(err, ENOMEM, "create VM");
    if ((r = draft_judge(&c->draft, e, req, NULL, req->start, err)) < 0) return r;
    c->engine = e;
    c->slot = req->start && slot_take(e);
    if ((r = row_fill(&c->draft.row, owner, req->start, c->slot)) < 0) return vl_fail_errno(err, r, "create VM");
    if (!(c->vm = vm_prepare(e, &c->draft.row, err))) return -EIO;
    *c->waiter = (struct waiter){.what = req->start ? (enum wait_for)want : WAIT_COMMIT,
                                 .until_ms = mono_ms() + timeout_ms,
                                 .done = done,
                                 .arg = arg};
    c->op = (struct store_op){.run = create_run, .done = create_done};
    CRASH_POINT("create.judged");
    store_post(e->cfg.store, &take_ptr(c)->op);
    return 0;
}

int engine_vm_check(struct engine *e, const struct vm_request *req, struct vl_error *err)
{
    struct draft d = {0};
    int r = draft_judge(&d, e, req, engine_vm_find(e, req->name), true, err);

    draft_done(&d);
    return r;
}
