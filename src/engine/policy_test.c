/* SPDX-License-Identifier: Apache-2.0 */
/* Restart policy, boot slots, pause and observation, with the VMM of the engine's tests. */
#include "engine/testhost.h"

#include "engine/vm.h"

/* --- what a policy makes of an end ----------------------------------------------------------------------------------
 */

static void what_follows_an_end(void **state)
{
    static const struct {
        const char *vm, *manifest; /* policies */
        enum vm_status end, next;
        int64_t before; /* restarts so far */
        const char *says;
    } table[] = {
        {NULL, NULL, VM_CRASHED, VM_CRASHED, 0, "why"},
        {"no", "always", VM_CRASHED, VM_CRASHED, 0, "why"},
        {NULL, "always", VM_STOPPED, VM_PENDING, 0, "starting again in 0.0 s (1 of 3)"},
        {"always", "no", VM_CRASHED, VM_PENDING, 1, "(2 of 3): why"},
        {"on-failure", NULL, VM_STOPPED, VM_STOPPED, 0, "why"},
        {"on-failure", NULL, VM_CRASHED, VM_PENDING, 2, "(3 of 3)"},
        {"on-failure", NULL, VM_FAILED, VM_PENDING, 0, "(1 of 3)"},
        {"always", NULL, VM_FAILED, VM_FAILED, 3, "crash_loop: ended 4 times in a row, last: why"},
    };
    struct host *h = *state;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vm vm = {.engine = h->engine, .row = {.name = (char *)"v", .restarts = table[i].before}};
        struct verdict v = {.status = table[i].end, .event = "VM_CRASHED", .reason = "why"};
        struct vm_change c = {.restarts = -1, .not_before_ms = -1, .desire = DESIRE_RUNNING};
        char reason[600];

        vm.config.restart = (char *)table[i].vm;
        vm.manifest.restart = (char *)table[i].manifest;
        vm_restart_decide(&vm, &v, &c, reason, sizeof(reason));
        if (c.status != table[i].next || !strstr(c.reason, table[i].says))
            fail_msg("row %zu: %s, '%s'", i, vm_status_name(c.status), c.reason);
        assert_int_equal(c.restarts, c.status == VM_PENDING ? table[i].before + 1 : -1);
        assert_int_equal(c.desire, c.status == VM_PENDING ? DESIRE_RUNNING : DESIRE_STOPPED);
        if (c.status == VM_PENDING) {
            int64_t delay = c.not_before_ms - wall_ms(), longest = 20 << table[i].before;

            assert_true(delay > longest - 20 && delay <= (longest < 100 ? longest : 100));
        }
    }
}

static void staying_up_forgets_what_was(void **state)
{
    struct host *h = *state;
    struct vm vm = {.engine = h->engine, .row = {.name = (char *)"v", .restarts = 3}};
    const struct verdict v = {.status = VM_CRASHED, .event = "VM_CRASHED", .reason = "why"};
    struct vm_change c = {.restarts = -1};
    char reason[600];

    vm.config.restart = (char *)"always";
    vm.row.started_ms = wall_ms() - 60000;
    vm_restart_decide(&vm, &v, &c, reason, sizeof(reason));
    assert_int_equal(c.status, VM_PENDING);
    assert_int_equal(c.restarts, 1);
}

/* --- a VM under a policy
 * ---------------------------------------------------------------------------------------------- */

static void a_crash_loop_ends(void **state)
{
    struct host *h = *state;
    struct answer a;

    assert_int_equal(install(h, h->hex).r, 0);
    a = create_with(h, "exit5", "on-failure", VM_WANT_READY);
    assert_int_equal(a.r, 0);
    assert_int_equal(a.status, VM_FAILED);
    assert_non_null(strstr(a.reason, "crash_loop: ended 4 times in a row, last: the workload ended with exit code 5"));
    a = create_with(h, "exit0", "on-failure", VM_WANT_READY);
    assert_int_equal(a.status, VM_STOPPED);
}

struct seen {
    unsigned made, gone;
    char last[16];
};

static void see(void *arg, const struct vm_view *view, bool gone)
{
    struct seen *s = arg;

    gone ? s->gone++ : s->made++;
    (void)strf(s->last, sizeof(s->last), "%s", view->status);
}

static void an_observer_is_told(void **state)
{
    struct host *h = *state;
    struct seen s = {0};

    assert_int_equal(install(h, h->hex).r, 0);
    engine_observe(h->engine, see, &s);
    (void)create_with(h, "exit5", "no", VM_WANT_RUNNING);
    assert_true(s.made >= 2);
    assert_string_equal(s.last, "crashed");
    assert_int_equal(s.gone, 0);
    (void)ask(h, "exit5", engine_vm_delete);
    assert_int_equal(s.gone, 1);
    engine_observe(h->engine, NULL, &s);
}

/* --- slots
 * ------------------------------------------------------------------------------------------------------------ */

static void slots_go_in_the_order_of_asking(void **state)
{
    struct host *h = *state;
    struct answer a[3] = {{0}};
    struct vm_view v;

    assert_int_equal(install(h, h->hex).r, 0);
    h->engine->cfg.boot_width = 1;
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        char name[16];

        assert_true(strf(name, sizeof(name), "silent%zu", i) > 0);
        assert_int_equal(create_begin(h, name, 0, VM_WANT_RUNNING, &a[i], NULL), 0);
    }
    while (!engine_vm_find(h->engine, "silent2"))
        assert_int_equal(loop_step(h->loop, 100), 0);
    engine_vm_view(engine_vm_find(h->engine, "silent1"), &v);
    assert_string_equal(v.status, "pending");
    until(h, &a[0].done); /* failed: its agent never answers */
    assert_false(a[2].done);
    until(h, &a[1].done);
    assert_false(a[2].done);
    until(h, &a[2].done);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        assert_int_equal(a[i].status, VM_FAILED);
    assert_int_equal(h->engine->booting, 0);
}

/* What waits for a slot can be stopped and deleted, and then the next one gets it. */
static void who_waits_can_leave(void **state)
{
    struct host *h = *state;
    struct answer first = {0}, second = {0}, third = {0};

    assert_int_equal(install(h, h->hex).r, 0);
    h->engine->cfg.boot_width = 1;
    assert_int_equal(create_begin(h, "silent0", 0, VM_WANT_RUNNING, &first, NULL), 0);
    assert_int_equal(create_begin(h, "silent1", 0, VM_WANT_RUNNING, &second, NULL), 0);
    assert_int_equal(create_begin(h, "exit0", 0, VM_WANT_RUNNING, &third, NULL), 0);
    while (!engine_vm_find(h->engine, "exit0"))
        assert_int_equal(loop_step(h->loop, 100), 0);
    assert_int_equal(ask(h, "silent1", engine_vm_stop).status, VM_STOPPED);
    until(h, &second.done);
    assert_int_equal(ask(h, "silent0", engine_vm_delete).r, 0);
    until(h, &first.done);
    until(h, &third.done);
    assert_int_equal(third.status, VM_STOPPED);
    assert_int_equal(h->engine->booting, 0);
}

/* --- pause
 * ------------------------------------------------------------------------------------------------------------ */

static void only_what_runs_can_be_paused(void **state)
{
    struct host *h = *state;
    struct answer a;

    assert_int_equal(install(h, h->hex).r, 0);
    (void)create_with(h, "exit0", "no", VM_WANT_RUNNING);
    a = ask(h, "exit0", engine_vm_pause);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    assert_non_null(strstr(a.err.msg, "is not running"));
    a = ask(h, "exit0", engine_vm_resume);
    assert_int_equal(a.err.kind, VL_CONFLICT);
    assert_non_null(strstr(a.err.msg, "is not paused"));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(what_follows_an_end),
        ENGINE_TEST(staying_up_forgets_what_was),
        ENGINE_TEST(a_crash_loop_ends),
        ENGINE_TEST(an_observer_is_told),
        ENGINE_TEST(slots_go_in_the_order_of_asking),
        ENGINE_TEST(who_waits_can_leave),
        ENGINE_TEST(only_what_runs_can_be_paused),
    };
    int code;

    return is_vmm(argc, argv, &code) ? code : cmocka_run_group_tests(tests, NULL, NULL);
}
