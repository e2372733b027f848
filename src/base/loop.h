/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll, timers, signals, and calls posted from other threads. One thread runs it and owns every object
 * whose callbacks it calls; only loop_post and loop_post_node may be called from elsewhere. With nothing due it sleeps
 * without waking.
 */
#pragma once
#include <sys/epoll.h>

#include "base/defs.h"

struct loop;
int loop_new(struct loop **ret);
void loop_free(struct loop *l); /* watches, timers and undelivered posts must be gone; NULL is fine */
DEFINE_AUTO(struct loop *, loop_free)
/* Runs until loop_stop; -errno only if epoll itself fails. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
/*
 * One round: waits at most timeout_ms (-1: until something happens). For tests and for programs with a loop of their
 * own; not from a callback.
 */
int loop_step(struct loop *l, int timeout_ms);

/*
 * A watched descriptor, embedded in its owner and zero before its first use. The descriptor stays the owner's, who
 * drops the watch before closing it; a callback may drop any watch and free any owner, its own too.
 */
struct watch {
    int fd;
    void (*fn)(struct watch *w, uint32_t events);
    uint32_t events;   /* private */
    struct loop *loop; /* private; NULL when not watched */
};
/* events: EPOLLIN | EPOLLOUT | EPOLLET ...; fn and w->fd are set here. One watch for a descriptor (-EEXIST). */
int loop_watch(struct loop *l, struct watch *w, int fd, uint32_t events, void (*fn)(struct watch *w, uint32_t events));
int loop_rewatch(struct watch *w, uint32_t events); /* change events; no system call if they are the same */
void loop_unwatch(struct watch *w); /* idempotent; no event is delivered after it, not even one already fetched */

/* A one-shot timer, embedded in its owner; zero-initialised is unarmed. */
struct timer {
    void (*fn)(struct timer *t);
    int64_t at_ms;     /* private */
    size_t index;      /* private: place in the heap, from 1 */
    struct loop *loop; /* private */
};
int loop_timer(struct loop *l, struct timer *t, int64_t at_mono_ms, void (*fn)(struct timer *t)); /* re-arms if armed */
void loop_untimer(struct timer *t);                                                               /* idempotent */

/* From any thread: `fn(arg)` runs on the loop thread, in order of posting. -ENOMEM; never blocks. */
int loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* A post that its owner provides, and that therefore cannot fail. fn and arg are the owner's to set; fn may free it. */
struct post {
    void (*fn)(void *arg);
    void *arg;
    struct post *next; /* private */
    bool owned;        /* private: by the loop */
};
/* From any thread, in one order with loop_post. A post may be queued again once its fn has begun. */
void loop_post_node(struct loop *l, struct post *p);
/* Loop thread only: runs now, before anything else, what was posted up to here. */
void loop_flush_posts(struct loop *l);
/* Runs `fn(arg)` at the end of this round, before the next wait. Loop thread only. */
int loop_defer(struct loop *l, void (*fn)(void *arg), void *arg);

/* Signals that main blocked by signals_block before the first thread, read by a signalfd: fn runs on the loop. */
int signals_block(const int *signals, size_t n);
int loop_signals(struct loop *l, const int *signals, size_t n, void (*fn)(int signo, void *arg), void *arg);

/* The struct that embeds a member, as in a callback that gets its watch or timer. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
