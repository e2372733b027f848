/* SPDX-License-Identifier: Apache-2.0 */
/* The reading of a console's last bytes, for tests. */
#pragma once
#include "vmm/vmm.h"

/* The later of the last exit line and the last panic. */
void console_end_of(const char *text, size_t len, struct console_end *ret);
