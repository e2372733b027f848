/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a VM: what the VMM writes goes to the log and to any number of readers of console.sock, up to a bound;
 * what readers write goes to the VMM. The VMM is always read at once, so that no reader and no disk can hold up the
 * guest. A reader begins with the scrollback; one that falls behind by more than that loses what it missed.
 */
#pragma once
#include "base/loop.h"
#include "base/str.h"

#define CONSOLE_SCROLLBACK 65536UL /* bytes */
#define CONSOLE_READERS    16

struct console;
/* Takes none of the descriptors' ownership; both are non-blocking. log_max bounds each of the two log files. */
int console_new(struct loop *l, int dir_fd, int listen_fd, uint64_t log_max, struct console **ret);
/* The VMM's end exists. */
int console_attach(struct console *c, int vmm_fd);
/* Output of the shim's own, in the log and to readers. */
void console_say(struct console *c, const char *fmt, ...) printf_(2, 3);
/* The VMM has ended: takes what it still had written, and hands readers what their sockets hold. */
void console_finish(struct console *c);
void console_free(struct console *c);
DEFINE_AUTO(struct console *, console_free)
