/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of `vms create` to the request's body. */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

struct create_options {
    const char *plugin, *runtime, *kernel, *restart;
    uint64_t cpu, memory; /* 0: not given */
    struct strv publish;
};
/* Adds each of --publish to a configuration's `expose`. VL_INVALID names the option. */
int create_add_ports(json_t *expose, const struct strv *publish, struct vl_error *err);
/* The JSON text is the caller's. VL_INVALID names --publish. */
int create_body(const char *name, const struct create_options *o, char **ret, struct vl_error *err);
