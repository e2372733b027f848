/* SPDX-License-Identifier: Apache-2.0 */
/* For test programs that play the VMM: its monitor (QMP), as far as ending and pausing it goes. */
#pragma once
#include <string.h>
#include <sys/socket.h>

#include "vmm/driver.h"

static bool monitor_paused;

/* One client; true once it was told to quit. told (NULL: nobody) hears each line, and may know other commands. */
static inline bool serve_monitor(void (*told)(const char *line))
{
    static const char greeting[] = "{\"QMP\":{}}\n", ok[] = "{\"return\":{}}\n",
                      runs[] = "{\"return\":{\"status\":\"running\"}}\n",
                      stands[] = "{\"return\":{\"status\":\"paused\"}}\n";
    auto_close int fd = accept4(VMM_FD_QMP, NULL, NULL, SOCK_CLOEXEC);
    char buf[256];
    ssize_t n;

    if (fd < 0) return false;
    (void)send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
    while ((n = recv(fd, buf, sizeof(buf) - 1, 0)) > 0) {
        buf[n] = '\0';
        if (told) told(buf);
        if (strstr(buf, "\"stop\"")) monitor_paused = true;
        if (strstr(buf, "\"cont\"")) monitor_paused = false;
        if (strstr(buf, "query-status"))
            (void)send(fd, monitor_paused ? stands : runs, monitor_paused ? sizeof(stands) - 1 : sizeof(runs) - 1,
                       MSG_NOSIGNAL);
        else
            (void)send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
        if (strstr(buf, "quit")) return true;
    }
    return false;
}
