/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop. A round is: wait until the next timer at most, descriptors, timers that are due, deferred calls.
 * Callbacks may free what they belong to, so nothing of a watch, timer or post is touched once its function was called,
 * and events already fetched for a dropped watch are blanked.
 */
#include "base/loop.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/clock.h"

#define EVENTS_PER_ROUND 64

struct post_list {
    struct post *first, **end;
    size_t n;
};

struct signal_source {
    struct watch watch;
    void (*fn)(int signo, void *arg);
    void *arg;
    struct signal_source *next;
};

struct loop {
    int epoll_fd;
    bool stopped, in_round;
    struct epoll_event events[EVENTS_PER_ROUND]; /* of this round; data.ptr NULL where the watch was dropped */
    int n_events, at_event;
    struct timer **heap; /* by at_ms, from [1]; [n / 2] is the parent of [n] */
    size_t n_timers, cap_timers;
    struct post_list deferred;
    struct signal_source *signals;
    struct watch wake;    /* eventfd, written when `posts` stops being empty */
    pthread_mutex_t lock; /* guards `posts` alone */
    struct post_list posts;
};

static void list_push(struct post_list *list, struct post *p)
{
    p->next = NULL;
    if (!list->first) list->end = &list->first;
    *list->end = p;
    list->end = &p->next;
    list->n++;
}

static struct post *list_pop(struct post_list *list)
{
    struct post *p = list->first;

    if (!p) return NULL;
    list->first = p->next;
    list->n--;
    return p;
}

static struct post *post_new(void (*fn)(void *arg), void *arg)
{
    struct post *p = malloc(sizeof(*p));

    if (p) *p = (struct post){.fn = fn, .arg = arg, .owned = true};
    return p;
}

static void post_run(struct post *p)
{
    void (*fn)(void *arg) = p->fn;
    void *arg = p->arg;

    if (p->owned) free(p);
    fn(arg);
}

static void list_done(struct post_list *list)
{
    struct post *p;

    while ((p = list_pop(list)))
        if (p->owned) free(p);
}

static void wake_up(struct loop *l)
{
    uint64_t one = 1;

    (void)!write(l->wake.fd, &one, sizeof(one)); /* full means that it is readable already */
}

/* What is posted meanwhile is for the next round, or this one might never end. One by one, for a post may flush too. */
void loop_flush_posts(struct loop *l)
{
    struct post *p;
    size_t n;

    (void)pthread_mutex_lock(&l->lock);
    n = l->posts.n;
    (void)pthread_mutex_unlock(&l->lock);
    for (; n > 0; n--) {
        (void)pthread_mutex_lock(&l->lock);
        p = list_pop(&l->posts);
        (void)pthread_mutex_unlock(&l->lock);
        if (!p) break;
        post_run(p);
    }
}

static void run_posts(struct watch *w, uint32_t events)
{
    struct loop *l = w->loop;
    uint64_t count;

    (void)events;
    (void)!read(w->fd, &count, sizeof(count));
    loop_flush_posts(l);
    (void)pthread_mutex_lock(&l->lock);
    if (l->posts.n > 0) wake_up(l);
    (void)pthread_mutex_unlock(&l->lock);
}

void loop_post_node(struct loop *l, struct post *p)
{
    bool first;

    (void)pthread_mutex_lock(&l->lock);
    first = l->posts.n == 0;
    list_push(&l->posts, p);
    /* Under the lock: otherwise the loop could run the post, and free the loop, before the write. */
    if (first) wake_up(l);
    (void)pthread_mutex_unlock(&l->lock);
}

int loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct post *p = post_new(fn, arg);

    if (!p) return -ENOMEM;
    loop_post_node(l, p);
    return 0;
}

int loop_defer(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct post *p = post_new(fn, arg);

    if (!p) return -ENOMEM;
    list_push(&l->deferred, p);
    return 0;
}

int loop_new(struct loop **ret)
{
    auto_(loop_freep) struct loop *l = calloc(1, sizeof(*l));
    int r;

    if (!l) return -ENOMEM;
    (void)pthread_mutex_init(&l->lock, NULL);
    l->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->wake.fd < 0 || l->epoll_fd < 0) return -errno;
    if ((r = loop_watch(l, &l->wake, l->wake.fd, EPOLLIN, run_posts)) < 0) return r;
    *ret = take_ptr(l);
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l) return;
    for (struct signal_source *s = l->signals, *next; s; s = next) {
        next = s->next;
        closep(&s->watch.fd);
        free(s);
    }
    list_done(&l->posts);
    list_done(&l->deferred);
    (void)pthread_mutex_destroy(&l->lock);
    closep(&l->wake.fd);
    closep(&l->epoll_fd);
    free(l->heap);
    free(l);
}

int loop_watch(struct loop *l, struct watch *w, int fd, uint32_t events, void (*fn)(struct watch *w, uint32_t events))
{
    struct epoll_event event = {.events = events, .data.ptr = w};

    assert(!w->loop);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) return -errno;
    *w = (struct watch){.fd = fd, .fn = fn, .events = events, .loop = l};
    return 0;
}

int loop_rewatch(struct watch *w, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = w};

    if (events == w->events) return 0;
    if (epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &event) < 0) return -errno;
    w->events = events;
    return 0;
}

void loop_unwatch(struct watch *w)
{
    struct loop *l = w->loop;

    if (!l) return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = l->at_event; i < l->n_events; i++)
        if (l->events[i].data.ptr == w) l->events[i].data.ptr = NULL;
    w->loop = NULL;
}

static void heap_put(struct loop *l, size_t index, struct timer *t)
{
    l->heap[index] = t;
    t->index = index;
}

/* Finds the place for t, beginning at an empty `index`: towards the root, then towards the leaves. */
static void heap_place(struct loop *l, size_t index, struct timer *t)
{
    size_t child;

    while (index > 1 && l->heap[index / 2]->at_ms > t->at_ms) {
        heap_put(l, index, l->heap[index / 2]);
        index /= 2;
    }
    while ((child = 2 * index) <= l->n_timers) {
        if (child < l->n_timers && l->heap[child + 1]->at_ms < l->heap[child]->at_ms) child++;
        if (l->heap[child]->at_ms >= t->at_ms) break;
        heap_put(l, index, l->heap[child]);
        index = child;
    }
    heap_put(l, index, t);
}

int loop_timer(struct loop *l, struct timer *t, int64_t at_mono_ms, void (*fn)(struct timer *t))
{
    if (t->index == 0) {
        if (l->n_timers + 1 >= l->cap_timers) {
            size_t cap = l->cap_timers ? 2 * l->cap_timers : 16;
            struct timer **heap = reallocarray(l->heap, cap, sizeof(struct timer *));

            if (!heap) return -ENOMEM;
            l->heap = heap;
            l->cap_timers = cap;
        }
        t->loop = l;
        t->index = ++l->n_timers;
    }
    t->fn = fn;
    t->at_ms = at_mono_ms;
    heap_place(l, t->index, t);
    return 0;
}

void loop_untimer(struct timer *t)
{
    struct loop *l = t->loop;
    struct timer *last;

    if (t->index == 0) return;
    last = l->heap[l->n_timers--];
    if (last != t) heap_place(l, t->index, last);
    t->index = 0;
}

/* At most as many as there are now: a timer that arms itself anew for "at once" must not keep descriptors waiting. */
static void run_timers(struct loop *l)
{
    int64_t now = mono_ms();

    for (size_t n = l->n_timers; n > 0 && l->n_timers > 0 && l->heap[1]->at_ms <= now; n--) {
        struct timer *t = l->heap[1];

        loop_untimer(t);
        t->fn(t);
    }
}

static void run_deferred(struct loop *l)
{
    struct post *p;

    for (size_t n = l->deferred.n; n > 0 && (p = list_pop(&l->deferred)); n--)
        post_run(p);
}

static int round_timeout(const struct loop *l, int timeout_ms)
{
    int left;

    if (l->deferred.n > 0) return 0;
    if (l->n_timers == 0) return timeout_ms;
    left = deadline_left(l->heap[1]->at_ms > 0 ? l->heap[1]->at_ms : 0);
    return timeout_ms < 0 || left < timeout_ms ? left : timeout_ms;
}

int loop_step(struct loop *l, int timeout_ms)
{
    int n;

    assert(!l->in_round); /* the events of the outer round would be overwritten */
    n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_ROUND, round_timeout(l, timeout_ms));
    if (n < 0 && errno != EINTR) return -errno;
    l->in_round = true;
    l->n_events = n < 0 ? 0 : n;
    for (l->at_event = 0; l->at_event < l->n_events;) {
        const struct epoll_event *event = &l->events[l->at_event++];
        struct watch *w = event->data.ptr;

        if (w) w->fn(w, event->events);
    }
    run_timers(l);
    run_deferred(l);
    l->in_round = false;
    return 0;
}

int loop_run(struct loop *l)
{
    int r = 0;

    while (!l->stopped && r == 0)
        r = loop_step(l, -1);
    l->stopped = false;
    return r;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

static int signal_set(const int *signals, size_t n, sigset_t *ret)
{
    (void)sigemptyset(ret);
    for (size_t i = 0; i < n; i++)
        if (sigaddset(ret, signals[i]) < 0) return -errno;
    return 0;
}

int signals_block(const int *signals, size_t n)
{
    sigset_t set;
    int r = signal_set(signals, n, &set);

    return r < 0 ? r : -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* One in a round, for the callback may free anything; what is left makes the next round. */
static void read_signal(struct watch *w, uint32_t events)
{
    struct signal_source *s = container_of(w, struct signal_source, watch);
    struct signalfd_siginfo info;

    (void)events;
    if (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) s->fn((int)info.ssi_signo, s->arg);
}

int loop_signals(struct loop *l, const int *signals, size_t n, void (*fn)(int signo, void *arg), void *arg)
{
    struct signal_source *s;
    auto_close int fd = -1;
    sigset_t set;
    int r;

    if ((r = signal_set(signals, n, &set)) < 0) return r;
    if ((fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) return -errno;
    if (!(s = malloc(sizeof(*s)))) return -ENOMEM;
    *s = (struct signal_source){.fn = fn, .arg = arg, .next = l->signals};
    if ((r = loop_watch(l, &s->watch, fd, EPOLLIN, read_signal)) < 0) {
        free(s);
        return r;
    }
    (void)take_fd(&fd);
    l->signals = s;
    return 0;
}
