/* SPDX-License-Identifier: Apache-2.0 */
/*
 *                ┌────────────── restart, restart policy ───────────────┐
 *                ▼                                                      │
 *   create ─▶ pending ─▶ starting ─▶ running ◀─▶ paused                 │
 *                           │           │           │                   │
 *                           │           ├─▶ stopping ◀                  │
 *                           │           │      │                        │
 *                           ▼           ▼      ▼                        │
 *                        stopped, crashed, failed ──────────────────────┘
 *
 * Where each status ends by itself: pending when a boot slot is free, all of which have deadlines, and its back-off is
 * over (at most max_ms); starting at the boot's deadline, twice; stopping after the guest's, the VMM's and the signals'
 * times. running and paused need no end: the VMM is watched, and a silent guest is noticed (hang.c).
 */
#include "engine/transition.h"

#include "base/str.h"

const struct transition transitions[] = {
    {VM_PENDING, VM_STARTING, "VM_STARTING", "vm starting"},
    {VM_PENDING, VM_STOPPED, "VM_STOPPED", "vm stopped"},
    {VM_PENDING, VM_PENDING, "VM_STARTING", "vm to start at once"}, /* asked for while it waited */

    {VM_STARTING, VM_STARTING, "VM_STARTING", "vm starting again"}, /* the second attempt */
    {VM_STARTING, VM_RUNNING, "VM_RUNNING", "vm running"},
    {VM_STARTING, VM_STOPPING, "VM_STOPPING", "vm stopping"},
    {VM_STARTING, VM_STOPPED, "VM_STOPPED", "vm stopped"},
    {VM_STARTING, VM_CRASHED, "VM_CRASHED", "vm crashed"},
    {VM_STARTING, VM_FAILED, "VM_FAILED", "vm failed"},
    {VM_STARTING, VM_PENDING, "VM_CRASHED", "vm crashed"}, /* the restart policy has it again */
    {VM_STARTING, VM_PENDING, "VM_STOPPED", "vm stopped"},
    {VM_STARTING, VM_PENDING, "VM_FAILED", "vm failed"},

    {VM_RUNNING, VM_PAUSED, "VM_PAUSED", "vm paused"},
    {VM_RUNNING, VM_STOPPING, "VM_STOPPING", "vm stopping"},
    {VM_RUNNING, VM_STOPPING, "VM_UNHEALTHY", "vm unhealthy"}, /* ended for its own good */
    {VM_RUNNING, VM_STOPPING, "VM_UNRESPONSIVE", "vm unresponsive"},
    {VM_RUNNING, VM_RUNNING, "VM_HEALTHY", "vm healthy"},
    {VM_RUNNING, VM_RUNNING, "VM_UNHEALTHY", "vm unhealthy"},
    {VM_RUNNING, VM_RUNNING, "VM_UNRESPONSIVE", "vm unresponsive"},
    {VM_RUNNING, VM_STOPPED, "VM_STOPPED", "vm stopped"},
    {VM_RUNNING, VM_CRASHED, "VM_CRASHED", "vm crashed"},
    {VM_RUNNING, VM_FAILED, "VM_FAILED", "vm failed"},
    {VM_RUNNING, VM_PENDING, "VM_CRASHED", "vm crashed"},
    {VM_RUNNING, VM_PENDING, "VM_STOPPED", "vm stopped"},

    {VM_PAUSED, VM_RUNNING, "VM_RESUMED", "vm resumed"},
    {VM_PAUSED, VM_STOPPING, "VM_STOPPING", "vm stopping"},
    {VM_PAUSED, VM_STOPPED, "VM_STOPPED", "vm stopped"},
    {VM_PAUSED, VM_CRASHED, "VM_CRASHED", "vm crashed"},
    {VM_PAUSED, VM_FAILED, "VM_FAILED", "vm failed"},
    {VM_PAUSED, VM_PENDING, "VM_CRASHED", "vm crashed"},
    {VM_PAUSED, VM_PENDING, "VM_STOPPED", "vm stopped"},

    {VM_STOPPING, VM_STOPPED, "VM_STOPPED", "vm stopped"},
    {VM_STOPPING, VM_CRASHED, "VM_CRASHED", "vm crashed"}, /* it was ended for a reason */
    {VM_STOPPING, VM_FAILED, "VM_FAILED", "vm failed"},
    {VM_STOPPING, VM_PENDING, "VM_STOPPED", "vm stopped"}, /* restart */
    {VM_STOPPING, VM_PENDING, "VM_CRASHED", "vm crashed"},
    {VM_STOPPING, VM_PENDING, "VM_FAILED", "vm failed"},

    {VM_STOPPED, VM_STARTING, "VM_STARTING", "vm starting"},
    {VM_STOPPED, VM_PENDING, "VM_STARTING", "vm to start"}, /* no slot is free */
    {VM_CRASHED, VM_STARTING, "VM_STARTING", "vm starting"},
    {VM_CRASHED, VM_PENDING, "VM_STARTING", "vm to start"},
    {VM_CRASHED, VM_STOPPED, "VM_STOPPED", "vm stopped"}, /* contract 1.4: what was asked to stop is `stopped` */
    {VM_FAILED, VM_STARTING, "VM_STARTING", "vm starting"},
    {VM_FAILED, VM_PENDING, "VM_STARTING", "vm to start"},
    {VM_FAILED, VM_STOPPED, "VM_STOPPED", "vm stopped"},

    /* An older backup of the registry was put back, and volantd started on it: what runs is told to it (adopt.c). */
    {VM_PENDING, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_PENDING, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_STARTING, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_STARTING, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_RUNNING, VM_RUNNING, "VM_ADOPTED", "vm found running"}, /* in another boot */
    {VM_RUNNING, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_PAUSED, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_PAUSED, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_STOPPING, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_STOPPING, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_STOPPED, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_STOPPED, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_CRASHED, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_CRASHED, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
    {VM_FAILED, VM_RUNNING, "VM_ADOPTED", "vm found running"},
    {VM_FAILED, VM_PAUSED, "VM_ADOPTED", "vm found paused"},
};
const size_t n_transitions = ARRAY_LEN(transitions);

const struct transition *transition_find(enum vm_status from, enum vm_status to, const char *event)
{
    for (size_t i = 0; i < n_transitions; i++) {
        const struct transition *t = &transitions[i];

        if (t->from == from && t->to == to && (!event || str_eq(event, t->event))) return t;
    }
    return NULL;
}
