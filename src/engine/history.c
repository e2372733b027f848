/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of a VM's configuration, read out of the store when somebody asks. */
#include "engine/vm.h"

struct history {
    struct store_op op;
    struct history *next;
    struct engine *engine;
    int64_t vm_id, version, limit, offset, total;
    struct vm_config_row *rows;
    size_t n;
    engine_history_done done; /* NULL: forgotten */
    void *arg;
};

static void history_free(struct history *h)
{
    for (size_t i = 0; i < h->n; i++)
        vm_config_row_done(&h->rows[i]);
    free(h->rows);
    free(h);
}

static int add_row(void *arg, struct vm_config_row *row)
{
    struct history *h = arg;
    struct vm_config_row *more = reallocarray(h->rows, h->n + 1, sizeof(*more));

    if (!more) return -ENOMEM;
    h->rows = more;
    h->rows[h->n++] = *row;
    *row = (struct vm_config_row){0};
    return 0;
}

static int history_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct history *h = container_of(op, struct history, op);
    int r = store_vm_config_count(tx, h->vm_id, &h->total, err);

    return r < 0 ? r : store_vm_config_each(tx, h->vm_id, h->version, h->limit, h->offset, add_row, h, err);
}

static void history_done(struct store_op *op, int r, const struct vl_error *err)
{
    struct history *h = container_of(op, struct history, op), **at = &h->engine->histories;

    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    if (h->done && !h->engine->closing) h->done(h->arg, r, err, h->rows, h->n, h->total);
    history_free(h);
}

void histories_forget(struct engine *e, const void *arg)
{
    for (struct history *h = e->histories; h; h = h->next)
        if (h->arg == arg) h->done = NULL;
}

int engine_vm_history(struct engine *e, const char *name, int64_t version, int64_t limit, int64_t offset,
                      engine_history_done done, void *arg, struct vl_error *err)
{
    const struct vm *vm = engine_vm_find(e, name);
    struct history *h;

    if (!vm) return vl_fail(err, VL_NOT_FOUND, "vm '%s' not found: see `volar vms list`", name);
    if (!(h = calloc(1, sizeof(*h)))) return vl_fail_errno(err, ENOMEM, "history of VM '%s'", name);
    *h = (struct history){.op = {.run = history_run, .done = history_done},
                          .next = e->histories,
                          .engine = e,
                          .vm_id = vm->row.id,
                          .version = version,
                          .limit = limit,
                          .offset = offset,
                          .done = done,
                          .arg = arg};
    e->histories = h;
    store_post(e->cfg.store, &h->op);
    return 0;
}
