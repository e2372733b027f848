/* SPDX-License-Identifier: Apache-2.0 */
/* See power.h. With hardware-reduced machines RB_POWER_OFF never ends the VMM: the configuration says what does. */
#include "kestrel/power.h"

#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "kestrel/console.h"
#include "model/guest.h"

#define CONSOLE_WAIT_MS 200

void power_last_line(int console_fd, int code)
{
    console_say(console_fd, CONSOLE_WAIT_MS, WORKLOAD_EXIT_LINE "%d", code);
    console_flush(console_fd, CONSOLE_WAIT_MS);
}

_Noreturn void power_end(int console_fd, int code, const char *shutdown)
{
    power_last_line(console_fd, code);
    sync();
    (void)reboot(shutdown && strcmp(shutdown, "poweroff") == 0 ? RB_POWER_OFF : RB_AUTOBOOT);
    _exit(1); /* a kernel that cannot: PID 1 that ends is a panic, which ends the VM as well */
}
