/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define FILES_MAX 64
#define WORDS_MAX (1 << 20) /* bytes of stderr, which is a file; a pipe has no size */

/* Names and certificates: nothing else is looked up. */
static const char *const readable[] = {
    "/etc", "/usr", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/dev/null", "/dev/urandom"};

static void allow(int rules, const char *path)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE};

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) return; /* this host has none */
    if (path[1] != 'd') rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
    (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(rule.parent_fd);
}

static void forbid_files(void)
{
    const struct landlock_ruleset_attr all = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

    if (rules < 0) return;
    for (size_t i = 0; i < ARRAY_LEN(readable); i++)
        allow(rules, readable[i]);
    (void)syscall(SYS_landlock_restrict_self, rules, 0);
    (void)close(rules);
}

static int limit(__rlimit_resource_t what, rlim_t most)
{
    struct rlimit l;

    if (getrlimit(what, &l) < 0) return -errno;
    if (l.rlim_max > most) l.rlim_max = most;
    l.rlim_cur = l.rlim_max;
    return setrlimit(what, &l) < 0 ? -errno : 0;
}

static int become(uid_t uid)
{
    if (uid == 0) return 0;
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0) return -errno;
    return 0;
}

int confine(uid_t uid, struct vl_error *err)
{
    int r;

    if ((r = become(uid)) < 0) return vl_fail_errno(err, r, "become user %u", (unsigned)uid);
    /* After that: a change of user forgets it. Whoever went before us is noticed when we write to him. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return vl_fail_errno(err, errno, "give up privileges");
    if ((r = limit(RLIMIT_CORE, 0)) < 0 || (r = limit(RLIMIT_FSIZE, WORDS_MAX)) < 0 ||
        (r = limit(RLIMIT_NOFILE, FILES_MAX)) < 0)
        return vl_fail_errno(err, r, "set limits");
    forbid_files();
    return 0;
}
