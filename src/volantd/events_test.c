/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of events on a store in a temporary folder. */
#include "volantd/events.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/unit.h"
#include "engine/transition.h"
#include "model/vm.h"

struct fixture {
    struct loop *loop;
    struct store *store;
    struct events *events;
    char dir[32];
};

struct reader {
    struct events_reader r;
    int woken;
};

static void count_wake(struct events_reader *r)
{
    container_of(r, struct reader, r)->woken++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct vl_error err = {0};
    char path[64];

    (void)strf(f->dir, sizeof(f->dir), "/tmp/vl-events-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)strf(path, sizeof(path), "%s/state.db", f->dir);
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(store_open(f->loop, path, &f->store, &err), 0);
    assert_int_equal(events_new(f->loop, f->store, &f->events, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    events_free(f->events);
    loop_free(f->loop);
    (void)remove_tree_at(AT_FDCWD, f->dir);
    free(f);
    return 0;
}

struct add_op {
    struct store_op op;
    const char *vm, *type;
    int n; /* in one transaction, as each costs a sync */
    bool fails;
};

static int add_run(struct store_op *op, struct store_tx *tx, struct vl_error *err)
{
    struct add_op *a = container_of(op, struct add_op, op);
    int r = 0;

    for (int i = 0; i < a->n && r == 0; i++)
        r = store_event_add(tx, 7, a->vm, a->type, "running", "a \"message\"\n", 1500, err);
    return r < 0 ? r : a->fails ? vl_fail(err, VL_CONFLICT, "rolled back") : 0;
}

static void add_many(struct fixture *f, const char *vm, const char *type, int n)
{
    struct add_op a = {.op = {.run = add_run}, .vm = vm, .type = type, .n = n};

    assert_int_equal(store_run(f->store, &a.op, NULL), 0);
}

static void add(struct fixture *f, const char *vm, const char *type)
{
    add_many(f, vm, type, 1);
}

static void join(struct fixture *f, struct reader *r, int64_t after)
{
    struct vl_error err = {0};

    r->r.wake = count_wake;
    assert_int_equal(events_join(f->events, &r->r, after, &err), 0);
}

/* The id of the next event, or minus what else there is. */
static int64_t next(struct reader *r)
{
    struct event *e = NULL;
    enum events_next n = events_next(&r->r, &e);
    int64_t id;

    if (n != EVENTS_EVENT) return -(int64_t)n;
    id = e->id;
    event_unref(e);
    return id;
}

static void every_reader_gets_what_was_committed(void **state)
{
    struct fixture *f = *state;
    struct reader one = {0}, two = {0};
    struct add_op rolled_back = {.op = {.run = add_run}, .vm = "web", .type = "VM_RUNNING", .n = 3, .fails = true};
    struct event *e = NULL;

    add(f, "web", "VM_CREATED");
    join(f, &one, 1);
    join(f, &two, 1);
    assert_int_equal(next(&one), -EVENTS_NOTHING);
    assert_true(store_run(f->store, &rolled_back.op, NULL) < 0);
    assert_int_equal(one.woken, 0);
    add(f, "web", "VM_RUNNING");
    assert_int_equal(one.woken, 1);
    assert_int_equal(two.woken, 0); /* it has not waited yet */
    assert_int_equal(events_next(&one.r, &e), EVENTS_EVENT);
    assert_string_equal(e->text, "id: 2\nevent: VM_RUNNING\ndata: {\"type\":\"VM_RUNNING\",\"name\":\"web\","
                                 "\"status\":\"running\",\"message\":\"a \\\"message\\\"\\n\","
                                 "\"timestamp\":\"1970-01-01T00:00:01.500Z\"}\n\n");
    event_unref(e);
    assert_int_equal(next(&one), -EVENTS_NOTHING);
    assert_int_equal(next(&two), 2);
    events_leave(&one.r);
    events_leave(&one.r);
    add(f, "web", "VM_STOPPED");
    assert_int_equal(next(&two), 3);
    assert_int_equal(events_last_id(f->events), 3);
    events_leave(&two.r);
}

static void a_filter_lets_others_sleep(void **state)
{
    struct fixture *f = *state;
    struct reader r = {0};

    assert_int_equal(strv_add(&r.r.filter.vms, "web"), 0);
    assert_int_equal(strv_add(&r.r.filter.types, "VM_STOPPED"), 0);
    join(f, &r, 0);
    assert_int_equal(next(&r), -EVENTS_NOTHING);
    /* It does not fall behind by what it does not want. */
    add_many(f, "other", "VM_STOPPED", EVENTS_KEPT + 10);
    add_many(f, "web", "VM_RUNNING", EVENTS_KEPT + 10);
    assert_int_equal(r.woken, 0);
    add(f, "web", "VM_STOPPED");
    assert_int_equal(r.woken, 1);
    assert_int_equal(next(&r), 2 * (EVENTS_KEPT + 10) + 1);
    assert_false(events_wants_logs(f->events, "web"));
    events_leave(&r.r);
}

static void what_was_read_from_the_store_does_not_come_again(void **state)
{
    struct fixture *f = *state;
    struct reader r = {0};

    join(f, &r, 2); /* a page of the store had these two before the loop was told */
    add(f, "web", "VM_CREATED");
    add(f, "web", "VM_STARTING");
    add(f, "web", "VM_RUNNING");
    assert_int_equal(next(&r), 3);
    events_rejoin(&r.r, 3);
    assert_int_equal(next(&r), -EVENTS_NOTHING);
    events_leave(&r.r);
}

static void who_falls_behind_is_told(void **state)
{
    struct fixture *f = *state;
    struct reader slow = {0}, large = {0};
    static char line[60000];

    join(f, &slow, 0);
    add_many(f, "web", "VM_RUNNING", EVENTS_KEPT);
    assert_int_equal(next(&slow), 1);
    add(f, "web", "VM_RUNNING"); /* the first one goes, which it has read */
    assert_int_equal(next(&slow), 2);
    add(f, "web", "VM_RUNNING");
    add(f, "web", "VM_RUNNING");
    assert_int_equal(next(&slow), -EVENTS_LOST);
    events_leave(&slow.r);

    memset(line, 'x', sizeof(line) - 1);
    join(f, &large, 0);
    assert_true(events_wants_logs(f->events, "web"));
    for (int i = 0; i < 9; i++) /* line and message: a megabyte in 9 */
        events_add_log(f->events, "web", "", "stdout", line, "");
    assert_int_equal(next(&large), -EVENTS_LOST);
    events_leave(&large.r);
}

static void log_lines_have_the_place_of_the_event_before(void **state)
{
    struct fixture *f = *state;
    struct reader r = {0};
    struct event *e = NULL;

    add(f, "web", "VM_RUNNING");
    join(f, &r, 1);
    events_add_log(f->events, "web", "192.168.127.10", "stderr", "hello", "2026-01-02T03:04:05Z");
    assert_int_equal(events_next(&r.r, &e), EVENTS_EVENT);
    assert_string_equal(e->text,
                        "id: 1\nevent: VM_LOG\ndata: {\"type\":\"VM_LOG\",\"name\":\"web\","
                        "\"status\":\"running\",\"ip_address\":\"192.168.127.10\",\"message\":\"hello\","
                        "\"stream\":\"stderr\",\"line\":\"hello\",\"timestamp\":\"2026-01-02T03:04:05Z\"}\n\n");
    event_unref(e);
    events_leave(&r.r);
}

static void readers_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct reader *many = calloc(2000, sizeof(*many));
    struct vl_error err = {0};
    size_t n = 0;

    while (n < 2000 && events_join(f->events, &many[n].r, 0, &err) == 0)
        n++;
    assert_true(n >= 1000 && n < 2000);
    assert_int_equal(err.kind, VL_UNAVAILABLE);
    while (n > 0)
        events_leave(&many[--n].r);
    free(many);
}

static void each_event_of_the_engine_can_be_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_transitions; i++) {
        size_t at = 0;

        while (event_types[at] && !str_eq(event_types[at], transitions[i].event))
            at++;
        assert_non_null(event_types[at]);
    }
}

int main(void)
{
#define with_events(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        with_events(every_reader_gets_what_was_committed),
        with_events(a_filter_lets_others_sleep),
        with_events(what_was_read_from_the_store_does_not_come_again),
        with_events(who_falls_behind_is_told),
        with_events(log_lines_have_the_place_of_the_event_before),
        with_events(readers_are_bounded),
        cmocka_unit_test(each_event_of_the_engine_can_be_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
