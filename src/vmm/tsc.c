/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/tsc.h"

#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

uint64_t median3(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t low = a < b ? a : b, high = a < b ? b : a;

    return c < low ? low : c > high ? high : c;
}

#if defined(__x86_64__)
#define WINDOW_NS 2000000
#define TRIES     32

/* Counter and clock at one moment. */
struct sample {
    uint64_t tsc, ns;
};

static uint64_t raw_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The clock is read between two readings of the counter; of many tries the one with the narrowest pair was not
 * interrupted. */
static struct sample take_sample(void)
{
    uint64_t narrowest = UINT64_MAX;
    struct sample best = {0};
    unsigned aux;

    for (int i = 0; i < TRIES; i++) {
        uint64_t before = __rdtscp(&aux), ns = raw_ns(), after = __rdtscp(&aux);

        if (after - before >= narrowest) continue;
        narrowest = after - before;
        best = (struct sample){before + (after - before) / 2, ns};
    }
    return best;
}

static uint64_t window_khz(void)
{
    const struct timespec pause = {.tv_nsec = WINDOW_NS};
    struct sample a = take_sample(), b;

    (void)nanosleep(&pause, NULL);
    b = take_sample();
    if (b.ns <= a.ns || b.tsc <= a.tsc) return 0;
    return (uint64_t)((double)(b.tsc - a.tsc) * 1e6 / (double)(b.ns - a.ns) + 0.5);
}

uint64_t tsc_measure_khz(void)
{
    return median3(window_khz(), window_khz(), window_khz());
}
#else
uint64_t tsc_measure_khz(void)
{
    return 0;
}
#endif
