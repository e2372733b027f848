/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, and dates by arithmetic: gmtime would bring libc's time zones into PID 1. */
#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#define DAY_S 86400
/* Days of the Gregorian calendar's full cycle, and of its parts. */
#define DAYS_400Y 146097
#define DAYS_100Y 36524
#define DAYS_4Y   1461

static int64_t now_us(clockid_t clock)
{
    struct timespec t = {0};

    (void)clock_gettime(clock, &t); /* cannot fail for the two clocks used here */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t mono_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

/* Quotient and remainder as of a floor division by a positive number, so that times before 1970 are right too. */
static int64_t floor_div(int64_t a, int64_t b, int64_t *ret_rest)
{
    int64_t q = a / b, rest = a % b;

    if (rest < 0) {
        rest += b;
        q--;
    }
    *ret_rest = rest;
    return q;
}

/*
 * Years are counted from 1 March 2000: each begins a cycle of 400, 100, 4 years and 1 year whose extra day, if any,
 * comes last, so that plain divisions find the year.
 */
static void civil_date(int64_t days_since_1970, int64_t *ret_year, int *ret_month, int *ret_day)
{
    static const int month_days[] = {31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29}; /* March to February */
    int64_t day, year = 2000, part;
    int month = 0;

    year += 400 * floor_div(days_since_1970 - 11017, DAYS_400Y, &day);
    part = day / DAYS_100Y < 3 ? day / DAYS_100Y : 3;
    year += 100 * part;
    day -= part * DAYS_100Y;
    part = day / DAYS_4Y;
    year += 4 * part;
    day -= part * DAYS_4Y;
    part = day / 365 < 3 ? day / 365 : 3;
    year += part;
    day -= part * 365;
    while (day >= month_days[month])
        day -= month_days[month++];
    *ret_year = month < 10 ? year : year + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_day = (int)day + 1;
}

void format_time(int64_t wall_ms, char buf[static 32])
{
    int64_t ms, second, year, days = floor_div(floor_div(wall_ms, 1000, &ms), DAY_S, &second);
    int month, day, n;

    civil_date(days, &year, &month, &day);
    n = snprintf(buf, 32, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)year, month, day, (int)second / 3600,
                 (int)second / 60 % 60, (int)second % 60);
    if (ms) n += snprintf(buf + n, 32 - (size_t)n, ".%03d", (int)ms);
    (void)snprintf(buf + n, 32 - (size_t)n, "Z");
}

int deadline_left(int64_t deadline_ms)
{
    int64_t left;

    if (deadline_ms < 0) return -1;
    left = deadline_ms - mono_ms();
    if (left < 0) return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

void pause_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}
