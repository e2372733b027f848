/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit.h"

#include <string.h>

#include "base/str.h"
#include "engine/transition.h"

#define N_STATUSES (VM_FAILED + 1)

/* Each status, and where one can get from it; "-" is nowhere. */
static const char *const matrix[N_STATUSES] = {
    [VM_PENDING] = "pending starting stopped running paused",
    [VM_STARTING] = "pending starting running stopping stopped crashed failed paused",
    [VM_RUNNING] = "pending running paused stopping stopped crashed failed",
    [VM_PAUSED] = "pending running stopping stopped crashed failed paused",
    [VM_STOPPING] = "pending stopped crashed failed running paused",
    [VM_STOPPED] = "pending starting running paused",
    [VM_CRASHED] = "pending starting stopped running paused",
    [VM_FAILED] = "pending starting stopped running paused",
};

static bool is_word_of(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) return true;
    return false;
}

static void there_are_these_and_no_others(void **state)
{
    (void)state;
    for (int from = 0; from < N_STATUSES; from++)
        for (int to = 0; to < N_STATUSES; to++) {
            const char *name = vm_status_name((enum vm_status)to);
            bool found = transition_find((enum vm_status)from, (enum vm_status)to, NULL) != NULL;

            if (found != is_word_of(matrix[from], name))
                fail_msg("%s -> %s is%s there", vm_status_name((enum vm_status)from), name, found ? "" : " not");
        }
}

static void each_has_an_event_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_transitions; i++) {
        const struct transition *t = &transitions[i];

        assert_true(str_starts(t->event, "VM_"));
        assert_true(*t->message != '\0');
        assert_ptr_equal(transition_find(t->from, t->to, t->event), t);
    }
}

/* Whatever happens, a VM gets to an end, and from each end back to running. */
static void nowhere_is_a_trap(void **state)
{
    (void)state;
    for (int goal = 0; goal < N_STATUSES; goal++) {
        bool reaches[N_STATUSES] = {0};

        reaches[goal] = true;
        for (int round = 0; round < N_STATUSES; round++)
            for (size_t i = 0; i < n_transitions; i++)
                if (reaches[transitions[i].to]) reaches[transitions[i].from] = true;
        for (int from = 0; from < N_STATUSES; from++)
            if (!reaches[from])
                fail_msg("%s never gets to %s", vm_status_name((enum vm_status)from),
                         vm_status_name((enum vm_status)goal));
    }
}

static void an_event_leads_only_where_it_says(void **state)
{
    (void)state;
    assert_null(transition_find(VM_RUNNING, VM_STOPPED, "VM_RUNNING"));
    assert_null(transition_find(VM_STOPPED, VM_STOPPED, "VM_STOPPED"));
    assert_string_equal(transition_find(VM_RUNNING, VM_PENDING, "VM_STOPPED")->event, "VM_STOPPED");
    assert_string_equal(transition_find(VM_RUNNING, VM_STOPPING, NULL)->event, "VM_STOPPING");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_these_and_no_others),
        cmocka_unit_test(each_has_an_event_of_its_own),
        cmocka_unit_test(nowhere_is_a_trap),
        cmocka_unit_test(an_event_leads_only_where_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
