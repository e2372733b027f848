/* SPDX-License-Identifier: Apache-2.0 */
/* From the reference of an image to a plugin that volantd has. */
#pragma once
#include <signal.h>
#include <stdbool.h>

#include "base/error.h"

struct volar;

struct run_plugin {
    char name[64]; /* of the image and its digest: other tags of the same image share it */
    char base[48]; /* of the image alone */
    bool agentless;
};
/*
 * Runs `fledge build`, which shows its progress and its errors on stderr itself, and installs what came of it unless
 * that is installed already. fledge is VOLANT_FLEDGE, the one beside volar, or the one in PATH. `stop`: a signal came,
 * which is VL_INVALID. VL_INVALID too: fledge has said why. Whatever comes of it, nothing is left in TMPDIR.
 */
int run_plugin_make(struct volar *v, const char *reference, const volatile sig_atomic_t *stop, struct run_plugin *ret,
                    struct vl_error *err);
