/* SPDX-License-Identifier: Apache-2.0 */
/* Unix stream sockets. */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/io.h"

static int unix_address(const char *path, struct sockaddr_un *ret)
{
    size_t len = strlen(path);

    if (len == 0) return -EINVAL; /* would be an abstract name of the kernel's choice */
    if (len >= sizeof(ret->sun_path)) return -ENAMETOOLONG;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, len + 1);
    return 0;
}

/* Nobody can connect before listen, so there is no moment at which the socket has another mode than the caller's. */
static int bind_and_listen(int fd, const struct sockaddr_un *addr, int backlog, mode_t mode)
{
    int saved;

    if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) return -errno;
    if (chmod(addr->sun_path, mode) == 0 && listen(fd, backlog) == 0) return 0;
    saved = errno;
    (void)unlink(addr->sun_path);
    return -saved;
}

int unix_listen(const char *path, int backlog, mode_t mode)
{
    auto_close int fd = -1;
    struct sockaddr_un addr;
    struct stat st;
    int r = unix_address(path, &addr);

    if (r < 0) return r;
    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0) return -errno;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) < 0) return -errno;
    if ((r = bind_and_listen(fd, &addr, backlog, mode)) < 0) return r;
    return take_fd(&fd);
}

int unix_connect(const char *path)
{
    auto_close int fd = -1;
    struct sockaddr_un addr;
    int r = unix_address(path, &addr);

    if (r < 0) return r;
    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0) return -errno;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) return -errno;
    return take_fd(&fd);
}

int unix_peer_pid(int fd, pid_t *ret)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) return -errno;
    *ret = cred.pid;
    return 0;
}
