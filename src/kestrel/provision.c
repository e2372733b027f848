/* SPDX-License-Identifier: Apache-2.0 */
/* See provision.h. Debian's caddy, for one, ends at once without /etc/hosts (it looks up localhost) and HOME. */
#include "kestrel/provision.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define PASSWD "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
#define GROUP  "root:x:0:\nnogroup:x:65534:\n"
/* Without a name server resolvers ask 127.0.0.1 and are refused at once; one that never answers would cost seconds. */
#define RESOLV "# No name server can be reached from this network.\n"

/* A link that leads nowhere counts as missing: images of distributions have such ones for /etc/resolv.conf. */
static void create_missing(int root_fd, const char *path, const char *text)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    auto_close int fd = openat(root_fd, path, flags, 0644);

    if (fd < 0 && errno == EEXIST && faccessat(root_fd, path, F_OK, 0) < 0 && errno == ENOENT) {
        (void)unlinkat(root_fd, path, 0);
        fd = openat(root_fd, path, flags, 0644);
    }
    if (fd >= 0) (void)write_all(fd, text, strlen(text), mono_ms() + 1000);
}

/* By a new file: what is there may be a link, or, where the image is shared, be of no use to write to. */
static void create_machine_file(int root_fd, const struct guest_config *config, const char *path, const char *text)
{
    if (config->root.fstype) (void)unlinkat(root_fd, path, 0);
    create_missing(root_fd, path, text);
}

static void create_hosts(int root_fd, const struct guest_config *config)
{
    const char *address = config->network.address, *name = config->hostname;
    char text[512];
    int r;

    if (address && name) {
        r = strf(text, sizeof(text), "127.0.0.1 localhost\n::1 localhost\n%.*s %s\n", (int)strcspn(address, "/"),
                 address, name);
    } else {
        r = strf(text, sizeof(text), "127.0.0.1 localhost%s%s\n::1 localhost\n", name ? " " : "", name ? name : "");
    }
    if (r >= 0) create_machine_file(root_fd, config, "etc/hosts", text);
}

static void create_hostname(int root_fd, const struct guest_config *config)
{
    char text[128];

    if (config->root.fstype && config->hostname && strf(text, sizeof(text), "%s\n", config->hostname) >= 0)
        create_machine_file(root_fd, config, "etc/hostname", text);
}

void provision_files(int root_fd, const struct guest_config *config)
{
    (void)mkdirat(root_fd, "etc", 0755);
    (void)mkdirat(root_fd, "root", 0700);
    create_hosts(root_fd, config);
    create_hostname(root_fd, config);
    create_machine_file(root_fd, config, "etc/resolv.conf", RESOLV);
    create_missing(root_fd, "etc/passwd", PASSWD);
    create_missing(root_fd, "etc/group", GROUP);
}
