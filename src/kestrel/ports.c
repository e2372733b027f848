/* SPDX-License-Identifier: Apache-2.0 */
/* See ports.h. drivers/char/virtio_console.c sends "add" for the device and "change" once the host told the port's
 * name. */
#include "kestrel/ports.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/str.h"
#include "model/guest.h"

#define PORT_CLASS     "/sys/class/virtio-ports"
#define PORT_SUBSYSTEM "virtio-ports"

/* Whether class_fd/device/name says `name`, with its newline or without. */
static bool is_named(int class_fd, const char *device, const char *name)
{
    auto_free char *text = NULL;
    char path[300];
    size_t len;

    if (strf(path, sizeof(path), "%s/name", device) < 0 || read_file_at(class_fd, path, 256, &text, &len) < 0)
        return false;
    if (len > 0 && text[len - 1] == '\n') text[len - 1] = '\0';
    return strcmp(text, name) == 0;
}

int port_open(int class_fd, int dev_fd, const char *name)
{
    int fd = -ENOENT, copy = fcntl(class_fd, F_DUPFD_CLOEXEC, 0);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);

    if (!d) {
        closep(&copy);
        return -ENOENT;
    }
    /* The copy shares its position with class_fd. */
    rewinddir(d);
    for (const struct dirent *e; fd < 0 && (e = readdir(d));) { /* NOLINT(concurrency-mt-unsafe): one thread */
        if (e->d_name[0] == '.' || !is_named(class_fd, e->d_name, name)) continue;
        fd = openat(dev_fd, e->d_name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) fd = -ENOENT;
    }
    (void)closedir(d);
    return fd;
}

static bool find_both(int *ret_ctl, int *ret_sync)
{
    auto_close int class_fd = open_dir(PORT_CLASS), dev_fd = open_dir("/dev"), ctl = -1, sync = -1;

    if (class_fd < 0 || dev_fd < 0) return false;
    if ((ctl = port_open(class_fd, dev_fd, GUEST_CTL_PORT)) < 0) return false;
    if ((sync = port_open(class_fd, dev_fd, GUEST_SYNC_PORT)) < 0) return false;
    *ret_ctl = take_fd(&ctl);
    *ret_sync = take_fd(&sync);
    return true;
}

static bool look(struct ports *p)
{
    int ctl, sync;

    if (!find_both(&ctl, &sync)) return false;
    ports_stop(p);
    p->found(p->arg, ctl, sync);
    return true;
}

/* "add@/devices/.../virtio-ports/vport0p1" and so on; events that were lost (ENOBUFS) are a reason to look as well. */
static void on_event(struct watch *w, uint32_t events)
{
    struct ports *p = container_of(w, struct ports, watch);
    bool worth_it = false;
    char text[4096];
    ssize_t n;

    (void)events;
    while ((n = recv(p->events_fd, text, sizeof(text) - 1, 0)) >= 0 || errno == ENOBUFS) {
        text[n < 0 ? 0 : n] = '\0';
        if (n < 0 || strstr(text, PORT_SUBSYSTEM)) worth_it = true;
    }
    if (worth_it) (void)look(p);
}

int ports_start(struct ports *p, struct loop *l, void (*found)(void *arg, int ctl_fd, int sync_fd), void *arg)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
    auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    int r;

    *p = (struct ports){.events_fd = -1, .found = found, .arg = arg};
    if (fd < 0 || bind(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) return -errno;
    if (look(p)) return 0; /* after listening, or what comes in between would be missed */
    if ((r = loop_watch(l, &p->watch, fd, EPOLLIN, on_event)) < 0) return r;
    p->events_fd = take_fd(&fd);
    return 0;
}

void ports_stop(struct ports *p)
{
    loop_unwatch(&p->watch);
    if (p->events_fd >= 0) (void)close(take_fd(&p->events_fd));
}
