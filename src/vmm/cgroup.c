/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup v2 for each VM, in what systemd delegates to volantd's unit (Delegate=yes). Then `systemctl status` tells
 * the VMs apart, limits can be set on one of them, and nothing of a VM is ever lost track of.
 *
 * No controller is enabled here. In a cgroup with controllers for its children only the leaves may have processes, and
 * systemd starts the next volantd in the unit's own cgroup, the parent of ours: it could not.
 */
#include "vmm/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/io.h"
#include "base/str.h"
#include "vmm/vmm.h"

#define PROC_MAX   (1024ul * 1024)
#define OWN_NAME   "volantd"
#define VM_PREFIX  "vm-"
#define PROCS_FILE "cgroup.procs"

/* --- where we are ------------------------------------------------------------------------------------------------- */

/* The field of a line, from 0, that ends before a blank; false if there are fewer. */
static bool field_at(const char *line, size_t n, const char **ret, size_t *ret_len)
{
    for (; n > 0; n--) {
        line += strcspn(line, " \n");
        if (*line++ != ' ') return false;
    }
    *ret = line;
    *ret_len = strcspn(line, " \n");
    return *ret_len > 0;
}

/* What is left of `path` below `root` of the hierarchy; NULL if it is not below. */
static const char *below(const char *path, size_t path_len, const char *root, size_t root_len)
{
    if (root_len == 1 && *root == '/') return path;
    if (path_len < root_len || memcmp(path, root, root_len) != 0) return NULL;
    return path_len == root_len || path[root_len] == '/' ? path + root_len : NULL;
}

/* Of one line of mountinfo: "ID PARENT DEV ROOT POINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS". */
static bool folder_by_mount(const char *line, const char *path, size_t len, char *buf, size_t size)
{
    const char *end = line + strcspn(line, "\n"), *type = strstr(line, " - "), *root, *point, *rest;
    size_t root_len, point_len;

    if (!type || type > end || !str_starts(type, " - cgroup2 ")) return false;
    if (!field_at(line, 3, &root, &root_len) || !field_at(line, 4, &point, &point_len)) return false;
    if (memchr(point, '\\', point_len) || !(rest = below(path, len, root, root_len))) return false;
    len -= (size_t)(rest - path);
    if (len == 1 && *rest == '/') len = 0;
    return strf(buf, size, "%.*s%.*s", (int)point_len, point, (int)len, rest) >= 0;
}

int cgroup_folder(const char *own, const char *mounts, char *buf, size_t size)
{
    const char *at = strstr(own, "\n0::/"), *path = NULL;

    if (at)
        path = at + strlen("\n0::");
    else if (str_starts(own, "0::/"))
        path = own + strlen("0::");
    if (!path) return -ENOENT;
    for (const char *line = mounts; line && *line; line = (line = strchr(line, '\n')) ? line + 1 : NULL)
        if (folder_by_mount(line, path, strcspn(path, "\n"), buf, size)) return 0;
    return -ENOENT;
}

static int own_cgroup(char *buf, size_t size)
{
    auto_free char *own = NULL, *mounts = NULL;
    int r;

    if ((r = read_file_at(AT_FDCWD, "/proc/self/cgroup", PROC_MAX, &own, NULL)) < 0 ||
        (r = read_file_at(AT_FDCWD, "/proc/self/mountinfo", PROC_MAX, &mounts, NULL)) < 0)
        return r;
    return cgroup_folder(own, mounts, buf, size);
}

/* systemd's mark on what is not its own any more; user.delegate since 251, for those who may not read the other. */
static bool is_delegated(const char *dir)
{
    static const char *const names[] = {"trusted.delegate", "user.delegate"};
    char value[2];

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (getxattr(dir, names[i], value, sizeof(value)) == 1 && value[0] == '1') return true;
    return false;
}

static int move_in(const char *dir)
{
    char path[320];
    auto_close int fd = -1;
    int r;

    if ((r = strf(path, sizeof(path), "%s/" OWN_NAME, dir)) < 0) return r;
    if (mkdir(path, 0755) < 0 && errno != EEXIST) return -errno;
    if ((r = strf(path, sizeof(path), "%s/" OWN_NAME "/" PROCS_FILE, dir)) < 0) return r;
    if ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0) return -errno;
    return write_all(fd, "0", 1, -1);
}

static int begin_in(const char *dir, char ret_dir[static 256], struct vl_error *err)
{
    struct statfs fs;
    int r;

    if (statfs(dir, &fs) < 0) return vl_fail(err, VL_INVALID, "VOLANT_CGROUP: %s: %s", dir, vl_strerror(errno));
    if (fs.f_type != CGROUP2_SUPER_MAGIC)
        return vl_fail(err, VL_INVALID, "VOLANT_CGROUP: %s is no folder of a cgroup v2 file system", dir);
    if ((r = move_in(dir)) < 0)
        return vl_fail(err, VL_INVALID, "VOLANT_CGROUP: cannot move into a cgroup below %s: %s; `off` does without",
                       dir, vl_strerror(r));
    return strf(ret_dir, 256, "%s", dir) < 0 ? vl_fail(err, VL_INVALID, "VOLANT_CGROUP: %s is too long", dir) : 0;
}

int vmm_cgroups_begin(const char *setting, char ret_dir[static 256], const char **ret_why, struct vl_error *err)
{
    char dir[256];

    *ret_dir = '\0';
    *ret_why = "VOLANT_CGROUP is off";
    if (str_eq(setting, "off")) return 0;
    if (*setting == '/') return begin_in(setting, ret_dir, err);
    *ret_why = "no cgroup v2 is mounted";
    if (own_cgroup(dir, sizeof(dir)) < 0) return 0;
    if (str_ends(dir, "/" OWN_NAME)) dir[strlen(dir) - strlen("/" OWN_NAME)] = '\0'; /* moved already */
    *ret_why = "volantd's cgroup was not delegated to it (systemd: Delegate=yes)";
    if (!is_delegated(dir)) return 0;
    *ret_why = "volantd's cgroup was delegated to it, but it cannot make others there";
    if (begin_in(dir, ret_dir, NULL) < 0) *ret_dir = '\0';
    return 0;
}

/* --- those of VMs ------------------------------------------------------------------------------------------------- */

int vmm_cgroup_make(const struct vmm_host *h, int64_t id, int *ret_fd, struct vl_error *err)
{
    char path[320];
    int fd, r;

    if (!*h->cgroup) {
        *ret_fd = -1;
        return 0;
    }
    if ((r = strf(path, sizeof(path), "%s/" VM_PREFIX "%" PRId64, h->cgroup, id)) < 0)
        return vl_fail_errno(err, r, "path of a cgroup");
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return vl_fail_errno(err, errno, "make the cgroup %s (VOLANT_CGROUP=off does without)", path);
    (void)strf(path, sizeof(path), "%s/" VM_PREFIX "%" PRId64 "/" PROCS_FILE, h->cgroup, id);
    if ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        return vl_fail_errno(err, errno, "open %s (VOLANT_CGROUP=off does without)", path);
    *ret_fd = fd;
    return 0;
}

int vmm_cgroup_remove(const struct vmm_host *h, int64_t id)
{
    char path[320];

    if (!*h->cgroup || strf(path, sizeof(path), "%s/" VM_PREFIX "%" PRId64, h->cgroup, id) < 0) return 0;
    if (rmdir(path) == 0) return 1;
    return errno == ENOENT ? 0 : -errno;
}

int vmm_cgroups_list(const struct vmm_host *h, int64_t **ret, size_t *ret_n)
{
    DIR *d = *h->cgroup ? opendir(h->cgroup) : NULL;
    auto_free int64_t *ids = NULL;
    const struct dirent *ent;
    uint64_t id;
    size_t n = 0;

    if (!d && *h->cgroup) return -errno;
    while (d && (ent = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        int64_t *more;

        if (!str_starts(ent->d_name, VM_PREFIX)) continue;
        if (parse_u64(ent->d_name + strlen(VM_PREFIX), 1, INT64_MAX, &id) < 0) continue;
        if (!(more = reallocarray(ids, n + 1, sizeof(*ids)))) {
            (void)closedir(d);
            return -ENOMEM;
        }
        ids = more;
        ids[n++] = (int64_t)id;
    }
    if (d) (void)closedir(d);
    *ret = take_ptr(ids);
    *ret_n = n;
    return 0;
}
