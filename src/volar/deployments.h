/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands about deployments share. */
#pragma once
#include <jansson.h>

#include "volar/volar.h"

/* --wait and --timeout of what rolls out. */
struct rollout_wait {
    const char *want; /* NULL: do not wait; "ready" */
    uint64_t timeout_s;
};
extern struct rollout_wait deployments_wait;
/* Rows of option tables. */
#define ROLLOUT_WAIT_OPTS                                                                                              \
    {"wait", 'w', OPT_STRING, "STATE", "wait until the deployment is: ready", 0, 0, &deployments_wait.want},           \
    {                                                                                                                  \
        "timeout", 't', OPT_U64, "SECONDS", "how long to wait (default 300)", 1, 86400, &deployments_wait.timeout_s    \
    }
/* EXIT_DONE, or EXIT_MISUSE with the reason shown. */
int deployments_check_wait(const struct volar *v);

/* A name and no more: -1 to go on, else the exit code. */
int deployment_operand(struct volar *v, int argc, char *const *argv, const char **ret);
/*
 * One change, and the wait it asks for. *ret is the deployment as it then is, the caller's. VL_INTERNAL when its
 * rollout failed, VL_UNAVAILABLE when it is not ready in time: with the reason.
 */
int deployment_change(struct volar *v, const char *method, const char *path, const char *body, json_t **ret,
                      struct vl_error *err);
/* The command `deployments scale` once its operands are known; gives the exit code. */
int deployment_scale(struct volar *v, const char *name, uint64_t replicas);
