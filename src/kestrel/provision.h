/* SPDX-License-Identifier: Apache-2.0 */
/* The few files below /etc, and the folders, without which ordinary programs stumble: made only where the image has
 * none. */
#pragma once
#include "base/error.h"
#include "model/guest.h"

/*
 * Nothing here is worth ending a machine for: what cannot be made is left out. In the root of a disk image
 * (config.root) hosts, hostname and resolv.conf are the machine's, as with container engines, and replaced at every
 * boot: images bring empty ones, or those of the machine they were built on.
 */
void provision_files(int root_fd, const struct guest_config *config);
