/* SPDX-License-Identifier: Apache-2.0 */
/* One of the workload's two output pipes: read as it comes, cut into lines, put on the console and into the ring. */
#pragma once
#include "base/loop.h"
#include "kestrel/console.h"
#include "kestrel/lines.h"
#include "kestrel/logs.h"

struct output {
    struct watch watch;
    int fd; /* ours; -1 once the stream has ended */
    enum log_stream stream;
    struct splitter splitter;
    struct console *console;
    struct logs *logs;
    void (*grown)(void *arg); /* lines were added to `logs` (at most once a read), or the stream ended */
    void *arg;
};

/* Takes the reading end of a pipe; the other fields above but watch and splitter are set by the caller before. */
int output_start(struct output *o, struct loop *l, int fd);
bool output_ended(const struct output *o);
/* Stops reading; an unfinished line is handed on. Idempotent. */
void output_stop(struct output *o);
