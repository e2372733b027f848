/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is PID 1 by itself: it says so, and ends its machine. */
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
    printf("pid1: I am %d\n", (int)getpid());
    (void)fflush(stdout);
    sync();
    return reboot(RB_AUTOBOOT);
}
