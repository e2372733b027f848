/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands about VMs share: reading one, and waiting for it to get somewhere. */
#pragma once
#include <stdio.h>

#include "model/vm.h"
#include "volar/volar.h"

/* --wait and --timeout of create, start and restart. */
struct wait_options {
    const char *want; /* "process", "running", "ready" */
    uint64_t timeout_s;
    bool none; /* it is not to run: the answer is enough */
};
extern struct wait_options vms_wait;
/* Rows of option tables. */
#define WAIT_OPTS                                                                                                      \
    {"wait", 'w', OPT_STRING,    "STATE", "wait until the VM is: process, running (default) or ready",                 \
     0,      0,   &vms_wait.want},                                                                                     \
    {                                                                                                                  \
        "timeout", 't', OPT_U64, "SECONDS", "how long to wait (default 90)", 1, 86400, &vms_wait.timeout_s             \
    }
/* EXIT_DONE, or EXIT_MISUSE with the reason shown. */
int vms_check_wait(const struct volar *v);

/* GET /api/v1/vms/NAME. *ret_json may be NULL. */
int vm_fetch(struct volar *v, const char *name, struct vm_view *ret, json_t **ret_json, struct vl_error *err);
/* As `vms get -o json` does. */
int vm_print_json(const struct vm_view *vm, struct vl_error *err);
/*
 * POSTs to path with the wait in its query, then asks again until the VM is there or the time is up. *ret is the VM as
 * it then is. VL_UNAVAILABLE when the time is up; VL_INTERNAL when it failed, crashed or ended, with its reason.
 */
int vm_post_and_wait(struct volar *v, const char *path, const char *body, struct vm_view *ret, struct vl_error *err);
/*
 * GET .../logs: lines of stdout to stdout, of stderr to stderr; query is "follow=1" or such. `console`: what only the
 * serial console kept is shown too. `stop` (may be NULL) is asked while nothing comes, and at the latest after POLL_MS;
 * a negative errno ends it with that. With "end=1" in the query *end gets the VM as it ended, its caller's; it has no
 * name where volantd could not tell.
 */
struct log_options {
    const char *query;
    bool json, no_console;
    struct vm_view *end; /* NULL: nobody asks */
    int (*stop)(void *arg);
    void *arg;
};
int vm_follow_logs(struct volar *v, const char *name, const struct log_options *o, struct vl_error *err);
/* VM is stopped, crashed or failed. */
bool vm_has_ended(const struct vm_view *vm);
/* Its published ports, a line each: "http://127.0.0.1:8080 -> 80/tcp". */
void vm_print_ports(FILE *out, const struct vm_view *vm);
/* Runs fn for each operand; EXIT_FAILED if one of them failed. Names are checked before the first. */
int vms_each(struct volar *v, const char *const *names, size_t n,
             int (*fn)(struct volar *v, const char *name, struct vl_error *err));
