/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes numbered lines for ever, in bursts: "N payload", the payload made from N, so that a reader can tell a line
 * that was torn, lost or mixed with another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    unsigned burst = argc > 1 ? (unsigned)atoi(argv[1]) : 40;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    static char buffer[64 * 1024];

    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    for (unsigned n = 0;; n++) {
        printf("%u ", n);
        for (unsigned i = 0; i < 20 + n % 60; i++)
            putchar('a' + (int)((n + i) % 26));
        putchar('\n');
        if (n % burst) continue;
        fflush(stdout);
        nanosleep(&pause, NULL);
    }
}
