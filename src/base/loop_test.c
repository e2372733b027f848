/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/unit.h"

static struct loop *loop;

static int loop_make(void **state)
{
    (void)state;
    return loop_new(&loop);
}

static int loop_drop(void **state)
{
    (void)state;
    loop_free(loop);
    loop = NULL;
    return 0;
}

/* Timers. */
struct note {
    struct timer timer;
    int id;
};
static int fired[1000], n_fired;

static void fire(struct timer *t)
{
    fired[n_fired++] = container_of(t, struct note, timer)->id;
}

static void fire_and_stop(struct timer *t)
{
    fire(t);
    loop_stop(loop);
}

static void timers_fire_in_order(void **state)
{
    struct note notes[500] = {0};
    int64_t base = mono_ms() - 10000;

    (void)state;
    n_fired = 0;
    for (int i = 0; i < 500; i++) {
        notes[i].id = i * 7919 % 500; /* 7919 is prime: a permutation */
        assert_int_equal(loop_timer(loop, &notes[i].timer, base + notes[i].id, fire), 0);
    }
    for (int i = 0; i < 500; i += 3)
        loop_untimer(&notes[i].timer);
    for (int i = 1; i < 500; i += 3) { /* the other way round, behind all others */
        notes[i].id = 1000 - notes[i].id;
        assert_int_equal(loop_timer(loop, &notes[i].timer, base + notes[i].id, fire), 0);
    }
    loop_untimer(&notes[0].timer);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(n_fired, 333);
    for (int i = 1; i < n_fired; i++)
        assert_true(fired[i - 1] < fired[i]);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(n_fired, 333);
}

static void timers_are_never_early(void **state)
{
    struct note note = {.id = 1};
    int64_t at = mono_ms() + 30;

    (void)state;
    n_fired = 0;
    assert_int_equal(loop_timer(loop, &note.timer, at, fire_and_stop), 0);
    assert_int_equal(loop_run(loop), 0);
    assert_true(mono_ms() >= at);
    assert_int_equal(n_fired, 1);
}

static struct note *second_note;

static void fire_and_free_both(struct timer *t)
{
    fire(t);
    loop_untimer(&second_note->timer);
    free(second_note);
    free(container_of(t, struct note, timer));
}

static void timers_may_free_their_owners(void **state)
{
    struct note *first = calloc(1, sizeof(*first));

    (void)state;
    second_note = calloc(1, sizeof(*second_note));
    n_fired = 0;
    assert_int_equal(loop_timer(loop, &first->timer, 0, fire_and_free_both), 0);
    assert_int_equal(loop_timer(loop, &second_note->timer, 1, fire), 0);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(n_fired, 1);
}

static void fire_again_at_once(struct timer *t)
{
    fire(t);
    assert_int_equal(loop_timer(loop, t, 0, fire_again_at_once), 0);
}

static void a_timer_cannot_hold_up_the_round(void **state)
{
    struct note note = {.id = 1};

    (void)state;
    n_fired = 0;
    assert_int_equal(loop_timer(loop, &note.timer, 0, fire_again_at_once), 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(loop_step(loop, -1), 0);
        assert_int_equal(n_fired, i);
    }
    loop_untimer(&note.timer);
}

/* Descriptors. */
struct end {
    struct watch watch;
    struct end *other;
    int calls;
    uint32_t seen;
};

static void count_call(struct watch *w, uint32_t events)
{
    struct end *e = container_of(w, struct end, watch);

    e->calls++;
    e->seen = events;
}

static void events_arrive_until_unwatched(void **state)
{
    struct end e = {0};
    struct watch twice = {0};
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(loop_watch(loop, &e.watch, fds[0], EPOLLIN, count_call), 0);
    assert_int_equal(loop_watch(loop, &twice, fds[0], EPOLLIN, count_call), -EEXIST);
    assert_null(twice.loop);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(e.calls, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(loop_step(loop, -1), 0);
    assert_int_equal(e.calls, 1);
    assert_int_equal(e.seen, EPOLLIN);
    assert_int_equal(loop_rewatch(&e.watch, 0), 0);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(e.calls, 1);
    assert_int_equal(loop_rewatch(&e.watch, EPOLLIN), 0);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(e.calls, 2);
    loop_unwatch(&e.watch);
    loop_unwatch(&e.watch);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(e.calls, 2);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(loop_watch(loop, &twice, fds[0], EPOLLIN, count_call), -EBADF);
}

static int n_freed;

static void drop_both(struct watch *w, uint32_t events)
{
    struct end *e = container_of(w, struct end, watch), *other = e->other;

    (void)events;
    loop_unwatch(&e->watch);
    loop_unwatch(&other->watch);
    (void)close(e->watch.fd);
    (void)close(other->watch.fd);
    free(e);
    free(other);
    n_freed++;
}

/* Both are readable in one round: whoever comes first frees the other, whose event was already fetched. */
static void fetched_events_of_dropped_watches_are_blanked(void **state)
{
    struct end *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

    (void)state;
    if (!a || !b) abort();
    n_freed = 0;
    a->other = b;
    b->other = a;
    assert_int_equal(loop_watch(loop, &a->watch, eventfd(1, EFD_CLOEXEC), EPOLLIN, drop_both), 0);
    assert_int_equal(loop_watch(loop, &b->watch, eventfd(1, EFD_CLOEXEC), EPOLLIN, drop_both), 0);
    assert_int_equal(loop_step(loop, -1), 0);
    assert_int_equal(n_freed, 1);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(n_freed, 1);
}

static void drop_and_watch_anew(struct watch *w, uint32_t events)
{
    struct end *other = container_of(w, struct end, watch)->other;
    int fd = other->watch.fd;

    count_call(w, events);
    loop_unwatch(w);
    loop_unwatch(&other->watch);
    (void)eventfd_read(fd, &(eventfd_t){0});
    assert_int_equal(loop_watch(loop, &other->watch, fd, EPOLLIN, drop_and_watch_anew), 0);
}

/* A watch that is dropped and set anew in the same round must not get the event of its former life. */
static void rewatching_forgets_old_events(void **state)
{
    struct end a = {0}, b = {.other = &a};

    (void)state;
    a.other = &b;
    assert_int_equal(loop_watch(loop, &a.watch, eventfd(1, EFD_CLOEXEC), EPOLLIN, drop_and_watch_anew), 0);
    assert_int_equal(loop_watch(loop, &b.watch, eventfd(1, EFD_CLOEXEC), EPOLLIN, drop_and_watch_anew), 0);
    assert_int_equal(loop_step(loop, -1), 0);
    assert_int_equal(a.calls + b.calls, 1);
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(a.calls + b.calls, 1);
    loop_unwatch(&a.watch);
    loop_unwatch(&b.watch);
    (void)close(a.watch.fd);
    (void)close(b.watch.fd);
}

/* Posts and deferred calls. */
#define THREADS          4
#define POSTS_PER_THREAD 5000

static int next_of[THREADS], n_posts;
static bool out_of_order;

static void take_post(void *arg)
{
    int thread = (int)((intptr_t)arg / POSTS_PER_THREAD), number = (int)((intptr_t)arg % POSTS_PER_THREAD);

    if (next_of[thread]++ != number) out_of_order = true;
    if (++n_posts == THREADS * POSTS_PER_THREAD) loop_stop(loop);
}

static void *post_many(void *arg)
{
    for (intptr_t i = 0; i < POSTS_PER_THREAD; i++)
        if (loop_post(loop, take_post, (void *)((intptr_t)arg * POSTS_PER_THREAD + i)) < 0) break;
    return NULL;
}

static void posts_of_many_threads_arrive_in_order(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    memset(next_of, 0, sizeof(next_of));
    n_posts = 0;
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, (void *)i), 0);
    assert_int_equal(loop_run(loop), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(n_posts, THREADS * POSTS_PER_THREAD);
    assert_false(out_of_order);
}

static char order[16];

static void add_letter(void *arg)
{
    order[strlen(order)] = *(const char *)arg;
}

static void post_again(void *arg)
{
    add_letter(arg);
    if (strlen(order) < 4) assert_int_equal(loop_post(loop, post_again, arg), 0);
}

static void posts_made_by_posts_are_for_the_next_round(void **state)
{
    (void)state;
    memset(order, 0, sizeof(order));
    assert_int_equal(loop_post(loop, post_again, "a"), 0);
    for (size_t i = 1; i <= 4; i++) {
        assert_int_equal(loop_step(loop, 1000), 0);
        assert_int_equal(strlen(order), i);
    }
    assert_int_equal(loop_step(loop, 0), 0);
    assert_int_equal(strlen(order), 4);
}

static void flush_all(void *arg)
{
    add_letter(arg);
    loop_flush_posts(loop);
    add_letter("|");
}

static void posts_can_be_flushed(void **state)
{
    struct post posts[4] = {{.fn = flush_all, .arg = "a"},
                            {.fn = add_letter, .arg = "b"},
                            {.fn = add_letter, .arg = "c"},
                            {.fn = add_letter, .arg = "d"}};

    (void)state;
    memset(order, 0, sizeof(order));
    for (int i = 0; i < 3; i++)
        loop_post_node(loop, &posts[i]);
    assert_int_equal(loop_step(loop, 1000), 0); /* flushes from within */
    assert_string_equal(order, "abc|");
    loop_post_node(loop, &posts[3]);
    loop_flush_posts(loop);
    assert_string_equal(order, "abc|d");
    assert_int_equal(loop_step(loop, 0), 0); /* an empty wake-up does no harm */
    loop_post_node(loop, &posts[3]);
    assert_int_equal(loop_step(loop, 1000), 0);
    assert_string_equal(order, "abc|dd");
}

static void defer_again(void *arg)
{
    add_letter(arg);
    if (strlen(order) < 3) assert_int_equal(loop_defer(loop, defer_again, arg), 0);
}

static void defer_from_timer(struct timer *t)
{
    (void)t;
    assert_int_equal(loop_defer(loop, defer_again, "d"), 0);
    add_letter("t");
}

static void deferred_calls_end_the_round(void **state)
{
    struct timer t = {0};

    (void)state;
    memset(order, 0, sizeof(order));
    assert_int_equal(loop_timer(loop, &t, 0, defer_from_timer), 0);
    assert_int_equal(loop_step(loop, -1), 0);
    assert_string_equal(order, "td");
    assert_int_equal(loop_step(loop, -1), 0); /* does not wait: one is left */
    assert_string_equal(order, "tdd");
    assert_int_equal(loop_defer(loop, add_letter, "x"), 0); /* what is left over is freed */
}

static int got_signal;

static void take_signal(int signo, void *arg)
{
    got_signal = got_signal * 100 + signo;
    if (arg) loop_stop(arg);
}

static void signals_arrive(void **state)
{
    static const int signals[] = {SIGUSR1, SIGUSR2};

    (void)state;
    got_signal = 0;
    assert_int_equal(signals_block((const int[]){4711}, 1), -EINVAL);
    assert_int_equal(loop_signals(loop, (const int[]){-1}, 1, take_signal, NULL), -EINVAL);
    assert_int_equal(signals_block(signals, 2), 0);
    assert_int_equal(loop_signals(loop, signals, 1, take_signal, NULL), 0);
    assert_int_equal(loop_signals(loop, signals + 1, 1, take_signal, loop), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(loop_step(loop, 1000), 0);
    assert_int_equal(kill(getpid(), SIGUSR2), 0);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(got_signal, SIGUSR1 * 100 + SIGUSR2);
}

static void an_idle_loop_does_not_wake(void **state)
{
    struct note note = {.id = 1};
    struct rusage before, after;
    struct end e = {0};

    (void)state;
    n_fired = 0;
    e.watch.fd = -1;
    assert_int_equal(loop_watch(loop, &e.watch, eventfd(0, EFD_CLOEXEC), EPOLLIN, count_call), 0);
    assert_int_equal(loop_timer(loop, &note.timer, mono_ms() + 300, fire_and_stop), 0);
    assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
    /* one sleep, and one more should the clock tick over between the two reads */
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 2);
    loop_unwatch(&e.watch);
    (void)close(e.watch.fd);
}

static void stop_before_run_counts(void **state)
{
    (void)state;
    loop_stop(loop);
    assert_int_equal(loop_run(loop), 0);
    loop_free(NULL);
}

#define loop_test(f) cmocka_unit_test_setup_teardown(f, loop_make, loop_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(timers_fire_in_order),
        loop_test(timers_are_never_early),
        loop_test(timers_may_free_their_owners),
        loop_test(a_timer_cannot_hold_up_the_round),
        loop_test(events_arrive_until_unwatched),
        loop_test(fetched_events_of_dropped_watches_are_blanked),
        loop_test(rewatching_forgets_old_events),
        loop_test(posts_of_many_threads_arrive_in_order),
        loop_test(posts_made_by_posts_are_for_the_next_round),
        loop_test(posts_can_be_flushed),
        loop_test(deferred_calls_end_the_round),
        loop_test(signals_arrive),
        loop_test(an_idle_loop_does_not_wake),
        loop_test(stop_before_run_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
