/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: blocking jobs off the loop thread. A job is owned by the pool until `done` runs, on the loop. */
#pragma once
#include "base/loop.h"

struct pool;
/* Threads start on demand, at most `width`, and end after `idle_ms` without work (so an idle daemon has none). */
int pool_new(struct loop *l, unsigned width, int idle_ms, struct pool **ret);
/*
 * On the loop thread. Waits for running jobs (each has its own deadlines), then delivers what was posted to the loop:
 * when it returns, every job's `done` has run, for those that were not begun with cancelled = true.
 */
void pool_free(struct pool *p);
DEFINE_AUTO(struct pool *, pool_free)

struct job {
    void (*run)(struct job *j); /* on a worker: plain blocking code with deadlines */
    /* on the loop thread, after what `run` posted there; owns j from here */
    void (*done)(struct job *j, bool cancelled);
    struct job *next; /* private */
    struct post post; /* private: brings `done` to the loop */
};
/*
 * Loop thread only. -EAGAIN if no thread could be started or the pool is being freed (nothing was queued: the caller
 * still owns the job).
 */
int pool_submit(struct pool *p, struct job *j);
