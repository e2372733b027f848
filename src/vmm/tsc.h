/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frequency of the host's time stamp counter, which is that of a guest under TCG. Told to the guest's kernel, it
 * makes calibration needless, and with it the boots that hang when the host takes the core away in the middle of it.
 */
#pragma once
#include "base/defs.h"

/* Takes about 6 ms. 0 where there is no such counter, or it cannot be measured. */
uint64_t tsc_measure_khz(void);
/* The middle one of three. */
uint64_t median3(uint64_t a, uint64_t b, uint64_t c);
