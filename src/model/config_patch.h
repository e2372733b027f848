/* SPDX-License-Identifier: Apache-2.0 */
/* A partial configuration laid over a whole one (contract 4.3). */
#pragma once
#include "model/vm.h"

/*
 * Keys that `patch` does not have, or has as null, stay as they are. runtime, kernel_cmdline, kernel_override and
 * restart: "" clears. resources and api: by member. expose, env, command, metadata, manifest, network, devices,
 * cloud_init, initramfs, rootfs: as a whole, where [] and {} clear. `plugin` stays what it is unless new_plugin allows
 * another one: then the manifest and the runtime of the former go, where the patch has none of their own.
 *
 * *ret is the new configuration, normalised and validated as vm_config_decode does it; keys of the contract without
 * effect in this version are kept in it. A text about each key of the patch that is unknown, or has no effect, goes to
 * `notes` where it is not NULL. VL_INVALID names field and remedy; then nothing is written.
 */
int vm_config_patch(const json_t *config, const json_t *patch, bool new_plugin, json_t **ret, struct strv *notes,
                    struct vl_error *err);
