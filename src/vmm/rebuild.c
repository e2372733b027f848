/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that runs although its folder does not tell of it any more. Its user is its own, as ids are never given again;
 * its parent is its shim, on whose command line the boot is. That has to be the one that is asked for: another volantd
 * of this host, with folders of its own, may count its users from the same number.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "vmm/vmm.h"

#define PROC_FILE_MAX 65536

/* Field 4 of /proc/PID/stat; the name before it may hold anything. */
static int parent_of(pid_t pid, pid_t *ret)
{
    auto_free char *text = NULL;
    char path[48], digits[16];
    const char *at;
    uint64_t ppid;
    int r;

    (void)strf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if ((r = read_file_at(AT_FDCWD, path, PROC_FILE_MAX, &text, NULL)) < 0) return r;
    if (!(at = strrchr(text, ')')) || strlen(at) < 5) return -EINVAL;
    at += 4; /* ") S " */
    if ((r = strf(digits, sizeof(digits), "%.*s", (int)strcspn(at, " "), at)) < 0) return r;
    if ((r = parse_u64(digits, 2, INT32_MAX, &ppid)) < 0) return r;
    *ret = (pid_t)ppid;
    return 0;
}

/* The boot that a shim was started for; -ENOENT: it is no shim. */
static int boot_of_shim(pid_t pid, char ret[static BOOT_TOKEN_LEN + 1])
{
    static const char option[] = "--boot=";
    auto_free char *text = NULL;
    const char *slash, *arg;
    char path[48];
    size_t len;
    int r;

    (void)strf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    if ((r = read_file_at(AT_FDCWD, path, PROC_FILE_MAX, &text, &len)) < 0) return r;
    slash = strrchr(text, '/');
    if (!str_eq(slash ? slash + 1 : text, "volant-shim")) return -ENOENT;
    for (arg = text; arg < text + len; arg += strlen(arg) + 1)
        if (str_starts(arg, option) && strlen(arg) == strlen(option) + BOOT_TOKEN_LEN) {
            memcpy(ret, arg + strlen(option), BOOT_TOKEN_LEN + 1);
            return 0;
        }
    return -ENOENT;
}

static bool is_vmm_of(pid_t pid, uid_t uid, const char *boot, struct vmm_run *ret)
{
    struct vmm_run run = {0};
    char path[32];
    struct stat st;
    pid_t shim;

    (void)strf(path, sizeof(path), "/proc/%d", (int)pid);
    if (stat(path, &st) < 0 || st.st_uid != uid) return false;
    if (parent_of(pid, &shim) < 0 || boot_of_shim(shim, run.boot) < 0 || !str_eq(run.boot, boot)) return false;
    if (proc_id_of(pid, &run.vmm) < 0 || proc_id_of(shim, &run.shim) < 0) return false;
    host_boot_id(run.host_boot_id);
    *ret = run;
    return true;
}

int vmm_run_rebuild(const struct vmm_host *h, int64_t id, const char *boot, struct vmm_run *ret)
{
    uint64_t uid = h->uid_base + (uint64_t)id, pid;
    const struct dirent *ent;
    bool found = false;
    DIR *d;

    if (h->uid_base == 0 || uid >= UINT32_MAX) return -ENOENT;
    if (!(d = opendir("/proc"))) return -errno;
    while (!found && (ent = readdir(d))) /* NOLINT(concurrency-mt-unsafe): the stream is ours alone */
        found = parse_u64(ent->d_name, 2, INT32_MAX, &pid) == 0 && is_vmm_of((pid_t)pid, (uid_t)uid, boot, ret);
    (void)closedir(d);
    return found ? 0 : -ENOENT;
}
