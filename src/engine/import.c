/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that the registry does not know is taken in, by the record in its folder: with its very id, as folder, user and
 * cgroup are called by it, and with its address and ports, as it uses them. Then it is adopted as any other.
 */
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "engine/drift.h"

struct import {
    struct store_op op;
    struct drift *drift;
    struct vm_row row;
    struct vm_config config;
};

static void import_free(struct import *i)
{
    vm_row_done(&i->row);
    vm_config_done(&i->config);
    free(i);
}
DEFINE_AUTO(struct import *, import_free)

static int decode(const struct vm_row *row, struct vm_config *ret, struct vl_error *err)
{
    json_auto_t *config = NULL, *manifest = NULL;
    struct manifest m = {0};
    int r;

    if ((r = json_parse(row->manifest, strlen(row->manifest), "record.manifest", &manifest, err)) < 0) return r;
    if ((r = manifest_decode(manifest, "record.manifest", &m, NULL, NULL, err)) < 0) return r;
    manifest_done(&m);
    if ((r = json_parse(row->config, strlen(row->config), "record.config", &config, err)) < 0) return r;
    return schema_decode(&vm_config_schema, config, "record.config", ret, NULL, err);
}

static int judge_address(const struct engine *e, const struct vm_row *row, uint32_t *ret, struct vl_error *err)
{
    const struct subnet *net = &e->cfg.subnet;
    uint32_t address;

    if (parse_ipv4(row->ip_address, &address) < 0)
        return vl_fail(err, VL_INVALID, "its address '%s' is none", row->ip_address);
    if (address < net->first || address > net->last)
        return vl_fail(err, VL_CONFLICT, "its address %s is not of VOLANT_SUBNET %s", row->ip_address, net->cidr);
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (str_eq(vm->row.ip_address, row->ip_address) || str_eq(vm->row.mac_address, row->mac_address))
            return vl_fail(err, VL_CONFLICT, "its address %s belongs to VM '%s'", row->ip_address, vm->row.name);
    *ret = address;
    return 0;
}

static int judge_port(const struct engine *e, const struct port_map *p, struct vl_error *err)
{
    for (const struct vm *vm = e->vms; vm; vm = vm->next) {
        const struct port_map *has = vm->config.expose.items;

        for (size_t i = 0; i < vm->config.expose.len; i++)
            if (has[i].host_port == p->host_port && str_eq(has[i].protocol, p->protocol) &&
                str_eq(has[i].host_ip, p->host_ip))
                return vl_fail(err, VL_CONFLICT, "its host port %s:%lld/%s belongs to VM '%s'", p->host_ip,
                               (long long)p->host_port, p->protocol, vm->row.name);
    }
    return 0;
}

static int judge(const struct engine *e, const struct vm_row *row, struct vm_config *ret, struct vl_error *err)
{
    const struct vm *same = engine_vm_find((struct engine *)e, row->name);
    const struct port_map *ports;
    uint32_t address;
    int r;

    if (same)
        return vl_fail(err, VL_CONFLICT, "another VM is called '%s' (id %lld)", row->name, (long long)same->row.id);
    if ((r = judge_address(e, row, &address, err)) < 0 || (r = decode(row, ret, err)) < 0) return r;
    ports = ret->expose.items;
    for (size_t i = 0; r == 0 && i < ret->expose.len; i++)
        r = judge_port(e, &ports[i], err);
    return r;
}

int import_judge(const struct engine *e, const struct vm_row *row, struct vl_error *err)
{
    struct vm_config config = {0};
    int r = judge(e, row, &config, err);

    vm_config_done(&config);
    return r;
}

/* --- the transaction ---------------------------------------------------------------------------------------------- */

static int insert_ports(const struct import *i, struct store_tx *tx, struct vl_error *err)
{
    const struct port_map *ports = i->config.expose.items;
    int r;

    for (size_t k = 0; k < i->config.expose.len; k++) {
        const struct port_row row = {.vm_id = i->row.id,
                                     .protocol = ports[k].protocol,
                                     .host_ip = ports[k].host_ip,
                                     .name = ports[k].name,
                                     .host_port = ports[k].host_port,
                                     .port = ports[k].port};

        if ((r = store_port_insert(tx, &row, err)) < 0) return r;
    }
    return 0;
}

static int import_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct import *i = container_of(op, struct import, op);
    struct vm_row *row = &i->row;
    uint32_t address;
    int r;

    if ((r = parse_ipv4(row->ip_address, &address)) < 0) return vl_fail_errno(err, r, "address");
    if ((r = store_vm_insert(tx, row, &row->id, err)) < 0) return r;
    if ((r = store_lease_take_exact(tx, row->id, address, err)) < 0 || (r = insert_ports(i, tx, err)) < 0) return r;
    return store_event_add(tx, row->id, row->name, "VM_IMPORTED", row->status, "vm taken into the registry again",
                           row->updated_ms, err);
}

static void import_done(struct store_op *op, int r, const struct vl_error *err)
{
    auto_(import_freep) struct import *i = container_of(op, struct import, op);
    struct drift *d = i->drift;
    struct engine *e = d->engine;
    struct vl_error own = {0};
    struct vm *vm;

    if (r < 0 || e->closing) return drift_fixed(d, r < 0 ? r : -ECANCELED, err, NULL);
    CRASH_POINT("adopt.imported");
    if (!(vm = vm_new(e, &i->row, &own))) return drift_fixed(d, -EIO, &own, NULL);
    vm_insert(e, vm);
    if (e->strangers > 0) e->strangers--;
    log_info("vm=%s taken into the registry, id %lld, address %s", vm->row.name, (long long)vm->row.id,
             vm->row.ip_address);
    vm_settle(vm);
    vm_adopt(vm);
    drift_fixed(d, 0, NULL, "taken into the registry");
}

void import_begin(struct drift *d, struct item *item)
{
    auto_(import_freep) struct import *i = calloc(1, sizeof(*i));
    struct vl_error err = {0};
    int r;

    if (!i) return drift_fixed(d, -ENOMEM, NULL, NULL);
    /* Once more: a VM may have been made since. */
    if ((r = judge(d->engine, &item->row, &i->config, &err)) < 0) return drift_fixed(d, r, &err, NULL);
    i->drift = d;
    i->row = item->row;
    item->row = (struct vm_row){0};
    i->row.desired = strdup(vm_desire_name(DESIRE_RUNNING));
    i->row.status = strdup(vm_status_name(item->paused ? VM_PAUSED : VM_RUNNING));
    i->row.pid = item->run.vmm.pid;
    i->row.updated_ms = wall_ms();
    i->row.started_ms = item->finding.since_ms > 0 ? item->finding.since_ms : i->row.updated_ms;
    if (!i->row.desired || !i->row.status) return drift_fixed(d, -ENOMEM, NULL, NULL);
    i->op = (struct store_op){.run = import_run, .done = import_done};
    store_post(d->engine->cfg.store, &take_ptr(i)->op);
}
