/* SPDX-License-Identifier: Apache-2.0 */
/* The changes of status there are, and the event that each appends. vm_commit asks here; nothing else moves a VM. */
#pragma once
#include "model/vm.h"

struct transition {
    enum vm_status from, to;
    const char *event, *message; /* as events are called and say it (contract 1.9, and ours) */
};

/*
 * The transition, with that event where one is named (NULL: the first that leads there); NULL if there is none: then
 * whoever wants it has a bug. A VM may also stay in its status without an event, which is no transition.
 */
const struct transition *transition_find(enum vm_status from, enum vm_status to, const char *event);
extern const struct transition transitions[];
extern const size_t n_transitions;
