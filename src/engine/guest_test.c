/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says, and does not say: health, silence, pauses, and how it is stopped. */
#include "engine/testhost.h"

#include "engine/vm.h"
#include "guest/internal.h"

#define BOOT_WAIT_MS 10000

static struct vm *vm_of(struct host *h, const char *name)
{
    struct vm *vm = engine_vm_find(h->engine, name);

    assert_non_null(vm);
    return vm;
}

/* A running VM of that name. */
static struct vm *run(struct host *h, const char *name, const char *restart)
{
    struct answer a;

    h->engine->cfg.boot_deadline_ms = BOOT_WAIT_MS;
    if (!engine_plugin_find(h->engine, "p")) assert_int_equal(install(h, h->hex).r, 0);
    a = create_with(h, name, restart, VM_WANT_RUNNING);
    if (a.status != VM_RUNNING) fail_msg("%s is %s: %s", name, vm_status_name(a.status), a.reason);
    return vm_of(h, name);
}

#define UNTIL(h, condition)                                                                                            \
    do {                                                                                                               \
        int64_t deadline_ = mono_ms() + WAIT_MS;                                                                       \
        while (!(condition)) {                                                                                         \
            if (mono_ms() > deadline_) fail_msg("waited in vain for " #condition);                                     \
            assert_int_equal(loop_step((h)->loop, 20), 0);                                                             \
        }                                                                                                              \
    } while (0)

static void go_on(struct host *h, int ms)
{
    int64_t until = mono_ms() + ms;

    while (mono_ms() < until)
        assert_int_equal(loop_step(h->loop, 20), 0);
}

static const char *reason(struct vm *vm)
{
    struct vm_view v;

    engine_vm_view(vm, &v);
    return v.reason ? v.reason : "";
}

static bool ready(struct vm *vm)
{
    struct vm_view v;

    engine_vm_view(vm, &v);
    return v.ready;
}

static void says(struct vm *vm, const char *words)
{
    if (!strstr(reason(vm), words)) fail_msg("'%s' lacks '%s'", reason(vm), words);
}

/* --- health ------------------------------------------------------------------------------------------------------- */

static void without_a_policy_illness_is_told_alone(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent-check", "no");
    int64_t pid = vm->row.pid;

    UNTIL(h, vm->health == HEALTH_STARTING);
    assert_false(ready(vm));
    guest_does(vm->dir, "x-healthy");
    UNTIL(h, ready(vm));
    guest_does(vm->dir, "x-unhealthy");
    UNTIL(h, vm->health == UNHEALTHY && !vm->busy && !vm->health_news);
    assert_false(ready(vm));
    says(vm, "unhealthy: so it says");
    assert_int_equal(vm->status, VM_RUNNING);
    assert_int_equal(vm->row.pid, pid);
    guest_does(vm->dir, "x-healthy");
    UNTIL(h, ready(vm));
    assert_string_equal(reason(vm), "");
}

static void with_one_an_ill_guest_boots_again(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent-check", "on-failure");
    int64_t pid = vm->row.pid;

    guest_does(vm->dir, "x-healthy");
    UNTIL(h, ready(vm));
    guest_does(vm->dir, "x-unhealthy");
    UNTIL(h, vm->status == VM_PENDING);
    says(vm, "(1 of 3): unhealthy: so it says");
    UNTIL(h, vm->status == VM_RUNNING);
    assert_int_not_equal(vm->row.pid, pid);
    assert_int_equal(vm->row.restarts, 1);
    assert_int_equal(vm->health, HEALTH_STARTING);
}

/* What it says while its last word is on its way into the registry is not lost. */
static void news_during_a_commit_stay_news(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent-check", "on-failure");

    UNTIL(h, vm->health == HEALTH_STARTING && !vm->busy);
    vm_take_health(vm, "healthy", NULL);
    vm_step(vm);
    assert_true(vm->busy);
    vm_take_health(vm, "unhealthy", "at once");
    UNTIL(h, vm->row.restarts == 1);
}

static void who_is_late_to_become_healthy_has_failed(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent-check", "no");

    vm->manifest.health_check.type = strdup("tcp");
    UNTIL(h, vm->health == HEALTH_STARTING && !vm->busy);
    vm_begin_budget(vm);
    assert_true(vm->budget_runs);
    assert_int_equal(ask(h, "agent-check", engine_vm_pause).status, VM_PAUSED);
    assert_false(vm->budget_runs); /* it stands still, too */
    assert_int_equal(ask(h, "agent-check", engine_vm_resume).status, VM_RUNNING);
    assert_true(vm->budget_runs);
    vm->budget.fn(&vm->budget);
    UNTIL(h, vm->status == VM_FAILED);
    says(vm, NOT_HEALTHY_IN_TIME " within 120 s: so it says");
}

/* The budget is for the first time, however often its channel comes back. */
static void who_was_healthy_has_no_budget(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent-check", "no");

    vm->manifest.health_check.type = strdup("tcp");
    guest_does(vm->dir, "x-healthy");
    UNTIL(h, ready(vm));
    guest_does(vm->dir, "x-unhealthy");
    UNTIL(h, vm->health == UNHEALTHY);
    vm_begin_budget(vm);
    assert_false(vm->budget_runs);
}

/* --- silence ------------------------------------------------------------------------------------------------------ */

static void a_guest_that_hangs_is_told_of(void **state)
{
    struct host *h = *state;
    struct vm *vm;
    pid_t pid;

    h->engine->cfg.hang_ms = 400;
    vm = run(h, "agent", "no");
    pid = (pid_t)vm->row.pid;
    UNTIL(h, ready(vm));
    assert_int_equal(kill(pid, SIGSTOP), 0);
    UNTIL(h, vm->hung && !vm->hang_news && !vm->busy);
    assert_false(ready(vm));
    says(vm, "has not answered for");
    assert_int_equal(vm->status, VM_RUNNING);
    assert_int_equal(kill(pid, SIGCONT), 0);
    UNTIL(h, ready(vm));
    assert_string_equal(reason(vm), "");
}

/* It is not asked first: whoever stops it has waited long enough. */
static void a_guest_that_hangs_is_not_asked(void **state)
{
    struct host *h = *state;
    struct vm *vm;
    struct answer a;
    int64_t began;

    h->engine->cfg.hang_ms = 200;
    h->engine->cfg.agent_ms = WAIT_MS;
    h->engine->cfg.quit_ms = h->engine->cfg.term_ms = 50;
    vm = run(h, "agent", "no");
    UNTIL(h, ready(vm));
    assert_int_equal(kill((pid_t)vm->row.pid, SIGSTOP), 0);
    UNTIL(h, vm->hung && !vm->hang_news && !vm->busy);
    began = mono_ms();
    a = ask(h, "agent", engine_vm_stop);
    assert_true(mono_ms() - began < WAIT_MS / 2);
    assert_int_equal(a.status, VM_STOPPED);
    says(vm, "the guest could not be asked to stop and was ended with its VMM, by SIGKILL");
}

static void with_a_policy_it_is_ended_by_force(void **state)
{
    struct host *h = *state;
    struct vm *vm;
    pid_t pid;

    h->engine->cfg.hang_ms = 400;
    h->engine->cfg.quit_ms = h->engine->cfg.term_ms = 50;
    vm = run(h, "agent", "always");
    pid = (pid_t)vm->row.pid;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    UNTIL(h, vm->row.restarts == 1 && vm->status == VM_RUNNING);
    assert_int_not_equal(vm->row.pid, pid);
}

/* A volantd that was stopped itself has heard nothing, and that says nothing. */
static void what_nobody_listened_to_is_no_silence(void **state)
{
    struct host *h = *state;
    struct vm *vm;
    int64_t pid;

    h->engine->cfg.hang_ms = 400;
    vm = run(h, "agent", "always");
    pid = vm->row.pid;
    for (int i = 0; i < 3; i++) {
        go_on(h, 150);
        assert_int_equal(poll(NULL, 0, 700), 0);
    }
    go_on(h, 300);
    assert_false(vm->hung);
    assert_int_equal(vm->status, VM_RUNNING);
    assert_int_equal(vm->row.pid, pid);
}

/* --- pauses ------------------------------------------------------------------------------------------------------- */

static void a_pause_is_no_silence(void **state)
{
    struct host *h = *state;
    struct vm *vm;

    h->engine->cfg.hang_ms = 200;
    vm = run(h, "agent", "always");
    UNTIL(h, ready(vm));
    assert_int_equal(ask(h, "agent", engine_vm_pause).status, VM_PAUSED);
    assert_false(ready(vm));
    go_on(h, 500);
    assert_int_equal(vm->status, VM_PAUSED);
    assert_int_equal(ask(h, "agent", engine_vm_resume).status, VM_RUNNING);
    UNTIL(h, ready(vm));
    assert_int_equal(vm->row.restarts, 0);
    /* Its workload has its SIGTERM also from there. */
    assert_int_equal(ask(h, "agent", engine_vm_pause).status, VM_PAUSED);
    assert_int_equal(ask(h, "agent", engine_vm_stop).status, VM_STOPPED);
    assert_int_equal(vm->row.exit_code, 143);
    assert_string_equal(reason(vm), "");
}

/* Who adopts a VM that stands still cannot reach its agent, and gives up before it goes on. */
static void a_channel_given_up_in_a_pause_comes_back(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent", "no");
    int64_t pid = vm->row.pid;

    UNTIL(h, ready(vm));
    assert_int_equal(ask(h, "agent", engine_vm_pause).status, VM_PAUSED);
    engine_end(h);
    engine_begin(h);
    vm = vm_of(h, "agent");
    UNTIL(h, vm->live);
    assert_int_equal(vm->status, VM_PAUSED);
    assert_true(vm->paused);
    channel_host_disconnect(vm->guest->host);
    assert_int_equal(ask(h, "agent", engine_vm_resume).status, VM_RUNNING);
    UNTIL(h, ready(vm));
    assert_int_equal(vm->row.pid, pid);
}

/* volantd was away between the registry's word and the VMM's. */
static void row_and_world_agree_in_the_end(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent", "no");

    UNTIL(h, ready(vm));
    guest_does(vm->dir, "stop");
    engine_end(h);
    engine_begin(h);
    vm = vm_of(h, "agent");
    UNTIL(h, ready(vm));
    assert_int_equal(ask(h, "agent", engine_vm_pause).status, VM_PAUSED);
    guest_does(vm->dir, "cont");
    engine_end(h);
    engine_begin(h);
    vm = vm_of(h, "agent");
    UNTIL(h, vm->live && !vm->busy && vm->paused);
    assert_int_equal(vm->status, VM_PAUSED);
}

static void a_vmm_that_cannot_be_paused_goes_on(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent", "no");
    struct answer a;

    UNTIL(h, ready(vm));
    assert_int_equal(kill((pid_t)vm->row.pid, SIGSTOP), 0);
    a = ask(h, "agent", engine_vm_pause);
    assert_true(a.r < 0);
    assert_int_equal(a.err.kind, VL_UNAVAILABLE);
    assert_non_null(strstr(a.err.msg, "VM 'agent' cannot be paused"));
    assert_int_equal(kill((pid_t)vm->row.pid, SIGCONT), 0);
    UNTIL(h, ready(vm));
    assert_int_equal(vm->status, VM_RUNNING);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void what_the_agent_says_of_an_end_counts(void **state)
{
    struct host *h = *state;
    struct vm *vm = run(h, "agent", "on-failure");

    guest_does(vm->dir, "x-exit5");
    UNTIL(h, vm->row.restarts == 1 && vm->status == VM_RUNNING);
    guest_does(vm->dir, "x-exit0");
    UNTIL(h, vm->status == VM_STOPPED);
    assert_int_equal(vm->row.exit_code, 0);
    assert_int_equal(vm->desire, DESIRE_STOPPED);
}

static void who_does_not_stop_is_ended(void **state)
{
    static const struct {
        const char *name, *says;
        int64_t code;
    } table[] = {
        {"agent", "", 143},
        {"agent-deaf", "did not stop within 1 s and was ended by its VMM", -1},
        {"agent-deaf-stubborn", "did not stop within 1 s and was ended with its VMM, by SIGKILL", -1},
    };
    struct host *h = *state;

    h->engine->cfg.quit_ms = h->engine->cfg.term_ms = 200;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct vm *vm = run(h, table[i].name, "always");
        struct answer a = ask(h, table[i].name, engine_vm_stop);

        assert_int_equal(a.status, VM_STOPPED);
        says(vm, table[i].says);
        assert_int_equal(a.has_code ? a.code : -1, table[i].code);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        ENGINE_TEST(without_a_policy_illness_is_told_alone),
        ENGINE_TEST(with_one_an_ill_guest_boots_again),
        ENGINE_TEST(news_during_a_commit_stay_news),
        ENGINE_TEST(who_is_late_to_become_healthy_has_failed),
        ENGINE_TEST(who_was_healthy_has_no_budget),
        ENGINE_TEST(a_guest_that_hangs_is_told_of),
        ENGINE_TEST(a_guest_that_hangs_is_not_asked),
        ENGINE_TEST(with_a_policy_it_is_ended_by_force),
        ENGINE_TEST(what_nobody_listened_to_is_no_silence),
        ENGINE_TEST(a_pause_is_no_silence),
        ENGINE_TEST(a_channel_given_up_in_a_pause_comes_back),
        ENGINE_TEST(row_and_world_agree_in_the_end),
        ENGINE_TEST(a_vmm_that_cannot_be_paused_goes_on),
        ENGINE_TEST(what_the_agent_says_of_an_end_counts),
        ENGINE_TEST(who_does_not_stop_is_ended),
    };
    int code;

    return is_vmm(argc, argv, &code) ? code : cmocka_run_group_tests(tests, NULL, NULL);
}
