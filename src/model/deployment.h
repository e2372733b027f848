/* SPDX-License-Identifier: Apache-2.0 */
/* Deployments as clients ask for them (contract 1.6, and what is new here). */
#pragma once
#include "model/vm.h"

#define DEPLOYMENT_REPLICAS_MAX 1000

/* Body of POST /api/v1/deployments. */
struct deployment_request {
    char *name;
    int64_t replicas; /* 0 where it is not given */
    json_t *config;   /* vm_config, never NULL */
};
/* Body of PATCH /api/v1/deployments/NAME: what is absent stays. */
struct deployment_patch {
    int64_t replicas; /* -1: stays */
    json_t *config;   /* partial vm_config (contract 4.3); NULL: stays */
};
/* Of the three bodies, as JSON alone. */
extern const struct schema deployment_request_schema, deployment_patch_schema, deployment_rollback_schema;
/*
 * All that can be judged without the registry: VL_INVALID names field and remedy. A text about each key that is unknown
 * or has no effect goes to `unknown` where it is not NULL.
 */
int deployment_request_decode(const json_t *in, struct deployment_request *ret, struct strv *unknown,
                              struct vl_error *err);
int deployment_patch_decode(const json_t *in, struct deployment_patch *ret, struct strv *unknown, struct vl_error *err);
/* {"version": N}; 0 where it is not given. */
int deployment_rollback_decode(const json_t *in, int64_t *ret_version, struct strv *unknown, struct vl_error *err);
void deployment_request_done(struct deployment_request *r);
void deployment_patch_done(struct deployment_patch *p);
