/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/console_log.h"

#include <fcntl.h>
#include <stdio.h>

#define LOG_NAME  "console.log"
#define LOG_OLDER LOG_NAME ".1"

static void open_empty(struct console_log *l)
{
    l->fd = openat(l->dir_fd, LOG_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    l->size = 0;
}

void console_log_open(struct console_log *l, int dir_fd, uint64_t max)
{
    *l = (struct console_log){.dir_fd = dir_fd, .fd = -1, .max = max};
    (void)unlinkat(dir_fd, LOG_OLDER, 0);
    open_empty(l);
}

void console_log_close(struct console_log *l)
{
    closep(&l->fd);
    l->fd = -1;
}

static void rotate(struct console_log *l)
{
    console_log_close(l);
    (void)renameat(l->dir_fd, LOG_NAME, l->dir_fd, LOG_OLDER);
    open_empty(l);
}

void console_log_write(struct console_log *l, const char *data, size_t n)
{
    if (l->fd < 0) open_empty(l);
    while (n > 0) {
        size_t room, part;
        ssize_t done;

        if (l->size >= l->max) rotate(l);
        if (l->fd < 0) return;
        room = (size_t)(l->max - l->size);
        part = n < room ? n : room;
        done = write(l->fd, data, part);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return; /* the disk is full: these bytes are lost */
        data += done;
        n -= (size_t)done;
        l->size += (uint64_t)done;
    }
}
