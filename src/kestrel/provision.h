/* SPDX-License-Identifier: Apache-2.0 */
/* The few files below /etc, and the folders, without which ordinary programs stumble: made only where the image has
 * none. */
#pragma once
#include "base/error.h"
#include "model/guest.h"

/* Nothing here is worth ending a machine for: what cannot be made is left out. */
void provision_files(int root_fd, const struct guest_config *config);
