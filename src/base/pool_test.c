/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unit.h"

static struct loop *loop;
static struct pool *pool;
static pthread_t loop_thread;
static size_t other_threads;
static int n_done, n_cancelled, expected;
static atomic_int n_begun, n_running, max_running, gate_opens_in_ms = 5000;
static atomic_bool gate;
static bool wrong_thread, signals_open;

struct task {
    struct job job;
    int value, posted;
};

static void sleep_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    (void)nanosleep(&t, NULL);
}

/* Workers, that is threads without the test's own and a sanitizer's. */
static size_t count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d)) /* NOLINT(concurrency-mt-unsafe) */
        n++;
    (void)closedir(d);
    return n - 2 - other_threads;
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* A sanitizer begins its own thread with the first of ours. */
static int count_other_threads(void **state)
{
    pthread_t thread;

    (void)state;
    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0 || pthread_join(thread, NULL) != 0) return -1;
    sleep_ms(5);
    other_threads = count_threads();
    return 0;
}

static int make(void **state)
{
    (void)state;
    loop_thread = pthread_self();
    n_done = n_cancelled = 0;
    atomic_store(&n_begun, 0);
    atomic_store(&max_running, 0);
    atomic_store(&gate, false);
    return loop_new(&loop);
}

static int drop(void **state)
{
    (void)state;
    loop_free(loop);
    loop = NULL;
    return 0;
}

static void task_posted(void *arg)
{
    ((struct task *)arg)->posted++;
}

static void task_run(struct job *j)
{
    struct task *t = container_of(j, struct task, job);
    int running = atomic_fetch_add(&n_running, 1) + 1, max = atomic_load(&max_running);
    sigset_t mask;

    while (running > max && !atomic_compare_exchange_weak(&max_running, &max, running))
        ;
    if (pthread_equal(pthread_self(), loop_thread)) wrong_thread = true;
    if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0 || !sigismember(&mask, SIGTERM)) signals_open = true;
    t->value *= 2;
    (void)loop_post(loop, task_posted, t); /* comes before done */
    (void)atomic_fetch_sub(&n_running, 1);
}

static void task_run_gated(struct job *j)
{
    (void)atomic_fetch_add(&n_begun, 1);
    for (int i = 0; i < atomic_load(&gate_opens_in_ms) && !atomic_load(&gate); i++)
        sleep_ms(1);
    task_run(j);
}

static void task_done(struct job *j, bool cancelled)
{
    struct task *t = container_of(j, struct task, job);

    if (!pthread_equal(pthread_self(), loop_thread)) wrong_thread = true;
    n_done++;
    n_cancelled += cancelled;
    assert_int_equal(t->value % 2, cancelled ? 1 : 0);
    assert_int_equal(t->posted, cancelled ? 0 : 1);
    free(t);
    if (n_done == expected) loop_stop(loop);
}

static void submit(void (*run)(struct job *j), void (*done)(struct job *j, bool cancelled))
{
    struct task *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    t->value = 21;
    t->job.run = run;
    t->job.done = done;
    assert_int_equal(pool_submit(pool, &t->job), 0);
}

static void many_jobs_are_done_on_the_loop(void **state)
{
    (void)state;
    assert_int_equal(pool_new(loop, 3, 1000, &pool), 0);
    assert_int_equal(count_threads(), 0);
    expected = 2000;
    for (int i = 0; i < expected; i++)
        submit(task_run, task_done);
    assert_in_range(count_threads(), 1, 3);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(n_done, 2000);
    assert_int_equal(n_cancelled, 0);
    assert_in_range(atomic_load(&max_running), 1, 3);
    assert_false(wrong_thread);
    assert_false(signals_open);
    pool_free(pool);
    assert_int_equal(count_threads(), 0);
}

static void jobs_run_in_parallel_up_to_the_width(void **state)
{
    (void)state;
    assert_int_equal(pool_new(loop, 4, 1000, &pool), 0);
    expected = 9;
    for (int i = 0; i < expected; i++)
        submit(task_run_gated, task_done);
    assert_int_equal(count_threads(), 4);
    atomic_store(&gate, true);
    assert_int_equal(loop_run(loop), 0);
    assert_int_equal(n_done, 9);
    pool_free(pool);
}

static void an_idle_thread_takes_the_next_job(void **state)
{
    (void)state;
    assert_int_equal(pool_new(loop, 4, 10000, &pool), 0);
    for (int i = 1; i <= 5; i++) {
        expected = i;
        submit(task_run, task_done);
        assert_int_equal(loop_run(loop), 0);
        for (int tries = 0; tries < 20; tries++) /* until it waits again */
            sleep_ms(1);
        assert_int_equal(count_threads(), 1);
    }
    pool_free(pool);
}

static void threads_end_when_idle_and_come_back(void **state)
{
    (void)state;
    assert_int_equal(pool_new(loop, 2, 20, &pool), 0);
    for (int round = 1; round <= 2; round++) {
        int64_t deadline = mono_ms() + 10000;

        expected = 4 * round;
        for (int i = 0; i < 4; i++)
            submit(task_run_gated, task_done);
        assert_int_equal(count_threads(), 2);
        atomic_store(&gate, true);
        assert_int_equal(loop_run(loop), 0);
        while (count_threads() > 0 && mono_ms() < deadline)
            assert_int_equal(loop_step(loop, 20), 0);
        assert_int_equal(count_threads(), 0);
        atomic_store(&gate, false);
    }
    assert_int_equal(n_done, 8);
    pool_free(pool);
}

/* Also for jobs that ended and posted, but were not delivered yet. */
static void freeing_finishes_what_runs_and_cancels_the_rest(void **state)
{
    (void)state;
    assert_int_equal(pool_new(loop, 2, 1000, &pool), 0);
    submit(task_run, task_done);
    sleep_ms(20);
    for (int i = 0; i < 2; i++)
        submit(task_run_gated, task_done);
    for (int i = 0; i < 5000 && atomic_load(&n_begun) < 2; i++)
        sleep_ms(1);
    for (int i = 0; i < 8; i++)
        submit(task_run_gated, task_done);
    assert_int_equal(n_done, 0);
    gate_opens_in_ms = 30;
    pool_free(pool);
    gate_opens_in_ms = 5000;
    assert_int_equal(n_done, 11);
    assert_int_equal(n_cancelled, 8);
    assert_int_equal(count_threads(), 0);
    assert_int_equal(loop_step(loop, 0), 0);
    pool_free(NULL);
}

static void submit_more(struct job *j, bool cancelled)
{
    struct task again = {.job = {.run = task_run, .done = task_done}};

    assert_int_equal(pool_submit(pool, &again.job), -EAGAIN);
    task_done(j, cancelled);
}

static void nothing_is_accepted_while_freeing(void **state)
{
    (void)state;
    assert_int_equal(pool_new(loop, 1, 1000, &pool), 0);
    submit(task_run, submit_more);
    pool_free(pool);
    assert_int_equal(n_done, 1);
}

#define pool_test(f) cmocka_unit_test_setup_teardown(f, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pool_test(many_jobs_are_done_on_the_loop),
        pool_test(jobs_run_in_parallel_up_to_the_width),
        pool_test(an_idle_thread_takes_the_next_job),
        pool_test(threads_end_when_idle_and_come_back),
        pool_test(freeing_finishes_what_runs_and_cancels_the_rest),
        pool_test(nothing_is_accepted_while_freeing),
    };

    return cmocka_run_group_tests(tests, count_other_threads, NULL);
}
