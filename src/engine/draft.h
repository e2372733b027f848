/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the engine: what a VM is to be, judged before it is recorded. A draft is in the engine's list from its
 * judgement to the end of its transaction, and what it takes (host ports, a share of the host, an artifact) nobody else
 * gets meanwhile. Create and configure differ in nothing else than what they do with it. Loop thread only; the
 * transaction reads row and config.
 */
#pragma once
#include "engine/vm.h"

struct draft {
    struct draft *next;
    struct engine *engine; /* NULL: not judged */
    struct vm *vm;         /* whose configuration it replaces; NULL: a new VM's */
    bool to_run;           /* it takes its share of the host */
    struct manifest manifest;
    struct vm_config config; /* as stored: every port has its host port, the manifest is in the row */
    struct vm_row row;       /* name, plugin, runtime, cpu_cores, memory_mb, config, manifest */
};
/*
 * Judges `req` into *d, which is all zero and stays where it is until draft_done. VL_NOT_FOUND, VL_CONFLICT,
 * VL_INVALID, VL_NO_SPACE say what is wrong and what helps; nothing is taken then.
 */
int draft_judge(struct draft *d, struct engine *e, const struct vm_request *req, struct vm *vm, bool to_run,
                struct vl_error *err);
void draft_done(struct draft *d);
/* In the transaction: the ports of row.id. */
int draft_insert_ports(const struct draft *d, struct store_tx *tx, struct vl_error *err);
/* After the commit: the VM is what was drafted, and the draft holds what it was. */
void draft_swap(struct draft *d);

/* ports.c: picks or checks the host port of each port of d->config. */
int draft_settle_ports(struct draft *d, struct vl_error *err);
