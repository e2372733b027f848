/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets share: the entry point's type, and invariants that end the process where they do not hold. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
