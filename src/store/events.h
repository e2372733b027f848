/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the store: events on their way from an operation to the watcher. */
#pragma once
#include "store/store.h"

struct told_events {
    struct event_row *rows;
    size_t n;
    bool lost; /* some are missing */
};
void told_events_done(struct told_events *t);
/* Moves them out of the operation, which has none afterwards. */
void events_take(struct store_op *op, struct told_events *ret);
