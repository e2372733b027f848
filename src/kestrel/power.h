/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's end. */
#pragma once

/*
 * "volant: workload exited code=N" as the last line of the console, file systems flushed, the machine ended: `shutdown`
 * is "poweroff" or, for everything else and NULL, "reboot". For PID 1: it ends the real machine.
 */
_Noreturn void power_end(int console_fd, int code, const char *shutdown);
/* The line alone, waiting a bounded time for a slow console. */
void power_last_line(int console_fd, int code);
