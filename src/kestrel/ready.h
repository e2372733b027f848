/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When is the workload ready? Once its port accepts a connection. Tried from inside the machine, soon at first and then
 * ever more rarely; afterwards there is no timer any more.
 */
#pragma once
#include <netinet/in.h>

#include "base/loop.h"

#define READY_DELAY_MAX_MS 50

struct ready {
    struct loop *loop;
    struct timer timer;
    struct watch watch; /* of the attempt under way */
    int fd;             /* -1: none */
    unsigned tries;
    int64_t began_ms;
    struct sockaddr_in to;
    void (*done)(void *arg); /* once */
    void *arg;
};

/*
 * Milliseconds from attempt number `tries` (from 0) to the next: 1, 2, 4, then a sixteenth of what has passed, at least
 * 4 and at most 50. So an attempt never comes later than about 6 % of the time the workload took to start.
 */
int64_t ready_delay(unsigned tries, int64_t elapsed_ms);
/* addr in host byte order. `done` comes from the loop, never from within this call. */
void ready_start(struct ready *r, struct loop *l, uint32_t addr, uint16_t port, void (*done)(void *arg), void *arg);
void ready_stop(struct ready *r); /* idempotent; zero-initialised with fd -1 is fine */
