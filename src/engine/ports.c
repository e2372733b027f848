/* SPDX-License-Identifier: Apache-2.0 */
/* Host ports of VMs: picked where a draft leaves them open, and nobody's else where it names them. */
#include "engine/draft.h"

static bool holds_port(const struct vm_config *config, const char *protocol, const char *host_ip, int64_t port)
{
    const struct port_map *p = config->expose.items;

    for (size_t i = 0; i < config->expose.len; i++)
        if (p[i].host_port == port && str_eq(p[i].protocol, protocol) && str_eq(p[i].host_ip, host_ip)) return true;
    return false;
}

static bool drafts_hold_port(const struct engine *e, const char *protocol, const char *host_ip, int64_t port)
{
    for (const struct draft *d = e->drafts; d; d = d->next)
        if (holds_port(&d->config, protocol, host_ip, port)) return true;
    return false;
}

static const struct vm *port_owner(const struct engine *e, const char *protocol, const char *host_ip, int64_t port)
{
    for (const struct vm *vm = e->vms; vm; vm = vm->next)
        if (holds_port(&vm->config, protocol, host_ip, port)) return vm;
    return NULL;
}

struct port_question {
    const struct draft *draft;
    const struct port_map *port;
};

static bool port_taken(void *arg, unsigned port)
{
    const struct port_question *q = arg;
    const struct engine *e = q->draft->engine;

    return holds_port(&q->draft->config, q->port->protocol, q->port->host_ip, port) ||
           port_owner(e, q->port->protocol, q->port->host_ip, port) ||
           drafts_hold_port(e, q->port->protocol, q->port->host_ip, port);
}

/* The host port that leads to the same guest port now, so that clients of the VM find it again; 0: none. */
static int64_t port_kept(const struct draft *d, const struct port_map *p)
{
    const struct port_map *old = d->vm ? d->vm->config.expose.items : NULL;

    for (size_t i = 0; old && i < d->vm->config.expose.len; i++)
        if (old[i].port == p->port && str_eq(old[i].protocol, p->protocol) && str_eq(old[i].host_ip, p->host_ip) &&
            !holds_port(&d->config, p->protocol, p->host_ip, old[i].host_port))
            return old[i].host_port;
    return 0;
}

static int pick(struct draft *d, struct port_map *p, struct vl_error *err)
{
    struct port_question q = {.draft = d, .port = p};
    unsigned picked;
    int r;

    if ((p->host_port = port_kept(d, p)) != 0) return 0;
    if ((r = host_port_pick(p->protocol, p->host_ip, port_taken, &q, &picked, err)) < 0) return r;
    p->host_port = picked;
    return 0;
}

static int check(const struct draft *d, const struct port_map *p, struct vl_error *err)
{
    const struct vm *owner = port_owner(d->engine, p->protocol, p->host_ip, p->host_port);

    if (owner && owner == d->vm) return 0; /* its own VMM may listen there at this moment */
    if (owner)
        return vl_fail(err, VL_CONFLICT,
                       "host port %s:%lld/%s belongs to VM '%s' until that is deleted: choose another", p->host_ip,
                       (long long)p->host_port, p->protocol, owner->row.name);
    if (drafts_hold_port(d->engine, p->protocol, p->host_ip, p->host_port))
        return vl_fail(err, VL_CONFLICT, "host port %s:%lld/%s is being taken by another VM: choose another",
                       p->host_ip, (long long)p->host_port, p->protocol);
    return host_port_check(p->protocol, p->host_ip, (unsigned)p->host_port, err);
}

int draft_settle_ports(struct draft *d, struct vl_error *err)
{
    struct port_map *ports = d->config.expose.items;
    int r;

    for (size_t i = 0; i < d->config.expose.len; i++) {
        r = ports[i].host_port ? check(d, &ports[i], err) : pick(d, &ports[i], err);
        if (r < 0) return vl_wrap(err, "expose[%zu]", i);
    }
    return 0;
}
