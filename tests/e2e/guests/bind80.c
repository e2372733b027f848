/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web server that an ordinary user may start: its file has the capability for port 80, and /usr/bin/whois, which it
 * runs for each request, the setuid bit. The page says who both are.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void serve(int fd)
{
    char request[2048], page[128], answer[512];
    FILE *who = NULL;
    int ends[2], n;
    pid_t pid;

    (void)!read(fd, request, sizeof(request));
    if (pipe(ends) < 0) return;
    if ((pid = fork()) == 0) {
        (void)dup2(ends[1], 1);
        (void)execl("/usr/bin/whois", "whois", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    who = fdopen(ends[0], "r");
    if (!who || !fgets(page, sizeof(page), who)) (void)strcpy(page, "nobody");
    if (who) (void)fclose(who);
    (void)waitpid(pid, NULL, 0);
    n = snprintf(answer, sizeof(answer), "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nserver %d, %s",
                 (int)geteuid(), page);
    (void)!write(fd, answer, (size_t)n);
}

int main(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(80)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16) < 0) {
        perror("port 80");
        return 1;
    }
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (client < 0) continue;
        serve(client);
        (void)close(client);
    }
}
