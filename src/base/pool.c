/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers. Nothing here can fail after a job was accepted: job and thread carry the post that reports their end. A
 * thread that had nothing to do for a while takes itself out of the count, and is joined when its post arrives on the
 * loop.
 */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

struct worker {
    pthread_t thread;
    struct pool *pool;
    struct post post;
};

struct pool {
    struct loop *loop;
    unsigned width;
    int idle_ms;
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* a job was queued, `stopping`, or then a thread ended */
    struct job *first, **end;
    unsigned n_queued, n_threads, n_idle;
    bool stopping;
};

static void job_ended(void *arg)
{
    struct job *j = arg;

    j->done(j, false);
}

static void worker_ended(void *arg)
{
    struct worker *w = arg;

    (void)pthread_join(w->thread, NULL);
    free(w);
}

static struct job *pop_job(struct pool *p)
{
    struct job *j = p->first;

    if (!j) return NULL;
    p->first = j->next;
    if (!p->first) p->end = &p->first;
    p->n_queued--;
    return j;
}

/* With the lock held: the next job, or NULL when this thread shall end. */
static struct job *wait_for_job(struct pool *p)
{
    int64_t until = mono_ms() + p->idle_ms;
    struct timespec until_time = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    struct job *j;
    int r = 0;

    p->n_idle++;
    while (!(j = pop_job(p)) && !p->stopping && r == 0)
        r = pthread_cond_timedwait(&p->changed, &p->lock, &until_time);
    p->n_idle--;
    return j;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    struct job *j;

    log_set_thread("worker");
    (void)pthread_mutex_lock(&p->lock);
    while ((j = wait_for_job(p))) {
        (void)pthread_mutex_unlock(&p->lock);
        j->run(j);
        loop_post_node(p->loop, &j->post);
        (void)pthread_mutex_lock(&p->lock);
    }
    p->n_threads--;
    loop_post_node(p->loop, &w->post);
    if (p->stopping) (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* With the lock held. Signals are for the loop's signalfd: a thread is born with all of them blocked. */
static int worker_start(struct pool *p)
{
    struct worker *w = malloc(sizeof(*w));
    sigset_t all, before;
    int r;

    if (!w) return -ENOMEM;
    *w = (struct worker){.pool = p, .post = {.fn = worker_ended, .arg = w}};
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&w->thread, NULL, worker_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        free(w);
        return -r;
    }
    p->n_threads++;
    return 0;
}

int pool_submit(struct pool *p, struct job *j)
{
    bool accepted;

    (void)pthread_mutex_lock(&p->lock);
    if (!p->stopping && p->n_queued >= p->n_idle && p->n_threads < p->width) (void)worker_start(p);
    accepted = !p->stopping && p->n_threads > 0; /* if no thread could be added, those that are there come to it */
    if (accepted) {
        j->post = (struct post){.fn = job_ended, .arg = j};
        j->next = NULL;
        *p->end = j;
        p->end = &j->next;
        p->n_queued++;
        (void)pthread_cond_signal(&p->changed);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return accepted ? 0 : -EAGAIN;
}

int pool_new(struct loop *l, unsigned width, int idle_ms, struct pool **ret)
{
    struct pool *p = calloc(1, sizeof(*p));
    pthread_condattr_t attr;

    if (!p) return -ENOMEM;
    p->loop = l;
    p->width = width;
    p->idle_ms = idle_ms;
    p->end = &p->first;
    (void)pthread_mutex_init(&p->lock, NULL); /* this and the next four cannot fail in glibc */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    *ret = p;
    return 0;
}

void pool_free(struct pool *p)
{
    struct job *cancelled, *next;

    if (!p) return;
    (void)pthread_mutex_lock(&p->lock);
    cancelled = p->first;
    p->first = NULL;
    p->end = &p->first;
    p->n_queued = 0;
    p->stopping = true;
    (void)pthread_cond_broadcast(&p->changed);
    while (p->n_threads > 0)
        (void)pthread_cond_wait(&p->changed, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
    loop_flush_posts(p->loop); /* ends the jobs and joins the threads */
    for (; cancelled; cancelled = next) {
        next = cancelled->next;
        cancelled->done(cancelled, true);
    }
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
