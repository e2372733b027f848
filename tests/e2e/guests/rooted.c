/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload, or the init, of a disk image: prints what it finds as "ROOT-..." lines and what is asked of it by its
 * arguments: cat FILE, has FILE, put FILE TEXT, add FILE (another line), size FOLDER (in MB), list FOLDER, env, ids,
 * mounts, fill FILE MB, wait (for a signal). As PID 1 it ends the machine.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

extern char **environ;

static void cat(const char *title, const char *path)
{
    char line[512];
    FILE *f = fopen(path, "re");

    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        printf("ROOT-%s %s\n", title, line);
    }
    if (f)
        fclose(f);
    else
        printf("ROOT-%s (cannot be read)\n", title);
}

static void write_text(const char *path, int flags, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
    int done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;

    printf("ROOT-write %s %s\n", path, done ? "yes" : "no");
    if (fd >= 0) close(fd);
}

static void has(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        printf("ROOT-has %s no\n", path);
    else
        printf("ROOT-has %s %o %u:%u\n", path, st.st_mode, st.st_uid, st.st_gid);
}

static void list(const char *path)
{
    struct dirent *e;
    DIR *d = opendir(path);

    printf("ROOT-list %s", path);
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) printf(" %s", e->d_name);
    printf("\n");
    if (d) closedir(d);
}

static void fill(const char *path, int mb)
{
    static char block[1 << 20];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), n = 0;

    memset(block, 'x', sizeof(block));
    while (n < mb && write(fd, block, sizeof(block)) == sizeof(block))
        n++;
    printf("ROOT-fill %d of %d\n", n, mb);
    close(fd);
}

static void ids(void)
{
    gid_t groups[32];
    int n = getgroups(32, groups);
    char folder[256] = "?", name[65] = "?";

    printf("ROOT-ids %d %u:%u groups", getpid() == 1, getuid(), getgid());
    for (int i = 0; i < n; i++)
        printf(" %u", groups[i]);
    if (!getcwd(folder, sizeof(folder))) folder[0] = 0;
    gethostname(name, sizeof(name));
    printf("\nROOT-cwd %s\nROOT-name %s\n", folder, name);
}

static void on_signal(int signo)
{
    char line[] = "ROOT-signal 00\n";

    line[12] = (char)('0' + signo / 10);
    line[13] = (char)('0' + signo % 10);
    if (write(1, line, sizeof(line) - 1) < 0) _exit(1);
    _exit(0);
}

static void await_signal(void)
{
    sigset_t blocked;

    for (int signo = 1; signo < 32; signo++)
        if (signo != SIGKILL && signo != SIGSTOP && signo != SIGCHLD) signal(signo, on_signal);
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    printf("ROOT-waiting %d\n", sigismember(&blocked, SIGCHLD));
    for (;;)
        pause();
}

static void show_status(void)
{
    sigset_t blocked;
    int fds = 0;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int fd = 0; fd < 256; fd++)
        fds += fcntl(fd, F_GETFD) >= 0;
    printf("ROOT-status blocked %d fds %d\n", sigismember(&blocked, SIGCHLD), fds);
}

int main(int argc, char **argv)
{
    /* An init gets no arguments: those are in a file of the image. */
    char text[4096] = "", *words[64];
    int n = 0, fd;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ROOT-up\n");
    if (getpid() == 1 && (fd = open("/etc/init-words", O_RDONLY)) >= 0) {
        if (read(fd, text, sizeof(text) - 1) < 0) return 1;
        close(fd);
        for (char *word = strtok(text, " \n"); word && n < 63; word = strtok(NULL, " \n"))
            words[n++] = word;
        argv = words - 1;
        argc = n + 1;
    }
    for (int i = 1; i < argc; i++) {
        const char *what = argv[i], *more = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(what, "cat") == 0)
            cat(more, more), i++;
        else if (strcmp(what, "has") == 0)
            has(more), i++;
        else if (strcmp(what, "list") == 0)
            list(more), i++;
        else if (strcmp(what, "add") == 0)
            write_text(more, O_APPEND, "boot\n"), i++;
        else if (strcmp(what, "put") == 0)
            write_text(more, O_TRUNC, argv[i + 2]), i += 2;
        else if (strcmp(what, "fill") == 0)
            fill(more, atoi(argv[i + 2])), i += 2;
        else if (strcmp(what, "ids") == 0)
            ids();
        else if (strcmp(what, "status") == 0)
            show_status();
        else if (strcmp(what, "wait") == 0)
            await_signal();
        else if (strcmp(what, "size") == 0) {
            struct statfs st;

            if (statfs(more, &st) == 0)
                printf("ROOT-size %s %lu\n", more, (unsigned long)(st.f_blocks * (unsigned long)st.f_bsize >> 20));
            i++;
        } else if (strcmp(what, "env") == 0) {
            for (char **e = environ; *e; e++)
                printf("ROOT-env %s\n", *e);
        } else
            printf("ROOT-what %s\n", what);
    }
    printf("ROOT-done\n");
    if (getpid() == 1) {
        sync();
        reboot(RB_AUTOBOOT);
    }
    return 0;
}
