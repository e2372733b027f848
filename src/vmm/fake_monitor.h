/* SPDX-License-Identifier: Apache-2.0 */
/* For test programs that play the VMM: its monitor (QMP), as far as ending and pausing it goes. */
#pragma once
#include <string.h>
#include <sys/socket.h>

#include "vmm/driver.h"

/* One client; true once it was told to quit. */
static inline bool serve_monitor(void)
{
    static const char greeting[] = "{\"QMP\":{}}\n", ok[] = "{\"return\":{}}\n",
                      runs[] = "{\"return\":{\"status\":\"running\"}}\n",
                      stands[] = "{\"return\":{\"status\":\"paused\"}}\n";
    static bool paused;
    auto_close int fd = accept4(VMM_FD_QMP, NULL, NULL, SOCK_CLOEXEC);
    char buf[256];
    ssize_t n;

    if (fd < 0) return false;
    (void)send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
    while ((n = recv(fd, buf, sizeof(buf) - 1, 0)) > 0) {
        buf[n] = '\0';
        if (strstr(buf, "\"stop\"")) paused = true;
        if (strstr(buf, "\"cont\"")) paused = false;
        if (strstr(buf, "query-status"))
            (void)send(fd, paused ? stands : runs, paused ? sizeof(stands) - 1 : sizeof(runs) - 1, MSG_NOSIGNAL);
        else
            (void)send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
        if (strstr(buf, "quit")) return true;
    }
    return false;
}
