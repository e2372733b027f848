/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/confine.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/unit.h"

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* Which step failed, in a process that is confined; 0: none did. */
static int try_all(uid_t uid, bool landlock)
{
    struct vl_error err = {0};
    int signo = 0;

    if (confine(uid, &err) < 0) return 1;
    if (prctl(PR_GET_PDEATHSIG, &signo) < 0 || signo != SIGKILL) return 2;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 3;
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 || open("/usr/bin", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ||
        open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return 4;
    if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0) return 5;
    if (uid && (setresuid(0, 0, 0) == 0 || getuid() != uid || getgid() != uid)) return 6;
    if (landlock && (open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)) return 7;
    if (landlock && (open("/tmp/volant-fetch-file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EACCES))
        return 8;
    if (landlock && (open("/dev/null", O_WRONLY | O_CLOEXEC) >= 0 || errno != EACCES)) return 9;
    return 0;
}

static void run(uid_t uid)
{
    bool landlock = has_landlock();
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) _exit(try_all(uid, landlock));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void little_is_left(void **state)
{
    (void)state;
    run(0);
    if (geteuid() == 0) run(2000000);
}

static void who_may_not_become_another_is_told(void **state)
{
    struct vl_error err = {0};
    pid_t pid = fork();
    int status = 0;

    (void)state;
    if (pid == 0) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) _exit(1);
        _exit(confine(2000000, &err) < 0 && err.errnum == EPERM ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_left),
        cmocka_unit_test(who_may_not_become_another_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
