/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is seen, in short, and what is decided, in short. A place is a word: status ("-" no VM), version, and marks:
 * '+' ready, '!' refused, '?' failing, 'c' creating, 'g' configuring, 'd' deleting, 'L' crash loop, 'b' in back-off,
 * 'r' has been restarted, 'u' unhealthy, 'l' awaited for too long, '0' ended by itself with 0,
 * 'D' has a disk.
 */
#include "base/unit.h"

#include <stdio.h>
#include <string.h>

#include "deploy/plan.h"

#define SLOTS_MAX 8
#define NOW       1000000
#define READY_MS  5000

static enum vm_status status_of(char c)
{
    switch (c) {
    case 'P':
        return VM_PENDING;
    case 'S':
        return VM_STARTING;
    case 'R':
        return VM_RUNNING;
    case 'Z':
        return VM_PAUSED;
    case 'E':
        return VM_STOPPING;
    case 'T':
        return VM_STOPPED;
    case 'C':
        return VM_CRASHED;
    default:
        assert_int_equal(c, 'F');
        return VM_FAILED;
    }
}

static struct plan_slot slot_of(const char *word)
{
    struct plan_slot s = {0};
    const char *marks = word + 1;

    if (*word != '-') {
        s.exists = true;
        s.status = status_of(*word);
        s.revision = word[1] - '0';
        s.awaited_ms = NOW - 1000;
        marks = word + 2;
    }
    s.ready = strchr(marks, '+') != NULL;
    s.refused = strchr(marks, '!') != NULL;
    s.failing = s.refused || strchr(marks, '?');
    s.creating = strchr(marks, 'c') != NULL;
    s.configuring = strchr(marks, 'g') != NULL;
    s.deleting = strchr(marks, 'd') != NULL;
    s.crash_loop = strchr(marks, 'L') != NULL;
    s.has_disk = strchr(marks, 'D') != NULL;
    s.ended_well = strchr(marks, '0') != NULL;
    s.unhealthy = strchr(marks, 'u') != NULL;
    s.restarts = strchr(marks, 'r') ? 2 : 0;
    if (strchr(marks, 'b')) s.not_before_ms = NOW + 300;
    if (strchr(marks, 'l')) s.awaited_ms = NOW - READY_MS;
    return s;
}

/* "create 2 v1, delete 4" */
static void say_actions(const struct plan *p, char *buf, size_t size)
{
    size_t n = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < p->n_actions; i++) {
        const struct plan_action *a = &p->actions[i];
        const char *verb = a->what == PLAN_CREATE ? "create" : a->what == PLAN_DELETE ? "delete" : "configure";

        n += (size_t)snprintf(buf + n, size - n, "%s%s %zu", n ? ", " : "", verb, a->slot + 1);
        if (a->what != PLAN_DELETE) n += (size_t)snprintf(buf + n, size - n, " v%d", (int)a->version);
        if (a->what == PLAN_CONFIGURE && !a->restart) n += (size_t)snprintf(buf + n, size - n, " later");
    }
}

struct row {
    const char *what;
    int replicas;
    int rollout; /* 'C', 'P', 'F'; 'D': deleted */
    int version;
    const char *slots[SLOTS_MAX];
    const char *actions;
    int then; /* the rollout afterwards; 'G': gone */
    enum plan_status status;
    int look_again; /* after NOW; 0: not */
    int blamed;     /* from 1 */
};

static const struct row rows[] = {
    {"nothing is wanted", 0, 'C', 1, {0}, "", 'C', PLAN_READY, 0, 0},
    {"all is made at once",
     3,
     'C',
     1,
     {"-", "-", "-"},
     "create 1 v1, create 2 v1, create 3 v1",
     'C',
     PLAN_PROGRESSING,
     0,
     0},
    {"what is being made is not made twice", 2, 'C', 1, {"-c", "P1c"}, "", 'C', PLAN_PROGRESSING, 0, 0},
    {"all is well", 2, 'C', 1, {"R1+", "R1+"}, "", 'C', PLAN_READY, 0, 0},
    {"booting", 2, 'C', 1, {"R1+", "S1"}, "", 'C', PLAN_PROGRESSING, 0, 0},
    {"gaps are filled", 4, 'C', 2, {"R2+", "-", "R2+", "-"}, "create 2 v2, create 4 v2", 'C', PLAN_PROGRESSING, 0, 0},
    {"the highest go", 2, 'C', 1, {"R1+", "R1+", "R1+", "P1"}, "delete 3, delete 4", 'C', PLAN_PROGRESSING, 0, 0},
    {"and not twice", 1, 'C', 1, {"R1+", "-", "E1d"}, "", 'C', PLAN_PROGRESSING, 0, 0},
    {"what was refused is tried later", 2, 'C', 1, {"R1+", "-?b"}, "", 'C', PLAN_DEGRADED, 300, 0},
    {"and then again", 2, 'C', 1, {"R1+", "-?"}, "create 2 v1", 'C', PLAN_DEGRADED, 0, 0},
    {"a member to be deleted is not made again before it is gone", 1, 'C', 1, {"-d"}, "", 'C', PLAN_PROGRESSING, 0, 0},
    {"a surplus one that cannot be deleted now", 0, 'C', 1, {"R1+b"}, "", 'C', PLAN_PROGRESSING, 300, 0},

    {"a crashed one without a policy is replaced", 2, 'C', 1, {"C1", "R1+"}, "delete 1", 'C', PLAN_DEGRADED, 0, 0},
    {"one with a disk is started again", 2, 'C', 1, {"C1D", "R1+D"}, "configure 1 v1", 'C', PLAN_DEGRADED, 0, 0},
    {"that one too", 1, 'C', 1, {"C1bD"}, "", 'C', PLAN_DEGRADED, 300, 0},
    {"with a version that serves, if the new one does not",
     2,
     'F',
     3,
     {"C2D", "R2+D"},
     "configure 1 v2",
     'F',
     PLAN_FAILED,
     0,
     0},
    {"after its back-off", 2, 'C', 1, {"C1b", "R1+"}, "", 'C', PLAN_DEGRADED, 300, 0},
    {"one that could not be booted is replaced", 1, 'C', 1, {"F1"}, "delete 1", 'C', PLAN_DEGRADED, 0, 0},
    {"one that crashes again and again is left", 1, 'C', 1, {"F1L"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"one that comes back is left", 1, 'C', 1, {"P1r"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"one that was stopped is left", 2, 'C', 1, {"T1", "R1+"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"one that has done its work is left", 2, 'C', 1, {"T10", "R1+"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"all have", 2, 'C', 1, {"T10", "T10"}, "", 'C', PLAN_ENDED, 0, 0},
    {"one has, the other was stopped", 2, 'C', 1, {"T10", "T1"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"one that was paused is left", 2, 'C', 1, {"Z1", "R1+"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"an unhealthy one is left", 1, 'C', 1, {"R1u"}, "", 'C', PLAN_DEGRADED, 0, 0},

    {"an old one begins a rollout", 2, 'C', 2, {"R1+", "R2+"}, "", 'P', PLAN_PROGRESSING, 0, 0},
    {"the first is changed", 3, 'P', 2, {"R1+", "R1+", "R1+"}, "configure 1 v2", 'P', PLAN_PROGRESSING, 0, 0},
    {"it is waited for", 3, 'P', 2, {"R1+g", "R1+", "R1+"}, "", 'P', PLAN_PROGRESSING, 0, 0},
    {"also where its VM is not what it was", 3, 'P', 2, {"R2+g", "R1+", "R1+"}, "", 'P', PLAN_PROGRESSING, 0, 0},
    {"and for its boot", 3, 'P', 2, {"S2", "R1+", "R1+"}, "", 'P', PLAN_PROGRESSING, READY_MS - 1000, 0},
    {"then the next", 3, 'P', 2, {"R2+", "R1+", "R1+"}, "configure 2 v2", 'P', PLAN_PROGRESSING, 0, 0},
    {"an earlier one is not ready any more",
     3,
     'P',
     2,
     {"P2r", "R2+", "R1+"},
     "",
     'P',
     PLAN_PROGRESSING,
     READY_MS - 1000,
     0},
    {"all are changed", 2, 'P', 2, {"R2+", "R2+"}, "", 'C', PLAN_READY, 0, 0},
    {"those that serve nobody come first",
     3,
     'P',
     2,
     {"R1+", "P1r", "R1+"},
     "configure 2 v2",
     'P',
     PLAN_PROGRESSING,
     0,
     0},
    {"a failed one too", 3, 'P', 3, {"R2+", "R2+", "F1L"}, "configure 3 v3", 'P', PLAN_PROGRESSING, 0, 0},
    {"a stopped one keeps still",
     2,
     'P',
     2,
     {"T1", "R1+"},
     "configure 1 v2 later, configure 2 v2",
     'P',
     PLAN_PROGRESSING,
     0,
     0},
    {"a paused one has its turn when it goes on",
     2,
     'P',
     2,
     {"Z1", "R1+"},
     "configure 2 v2",
     'P',
     PLAN_PROGRESSING,
     0,
     0},
    {"until then it is not over", 2, 'P', 2, {"Z1", "R2+"}, "", 'P', PLAN_PROGRESSING, 0, 0},
    {"now", 2, 'P', 2, {"R1+", "R2+"}, "configure 1 v2", 'P', PLAN_PROGRESSING, 0, 0},
    {"one that has done its work does it anew",
     2,
     'P',
     2,
     {"R1+", "T10"},
     "configure 2 v2",
     'P',
     PLAN_PROGRESSING,
     0,
     0},
    {"and is not waited for once it has", 2, 'P', 2, {"T20", "R1+"}, "configure 2 v2", 'P', PLAN_PROGRESSING, 0, 0},
    {"a new version may do its work and end", 2, 'P', 2, {"T20", "T20"}, "", 'C', PLAN_ENDED, 0, 0},
    {"a stopped one is nobody's obstacle", 2, 'P', 2, {"T2", "R2+"}, "", 'C', PLAN_DEGRADED, 0, 0},
    {"a queued one does not run out of time", 2, 'P', 2, {"P2l", "R1+"}, "", 'P', PLAN_PROGRESSING, 0, 0},
    {"a new place gets the new version",
     3,
     'P',
     2,
     {"R1+", "R1+", "-"},
     "create 3 v2, configure 1 v2",
     'P',
     PLAN_PROGRESSING,
     0,
     0},
    {"a configuration that is refused for now", 2, 'P', 2, {"R1+?b", "R1+"}, "", 'P', PLAN_PROGRESSING, 300, 0},
    {"one that is refused for good", 2, 'P', 2, {"R1+!b", "R1+"}, "", 'F', PLAN_FAILED, 0, 1},
    {"not ready in time", 2, 'P', 2, {"R2+", "R2l"}, "", 'F', PLAN_FAILED, 0, 2},
    {"crashed", 2, 'P', 2, {"C2", "R1+"}, "", 'F', PLAN_FAILED, 0, 1},
    {"a crash loop", 2, 'P', 2, {"F2L", "R1+"}, "", 'F', PLAN_FAILED, 0, 1},
    {"an old one that crashed is changed", 2, 'P', 2, {"C1", "R1+"}, "configure 1 v2", 'P', PLAN_PROGRESSING, 0, 0},

    {"a failed rollout stays", 3, 'F', 2, {"C2", "R1+", "R1+"}, "", 'F', PLAN_FAILED, 0, 0},
    {"its good replicas are replaced by good ones",
     3,
     'F',
     3,
     {"C3", "-", "R2+"},
     "create 2 v2",
     'F',
     PLAN_FAILED,
     0,
     0},
    {"an old one that ended is replaced", 3, 'F', 2, {"C2", "C1", "R1+"}, "delete 2", 'F', PLAN_FAILED, 0, 0},
    {"without a good one there is the new one only", 2, 'F', 2, {"C2", "-"}, "create 2 v2", 'F', PLAN_FAILED, 0, 0},
    {"it is scaled all the same", 1, 'F', 2, {"R2+", "R1+"}, "delete 2", 'F', PLAN_FAILED, 0, 0},

    {"deleted", 2, 'D', 1, {"R1+", "S1g", "-"}, "delete 1, delete 2", 'C', PLAN_DELETING, 0, 0},
    {"they are still going", 2, 'D', 1, {"R1d", "-"}, "", 'C', PLAN_DELETING, 0, 0},
    {"one is still being made", 2, 'D', 1, {"-c"}, "", 'C', PLAN_DELETING, 0, 0},
    {"nothing is left", 2, 'D', 1, {"-", "-"}, "", 'G', PLAN_DELETING, 0, 0},
};

static int rollout_char(const struct plan *p)
{
    static const int chars[] = {[ROLLOUT_PROGRESSING] = 'P', [ROLLOUT_COMPLETE] = 'C', [ROLLOUT_FAILED] = 'F'};

    return p->gone ? 'G' : chars[p->rollout];
}

static void check(const struct row *t)
{
    struct plan_slot slots[SLOTS_MAX] = {0};
    struct plan_action actions[SLOTS_MAX];
    struct plan p = {.actions = actions};
    struct plan_in in = {
        .replicas = t->replicas,
        .version = t->version,
        .deleted = t->rollout == 'D',
        .rollout = t->rollout == 'P'   ? ROLLOUT_PROGRESSING
                   : t->rollout == 'F' ? ROLLOUT_FAILED
                                       : ROLLOUT_COMPLETE,
        .now_ms = NOW,
        .ready_ms = READY_MS,
        .slots = slots,
    };
    char said[200];

    while (in.n_slots < SLOTS_MAX && t->slots[in.n_slots]) {
        slots[in.n_slots] = slot_of(t->slots[in.n_slots]);
        in.n_slots++;
    }
    plan_make(&in, &p);
    say_actions(&p, said, sizeof(said));
    assert_true(p.n_actions <= in.n_slots);
    if (strcmp(said, t->actions) != 0) fail_msg("%s: '%s', expected '%s'", t->what, said, t->actions);
    if (rollout_char(&p) != t->then) fail_msg("%s: rollout %c, expected %c", t->what, rollout_char(&p), t->then);
    if (p.status != t->status)
        fail_msg("%s: %s, expected %s", t->what, plan_status_name(p.status), plan_status_name(t->status));
    if (p.look_again_ms != (t->look_again ? NOW + t->look_again : 0))
        fail_msg("%s: looks again after %lld", t->what, (long long)(p.look_again_ms - NOW));
    if (p.blamed != (t->blamed ? (size_t)t->blamed - 1 : PLAN_NO_SLOT)) fail_msg("%s: blamed %zu", t->what, p.blamed);
}

static void decisions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(&rows[i]);
}

/* --- a world that does as it is told ------------------------------------------------------------------------------ */

struct world {
    struct plan_slot slots[SLOTS_MAX];
    struct plan_in in;
    int most_down; /* replicas that were not ready at the same moment */
};

static void do_action(struct world *w, const struct plan_action *a)
{
    struct plan_slot *s = &w->slots[a->slot];

    if (a->what == PLAN_DELETE) {
        *s = (struct plan_slot){0};
        return;
    }
    *s = (struct plan_slot){.exists = true, .status = a->restart ? VM_STOPPING : VM_STARTING, .revision = a->version};
}

/* What was begun goes one step further. */
static void pass_time(struct world *w)
{
    for (size_t i = 0; i < w->in.n_slots; i++) {
        struct plan_slot *s = &w->slots[i];

        if (!s->exists) continue;
        if (s->status == VM_STOPPING)
            s->status = VM_STARTING;
        else if (s->status == VM_STARTING)
            s->status = VM_RUNNING;
        else if (s->status == VM_RUNNING)
            s->ready = true;
    }
}

static int run_world(struct world *w)
{
    struct plan_action actions[SLOTS_MAX];

    for (int round = 0; round < 100; round++) {
        struct plan p = {.actions = actions};
        int down = 0;

        plan_make(&w->in, &p);
        w->in.rollout = p.rollout;
        if (p.n_actions == 0 && p.status == PLAN_READY) return round;
        for (size_t i = 0; i < p.n_actions; i++)
            do_action(w, &actions[i]);
        for (size_t i = 0; i < w->in.n_slots; i++)
            down += !w->slots[i].ready;
        if (round > 0 && down > w->most_down) w->most_down = down;
        pass_time(w);
    }
    fail_msg("it never ends");
    return 0;
}

static void a_rollout_takes_down_one_at_a_time(void **state)
{
    struct world w = {.in = {.replicas = 5,
                             .version = 1,
                             .rollout = ROLLOUT_COMPLETE,
                             .now_ms = NOW,
                             .ready_ms = READY_MS,
                             .n_slots = 5}};

    (void)state;
    w.in.slots = w.slots;
    (void)run_world(&w);
    w.in.version = 2;
    w.in.rollout = ROLLOUT_PROGRESSING;
    w.most_down = 0;
    assert_true(run_world(&w) >= 15);
    assert_int_equal(w.most_down, 1);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(w.slots[i].revision, 2);
}

static void back_off(void **state)
{
    (void)state;
    assert_int_equal(plan_backoff_ms(1), 1000);
    assert_int_equal(plan_backoff_ms(2), 2000);
    assert_int_equal(plan_backoff_ms(9), 256000);
    assert_int_equal(plan_backoff_ms(10), 300000);
    assert_int_equal(plan_backoff_ms(1u << 31), 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions),
        cmocka_unit_test(a_rollout_takes_down_one_at_a_time),
        cmocka_unit_test(back_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
