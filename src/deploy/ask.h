/* SPDX-License-Identifier: Apache-2.0 */
/* Inside deployments: what a client wants of one that exists, waiting for its turn; and what it is judged by. */
#pragma once
#include "deploy/internal.h"

enum ask_kind { ASK_WAIT, ASK_UPDATE, ASK_ROLLBACK, ASK_DELETE };
struct ask {
    struct ask *next;
    enum ask_kind kind;
    int64_t replicas; /* -1: stays */
    json_t *config;   /* the patch; NULL: none */
    int64_t version;
    struct deploy_waiter *waiter;
};
void ask_free(struct ask *a);

/* Names and addresses for so many replicas. Nobody else may have them. */
int ask_check_places(struct deployment *d, int64_t replicas, struct vl_error *err);
/* The version to go back to; `number` 0: the one before the present. */
int ask_find_version(const struct deployment *d, int64_t number, const struct version **ret, struct vl_error *err);
