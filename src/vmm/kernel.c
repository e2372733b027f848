/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that a client named. Its path is only ever resolved below a folder that the host's owner named, by the
 * kernel and in one go, so that neither ".." nor a link (of whatever age) leads anywhere else.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/path.h"
#include "base/str.h"
#include "model/schema.h"
#include "vmm/vmm.h"

static const char *dir_of(const struct strv *dirs, const char *path, const char **ret_rest)
{
    for (size_t i = 0; dirs && i < dirs->len; i++)
        if ((*ret_rest = path_below(dirs->items[i], path))) return dirs->items[i];
    return NULL;
}

static int no_dir(const struct strv *dirs, const char *path, struct vl_error *err)
{
    char shown[QUOTED_SIZE], allowed[160] = "";

    if (!dirs || dirs->len == 0)
        return vl_fail(err, VL_INVALID,
                       "%s: this volantd takes no kernels of others: name the folder it is in with VOLANT_KERNEL_DIRS",
                       quoted(path, shown));
    for (size_t i = 0; i < dirs->len; i++) {
        size_t n = strlen(allowed);

        (void)strf(allowed + n, sizeof(allowed) - n, "%s%s", n ? ", " : "", dirs->items[i]);
    }
    return vl_fail(err, VL_INVALID, "%s is in none of the folders of VOLANT_KERNEL_DIRS (%s)", quoted(path, shown),
                   allowed);
}

static int check_file(const struct vmm_host *h, int fd, const char *path, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    struct stat st;

    if (fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "%s", quoted(path, shown));
    if (!S_ISREG(st.st_mode))
        return vl_fail(err, VL_INVALID, "%s is no regular file: name a kernel image", quoted(path, shown));
    if (h->uid_base != 0 && !(st.st_mode & S_IROTH))
        return vl_fail(err, VL_INVALID, "%s is not readable by the VM's own user: chmod 0644 it", quoted(path, shown));
    return 0;
}

/* What is the host's fault and not that of the path. */
static bool host_is_short(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EIO;
}

int vmm_kernel_open(const struct vmm_host *h, const struct strv *dirs, const char *path, int *ret_fd,
                    struct vl_error *err)
{
    const char *rest = NULL, *dir = dir_of(dirs, path, &rest);
    auto_close int root = -1, fd = -1;
    char shown[QUOTED_SIZE];
    int r;

    if (!dir) return no_dir(dirs, path, err);
    if ((root = open_dir(dir)) < 0 && host_is_short(root)) return vl_fail_errno(err, root, "open the folder %s", dir);
    if (root < 0) return vl_fail(err, VL_INVALID, "the folder %s of VOLANT_KERNEL_DIRS: %s", dir, vl_strerror(root));
    /* Without waiting: what is there may be a pipe. */
    if ((fd = open_within(root, *rest ? rest : ".", O_RDONLY | O_NONBLOCK | O_NOCTTY)) == -EXDEV)
        return vl_fail(err, VL_INVALID, "%s leads out of %s: a link there must be relative and stay inside",
                       quoted(path, shown), dir);
    if (fd < 0 && host_is_short(fd)) return vl_fail_errno(err, fd, "open %s", quoted(path, shown));
    if (fd < 0) return vl_fail(err, VL_INVALID, "%s: %s", quoted(path, shown), vl_strerror(fd));
    if ((r = check_file(h, fd, path, err)) < 0) return r;
    *ret_fd = take_fd(&fd);
    return 0;
}
